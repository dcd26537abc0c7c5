"""Which command mends a node, or a Service, beside the reason why it is none, or has no route."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from porter_ryu import report, report_text
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import AddressRequest, Eip, Family, Kind, ObjectKey
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.objects import Unreadable
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.verdict import Reason
from tests.unit.test_report_status import UP, status
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
        (
            "off",
            "Eip off gives no new address, set spec.disable to false: kubectl patch eip off --type "
            'merge -p \'{"spec":{"disable":false}}\'',
        ),
        ("full", "Eip full is full, add addresses: kubectl edit eip full"),
        ("theirs", "Eip theirs does not admit the Service, change its namespaces, "),
        ("six", "Eip six has no address of its family, add some: kubectl edit eip six"),
        ("odd", "Eip odd does not serve, correct it: kubectl edit eip odd"),
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
    assert entry["mend"].endswith(f"; or ask for one of the Eips asked, main: {ANNOTATE}asked")
    assert f"  to mend it: {mend}" in report_text.explanation(entry)


def test_where_there_is_no_other_eip_it_names_none() -> None:
    w = World(Eip("off", "198.51.100.0/30", disable=True)).put(service("web", pool="none"))
    entry = report.explanation(w.planner, key("web"), None)
    assert entry["mend"] == "Eip none does not exist: create it"
    policy = Policy(editing=Editing("/etc/m"))
    w = World(Eip("main", "198.51.100.0/30"), policy=policy).put(service("web", pool="none"))
    assert report.explanation(w.planner, key("web"), None)["mend"] == (
        "Eip none does not exist: create it; or ask for Eip main: edit the manifest of Service "
        "default/web in /etc/m: annotate it eip.porter.kubesphere.io/pool=main"
    )


def asking(*eips: Eip, **fields: Any) -> Callable[[World], World]:
    """A Service with an endpoint, beside others that hold 203.0.113.7 and all of Eip full."""
    everywhere = (Eip("main", "203.0.113.0/29"), Eip("full", "198.51.100.8", auto_assign=False))
    others = (service("other/a", requested="203.0.113.7"), service("zz", pool="full"))

    asked = fields.pop("requested", None)
    if asked is not None:
        addresses = (ip_address(asked),)
        fields["request"] = AddressRequest("annotation a.b/c", asked, addresses)

    def make(w: World) -> World:
        w.put(*(eips or everywhere), node("n1", "192.168.0.1"), *others)
        return w.put(service("web", **fields), endpoints("web", "n1"))

    return make


def with_node(**fields: Any) -> Callable[[World], World]:
    """A Service whose only node cannot be used."""
    return lambda w: asking()(w).put(node("n1", "192.168.0.1", **fields))


SIX = (Family.IPV6,)
BAD = AddressRequest("annotation a.b/c", "x", error="'x' is not an IP address")
IP = "spec.loadBalancerIP"
OURS = Eip("ours", "203.0.113.0/24", namespaces=("other",))
ANY = "ask for another address, or leave the choice to the program: kubectl -n default"
CASES: list[tuple[Reason, Callable[[World], World], str]] = [
    (
        Reason.NO_READY_ENDPOINTS,
        lambda w: asking()(w).put(endpoints("web")),
        "kubectl -n default get endpointslices,pods -o wide",
    ),
    (Reason.NO_USABLE_NODE, with_node(ready=False), "kubectl describe node n1"),
    (Reason.NO_USABLE_NODE, with_node(labels={EXCLUDE: ""}), f"kubectl label node n1 {EXCLUDE}-"),
    (
        Reason.NO_USABLE_NODE,
        with_node(taints=frozenset(["node.kubernetes.io/out-of-service"])),
        "kubectl taint node n1 node.kubernetes.io/out-of-service-",
    ),
    (
        Reason.NO_POOL,
        asking(pool="absent"),
        f"Eip absent does not exist: create it; or ask for Eip main: {ANNOTATE}main",
    ),
    (
        Reason.NO_POOL,
        asking(requested="2001:db8::1", pool="absent"),
        "Eip absent does not exist: create it",
    ),
    (Reason.NO_POOL, lambda w: w.put(service("web")), "create an Eip that the Service may use"),
    (
        Reason.NO_POOL,
        asking(Eip("main", "203.0.113.0/29", auto_assign=False)),
        f"ask for Eip main: {ANNOTATE}main",
    ),
    (
        Reason.NO_POOL,
        asking(OURS),
        "Eip ours does not admit the Service, change its namespaces, namespaceSelector or "
        "serviceSelector: kubectl edit eip ours",
    ),
    (
        Reason.NO_POOL,
        lambda w: w.unreadable(Kind.EIP, "odd").put(service("web", pool="odd")),
        "Eip odd cannot be read, correct it: kubectl edit eip odd",
    ),
    (
        Reason.POOL_EXHAUSTED,
        asking(Eip("one", "203.0.113.7")),
        "Eip one is full, add addresses: kubectl edit eip one",
    ),
    (
        Reason.POOL_DISABLED,
        asking(Eip("off", "203.0.113.0/29", disable=True)),
        "Eip off gives no new address, set spec.disable to false: kubectl patch eip off ",
    ),
    (
        Reason.POOL_DISABLED,
        asking(Eip("off", "203.0.113.0/29", deleting=True)),
        "Eip off is being deleted: create another",
    ),
    (
        Reason.NOT_ALLOWED,
        asking(OURS, pool="ours"),
        "Eip ours does not admit the Service, change its namespaces, ",
    ),
    (
        Reason.NOT_ALLOWED,
        asking(OURS, requested="203.0.113.9"),
        "Eip ours does not admit the Service, change its namespaces, ",
    ),
    (
        Reason.NOT_ALLOWED,
        asking(deleting=True),
        "it is being deleted, and waits for its finalizers: kubectl -n default get service web ",
    ),
    (
        Reason.ADDRESS_NOT_IN_POOL,
        asking(requested="192.0.2.1"),
        f"{ANY} annotate service web a.b/c-",
    ),
    (
        Reason.ADDRESS_IN_USE,
        asking(requested="203.0.113.7"),
        f"other/a holds 203.0.113.7; {ANY} annotate service web a.b/c-",
    ),
    (
        Reason.ADDRESS_IN_USE,
        lambda w: asking(requested="203.0.113.5")(w.put(node("n9", "203.0.113.5"))),
        f"{ANY} annotate service web a.b/c-",
    ),
    (Reason.INVALID_REQUEST, asking(request=BAD), f"{ANY} annotate service web a.b/c-"),
    (
        Reason.INVALID_REQUEST,
        asking(request=AddressRequest(IP, "x", error="no")),
        f'{ANY} patch service web --type merge -p \'{{"spec":{{"loadBalancerIP":null}}}}\'',
    ),
    (
        Reason.FAMILY_UNAVAILABLE,
        asking(families=SIX),
        "Eip main has no address of its family, add some: kubectl edit eip main",
    ),
    (
        Reason.FAMILY_UNAVAILABLE,
        asking(Eip("six", "2001:db8::/64"), requested="2001:db8::1"),
        f"{ANY} annotate service web a.b/c-",
    ),
    (
        Reason.RECORD_UNKNOWN,
        lambda w: w.unreadable(Kind.SERVICE, "other/hidden", unread=True).put(
            Eip("big", "203.0.112.0/20"), service("web")
        ),
        "kubectl -n other get services hidden -o yaml",
    ),
    (
        Reason.UNREADABLE,
        lambda w: w.unreadable(Kind.SERVICE, "web", "203.0.113.1"),
        "kubectl -n default get services web -o yaml",
    ),
]
NEVER = {Reason.ALLOCATED, Reason.ANNOUNCED, Reason.NO_ADDRESS}  # as the reason of a loss


def told_of_web(w: World) -> tuple[str, str]:
    """What mends the Service web by `status`, and by `explain`."""
    found = [p for p in status(w, UP)["problems"] if p["objects"][:1] == ["default/web"]]
    return found[0]["mend"], report.explanation(w.planner, key("web"), None)["mend"]


@pytest.mark.parametrize(("reason", "make", "mend"), CASES)
def test_status_and_explain_say_the_same_step_for_each_reason(
    reason: Reason, make: Callable[[World], World], mend: str
) -> None:
    w = make(World())
    assert w.state("web") == reason.value
    by_status, by_explain = told_of_web(w)
    assert by_status == by_explain
    assert by_explain.startswith(mend)
    assert "porter-ryu" not in by_explain, "explain names no command that repeats it"
    assert not re.search(r"\b(NAME|FILE|DIR)\b", by_explain), "real names"
    text = report_text.explanation(report.explanation(w.planner, key("web"), None))
    assert f"  to mend it: {mend}" in text


@pytest.mark.parametrize(("reason", "make", "mend"), CASES)
def test_in_a_directory_each_reason_is_mended_in_a_manifest(
    reason: Reason, make: Callable[[World], World], mend: str
) -> None:
    w = make(World(policy=Policy(editing=Editing("/etc/porter-ryu/m"))))
    for told in told_of_web(w):
        assert told
        assert "kubectl" not in told


def test_each_reason_of_a_service_has_a_case() -> None:
    assert {reason for reason, _, _ in CASES} == set(Reason) - NEVER


@pytest.mark.parametrize("kind", [Kind.SERVICE, Kind.NODE, Kind.EIP])
def test_what_is_in_a_file_that_cannot_be_read_is_mended_in_that_file(kind: Kind) -> None:
    """Also if it is another one than that of its manifest."""
    of = key("half") if kind is Kind.SERVICE else ObjectKey("", "half")
    unreadable = Unreadable(kind, of, "broken.yaml:3: odd", file="broken.yaml")
    for editing, mend in (
        (Editing("/etc/m"), "correct the file broken.yaml in /etc/m"),
        (
            Editing(),
            f"kubectl {'-n default ' if of.namespace else ''}get {kind.value} half -o yaml",
        ),
    ):
        w = World(policy=Policy(editing=editing))
        w.planner.put(unreadable)
        found = [p for p in status(w.turn(), UP)["problems"] if p["reason"] == "ObjectUnreadable"]
        assert [p["mend"] for p in found] == [mend]


RECORD = '{"status":{"loadBalancer":{"ingress":[{"ip":"ADDRESS"}]}}}'


@pytest.mark.parametrize(
    ("kind", "file", "mend"),
    [
        (
            Kind.SERVICE,
            ".status/services/default/half.json",
            "restore the file .status/services/default/half.json in /etc/m from a backup, or put "
            f"{RECORD} there; if it is only removed, the Service may get another address",
        ),
        (
            Kind.EIP,
            ".status/eips/half.json",
            "restore the file .status/eips/half.json in /etc/m from a backup, or remove it: it is "
            "written again",
        ),
        (
            Kind.SERVICE,
            ".status/services",
            "make .status/services in /etc/m a folder that can be read, or restore it from a "
            "backup: it has the records, and a Service without its record may get another address",
        ),
        (Kind.SERVICE, "", "correct the files in /etc/m that porter-ryu status names"),
    ],
)
def test_what_a_damaged_status_file_costs_is_said_before_it_is_removed(
    kind: Kind, file: str, mend: str
) -> None:
    of = key("half") if kind is Kind.SERVICE else ObjectKey("", "half")
    w = World(policy=Policy(editing=Editing("/etc/m")))
    w.planner.put(Unreadable(kind, of, "it is damaged", file=file, record_unread=True))
    found = [p for p in status(w.turn(), UP)["problems"] if p["reason"] == "ObjectUnreadable"]
    assert [p["mend"] for p in found] == [mend]


def test_an_address_that_is_known_is_in_the_record_to_write() -> None:
    w = World(Eip("pool", "10.0.0.0/24"), policy=Policy(editing=Editing("/etc/m")))
    w.put(service("web", requested="10.0.0.7"))
    of, file = key("web"), ".status/services/default/web.json"
    w.planner.put(Unreadable(Kind.SERVICE, of, "it is damaged", file=file, record_unread=True))
    found = [p for p in status(w.turn(), UP)["problems"] if p["reason"] == "ObjectUnreadable"]
    assert RECORD.replace("ADDRESS", "10.0.0.7") in found[0]["mend"]
