"""Addresses on a real kernel: bound, repaired, scrubbed, and nothing foreign touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import Fabric, Host, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a default route in both families."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24", "fd00:9::1/64"], ["192.168.9.2/24"])
        host.run("ip route add default via 192.168.9.2")
        yield host


def program_on(host: Host, **bound: object) -> Program:
    """An instance that only binds; two Services, one of each family."""
    program = Program(host, {"bgp": {"enabled": "false"}, "bound_ip": bound})
    program.put("pools", eip("four", "203.0.113.1"), eip("six", "2001:db8:9::1"))
    program.put("node", node("n1", "192.168.9.1"))
    program.put("four", service("four"), slice_of("four", "n1"))
    program.put("six", service("six", families=["IPv6"]))
    return program


def addresses(host: Host) -> set[str]:
    """The host addresses on the main interface."""
    links = host.json("ip -j address show dev e1a")
    return {f"{a['local']}/{a['prefixlen']}" for a in links[0]["addr_info"] if a["scope"] != "link"}


def rules(host: Host) -> set[str]:
    """The addresses for which a rule leads to table 101."""
    found = host.json("ip -j -4 rule show") + host.json("ip -j -6 rule show")
    return {rule["dst"] for rule in found if rule.get("table") == "101"}


OWN = {"192.168.9.1/24", "fd00:9::1/64"}
EIPS = {"203.0.113.1/32", "2001:db8:9::1/128"}


def test_addresses_are_bound_repaired_and_scrubbed_after_a_kill(host):
    host.run("ip address add 198.51.100.9/32 dev e1a")
    program = program_on(host, mode="address").start()
    foreign = {"198.51.100.9/32"}
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS | foreign, 5, "both bound")
    host.run("ip address del 203.0.113.1/32 dev e1a")
    wait_for(lambda: addresses(host), lambda seen: seen >= EIPS, 10, "the repair")
    program.kill()
    assert addresses(host) >= EIPS
    program.remove("six")
    program.start()
    wait_for(
        lambda: addresses(host),
        lambda seen: seen == OWN | foreign | {"203.0.113.1/32"},
        5,
        "what is not wanted any more to be scrubbed",
    )
    assert program.stop() == 0
    assert addresses(host) == OWN | foreign | {"203.0.113.1/32"}


def test_an_address_that_was_there_before_stays(host):
    host.run("ip address add 203.0.113.1/32 dev e1a")
    program = program_on(host, mode="address")
    program.put("pools", eip("four", "203.0.113.1-203.0.113.2"), eip("six", "2001:db8:9::1"))
    program.start()
    conditions = program.status("services", "default/four")
    wait_for(
        lambda: program.status("services", "default/four"), bool, 5, f"an address {conditions}"
    )
    assigned = program.status("services", "default/four")["loadBalancer"]["ingress"][0]["ip"]
    assert assigned == "203.0.113.2", "an address of this host is never handed out"
    program.remove("four")
    wait_for(lambda: addresses(host), lambda seen: "203.0.113.2/32" not in seen, 5, "unbinding")
    assert "203.0.113.1/32" in addresses(host)
    program.stop()


@pytest.mark.parametrize(("mode", "kind"), [("rule", "local"), ("blackhole", "blackhole")])
def test_rules_lead_to_the_table_and_go_without_a_trace(host, mode, kind):
    host.run("ip rule add to 198.51.100.7 lookup 101 pref 50")
    program = program_on(host, mode=mode).start()
    want = {"203.0.113.1", "2001:db8:9::1", "198.51.100.7"}
    wait_for(lambda: rules(host), lambda seen: seen == want, 5, "the rules")
    for version in (4, 6):
        routes = host.json(f"ip -j -{version} route show table 101")
        assert [route.get("type") for route in routes] == [kind]
    host.run("ip rule del to 203.0.113.1 lookup 101")
    host.run("ip route flush table 101")
    wait_for(lambda: rules(host), lambda seen: seen == want, 10, "the repair of the rule")
    wait_for(lambda: host.json("ip -j route show table 101"), bool, 10, "the repair of the route")
    program.remove("four")
    program.remove("six")
    wait_for(lambda: rules(host), lambda seen: seen == {"198.51.100.7"}, 5, "only the foreign one")
    program.stop()
