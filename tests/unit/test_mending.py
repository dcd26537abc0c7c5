"""Which command mends a node, or a Service, beside the reason why it is none, or has no route."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from porter_ryu import report
from porter_ryu.domain import problems
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Eip
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.problems import ProblemReason
from porter_ryu.domain.verdict import Reason
from tests.unit.world import World, endpoints, key, node, service

DRAIN = DrainPolicy("example.com/drain", frozenset(["going"]), cordoned=True)
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


def mends(policy: Policy, **fields: Any) -> tuple[str, str]:
    """The reason and the command for the node n2 of a Service on n1 and n2."""
    w = World(Eip("pool", "203.0.113.0/30"), policy=policy)
    w.put(node("n1", "192.168.0.1"), node("n2", "192.168.0.2"), service("web"))
    w.put(endpoints("web", "n1", "n2"), node("n2", "192.168.0.2", **fields))
    w.now += 60
    w.turn()
    entry = report.explanation(w.planner, key("web"), None)
    [found] = [one for one in entry["routes"][0]["nodes"] if one["node"] == "n2"]
    return found["reason"], found["mend"]


@pytest.mark.parametrize(
    ("fields", "reason", "command"),
    [
        ({}, "NextHop", ""),
        ({"ready": False}, "NotReady", "kubectl describe node n2"),
        ({"labels": {EXCLUDE: ""}}, "Excluded", f"kubectl label node n2 {EXCLUDE}-"),
        (
            {"annotations": {DRAIN.annotation: "yes"}},
            "Drained",
            "kubectl annotate node n2 example.com/drain-",
        ),
        ({"taints": frozenset(["going"])}, "Drained", "kubectl taint node n2 going-"),
        ({"unschedulable": True}, "Drained", "kubectl uncordon n2"),
        (
            {"taints": frozenset(["node.kubernetes.io/out-of-service"])},
            "OutOfService",
            "kubectl taint node n2 node.kubernetes.io/out-of-service-",
        ),
    ],
)
def test_the_command_for_a_node(fields: dict[str, Any], reason: str, command: str) -> None:
    assert mends(Policy(drain=DRAIN), **fields) == (reason, command)


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"ready": False}, ""),
        ({"labels": {EXCLUDE: ""}}, f": remove the label {EXCLUDE}"),
        (
            {"annotations": {DRAIN.annotation: "yes"}},
            ": it is drained by annotation example.com/drain",
        ),
        ({"unschedulable": True}, ": it is drained because it is cordoned"),
    ],
)
def test_in_a_directory_the_manifest_is_edited(fields: dict[str, Any], mend: str) -> None:
    policy = Policy(drain=DRAIN, editing=Editing("/etc/m"))
    assert mends(policy, **fields)[1] == f"edit the manifest of Node n2 in /etc/m{mend}"


def test_no_problem_of_a_directory_is_mended_by_kubectl() -> None:
    for reason in (*Reason, *ProblemReason):
        mend = problems.mend_of_service(reason, key("web"), Editing("/etc/m"))
        assert "kubectl" not in mend


def test_a_service_without_a_route_has_one_and_one_with_a_route_has_none() -> None:
    w = World(Eip("pool", "203.0.113.0/30")).put(node("n1", "192.168.0.1"), service("web"))
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["mend"] == "kubectl -n default get endpointslices,pods -o wide"
    w.put(endpoints("web", "n1"))
    assert report.explanation(w.planner, key("web"), None)["mend"] == ""


@pytest.mark.parametrize("name", ["a;reboot", "$(reboot)", "a'b", "-o", "a b", "a\nb", "\x1b[2J"])
def test_a_name_from_outside_is_one_word(name: str) -> None:
    w = World(Eip("pool", "203.0.113.0/30")).put(
        node(name, "192.168.0.1", ready=False), service("web"), endpoints("web", name)
    )
    [found] = report.explanation(w.planner, key("web"), None)["routes"][0]["nodes"]
    assert found["mend"].isprintable()
    assert len(shlex.split(found["mend"])) == 4
