"""An EIP that moves to another host: its neighbours are told by ARP and neighbour discovery.

`one` and `two` run the program, which binds the EIP; `third` is a neighbour that uses it.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from fabric import Fabric, Host, inside, wait_for
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, command

FOUR, SIX, AWAY = "192.168.8.50", "fd00:8::50", "203.0.113.1"
WITHOUT_NET_RAW = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
NEEDS_NET_RAW = "ARP announcements and neighbour advertisements need NET_RAW"
TOLD = "porter_bound_ip_notices_total"


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    """Three hosts on one link."""
    with Fabric() as fabric:
        switch = fabric.switch("switch")
        for last, name in enumerate(("one", "two", "third"), start=1):
            host = fabric.host(name)
            fabric.link(host, switch, [f"192.168.8.{last}/24", f"fd00:8::{last}/64"], [])
            host.run("ip route add default via 192.168.8.254")
        yield fabric


def device(host: Host) -> str:
    """The name of its interface on the link."""
    return {"one": "e1a", "two": "e2a", "third": "e3a"}[host.name]


def mac(host: Host) -> str:
    """Its hardware address on the link."""
    (link,) = host.json(f"ip -j link show dev {device(host)}")
    return str(link["address"])


def entry(third: Host, address: str) -> str:
    """The hardware address in the neighbour's entry; empty without one."""
    version = 6 if ":" in address else 4
    entries = third.json(f"ip -j -{version} neigh show {address}")
    return next((str(found["lladdr"]) for found in entries if "lladdr" in found), "")


def answers(third: Host, address: str) -> bool:
    """Whether a TCP segment to the address is answered within half a second: by RST."""
    with (
        inside(third),
        socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as sock,
    ):
        sock.settimeout(0.5)
        try:
            sock.connect((address, 9))
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        raise AssertionError("somebody listens there")


def has(host: Host, *addresses: str) -> bool:
    """Whether these addresses are bound on the host."""
    text = host.run(f"ip -br address show dev {device(host)}")
    return all(f"{address}/" in text for address in addresses)


def binding(host: Host) -> Program:
    """The program on a host, not started, with one Service of each family in the link's subnets."""
    program = Program(host, {"bgp": {"enabled": "false"}, "bound_ip": {"mode": "address"}})
    program.put("pools", eip("four", FOUR), eip("six", SIX), eip("away", AWAY, autoAssign=False))
    program.put("node", node("n1", "192.168.8.9"))
    program.put("four", service("four"), slice_of("four", "n1"))
    program.put("six", service("six", families=["IPv6"]))
    return program


def check(program: Program, under: Sequence[str] = ()) -> str:
    """The output of `check` of its configuration, which `under` runs."""
    argv = [*under, command("porter-ryu"), "check", "--config-file", str(program.config)]
    inside_host = program.host.inside(argv)
    return subprocess.run(inside_host, capture_output=True, text=True, check=False).stdout


def lose_the_first(fabric: Fabric) -> None:
    """The neighbour uses the addresses at the first host, which then dies."""
    one, third = fabric.hosts["one"], fabric.hosts["third"]
    program = binding(one).start()
    wait_for(lambda: has(one, FOUR, SIX), bool, 10, "the first to bind")
    for address in (FOUR, SIX):
        wait_for(partial(answers, third, address), bool, 10, f"{address} to answer")
        assert entry(third, address) == mac(one)
    program.kill()
    one.run(f"ip link set {device(one)} down")


def test_traffic_reaches_the_new_host_at_once(fabric: Fabric) -> None:
    two, third = fabric.hosts["two"], fabric.hosts["third"]
    lose_the_first(fabric)
    new, program = mac(two), binding(two).start(ready=False)
    wait_for(lambda: has(two, FOUR, SIX), bool, 20, "the second to bind")
    for address in (FOUR, SIX):
        wait_for(partial(entry, third, address), lambda seen: seen == new, 1, f"{address} to move")
        wait_for(partial(answers, third, address), bool, 1, f"{address} to answer")
    program.stop()


def test_without_the_notices_it_does_not(fabric: Fabric) -> None:
    """What the test above stands on: the address alone, put there by hand, is not noticed."""
    one, two, third = (fabric.hosts[name] for name in ("one", "two", "third"))
    lose_the_first(fabric)
    two.run(f"ip address add {FOUR}/32 dev {device(two)}")
    two.run(f"ip address add {SIX}/128 dev {device(two)} nodad")
    bound = time.monotonic()
    while time.monotonic() - bound < 2:
        for address in (FOUR, SIX):
            assert not answers(third, address)
            assert entry(third, address) == mac(one)


def test_an_address_of_the_link_is_told_three_times_when_it_is_added_and_no_other(
    fabric: Fabric,
) -> None:
    two = fabric.hosts["two"]
    program = binding(two)
    named = {"eip.porter.kubesphere.io/v1alpha1": AWAY}
    program.put("away", service("away", annotations=named), slice_of("away", "n1"))
    program.start()
    wait_for(lambda: has(two, FOUR, SIX, AWAY), bool, 10, "all to be bound")
    wait_for(lambda: program.metric(TOLD), lambda told: told == 6, 5, "three times of each")
    two.run(f"ip address del {FOUR}/32 dev {device(two)}")
    wait_for(lambda: program.metric(TOLD), lambda told: told == 9, 15, "the repaired one")
    assert program.metric("porter_bound_ip_repairs_total") == 1
    program.kill()
    program.start()
    wait_for(lambda: has(two, FOUR, SIX, AWAY), bool, 10, "all to be still bound")
    two.run(f"ip address del {AWAY}/32 dev {device(two)}")
    wait_for(
        lambda: program.metric("porter_bound_ip_repairs_total"), lambda n: n == 1, 15, "a round"
    )
    assert program.metric(TOLD) == 0, "those of the link were there already"
    program.stop()


def test_without_net_raw_addresses_are_bound_and_the_log_says_once_what_is_missing(
    fabric: Fabric,
) -> None:
    two = fabric.hosts["two"]
    program = binding(two).start(under=WITHOUT_NET_RAW)
    wait_for(lambda: has(two, FOUR, SIX), bool, 10, "both to be bound")
    program.logs(f"neighbours are not told of addresses that are bound here: {NEEDS_NET_RAW}")
    two.run(f"ip address del {FOUR}/32 dev {device(two)}")
    wait_for(lambda: has(two, FOUR), bool, 15, "the repair")
    program.logs("was removed and is bound again")
    assert two.log(program.log).count(NEEDS_NET_RAW) == 1
    assert program.answers("/healthz")
    told = f"neighbours on the link are not told of an EIP that is bound: {NEEDS_NET_RAW}"
    assert told in check(program, WITHOUT_NET_RAW)
    assert "told" not in check(program)
    program.stop()
