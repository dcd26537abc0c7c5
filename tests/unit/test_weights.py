"""The weights of paths: what they depend on, and that all paths of a prefix have one or none."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from porter_ryu.domain.announcement import in_use
from porter_ryu.domain.model import Eip, Endpoint, EndpointSlice, Family, Kind, Port
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import (
    BY_CAPACITY,
    BY_ENDPOINTS,
    MAX_LEVEL,
    UNWEIGHTED,
    WeightMode,
    levels,
    steady_levels,
)
from porter_ryu.domain.turn import Policy
from tests.unit.world import World, endpoints, key, node, service

POOL = Eip("pool", "203.0.113.0/24")
ONE = "203.0.113.0"


def world(weights: WeightMode, mode: NextHopMode = ENDPOINTS, own: str = "") -> World:
    """Three nodes without capacity, and a pool."""
    made = World(POOL, policy=Policy(NextHopPolicy(mode, own, weights=weights)))
    return made.put(*(node(f"n{i}", f"192.168.0.{i}") for i in (1, 2, 3)))


def said(made: World, address: str = ONE) -> dict[str, int | None]:
    """The weight of each path of an address, by node."""
    paths = made.announcements[address]
    return {path.next_hop.node: path.attributes.bandwidth for path in paths}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((3, 1), (3, 1)),
        ((30, 10), (3, 1)),
        ((33, 11), (3, 1)),
        ((2, 2, 2), (1, 1, 1)),
        ((16, 1), (16, 1)),
        ((17, 1), (16, 1)),
        ((1000, 1), (16, 1)),
        ((3920, 7910), (1, 2)),
        ((100, 100, 33), (16, 16, 5)),
        ((0, 5), (1, 1)),
        ((0, 0), (1, 1)),
        ((7,), (1,)),
        ((2**63 - 1, 2**62), (2, 1)),
    ],
)
def test_levels_keep_the_proportions(given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    named = {str(number): weight for number, weight in enumerate(given)}
    assert tuple(levels(named).values()) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((3, 1), (3, 1)),
        ((16, 1), (16, 1)),
        ((17, 1), (9, 1)),
        ((30, 10), (15, 5)),
        ((3000, 1000), (12, 4)),
        ((0, 0), (1, 1)),
        ((2**63 - 1, 2**62), (16, 8)),
    ],
)
def test_steady_levels_divide_by_a_power_of_two(
    given: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    named = {str(number): weight for number, weight in enumerate(given)}
    assert tuple(steady_levels(named).values()) == expected


@pytest.mark.parametrize("most", [1, 2, 15, 16, 17, 31, 32, 33, 999, 1000, 2**20 + 1])
def test_there_are_at_most_sixteen_levels(most: int) -> None:
    weights = {str(weight): weight for weight in range(0, most + 1, max(1, most // 50))}
    for scaled in (levels(weights), steady_levels(weights)):
        assert min(scaled.values()) >= 1
        assert max(scaled.values()) <= MAX_LEVEL
        in_order = list(scaled.values())
        assert in_order == sorted(in_order)


def test_without_weights_no_path_has_a_bandwidth() -> None:
    made = world(UNWEIGHTED).put(service("s"), endpoints("s", "n1", "n1", "n2"))
    assert said(made) == {"n1": None, "n2": None}


def test_the_ready_endpoints_on_each_node_count() -> None:
    made = world(BY_ENDPOINTS).put(service("s"), endpoints("s", "n1", "n1", "n1", "n2"))
    assert said(made) == {"n1": 3, "n2": 1}
    made.put(endpoints("s", "n1", "n2"))
    assert said(made) == {"n1": 1, "n2": 1}
    made.put(endpoints("s", "n1"))
    assert said(made) == {"n1": 1}


def test_all_slices_count_and_a_pod_that_is_in_two_of_them_counts_once() -> None:
    made = world(BY_ENDPOINTS).put(service("s"), endpoints("s", "n1", "n2"))
    more = (
        Endpoint("n1", target="a"),
        Endpoint("n1", target="b"),
        Endpoint("n1", ready=False, serving=False),
    )
    made.put(EndpointSlice(key("more"), key("s"), Family.IPV4, more))
    assert said(made) == {"n1": 3, "n2": 1}
    moved = (Endpoint("n1", target="b"), Endpoint("n2", target="c"))
    made.put(EndpointSlice(key("third"), key("s"), Family.IPV4, moved))
    assert said(made) == {"n1": 3, "n2": 2}


def test_terminating_endpoints_count_where_they_are_all_there_is() -> None:
    last = endpoints("s", "n1", "n1", "n2", ready=False, serving=True, terminating=True)
    made = world(BY_ENDPOINTS).put(service("s"), last)
    assert said(made) == {"n1": 2, "n2": 1}


def test_an_endpoint_without_a_node_has_no_path() -> None:
    made = world(BY_ENDPOINTS).put(service("s"), endpoints("s", None, None, "n1", "n2"))
    assert said(made) == {"n1": 1, "n2": 1}


@pytest.mark.parametrize("local", [True, False])
def test_of_a_shared_address_the_endpoints_of_all_holders_count(local: bool) -> None:
    made = world(BY_ENDPOINTS)
    made.put(service("a", share_key="k", requested=ONE, local_traffic=local))
    other = service("b", share_key="k", requested=ONE, ports=frozenset(), local_traffic=False)
    made.put(other, endpoints("a", "n1", "n2"), endpoints("b", "n1", "n1", "n3"))
    expected: dict[str, int | None] = {"n1": 3, "n2": 1} if local else {"n1": 3, "n2": 1, "n3": 1}
    assert said(made) == expected
    made.remove(Kind.SERVICE, "b")
    assert said(made) == {"n1": 1, "n2": 1}


@pytest.mark.parametrize("weights", [BY_ENDPOINTS, BY_CAPACITY])
@pytest.mark.parametrize("mode", [NODES, SELF])
def test_where_every_node_is_a_next_hop_there_are_no_weights(
    mode: NextHopMode, weights: WeightMode
) -> None:
    made = world(weights, mode, "n1")
    made.put(*(node(f"n{i}", f"192.168.0.{i}", weight=i) for i in (1, 2, 3)))
    made.put(service("s"), endpoints("s", "n1", "n1", "n2"))
    assert set(said(made).values()) == {None}
    made.put(service("s", local_traffic=True))
    assert None not in said(made).values()


def test_capacity_is_the_annotation_or_the_cpus() -> None:
    made = world(BY_CAPACITY).put(service("s"), endpoints("s", "n1", "n1", "n1", "n2"))
    assert said(made) == {"n1": None, "n2": None}, "nothing is known"
    made.put(node("n1", "192.168.0.1", cpu=4000))
    assert said(made) == {"n1": None, "n2": None}, "all or none"
    made.put(node("n2", "192.168.0.2", cpu=12_000))
    assert said(made) == {"n1": 1, "n2": 3}
    # as many as so many CPUs
    made.put(node("n2", "192.168.0.2", cpu=12_000, weight=8))
    assert said(made) == {"n1": 1, "n2": 2}
    made.put(node("n1", "192.168.0.1", weight=24))
    assert said(made) == {"n1": 3, "n2": 1}


def test_a_node_without_a_weight_is_reported_and_only_where_it_matters() -> None:
    odd = node("n3", "192.168.0.3", cpu=1, weight_error="its annotation is odd")
    for weights, warned in ((BY_CAPACITY, 3), (BY_ENDPOINTS, 0), (UNWEIGHTED, 0)):
        made = world(weights)
        assert len(made.warnings) == warned
        made.put(odd)
        assert made.warnings[warned:] == (["node n3: its annotation is odd"] if warned else [])


def test_instances_that_announce_one_node_each_weigh_on_one_scale() -> None:
    for weights in (BY_ENDPOINTS, BY_CAPACITY):
        together: dict[str, int | None] = {}
        for own in ("n1", "n2"):
            made = world(weights, SELF, own)
            made.put(*(node(f"n{i}", f"192.168.0.{i}", weight=7 - 2 * i) for i in (1, 2, 3)))
            made.put(service("s", local_traffic=True))
            made.put(endpoints("s", *["n1"] * 5, *["n2"] * 3, "n3"))
            together |= said(made)
        shares = {name: (weight or 0) / together["n2"] for name, weight in together.items()}  # type: ignore[operator]
        assert shares == pytest.approx({"n1": 5 / 3, "n2": 1}, rel=0.1)


@pytest.mark.parametrize("weights", [BY_ENDPOINTS, BY_CAPACITY])
def test_a_drained_node_that_announces_itself_keeps_its_weight(weights: WeightMode) -> None:
    policy = Policy(NextHopPolicy(SELF, "n1", weights=weights), drain=DrainPolicy("drain"))
    made = World(POOL, policy=policy)
    made.put(*(node(f"n{i}", f"192.168.0.{i}", weight=4 - i) for i in (1, 2, 3)))
    made.put(service("s", local_traffic=True), endpoints("s", "n1", "n1", "n1", "n2", "n2", "n3"))
    before = said(made)["n1"]
    made.put(node("n1", "192.168.0.1", weight=3, annotations={"drain": ""}))
    (own,) = in_use(tuple(made.announcements[ONE]))
    assert own.next_hop.is_self
    assert before is not None
    assert own.attributes.bandwidth == before


def test_the_scale_of_the_others_is_noticed() -> None:
    """A larger node comes: the own one, which did not change, counts less."""
    made = world(BY_CAPACITY, SELF, "n1")
    made.put(*(node(f"n{i}", f"192.168.0.{i}", weight=10) for i in (1, 2, 3)))
    made.put(service("s", local_traffic=True), endpoints("s", "n1", "n2"))
    before = said(made)["n1"]
    made.put(node("n2", "192.168.0.2", weight=40))
    assert before == 10
    assert said(made) == {"n1": 2}


def test_equal_weights_share_one_object() -> None:
    made = world(BY_ENDPOINTS).put(
        service("s"), service("t"), endpoints("s", "n1", "n1", "n2"), endpoints("t", *["n1"] * 4)
    )
    made.put(endpoints("t", "n1", "n1", "n1", "n1", "n2", "n2"))
    made.planner.resync()
    made.turn()
    assert made.announcements[ONE] is made.announcements["203.0.113.1"]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.booleans(),
        st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=40),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(CHANGES, st.sampled_from([ENDPOINTS, NODES]))
def test_whatever_changes_the_weights_are_those_of_the_present(
    changes: list[tuple[str, bool, list[str]]], mode: NextHopMode
) -> None:
    made = world(BY_ENDPOINTS, mode)
    ports = {"a": frozenset([Port("TCP", 1)]), "b": frozenset([Port("TCP", 2)])}
    present: dict[str, tuple[bool, list[str]]] = {}
    for name, local, nodes in changes:
        holder = service(name, share_key="k", requested=ONE, ports=ports[name], local_traffic=local)
        made.put(holder, endpoints(name, *nodes))
        present[name] = local, nodes
        locals_ = [set(on) for is_local, on in present.values() if is_local]
        count = Counter(node for _, on in present.values() for node in on)
        if locals_:
            hops = set.intersection(*locals_)
        elif mode is NODES:
            hops = {"n1", "n2", "n3"} if count else set()
        else:
            hops = set(count)
        weighted = hops and (locals_ or mode is ENDPOINTS)
        expected = levels({n: count[n] for n in hops}) if weighted else dict.fromkeys(hops)
        assert said(made) == expected
