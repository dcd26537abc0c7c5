"""Which command mends a node, or a Service, beside the reason why it is none, or has no route."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from porter_ryu import report, report_text
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


ANNOTATE = "kubectl -n default annotate --overwrite service web eip.porter.kubesphere.io/pool="


@pytest.mark.parametrize(
    ("named", "mend"),
    [
        ("absent", "Eip absent does not exist: create it"),
        ("a;b", "Eip 'a;b' does not exist: create it"),
        ("off", "Eip off gives no new address: set spec.disable to false"),
        ("full", "Eip full is full: add addresses"),
        ("theirs", "Eip theirs does not admit the Service: change its namespaces, "),
        ("six", "Eip six has no address of its family: add some"),
        ("odd", "Eip odd does not serve: correct it, its status says why"),
    ],
)
def test_of_an_eip_that_a_service_names_it_says_what_is_wrong_and_which_it_could_name(
    named: str, mend: str
) -> None:
    w = World(
        Eip("main", "203.0.113.0/30"),
        Eip("asked", "203.0.113.8/30", auto_assign=False),
        Eip("off", "198.51.100.0/30", disable=True),
        Eip("full", "198.51.100.8"),
        Eip("theirs", "198.51.100.16", namespaces=("other",)),
        Eip("six", "2001:db8::/64"),
        Eip("odd", "198.51.100.32", protocol="layer2"),
    ).put(service("first", pool="full"), service("web", pool=named))
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["mend"].startswith(mend)
    assert entry["mend"].endswith(f", or ask for one of the Eips asked, main: {ANNOTATE}asked")
    assert f"  to mend it: {mend}" in report_text.explanation(entry)


def test_where_there_is_no_other_eip_it_names_none() -> None:
    w = World(Eip("off", "198.51.100.0/30", disable=True)).put(service("web", pool="none"))
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["mend"] == "Eip none does not exist: create it"
    policy = Policy(editing=Editing("/etc/m"))
    w = World(Eip("main", "198.51.100.0/30"), policy=policy).put(service("web", pool="none"))
    assert report.explanation(w.planner, key("web"), None)["mend"] == (
        "Eip none does not exist: create it, or ask for Eip main: "
        "edit the manifest of Service default/web in /etc/m"
    )
