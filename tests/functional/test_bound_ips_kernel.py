"""The room that binds, alone on a real kernel: foreign things, modes, many addresses, and back."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network

import pytest

from fabric import Fabric, Host, wait_for
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.iproute import IpRoute, Place
from porter_ryu.node.journal import Journal
from porter_ryu.supervisor import Supervisor

A, SIX = ip_network("203.0.113.1"), ip_network("2001:db8:9::1")
MANY = frozenset(ip_network(IPv4Address("10.20.0.0") + i) for i in range(2000))


@pytest.fixture
def host() -> Iterator[Host]:
    with Fabric() as fabric:
        host, other = fabric.host("bind"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        yield host


def start(host: Host, mode: str, program: tuple[str, ...] = ()) -> BoundIps:
    """An instance on this host that remembers what an earlier one did."""
    journal = Journal(str(host.folder / "state"))
    journal.load()
    ip = IpRoute(program=program or ("ip", "-n", host.namespace))
    bound = BoundIps(mode, "e1a", 101, journal, ip, Supervisor())
    bound.start()
    return bound


def table(host: Host, version: int) -> list[str]:
    """Types of the default routes in our table."""
    out = IpRoute(program=("ip", "-n", host.namespace)).defaults("101", version)
    return [kind for kind, _ in out]


def rules(host: Host) -> frozenset[object]:
    """What rules lead to our table."""
    return IpRoute(program=("ip", "-n", host.namespace)).bound(Place("rule", "101"))


@pytest.mark.parametrize("mode", ["address", "rule", "blackhole"])
def test_two_thousand_and_back(host, mode):
    ip = IpRoute(program=("ip", "-n", host.namespace))
    place = Place(mode, "e1a" if mode == "address" else "101")
    bound = start(host, mode)
    bound.complete()
    bound.bind(MANY | {SIX})
    wait_for(
        lambda: (bound.bind(frozenset()), ip.bound(place))[1],
        lambda s: s == MANY | {SIX},
        10,
        "all to be bound",
    )
    bound.stop(withdraw=True)
    assert ip.bound(place) == frozenset()
    assert table(host, 4) == table(host, 6) == []


def test_another_mode_after_a_restart_leaves_nothing_of_the_first(host):
    for mode, kind in (("rule", "local"), ("blackhole", "blackhole"), ("rule", "local")):
        bound = start(host, mode)
        bound.bind(frozenset({A, SIX}))
        bound.complete()
        bound.bind(frozenset())
        assert rules(host) == {A, SIX}
        assert table(host, 4) == table(host, 6) == [kind]
        bound.stop()
    bound = start(host, "address")
    bound.bind(frozenset({A}))
    bound.complete()
    assert rules(host) == frozenset()
    assert table(host, 4) == table(host, 6) == []
    bound.stop()


def test_a_foreign_rule_and_route_stay(host):
    host.run("ip rule add to 203.0.113.1 lookup 101 pref 50")
    host.run("ip route add default via 192.168.9.2 table 101")
    bound = start(host, "rule")
    bound.bind(frozenset({A}))
    bound.complete()
    assert table(host, 4) == ["unicast"]
    bound.stop(withdraw=True)
    assert rules(host) == {A}
    assert table(host, 4) == ["unicast"]
