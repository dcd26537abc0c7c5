"""BoundIps on a real kernel: foreign rules and routes, modes, many addresses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_network
from typing import TypeAlias

import pytest

from fabric import Fabric, Host, inside, wait_for
from porter_ryu.domain.model import Network
from porter_ryu.node.kernel_changes import KernelChanges
from tests.functional.bindings import NONE, SIX, A, Instance, becomes, lone, rules, table

MANY = frozenset(ip_network(IPv4Address("10.20.0.0") + i) for i in range(2000))
ByRules: TypeAlias = tuple[frozenset[Network], tuple[str, ...]]
"""The rules, and the default routes of their table in both families."""


@pytest.fixture
def host() -> Iterator[Host]:
    with Fabric() as fabric:
        host, other = fabric.host("bind"), fabric.host("other")
        fabric.link(host, other, ["192.168.9.1/24"], ["192.168.9.2/24"])
        yield host


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    yield
    Instance.end_all()


@pytest.mark.parametrize("mode", ["address", "rule", "blackhole"])
def test_two_thousand_addresses_are_bound_and_unbound(host: Host, mode: str) -> None:
    bound = lone if mode == "address" else rules
    instance = Instance(host, MANY | {SIX}, mode, "e1a")
    becomes(lambda: bound(host), MANY | {SIX})
    assert instance.bound.stop(withdraw=True) == ""
    assert bound(host) == NONE
    assert table(host, 4) == table(host, 6) == []


def by_rules(host: Host) -> ByRules:
    """What there is."""
    return rules(host), (*table(host, 4), *table(host, 6))


def test_a_restart_in_another_mode_removes_everything_of_the_first(host: Host) -> None:
    both = frozenset({A, SIX})
    for mode, kind in (("rule", "local"), ("blackhole", "blackhole"), ("rule", "local")):
        instance = Instance(host, both, mode, "e1a")
        wanted: ByRules = (both, (kind, kind))
        becomes(lambda: by_rules(host), wanted)
        instance.end()
    instance = Instance(host, frozenset({A}), "address", "e1a")
    instance.expect(frozenset({A}))
    nothing: ByRules = (NONE, ())
    becomes(lambda: by_rules(host), nothing)


def test_a_foreign_rule_and_route_stay(host: Host) -> None:
    host.run("ip rule add to 203.0.113.1 lookup 101 pref 50")
    host.run("ip route add default via 192.168.9.2 table 101")
    instance = Instance(host, frozenset({A}), "rule", "e1a")
    becomes(lambda: instance.bound.last_error != "", True)
    assert table(host, 4) == ["unicast"]
    instance.bound.stop(withdraw=True)
    assert rules(host) == {A}
    assert table(host, 4) == ["unicast"]


def test_changes_of_addresses_and_routes_are_noticed(host: Host) -> None:
    changes = KernelChanges()
    with inside(host):
        changes.any()
    for command in (
        "address add 192.168.9.7/32 dev lo",
        "-6 address add fd00::7/128 dev lo",
        "route add default via 192.168.9.2",
        "-6 route add default dev e1a",
        "nexthop add id 7 via 192.168.9.2 dev e1a",
        "route add 10.99.0.0/24 nhid 7",
        "nexthop replace id 7 via 192.168.9.3 dev e1a",
        "link set lo down",
    ):
        wait_for(changes.any, lambda found: not found, 10, "nothing goes on")
        host.run(f"ip {command}")
        wait_for(changes.any, bool, 10, command)
    for number in range(200):
        host.run(f"ip route add 10.0.{number}.0/24 via 192.168.9.2")
    wait_for(changes.any, bool, 10, "more than there was room for")
