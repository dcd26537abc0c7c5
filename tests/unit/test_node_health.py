"""When the loss of nodes is believed, and which routes stay while it is not."""

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
    """A node that is not Ready."""
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
def test_the_loss_of_all_nodes_at_once_withdraws_no_route(mode: NextHopMode) -> None:
    w = world(mode)
    for name in NAMES:
        w.put(down(name))
        assert hops(w) == "1234"
        w.now += 0.1
    assert w.planner.doubted
    w.put(slices())
    assert hops(later(w, 3600)) == "1234", "their endpoints are reported unready, too"
    w.put(*(up(name) for name in NAMES))
    assert not w.planner.doubted
    assert hops(w) == "1234", "Pods are reported ready some seconds after their node"
    w.put(slices(*NAMES))
    assert hops(later(w, 60)) == "1234"
    w.put(slices("n1"))
    assert hops(w) == ("1" if mode is ENDPOINTS else "1234")


def test_a_single_lost_node_is_no_next_hop_any_more() -> None:
    w = world().put(down("n2"))
    assert hops(later(w, 1.1)) == "134"
    assert not w.planner.doubted
    assert hops(w.put(up("n2"))) == "1234"


def test_the_loss_of_most_nodes_is_delayed_for_further_losses() -> None:
    """Kubernetes checks its nodes every 5 s: nodes lost at once may be seen in two checks."""
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 5)) == "1234"
    assert hops(w.put(down("n4"))) == "1234"
    assert w.planner.doubted
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 6.5)) == "4", "one stayed Ready, so the others are believed lost"
    w = world().put(*(down(name) for name in NAMES[:2]))
    assert hops(later(w, 1.1)) == "34", "half of them are not most"


def test_the_loss_of_a_silent_node_is_delayed_for_further_losses() -> None:
    """Of nodes that fall silent together Kubernetes may see one 5 s before the others."""
    w = world().put(down("n1", silent=True))
    assert hops(later(w, 5)) == "1234"
    w.put(*(down(name, silent=True) for name in NAMES[1:]))
    assert hops(later(w, 60)) == "1234"
    w = world().put(down("n1", silent=True))
    assert hops(later(w, 6.5)) == "234", "only this one was lost"


def test_with_a_directory_the_loss_of_most_nodes_is_hardly_delayed() -> None:
    policy = Policy(panic_percent=90, loss_delays=DIRECTORY_DELAYS)
    w = World(Eip("pool", "10.0.0.1"), policy=policy)
    w.put(*(up(n) for n in NAMES), service("a"), endpoints("a", *NAMES))
    w.put(*(down(name) for name in NAMES[:3]))
    assert hops(later(w, 0.5)) == "4"
    assert hops(w.put(down("n4"))) == "1234", "the loss of all of them is still not believed"


def test_nodes_lost_before_the_doubt_began_are_next_hops_again() -> None:
    w = world()
    for name in NAMES:
        w.put(down(name))
        later(w, 5)
    w.put(slices())
    assert w.planner.doubted
    assert hops(w) == "1234"


def test_losses_over_more_than_the_window_are_believed() -> None:
    w = world()
    for name in NAMES:
        w.put(down(name))
        later(w, 61)
    assert hops(w) == "4", "the last one is the only one present, and it is lost"
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
    assert hops(later(w, 2)) == "123", "the last one did not return within 6 s"


def test_endpoints_that_are_reported_unready_after_their_nodes_are_back() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(slices("n1", "n2"))
    w.put(*(up(name) for name in NAMES))
    assert hops(w.put(slices())) == "1234", "the report is older than the return of the nodes"
    assert hops(w.put(slices(*NAMES))) == "1234"
    assert hops(later(w, 31).put(slices("n1"))) == "1"


def test_after_a_doubt_a_single_loss_is_believed_as_before() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(*(up(name) for name in NAMES))
    later(w, 120).put(down("n3"))
    assert hops(later(w, 1.1)) == "124"


def test_an_endpoint_that_is_removed_during_a_doubt_is_gone() -> None:
    w = world().put(*(down(name) for name in NAMES))
    w.put(endpoints("a", "n1", "n2", ready=False))
    assert hops(w) == "12"


def test_unready_endpoints_on_ready_nodes_are_believed() -> None:
    w = world().put(slices("n1", "n3"))
    assert hops(w) == "13"


def test_the_first_report_after_a_start_is_believed() -> None:
    w = World(Eip("pool", "10.0.0.1"), policy=Policy(panic_percent=90))
    w.put(*(down(name) for name in NAMES), service("a"), endpoints("a", *NAMES))
    assert (hops(w), w.planner.doubted) == ("", False)
    w.put(up("n1"), up("n2"))
    assert hops(w) == "12"


def test_nodes_that_are_deleted_do_not_count() -> None:
    w = world().put(*(down(name) for name in NAMES[:3]))
    assert not w.planner.doubted
    w.remove(Kind.NODE, "n4")
    assert w.planner.doubted, "all present nodes are lost"
    for name in NAMES[:3]:
        w.remove(Kind.NODE, name)
    assert (hops(w), w.planner.doubted) == ("", False)


def test_it_can_be_turned_off() -> None:
    w = world(percent=100).put(*(down(name) for name in NAMES))
    assert hops(w) == ""
