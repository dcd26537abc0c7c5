"""Addresses on a real kernel: bound, repaired and unbound; foreign ones are left alone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from fabric import Fabric, Host, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from tests.functional.bindings import addresses, rules


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a default route in both families."""
    with Fabric() as fabric:
        host, other = fabric.host("host"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24", "fd00:9::1/64"], ["192.168.9.2/24"])
        host.run("ip route add default via 192.168.9.2")
        yield host


def program_on(host: Host, **bound: object) -> Program:
    """An instance without BGP; two Services, one of each family."""
    program = Program(host, {"bgp": {"enabled": "false"}, "bound_ip": bound})
    program.put("pools", eip("four", "203.0.113.1"), eip("six", "2001:db8:9::1"))
    program.put("node", node("n1", "192.168.9.1"))
    program.put("four", service("four"), slice_of("four", "n1"))
    program.put("six", service("six", families=["IPv6"]))
    return program


OWN = {"192.168.9.1/24", "fd00:9::1/64"}
EIPS = {"203.0.113.1/32", "2001:db8:9::1/128"}


def test_addresses_are_bound_repaired_and_unbound_after_a_kill(host: Host) -> None:
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


def test_a_foreign_address_stays(host: Host) -> None:
    host.run("ip address add 203.0.113.1/32 dev e1a")
    program = program_on(host, mode="address")
    program.put("pools", eip("four", "203.0.113.1-203.0.113.2"), eip("six", "2001:db8:9::1"))
    program.start()
    given = wait_for(lambda: assigned(program, "four"), bool, 5, "an address")
    assert given == ["203.0.113.2"], "an address of this host is never handed out"
    program.remove("four")
    wait_for(lambda: addresses(host), lambda seen: "203.0.113.2/32" not in seen, 5, "unbinding")
    assert "203.0.113.1/32" in addresses(host)
    program.stop()


@pytest.mark.parametrize(("mode", "kind"), [("rule", "local"), ("blackhole", "blackhole")])
def test_rules_lead_to_the_table_and_are_removed_completely(
    host: Host, mode: str, kind: str
) -> None:
    host.run("ip rule add to 198.51.100.7 lookup 101 pref 50")
    program = program_on(host, mode=mode).start()
    want = {ip_network(text) for text in ("203.0.113.1", "2001:db8:9::1", "198.51.100.7")}
    wait_for(lambda: rules(host), lambda seen: seen == want, 5, "the rules")
    for version in (4, 6):
        look = f"ip -j -{version} route show table 101"
        wait_for(
            lambda look=look: [route.get("type") for route in host.json(look)],  # type: ignore[misc]
            [kind].__eq__,
            5,
            "the route of the table",
        )
    host.run("ip rule del to 203.0.113.1 lookup 101")
    host.run("ip route flush table 101")
    wait_for(lambda: rules(host), lambda seen: seen == want, 10, "the repair of the rule")
    wait_for(lambda: host.json("ip -j route show table 101"), bool, 10, "the repair of the route")
    program.remove("four")
    program.remove("six")
    wait_for(
        lambda: rules(host),
        lambda seen: seen == {ip_network("198.51.100.7")},
        5,
        "the others to go",
    )
    program.stop()


def own_and_pool(program: Program) -> None:
    """A pool whose lowest address is that of the host."""
    program.put("node", node("n1", "192.168.9.7"))
    addresses = "192.168.9.1,203.0.113.1-203.0.113.3"
    program.put("pools", eip("four", addresses), eip("six", "2001:db8:9::1"))


def assigned(program: Program, name: str) -> list[str]:
    """The recorded addresses of a Service."""
    balancer = program.status("services", f"default/{name}").get("loadBalancer", {})
    return [entry["ip"] for entry in balancer.get("ingress", ())]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        '{"boot": "b',
        "\0" * 512,
        '{"bound": [["address", "e1a", "203.0.113.1/32"]]}',
        '{"boot": BOOT, "bound": [["address", "e1a", "192.168.9.1/32"], ["address"]]}',
    ],
)
def test_after_a_damaged_journal_no_address_of_the_host_is_assigned_or_unbound(
    host: Host, damage: str
) -> None:
    program = program_on(host, mode="address")
    own_and_pool(program)
    program.start()
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS, 5, "both bound")
    program.kill()
    journal = host.folder / "porter.state" / "bound.json"
    boot = json.loads(journal.read_text())["boot"]
    written = damage.replace("BOOT", json.dumps(boot))
    journal.write_text(written)
    program.put("late", service("late"), slice_of("late", "n1"))
    program.start()
    wait_for(lambda: assigned(program, "late"), bool, 5, "an address for the late one")
    assert assigned(program, "late") == ["203.0.113.2"]
    assert assigned(program, "four") == ["203.0.113.1"]
    wait_for(
        lambda: addresses(host),
        lambda seen: seen == OWN | EIPS | {"203.0.113.2/32"},
        5,
        "all three to be bound",
    )
    assert host.log(program.log).count("the file is kept as") == 1, "said once"
    assert journal.with_name("bound.json.damaged").read_text() == written
    program.remove("late")
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS, 5, "what is ours to go")
    assert program.stop() == 0


def test_with_a_renamed_interface_each_service_keeps_its_address(host: Host) -> None:
    program = program_on(host, mode="address").start()
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS, 5, "both bound")
    # at once: an IPv6 address that goes with its link is not missed before the link has its name
    renaming = ("link set e1a down", "link set e1a name lan0", "link set lan0 up")
    host.run("ip -batch -", text="\n".join([*renaming, "route add default via 192.168.9.2", ""]))
    wait_for(lambda: addresses(host, "lan0"), lambda seen: seen >= EIPS, 15, "both to be back")
    program.remove("six")
    want = {"192.168.9.1/24", "203.0.113.1/32"}
    wait_for(lambda: addresses(host, "lan0"), lambda seen: seen == want, 10, "one to go")
    assert "somebody else" not in host.log(program.log)
    program.kill()
    program.remove("four")
    program.start()
    want = {"192.168.9.1/24"}
    wait_for(lambda: addresses(host, "lan0"), lambda seen: seen == want, 10, "the other to go")
    assert program.stop() == 0


@pytest.fixture
def hanging(host: Host) -> Path:
    """A folder with an `ip` that hangs once if there is a file `once`, and always with `ever`."""
    folder = host.folder / "bin"
    folder.mkdir()
    real = shutil.which("ip")
    script = folder / "ip"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = netns ] && exec {real} "$@"\n'
        f"rm {folder}/once 2>/dev/null && sleep 14\n[ -e {folder}/ever ] && sleep 14\n"
        f'exec {real} "$@"\n'
    )
    script.chmod(0o755)
    return folder


def healthy(host: Host) -> bool:
    """Whether /healthz is fine."""
    url = "http://127.0.0.1:8080/healthz"
    return host.run(f"curl -s -o /dev/null -w %{{http_code}} {url}", check=False) == "200"


def test_an_ip_that_hangs_once_delays_and_one_that_always_hangs_is_reported_at_the_end(
    host: Host, hanging: Path
) -> None:
    program = program_on(host, mode="address")
    own_and_pool(program)
    program.start(PATH=f"{hanging}:{os.environ['PATH']}")
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS, 5, "both bound")
    (hanging / "once").touch()
    program.put("late", service("late"), slice_of("late", "n1"))
    every = OWN | EIPS | {"203.0.113.2/32"}
    wait_for(
        lambda: (healthy(host), addresses(host)),
        lambda seen: not seen[0] or seen[1] == every,
        20,
        "the late one to be bound",
    )
    assert addresses(host) == every
    assert not (hanging / "once").exists()
    program.remove("late")
    wait_for(lambda: addresses(host), lambda seen: seen == OWN | EIPS, 10, "it to be unbound")
    (hanging / "ever").touch()
    program.end_for_good()
    wait_for(
        lambda: host.log(program.log),
        lambda log: "addresses could not be unbound" in log,
        45,
        "what is left to be told",
    )
    program.stop()
    assert addresses(host) == OWN | EIPS
    (hanging / "ever").unlink()
    program.start(ready=True)
    program.end_for_good()
    wait_for(lambda: addresses(host), lambda seen: seen == OWN, 10, "nothing to be left")
