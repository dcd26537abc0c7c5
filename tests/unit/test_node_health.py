"""When the loss of nodes is believed, and what stays while it is not."""

from __future__ import annotations

from typing import Any

import pytest

from porter_ryu.domain.model import Eip, EndpointSlice, Kind, Node
from porter_ryu.domain.nodes.health import DIRECTORY_DELAYS
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
from tests.unit.world import World, endpoints, node, service

NAMES = ("n1", "n2", "n3", "n4")


def world(mode: NextHopMode = ENDPOINTS, percent: int = 90) -> World:
    """Four nodes, and a Service with an endpoint on each."""
    made = World(
        Eip("pool", "10.0.0.1"), policy=Policy(NextHopPolicy(mode=mode), panic_percent=percent)
    )
    return made.put(*(up(n) for n in NAMES), service("a"), endpoints("a", *NAMES))


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.0.{name[1:]}", **fields)


def down(name: str, **fields: Any) -> Node:
    """A node that is not."""
    return up(name, ready=False, **fields)


def hops(w: World) -> str:
    """The last digits of the next hops."""
    return "".join(sorted(hop[-1] for hop in w.routes["10.0.0.1"]))


def later(w: World, seconds: float) -> World:
    """Time passes."""
    w.now += seconds
    return w.turn()


def slices(*ready: str) -> EndpointSlice:
    """Endpoints on all four nodes, of which these are ready."""
    some = endpoints("a", *ready)
    missing = endpoints("a", *(n for n in NAMES if n not in ready), ready=False)
    return EndpointSlice(some.key, some.service, some.family, some.endpoints + missing.endpoints)


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_all_nodes_lost_at_once_lose_no_route(mode: NextHopMode) -> None:
    w = world(mode)
    for name in NAMES:
        w.put(down(name))
        assert hops(w) == "1234"
        w.now += 0.1
    assert w.planner.doubted
    w.put(slices())
    assert hops(later(w, 3600)) == "1234", "their endpoints are not ready either, in that view"
    w.put(*(up(name) for name in NAMES))
    assert not w.planner.doubted
    assert hops(w) == "1234", "Pods are reported ready some seconds after their node"
    w.put(slices(*NAMES))
    assert hops(later(w, 60)) == "1234"
    w.put(slices("n1"))
    assert hops(w) == ("1" if mode is ENDPOINTS else "1234")


def test_one_node_that_is_lost_is_taken_out() -> None:
    w = world().put(down("n2"))
    assert hops(later(w, 1.1)) == "134"
    assert not w.planner.doubted
    assert hops(w.put(up("n2"))) == "1234"


def test_most_of_the_nodes_wait_for_the_rest() -> None:
    """Kubernetes looks at its nodes every five seconds: what dies at once is seen in two looks."""
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 5)) == "1234"
    assert hops(w.put(down("n4"))) == "1234"
    assert w.planner.doubted
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 6.5)) == "4", "the last one lives on, so the others are gone"
    w = world().put(*(down(name) for name in NAMES[:2]))
    assert hops(later(w, 1.1)) == "34", "half of them is not most"


def test_a_silent_node_waits_for_the_next_look_at_the_others() -> None:
    """Of nodes that fall silent together Kubernetes may see one five seconds before the rest."""
    w = world().put(down("n1", silent=True))
    assert hops(later(w, 5)) == "1234"
    w.put(*(down(name, silent=True) for name in NAMES[1:]))
    assert hops(later(w, 60)) == "1234"
    w = world().put(down("n1", silent=True))
    assert hops(later(w, 6.5)) == "234", "it alone was lost"


def test_where_nobody_looks_every_few_seconds_most_of_the_nodes_go_at_once() -> None:
    policy = Policy(panic_percent=90, loss_delays=DIRECTORY_DELAYS)
    w = World(Eip("pool", "10.0.0.1"), policy=policy)
    w.put(*(up(n) for n in NAMES), service("a"), endpoints("a", *NAMES))
    w.put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 0.5)) == "4"
    assert hops(w.put(down("n4"))) == "1234", "all of them are still too many to believe"


def test_what_was_taken_out_before_the_doubt_began_comes_back() -> None:
    w = world()
    for name in NAMES:
        w.put(down(name))
        later(w, 5)
    w.put(slices())
    assert w.planner.doubted
    assert hops(w) == "1234"


def test_a_slow_death_is_believed() -> None:
    w = world()
    for name in NAMES:
        w.put(down(name))
        later(w, 61)
    assert hops(w) == "4", "the last one is all that is left, and it alone is lost"
    assert w.planner.doubted


def test_the_doubt_ends_when_the_share_is_back_below() -> None:
    w = world().put(*(down(name) for name in NAMES), slices())
    assert w.planner.doubted
    w.put(up("n1"), up("n2"))
    assert not w.planner.doubted
    w.put(slices("n1", "n2"))
    assert hops(later(w, 3)) == "1234", "the others may be about to return"
    w.put(up("n3"))
    assert hops(later(w, 5)) == "1234"
    assert hops(later(w, 2)) == "123", "the last one did not, in 6 s"


def test_endpoints_that_are_called_not_ready_when_their_nodes_are_back_already() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(slices("n1", "n2"))
    w.put(*(up(name) for name in NAMES))
    assert hops(w.put(slices())) == "1234", "the news is older than the nodes' return"
    assert hops(w.put(slices(*NAMES))) == "1234"
    assert hops(later(w, 31).put(slices("n1"))) == "1"


def test_after_a_doubt_a_single_loss_is_acted_upon_as_ever() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(*(up(name) for name in NAMES))
    later(w, 120).put(down("n3"))
    assert hops(later(w, 1.1)) == "124"


def test_an_endpoint_that_goes_while_the_view_is_doubted_is_gone() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(endpoints("a", "n1", "n2", ready=False))
    assert hops(w) == "12"


def test_endpoints_of_nodes_that_are_well_are_believed() -> None:
    w = world().put(slices("n1", "n3"))
    assert hops(w) == "13"


def test_a_start_believes_what_it_sees() -> None:
    w = World(Eip("pool", "10.0.0.1"), policy=Policy(panic_percent=90))
    w.put(*(down(name) for name in NAMES), service("a"), endpoints("a", *NAMES))
    assert (hops(w), w.planner.doubted) == ("", False)
    w.put(up("n1"), up("n2"))
    assert hops(w) == "12"


def test_nodes_that_are_deleted_do_not_count() -> None:
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert not w.planner.doubted
    w.remove(Kind.NODE, "n4")
    assert w.planner.doubted, "all that are present are lost"
    for name in NAMES[:3]:
        w.remove(Kind.NODE, name)
    assert (hops(w), w.planner.doubted) == ("", False)


def test_it_can_be_turned_off() -> None:
    w = world(percent=100).put(*(down(name) for name in NAMES))
    assert hops(w) == ""
