"""What is told of each node: what it carries, what would use it, and whether its drain is over."""

from __future__ import annotations

from typing import Any

import pytest

from porter_ryu import report_nodes, report_text
from porter_ryu.commands.printing import printable_json
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Eip, Kind, Node
from porter_ryu.domain.node_traffic import Routes
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import NODES
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.sending import PeerTerms
from tests.unit.world import World, endpoints, node, service

DRAIN = DrainPolicy("drain", frozenset(["going"]), cordoned=True, seconds=30)
BOTH, ONE, TWO = "both", "one", "two"
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.9.1{name[1:]}", **fields)


def world(**policy: Any) -> World:
    """Services on n1 and n2, on n1 alone, and on n2 alone."""
    made = World(Eip("pool", "203.0.113.0/24"), policy=Policy(drain=DRAIN, **policy))
    made.put(up("n1"), up("n2"), service(BOTH), service(ONE), service(TWO))
    return made.put(endpoints(BOTH, "n1", "n2"), endpoints(ONE, "n1"), endpoints(TWO, "n2"))


def told(made: World, name: str) -> dict[str, Any]:
    """What is told of a node."""
    routes: Routes = {
        held.address: made.planner.announcements(held.address)
        for decision in made.planner.decisions.values()
        for held in decision.outcome.held
    }
    entry = report_nodes.node(made.planner, routes, name, None, lambda: None)
    listed = {e["node"]: e for e in report_nodes.nodes(made.planner, routes, lambda: None)}
    if entry["found"]:
        assert listed[name].items() <= entry.items(), "the list says the same"
    return entry


def later(made: World, seconds: float = 60) -> World:
    """Time passes."""
    made.now += seconds
    return made.turn()


DRAINS = pytest.mark.parametrize(
    "drained",
    [
        {"annotations": {"drain": "yes"}},
        {"taints": frozenset(["going"])},
        {"unschedulable": True},
    ],
)


@DRAINS
def test_a_drain_is_finished_when_no_service_is_carried_any_more(drained: dict[str, Any]) -> None:
    made = world().put(up("n1", **drained))
    found = told(made, "n1")
    assert (found["reason"], found["draining"], found["drained"]) == ("Draining", True, False)
    assert "1 Service has no next hop that is not drained, and will stay on it" in found["why"]
    assert (found["services"], found["share"]) == (2, 33.3), "and no traffic of both"
    found = told(later(made), "n1")
    assert (found["reason"], found["draining"], found["drained"]) == ("Draining", True, False)
    assert "is not finished: it still carries 1 Service, which has no next hop" in found["why"]
    assert found["dependents"] == found["dependentsAlone"] == ["default/one"]
    text = report_text.node(found)
    assert "default/one (no other next hop)" in text
    assert "not used by 1 Service, because drained" in text, "both has left"
    found = told(made.put(endpoints(ONE, "n1", "n2")), "n1")
    assert (found["reason"], found["draining"], found["drained"]) == ("Drained", False, True)
    assert found["dependents"] == []
    assert (found["waiting"], found["waitingAlone"]) == (2, 0)
    found = told(made.put(up("n1")), "n1")
    assert (found["reason"], found["draining"], found["drained"]) == ("NextHop", False, False)


def test_a_node_that_one_peer_keeps_is_not_drained() -> None:
    """A peer that may not have the other node keeps the drained one."""
    made = world()
    rack = PeerTerms("leaf1", selector=parse_selector("rack=a"))
    made.planner.reserve([], [], terms=[rack, PeerTerms("leaf2")])
    made.put(up("n1", labels={"rack": "a"}, annotations={"drain": "yes"}))
    found = told(later(made), "n1")
    assert found["reason"] == "Draining"
    assert found["dependents"] == ["default/both", "default/one"]
    assert found["dependentsAlone"] == ["default/one"]
    assert "still carries 2 Services" in found["why"]


def test_the_services_whose_other_nodes_are_all_drained_are_named() -> None:
    """Of the drained node, and of the one that is left: its drain would leave none."""
    made = world().put(up("n3"), service("three"), endpoints("three", "n1", "n2", "n3"))
    assert told(made, "n1")["dependentsOthersDrained"] == []
    made.put(up("n2", annotations={"drain": "yes"}))
    found = told(made, "n1")
    assert (found["dependentsAlone"], found["alone"]) == (["default/one"], 1)
    assert found["dependentsOthersDrained"] == ["default/both"]
    text = report_text.node(found)
    assert "3 Services, 1 of which has no other, 1 of which has no other that is not " in text
    assert "default/one (no other next hop)\n    default/both (no other next hop that " in text
    made.put(up("n1", annotations={"drain": "yes"}))
    found = told(made, "n1")
    assert "; 2 Services have no next hop that is not drained" in found["why"]
    assert [*found["dependentsAlone"], *found["dependentsOthersDrained"]] == [
        "default/one",
        "default/both",
    ]


def test_nodes_that_are_drained_together_keep_what_has_no_other() -> None:
    made = world().put(up("n1", unschedulable=True), up("n2", unschedulable=True))
    for name in ("n1", "n2"):
        found = told(later(made), name)
        assert found["reason"] == "Draining"
        assert found["services"] == 2
        assert "which have no next hop that is not drained" in found["why"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ready": False}, "NotReady"),
        ({"ready": False, "silent": True}, "NotReady"),
        ({"labels": {EXCLUDE: ""}}, "Excluded"),
        ({"taints": frozenset(["node.kubernetes.io/out-of-service"])}, "OutOfService"),
        ({"network_unavailable": True}, "NetworkUnavailable"),
        ({"deleting": True}, "BeingDeleted"),
    ],
)
@pytest.mark.parametrize("ready", [True, False], ids=["ready endpoints", "endpoints not ready"])
def test_a_node_that_is_not_usable_tells_who_would_use_it(
    fields: dict[str, Any], reason: str, ready: bool
) -> None:
    made = world().put(up("n1", **fields))
    if not ready:  # as the cluster says it after a while
        made.put(endpoints(ONE, "n1", ready=False))
    found = told(made, "n1")
    assert (found["usable"], found["reason"], found["services"]) == (False, reason, 0)
    assert (found["waiting"], found["waitingAlone"]) == (2, 1)
    [group] = found["unserved"]
    assert group["reason"] == reason
    assert (group["services"], group["alone"]) == (["default/both", "default/one"], ["default/one"])
    assert told(made, "n2")["dependentsAlone"] == ["default/both", "default/two"]


def test_a_node_that_is_gone_tells_who_still_names_it() -> None:
    made = world().remove(Kind.NODE, "n1")
    found = told(made, "n1")
    assert (found["found"], found["usable"], found["reason"]) == (False, False, "NoSuchNode")
    [group] = found["unserved"]
    assert (group["services"], group["alone"]) == (["default/both", "default/one"], ["default/one"])
    nothing = told(made, "n99")
    assert (nothing["found"], nothing["dependents"], nothing["unserved"]) == (False, [], [])


def test_a_node_that_cannot_be_read_tells_why() -> None:
    made = world().remove(Kind.NODE, "n1").unreadable(Kind.NODE, "n1", why="oops")
    found = told(made, "n1")
    assert found["reason"] == "Unreadable"
    assert "oops" in found["unserved"][0]["why"]


def test_in_the_mode_nodes_every_cluster_service_waits_for_a_node() -> None:
    made = world(next_hops=NextHopPolicy(NODES))
    made.put(up("n3", ready=False), service("local", local_traffic=True), endpoints("local", "n1"))
    found = told(made, "n3")
    assert found["unserved"][0]["services"] == ["default/both", "default/one", "default/two"]
    assert found["unserved"][0]["alone"] == []
    assert told(made, "n1")["dependentsAlone"] == ["default/local"]


def test_a_usable_node_tells_which_services_on_it_have_no_ready_endpoint() -> None:
    made = world().put(service("quiet"), endpoints("quiet", "n1", ready=False))
    found = told(made, "n1")
    assert (found["usable"], found["waiting"]) == (True, 0)
    [group] = found["unserved"]
    assert (group["reason"], group["services"]) == ("NoEndpoint", ["default/quiet"])
    assert group["alone"] == ["default/quiet"]


def test_a_node_that_no_peer_may_have_carries_nothing() -> None:
    made = world()
    made.planner.reserve([], [], terms=[PeerTerms("leaf1", selector=parse_selector("rack=a"))])
    found = told(made.turn(), "n1")
    assert (found["services"], found["share"]) == (0, 0.0)


def test_names_of_others_are_one_line() -> None:
    made = world().put(up("n1", ready=False))
    text = report_text.node(printable_json(told(made, "n1")))
    assert all(line.isprintable() for line in text.split("\n"))
