"""Aggregates: a prefix stands for the addresses in it."""

from __future__ import annotations

import pytest

from porter_ryu.domain.announcement import PathAttributes, in_use
from porter_ryu.domain.communities import parse_communities
from porter_ryu.domain.model import Eip, Family, Kind
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import BY_ENDPOINTS
from porter_ryu.domain.planner import Policy
from tests.unit.test_advertisements import (
    ONE,
    RACK_A,
    asks,
    entry,
    heard,
    nodes,
    pool,
    serving,
    world,
)
from tests.unit.world import World, endpoints, node, service

NET = "10.0.0.0/24"
BY_24 = entry(communities="65000:24", aggregation_length=24)


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES])
def test_every_usable_node_announces_it_and_it_covers_what_runs_everywhere(
    mode: NextHopMode,
) -> None:
    w = serving(world(pool(BY_24), mode=mode))
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "")
    assert heard(w, "", NET)["n1"].communities == (65000 << 16 | 24,)
    assert w.state("a") == "Announced"


def test_a_service_on_fewer_nodes_keeps_its_address_beside_it() -> None:
    w = serving(world(pool(BY_24)), "a", "n1")
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "1")
    assert nodes(w.put(endpoints("a", "n1", "n2", "n3", "n4")), "") == ""
    assert nodes(w.put(endpoints("a", "n1", "n2", "n3")), "") == "123"


def test_a_local_service_keeps_its_address_wherever_it_runs() -> None:
    w = serving(world(pool(BY_24), mode=NODES), local_traffic=True)
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "1234")
    w.put(service("a", requested=ONE))
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "")


def test_it_comes_with_the_first_address_and_goes_with_the_last() -> None:
    w = world(pool(BY_24))
    w.put(service("a", requested=ONE))
    assert not w.announcements.get(NET)
    serving(w, "a", "n1")
    serving(w, "b", "n1", requested="10.0.0.2")
    w.remove(Kind.SERVICE, "a")
    assert nodes(w, "", NET) == "1234"
    w.put(endpoints("b"))
    assert w.announcements[NET] == frozenset()
    assert nodes(w.put(endpoints("b", "n1")), "", NET) == "1234"
    w.remove(Kind.SERVICE, "b")
    assert w.announcements[NET] == frozenset()


def test_a_node_that_goes_leaves_the_aggregate_and_what_it_covers_is_judged_again() -> None:
    w = serving(world(pool(BY_24)), "a", "n1", "n2", "n3")
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "123")
    w.remove(Kind.NODE, "n4")
    assert (nodes(w, "", NET), nodes(w, "")) == ("123", "")
    w.put(node("n4", "192.168.0.4"))
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "123")
    w.put(node("n4", "192.168.0.4", deleting=True))
    assert (nodes(w, "", NET), nodes(w, "")) == ("123", "")


def test_an_entry_limits_it_to_its_peers_and_nodes() -> None:
    w = serving(
        world(
            pool(
                entry("edge", nodes=RACK_A, aggregation_length=24, local_pref=9),
                entry("core", communities="65000:1"),
            )
        ),
        "a",
        "n2",
        "n3",
    )
    assert (nodes(w, "edge", NET), nodes(w, "edge")) == ("12", "2")
    assert (nodes(w, "core", NET), nodes(w, "core")) == ("", "23")
    assert heard(w, "edge", NET)["n1"] == PathAttributes(local_pref=9)
    assert heard(w, "core")["n2"] == PathAttributes((65000 << 16 | 1,))
    w.put(endpoints("a", "n1", "n2"))
    assert (nodes(w, "edge", NET), nodes(w, "edge"), nodes(w, "core")) == ("12", "", "12")
    w.put(endpoints("a", "n3"))
    assert (nodes(w, "edge", NET), nodes(w, "edge"), nodes(w, "core")) == ("", "", "3")


def test_one_address_may_have_aggregates_of_several_lengths() -> None:
    w = serving(
        world(
            Eip(
                "pool",
                "10.0.0.0/22",
                advertisements=(
                    entry("far", aggregation_length=22),
                    entry("near", aggregation_length=25),
                    entry("near"),
                ),
            )
        )
    )
    assert nodes(w, "far", "10.0.0.0/22") == nodes(w, "near", "10.0.0.0/25") == "1234"
    assert (nodes(w, "near"), nodes(w, "far")) == ("1234", "")


def test_it_has_the_attributes_of_the_entry_and_a_service_with_its_own_keeps_its_address() -> None:
    allowed = parse_communities(["65000:1"])
    w = serving(world(pool(BY_24, allowed_communities=allowed)), communities=asks("65000:1"))
    assert heard(w, "", NET)["n1"].communities == (65000 << 16 | 24,)
    assert heard(w, "")["n1"].communities == (65000 << 16 | 1, 65000 << 16 | 24)


@pytest.mark.parametrize(
    ("address", "length", "announced"),
    [
        ("10.0.0.0/24", 23, False),
        ("10.0.0.0/24", 24, True),
        ("10.0.0.1-10.0.0.255", 24, False),
        ("10.0.0.0-10.0.0.255", 24, True),
        ("10.0.0.0/25, 10.0.0.128/26, 10.0.0.192-10.0.0.255", 24, True),
        ("10.0.0.0/25, 10.0.0.128/26, 10.0.0.193-10.0.0.255", 24, False),
        ("10.0.0.1", 1, False),
    ],
)
def test_it_has_no_address_that_is_in_no_eip(address: str, length: int, announced: bool) -> None:
    w = serving(world(pool(entry(aggregation_length=length), address=address)))
    prefix = f"10.0.0.0/{length}" if length > 1 else "0.0.0.0/1"
    assert bool(w.announcements.get(prefix)) == announced
    assert bool(w.announcements[ONE]) != announced


def test_eips_beside_one_another_have_one_aggregate() -> None:
    low = Eip("low", "10.0.0.0/25", advertisements=(entry("edge", aggregation_length=24),))
    high = Eip("high", "10.0.0.128/25", advertisements=(BY_24,))
    w = serving(world(low, high))
    serving(w, "b", "n1", requested="10.0.0.200")
    assert heard(w, "edge", NET)["n1"].communities == (65000 << 16 | 24,)
    w.remove(Kind.SERVICE, "b")
    assert (heard(w, "edge", NET)["n1"].communities, nodes(w, "", NET)) == ((), "")
    w.remove(Kind.EIP, "high")
    assert (w.announcements[NET], nodes(w, "edge")) == (frozenset(), "1234")
    w.put(high)
    assert (nodes(w, "edge", NET), nodes(w, "edge")) == ("1234", "")


def test_self_announces_this_node_alone() -> None:
    w = serving(world(pool(BY_24), mode=SELF, own="n2"), "a", "n1")
    assert (nodes(w, "", NET), nodes(w, "")) == ("2", "")
    w.put(service("a", requested=ONE, local_traffic=True))
    assert (nodes(w, "", NET), nodes(w, "")) == ("2", ""), "n1 announces the address"
    w.put(endpoints("a", "n1", "n2"))
    assert (nodes(w, "", NET), nodes(w, "")) == ("2", "2")
    w.put(endpoints("a"))
    assert (w.announcements[NET], w.announcements[ONE]) == (frozenset(), frozenset())
    w.put(endpoints("a", "n1"))
    assert nodes(w, "", NET) == "2"
    w.put(node("n1", "192.168.0.1", ready=False))
    w.now += 60
    assert w.turn().announcements[NET] == frozenset()


def test_ipv6_has_a_length_of_its_own() -> None:
    six = Eip("six", "2001:db8::/64", advertisements=(entry(aggregation_length_v6=64),))
    w = World(six).put(
        node("n1", "fd00::1"),
        node("n2", "fd00::2"),
        service("a", families=(Family.IPV6,), requested="2001:db8::9"),
        endpoints("a", "n1", family=Family.IPV6),
    )
    assert {p.next_hop.node for p in w.announcements["2001:db8::/64"]} == {"n1", "n2"}
    assert w.routes["2001:db8::9"] == {"fd00::1"}


def test_an_aggregate_that_is_asked_for_no_more_goes_and_the_addresses_return() -> None:
    w = serving(world(pool(BY_24)))
    w.put(pool(entry()))
    assert (w.announcements[NET], nodes(w, "")) == (frozenset(), "1234")
    w.put(pool(BY_24))
    assert (nodes(w, "", NET), nodes(w, "")) == ("1234", "")
    w.put(pool())
    assert (w.announcements[NET], nodes(w, "")) == (frozenset(), "1234")


def test_nothing_is_kept_of_what_is_gone() -> None:
    w = world(pool(BY_24))

    def come_and_go(count: int) -> int:
        for i in range(count):
            serving(w, f"s{i}", "n1", requested=f"10.0.0.{i}")
        for i in range(count):
            w.remove(Kind.SERVICE, f"s{i}")
            w.remove(Kind.ENDPOINT_SLICE, f"s{i}-4")
        return w.planner.cached_entries

    assert come_and_go(1) == come_and_go(9)


def test_the_same_entry_twice_is_one() -> None:
    w = serving(world(pool(BY_24, BY_24, entry("edge"))))
    assert (nodes(w, "", NET), nodes(w, ""), nodes(w, "edge")) == ("1234", "", "1234")
    w.put(endpoints("a"))
    assert (nodes(w, "", NET), nodes(w, "edge")) == ("", "")


def test_the_eip_names_the_aggregates_that_are_not_announced() -> None:
    wide = entry(aggregation_length=23, aggregation_length_v6=1)
    w = serving(world(pool(wide, BY_24, address="10.0.0.0/24, 10.0.2.4-10.0.2.9")))
    message = w.planner.allocator.pool_status("pool").message
    assert message == (
        "262 addresses; not announced as aggregates, because they have addresses that are in no "
        "Eip: 10.0.0.0/23, 10.0.2.0/23, 10.0.2.0/24"
    )
    assert w.planner.allocator.pool_status("pool").ready
    w.put(Eip("rest", "10.0.1.0-10.0.2.3, 10.0.2.10-10.0.3.255", disable=True))
    assert w.planner.allocator.pool_status("pool").message == "262 addresses"
    assert (nodes(w, "", "10.0.0.0/23"), nodes(w, "", NET), nodes(w, "")) == ("1234", "1234", "")


def test_an_address_with_weights_keeps_its_route_because_the_aggregate_has_none() -> None:
    policy = Policy(NextHopPolicy(ENDPOINTS, weights=BY_ENDPOINTS))
    w = World(pool(BY_24), policy=policy).put(*(node(f"n{i}", f"192.168.0.{i}") for i in (1, 2)))
    serving(w, "a", "n1", "n1", "n1", "n2")
    assert {said.bandwidth for said in heard(w, "", NET).values()} == {None}
    assert {name: said.bandwidth for name, said in heard(w, "").items()} == {"n1": 3, "n2": 1}


def test_a_drained_node_is_drained_in_the_aggregate_too() -> None:
    policy = Policy(NextHopPolicy(ENDPOINTS), drain=DrainPolicy("drain", seconds=30))
    w = World(pool(BY_24), policy=policy).put(*(node(f"n{i}", f"192.168.0.{i}") for i in (1, 2)))
    serving(w, "a", "n1", "n2")
    w.put(node("n2", "192.168.0.2", annotations={"drain": ""}))
    assert heard(w, "", NET)["n2"].communities == (65000 << 16 | 24, 0xFFFF0000)
    assert nodes(w, "") == "", "the aggregate says the same"
    used = in_use(sorted(w.announcements[NET], key=lambda path: path.next_hop.node))
    assert [path.next_hop.node for path in used] == ["n1", "n2"]
    w.now += 31
    w.turn()
    used = in_use(list(w.announcements[NET]))
    assert [path.next_hop.node for path in used] == ["n1"]
    serving(w, "b", "n2", requested="10.0.0.2")
    assert [p.next_hop.node for p in in_use(list(w.announcements["10.0.0.2"]))] == ["n2"]
