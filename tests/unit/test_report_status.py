"""The status: one sentence, and problems ranked by the Services that they cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu import report_nodes, report_peers, report_status
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.bgp.session_history import LastDown
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Eip, Family, Kind
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hops import EXCLUDE_LABEL
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.ports import Role
from porter_ryu.domain.sending import PeerTerms
from porter_ryu.report_nodes import Record
from porter_ryu.report_problems import Health, Stopped
from tests.unit.test_http_api import HEALTHY
from tests.unit.world import World, endpoints, node, service

UP = PeerReport("leaf1", "leaf1", "192.0.2.1", "", 65001, "Established", "none", families=("ipv4",))
DOWN = PeerReport(
    "leaf2",
    "leaf2",
    "192.0.2.2",
    "",
    65001,
    "Active",
    "none",
    since=1_764_000_000.0,
    last_error="the peer sent Bad Peer AS (2/2)",
    hint="correct its neighbour",
)


def world(policy: Policy | None = None) -> World:
    """Two Services with a next hop."""
    return World(Eip("pool", "203.0.113.0/29"), policy=policy).put(
        node("n1", "192.168.9.11"),
        service("a"),
        endpoints("a", "n1"),
        service("b"),
        endpoints("b", "n1"),
    )


def status(
    made: World,
    *peers: PeerReport,
    sent: bool = True,
    health: Health = HEALTHY,
    switches: tuple[str, ...] = (),
    silent: Collection[int] = (),
    changed_at: Mapping[str, float] | None = None,
    kept: Mapping[str, Collection[str]] | None = None,
) -> dict[str, Any]:
    """The status with these sessions, and switches in these states, which some of four nodes do not
    answer.  `kept`: the next hops that peers keep for each address."""
    hops = {peer: [ip_address(hop) for hop in each] for peer, each in (kept or {}).items()}
    told = report_peers.peers(peers)
    return report_status.status(
        made.planner,
        told,
        [
            {
                "datapath": "0x1",
                "state": state,
                "refused": [],
                "nodesDoubted": False,
                "nodes": [{"node": f"n{n}", "answers": n not in silent} for n in range(1, 5)],
            }
            for state in switches
        ],
        lambda _prefix: sent,
        lambda _prefix: hops,
        health,
        Record(1.0, 1.5, changed_at or {}),
        2.0,
        lambda: None,
    )


def ranked(told: dict[str, Any]) -> list[tuple[str, int]]:
    """Reason and cost of each problem."""
    return [(entry["reason"], entry["services"]) for entry in told["problems"]]


def test_all_is_well() -> None:
    told = status(world(), UP)
    assert told["summary"] == "all is well: 2 Services announced to 1 peer"
    assert (told["ok"], told["problems"]) == (True, [])
    assert told["services"] == {"total": 2, "states": {"Announced": 2}}
    assert told["eips"] == {"total": 1, "ready": 1, "size": 8, "used": 2}
    assert told["nodes"] == {
        "total": 1,
        "usable": 1,
        "draining": 0,
        "drained": 0,
        "unusable": [],
    }
    assert (told["role"], told["ready"], told["startedAt"], told["recordedSince"]) == (
        "leader",
        True,
        "1970-01-01T00:00:01.000Z",
        "1970-01-01T00:00:01.500Z",
    )


def test_switches_are_named_beside_peers_or_alone() -> None:
    told = status(world(), UP, switches=("filled", "filling", "filled"))
    assert told["switches"] == {"total": 3, "filled": 2}
    assert [entry["reason"] for entry in told["problems"]] == ["SwitchNotFilled"]
    told = status(world(), UP, switches=("filled", "filled"))
    assert told["summary"] == "all is well: 2 Services announced to 1 peer and 2 switches"
    alone = status(world(), health=replace(HEALTHY, announces=False), switches=("filled",))
    assert alone["summary"] == "all is well: 2 Services announced to 1 switch"


def test_a_node_that_a_switch_does_not_reach_is_named() -> None:
    (problem,) = status(world(), UP, switches=("filled",), silent=(2, 3))["problems"]
    assert (problem["reason"], problem["objects"]) == ("NodeDead", ["n2", "n3"])
    assert problem["what"] == "switch 0x1 gets no answer from n2, n3, and sends nothing there"


def test_what_costs_the_most_services_comes_first() -> None:
    made = world().put(
        service("c"), service("d", pool="none"), service("e", pool="none"), service("f", pool="no")
    )
    told = status(made, UP, DOWN)
    assert ranked(told) == [
        ("NoPool", 2),
        ("NoPool", 1),
        ("NoReadyEndpoints", 1),
        ("SessionDown", 0),
    ]
    why = "there is no Eip none, which the Service names: create it"
    assert told["summary"] == f"4 of 6 Services cannot be reached, 2 of them: {why}"
    assert not told["ok"]
    first, other, second, third = told["problems"]
    assert first["what"] == f"2 Services cannot be reached: {why}"
    assert first["objects"] == ["default/d", "default/e"]
    assert first["mend"].startswith("Eip none does not exist: create it; or ask for Eip ")
    assert other["objects"] == ["default/f"]
    assert second["what"] == "1 Service cannot be reached: no ready endpoint"
    assert third["what"].startswith(
        "the session with leaf2 (192.0.2.2) is down since at least 2025-11-24T"
    )
    assert third["what"].endswith(": the peer sent Bad Peer AS (2/2)")
    assert third["mend"] == "correct its neighbour"


def test_one_reason_for_all_is_the_summary() -> None:
    told = status(world().put(endpoints("a"), endpoints("b")), UP)
    assert told["summary"] == "2 of 2 Services cannot be reached: no ready endpoint"


def test_how_many_cannot_be_reached_is_preliminary_while_not_all_are_decided() -> None:
    made = world().put(endpoints("a"), endpoints("b"))
    told = status(made, UP, health=replace(HEALTHY, unready="not all Services are decided yet"))
    assert told["summary"] == (
        "2 of 2 Services cannot be reached: no ready endpoint; not all Services are decided yet"
    )


def test_services_that_nobody_was_sent_are_the_cost_of_the_session_that_is_down() -> None:
    told = status(world(), DOWN, sent=False)
    assert ranked(told) == [("SessionDown", 2)]
    assert told["summary"].startswith("2 of 2 Services cannot be reached: the session with leaf2")
    assert told["services"]["states"] == {"Allocated": 2}


def ended(peer: PeerReport, seconds: float, **more: Any) -> PeerReport:
    """A session that was up once, and ended at a time."""
    down = LastDown(seconds, "the hold timer expired", Cause.HOLD_TIMER)
    return replace(
        peer, state="Active", families=(), since=seconds, last_up=1.0, last_down=down, **more
    )


@pytest.mark.parametrize(
    ("state", "told"),
    [("Connect", "not connected yet"), ("OpenSent", "connected, and now OpenSent")],
)
def test_a_session_that_comes_up_says_how_far_it_is(state: str, told: str) -> None:
    (problem,) = status(world(), replace(DOWN, state=state, last_error=""))["problems"]
    assert problem["what"].endswith(f": {told}")


def test_services_that_nobody_was_sent_although_sessions_are_up() -> None:
    told = status(world(), UP, sent=False)
    assert ranked(told) == [("NotSent", 2)]
    assert told["summary"] == "2 of 2 Services cannot be reached: no peer was sent it yet"


def test_sessions_that_cost_services_together_are_one_problem() -> None:
    """Each Service counts once; the session that ended last is told first."""
    one, two = ended(UP, 500.0, hint="one"), ended(DOWN, 900.0)
    for peers in ((one, two), (two, one)):
        told = status(world(), *peers, sent=False)
        assert ranked(told) == [("SessionDown", 2)]
        [problem] = told["problems"]
        assert problem["objects"] == ["leaf2", "leaf1"]
        assert problem["what"].startswith(
            "no session with leaf2, leaf1: the session with leaf2 (192.0.2.2) is down since "
            "1970-01-01T00:15:00.000Z: "
        )
        assert "; the session with leaf1 (192.0.2.1) is down since 1970" in problem["what"]
        assert problem["mend"] == "leaf2: correct its neighbour; leaf1: one"
        whole = "2 of 2 Services cannot be reached: no session with leaf2, leaf1: "
        assert told["summary"].startswith(whole)


def test_a_peer_that_never_had_a_session_is_no_cause_beside_those_that_had_one() -> None:
    told = status(world(), DOWN, ended(UP, 5.0), sent=False)
    assert ranked(told) == [("SessionDown", 2), ("SessionDown", 0)]
    assert [problem["objects"] for problem in told["problems"]] == [["leaf1"], ["leaf2"]]


def test_after_a_restart_the_cause_are_the_peers_that_the_journals_name() -> None:
    had, never = replace(DOWN, paths_left=7), replace(DOWN, name="leaf0", peer="leaf0")
    told = status(world(), never, had, sent=False)
    assert [(p["objects"], p["services"]) for p in told["problems"]] == [
        (["leaf2"], 2),
        (["leaf0"], 0),
    ]
    assert told["problems"][0]["what"].endswith(
        "; an earlier process announced 7 paths to it, which it may still have"
    )
    assert "earlier process" not in told["problems"][1]["what"]


def test_services_whose_routes_a_peer_keeps_can_be_reached_and_are_at_risk() -> None:
    one, two = ended(UP, 500.0, kept_until=620.4, hint="the key"), ended(DOWN, 900.0)
    made = world().put(service("c", pool="none"))
    told = status(made, one, two, sent=False, kept={"leaf1": ["192.168.9.11"]})
    kept = (
        "2 Services are announced in no session, and reached only because leaf1 keeps the routes "
        "until about 1970-01-01T00:10:20Z"
    )
    assert [(p["reason"], p["services"], p["atRisk"]) for p in told["problems"]] == [
        ("RoutesKept", 0, 2),
        ("NoPool", 1, 0),
        ("SessionDown", 0, 0),
        ("SessionDown", 0, 0),
    ]
    first = told["problems"][0]
    assert (first["what"], first["mend"], first["objects"]) == (kept, "the key", ["leaf1"])
    assert told["summary"].startswith("1 of 3 Services cannot be reached: there is no Eip none")
    assert told["summary"].endswith(f"; {kept}")
    both = {"leaf1": ["192.168.9.10", "192.168.9.11"], "leaf2": ["192.168.9.11"]}
    told = status(world(), one, two, sent=False, kept=both)
    assert "because leaf1, leaf2 keep the routes until about" in told["summary"]
    assert not told["ok"]
    gone = status(world(), replace(one, kept_until=None), two, sent=False)
    assert ranked(gone) == [("SessionDown", 2)], "their restart time is over"


def test_a_route_that_a_peer_keeps_by_nodes_that_are_lost_reaches_no_service() -> None:
    """One has its other endpoint on a node that is well, and the peer was sent both or one."""
    one = ended(UP, 500.0, kept_until=620.4)
    made = world().put(
        node("n2", "192.168.9.12"),
        endpoints("a", "n1", "n2"),
        endpoints("b", "n1", "n2"),
        node("n1", "192.168.9.11", ready=False),
    )
    lost = status(made, one, sent=False, kept={"leaf1": ["192.168.9.11"]})
    assert ranked(lost) == [("SessionDown", 2)]
    assert lost["summary"].startswith("2 of 2 Services cannot be reached: the session with leaf1")
    held = status(made, one, sent=False, kept={"leaf1": ["192.168.9.11", "192.168.9.12"]})
    assert [(p["reason"], p["services"], p["atRisk"]) for p in held["problems"]] == [
        ("RoutesKept", 0, 2),
        ("SessionDown", 0, 0),
    ]
    other = {"leaf1": ["192.168.9.11"], "leaf2": ["192.168.9.12"]}
    by_one = status(made, one, ended(DOWN, 900.0), sent=False, kept=other)
    assert by_one["problems"][0]["objects"] == ["leaf2"], "only by leaf2 they are reached"


def dual_stack() -> World:
    """A Service with an IPv4 and one with an IPv6 address; only leaf2 is offered IPv6."""
    terms = [
        PeerTerms("leaf1", families=frozenset({Family.IPV4})),
        PeerTerms("leaf2", families=frozenset(Family)),
    ]
    made = World(Eip("pool", "203.0.113.0/29"), Eip("six", "2001:db8::/125"))
    made.planner.reserve([], [], terms=terms)
    return made.put(
        node("n1", "192.168.9.11"),
        node("n6", "2001:db8:9::16"),
        service("four"),
        endpoints("four", "n1"),
        service("six", families=(Family.IPV6,)),
        endpoints("six", "n6", family=Family.IPV6),
    )


def test_a_session_for_ipv4_is_no_cause_for_ipv6() -> None:
    made = dual_stack()
    one, two = ended(UP, 900.0), ended(DOWN, 500.0)
    told = status(made, one, two, sent=False)
    assert [(p["objects"], p["services"]) for p in told["problems"]] == [(["leaf1", "leaf2"], 2)]
    told = status(made, replace(UP, families=("ipv4",)), two, sent=False)
    assert ranked(told) == [("SessionDown", 1), ("NotSent", 1)]
    told = status(made, UP, replace(UP, name="leaf2", peer="leaf2"), sent=False)
    assert "no session that is up carries IPv6" in [
        entry["what"].rpartition(": ")[2] for entry in told["problems"]
    ]


def test_a_peer_that_may_have_none_of_the_next_hops_is_no_cause() -> None:
    made = world()
    terms = [PeerTerms("leaf1"), PeerTerms("leaf2", selector=parse_selector("rack=b"))]
    made.planner.reserve([], [], terms=terms)
    told = status(made, ended(UP, 5.0), ended(DOWN, 900.0), sent=False)
    assert told["problems"][0]["objects"] == ["leaf1"]
    made.planner.reserve([], [], terms=terms[1:])
    told = status(made, ended(DOWN, 900.0), sent=False)
    assert ranked(told) == [("NotSent", 2), ("SessionDown", 0)]
    assert told["problems"][0]["what"].endswith(
        "no peer that is configured may have one of its next hops"
    )


def test_several_sessions_of_a_peer_are_one_problem() -> None:
    fan = [
        ended(UP, 500.0 + number, name=f"leaf1@192.0.2.{number}", last_error=error, hint=hint)
        for number, error, hint in ((8, "shut down", "enable it"), (9, "shut down", "enable it"))
    ]
    told = status(world(), *fan, sent=False)
    assert ranked(told) == [("SessionDown", 2)]
    [problem] = told["problems"]
    assert problem["what"].startswith("2 of 2 sessions with leaf1 (192.0.2.1) are down since 1970")
    assert problem["what"].endswith("00:08:29.000Z: shut down")
    assert (problem["objects"], problem["mend"]) == ([f.name for f in fan], "enable it")
    other = replace(fan[1], last_error="refused", hint="listen")
    [problem] = status(world(), fan[0], other, sent=False)["problems"]
    assert problem["mend"] == "leaf1@192.0.2.8: enable it; leaf1@192.0.2.9: listen"
    up = replace(UP, name="leaf1@192.0.2.9")
    told = status(world(), fan[0], up)
    assert ranked(told) == [("SessionDown", 0)]
    assert told["summary"].startswith("1 of 2 sessions with leaf1 (192.0.2.1) is down")


def test_services_on_nodes_that_are_out_for_other_reasons_are_other_causes() -> None:
    made = world().put(
        node("n2", "192.168.9.12", ready=False),
        node("n3"),
        *(service(name) for name in "cde"),
        endpoints("c", "n2"),
        endpoints("d", "n3"),
        endpoints("e", "n2"),
    )
    first, second = status(made, UP)["problems"]
    assert (first["services"], first["objects"]) == (2, ["default/c", "default/e"])
    assert first["what"].endswith("n2: it is not Ready")
    assert (second["services"], second["objects"]) == (1, ["default/d"])
    assert "n3: it has no IPv4 address" in second["what"]


def test_causes_beyond_the_first_five_of_a_reason_are_told_together() -> None:
    made = world()
    for number in range(9):
        made.stage(service(f"x{number}", pool=f"none{number}"))
    found = status(made.turn(), UP)["problems"]
    assert [entry["services"] for entry in found] == [4, 1, 1, 1, 1, 1]
    assert found[0]["what"] == "4 Services cannot be reached: no Eip for it"


def bfd(state: str, reason: str = "") -> BfdReport:
    """What BFD says of a peer."""
    return BfdReport(state, 900.0, reason, 300, 3)


def test_a_session_without_bfd_is_a_problem() -> None:
    assert status(world(), replace(UP, bfd=bfd("up")))["ok"]
    told = status(world(), replace(UP, hold_time=90.0, bfd=bfd("down", "no answer yet")))
    assert ranked(told) == [("BfdDown", 0)]
    assert told["problems"][0]["what"] == (
        "BFD with leaf1 (192.0.2.1) is not up, so a broken path is seen only after 90 s: down "
        "since 1970-01-01T00:15:00.000Z, no answer yet"
    )
    told = status(world(), UP, replace(DOWN, bfd=bfd("down", "detection time expired")))
    assert ranked(told) == [("SessionDown", 0)], "the session is the problem"
    told = status(world(), replace(UP, bfd=bfd("adminDown", "by the peer")))
    assert "adminDown since" in told["summary"]
    assert "seen by nothing" in told["summary"], "there is no hold timer"
    fan = [replace(UP, name=f"leaf1@192.0.2.{n}", bfd=bfd("down", "no answer yet")) for n in (8, 9)]
    other = replace(UP, name="leaf1@192.0.2.7", bfd=bfd("up"))
    [problem] = status(world(), *fan, other)["problems"]
    assert problem["objects"] == [session.name for session in fan], "one router is to be mended"
    assert "is not up in 2 of 3 sessions" in problem["what"]
    assert problem["what"].endswith(": down since 1970-01-01T00:15:00.000Z, no answer yet")


def test_a_session_down_costs_nothing_while_another_peer_has_the_routes() -> None:
    told = status(world(), UP, DOWN)
    assert ranked(told) == [("SessionDown", 0)]
    assert told["summary"].startswith("the session with leaf2 (192.0.2.2) is down since at")
    assert told["summary"].endswith("; 2 Services announced to 1 peer")


def test_an_address_that_is_not_recorded() -> None:
    made = world()
    made.stage(service("new"))
    made.stage(endpoints("new", "n1"))
    made.planner.turn(lambda: None, now=0.0)
    assert ranked(status(made, UP)) == [("NotRecorded", 1)]


def test_without_bgp_an_address_is_all_there_is() -> None:
    told = status(world(Policy(announce=False)), health=replace(HEALTHY, announces=False))
    assert told["summary"] == "all is well: 2 Services with an address; BGP is not enabled"


@pytest.mark.parametrize(
    ("more", "reason", "text"),
    [
        ({"unready": "not all lists are read yet"}, "NotReady", "not all lists"),
        ({"faults": ("task turns died 6 times",)}, "TaskFault", "task turns died"),
        ({"role": Role.UNKNOWN}, "LeaderUnknown", "cannot renew the Lease"),
        ({"not_loaded": ("a.conf: [bgp] x: no",)}, "ConfigurationNotLoaded", "a.conf: [bgp] x"),
        ({"not_bound": "ip: refused"}, "NotBound", "ip: refused"),
        ({"state_dir_writable": False}, "StateDirUnwritable", "cannot be written"),
        ({"probes_doubted": True}, "ProbesDoubted", "stopped answering probes"),
    ],
)
def test_problems_of_the_process(more: dict[str, Any], reason: str, text: str) -> None:
    told = status(world(), UP, health=replace(HEALTHY, **more))
    assert ranked(told) == [(reason, 0)]
    assert text in told["summary"]
    assert told["problems"][0]["mend"]


def test_nodes_that_are_not_usable_are_named_with_the_reason_and_since_when() -> None:
    made = world().put(
        node("n2", "192.168.9.12", ready=False),
        node("n3", "192.168.9.13", ready=False),
        node("n4"),
        node("n5", "192.168.9.15", labels={EXCLUDE_LABEL: ""}),
        node("n6", "192.168.9.16", unschedulable=True),
    )
    told = status(made, UP, changed_at={"n2": 900.0, "n1": 901.0, "gone": 902.0})
    assert told["ok"], "no Service is lost"
    nodes = told["nodes"]
    assert (nodes["total"], nodes["usable"]) == (6, 2)
    found = {e["node"]: (e["reason"], e["why"], e["since"]) for e in nodes["unusable"]}
    assert found["n2"] == ("NotReady", "it is not Ready", "1970-01-01T00:15:00.000Z")
    assert found["n3"] == ("NotReady", "it is not Ready", None)
    assert found["n4"][0] == "NoAddress"
    assert found["n5"][0] == "Excluded"
    assert len(found) == 4


def test_of_many_nodes_that_are_not_usable_the_first_are_named() -> None:
    made = world()
    for number in range(300):
        made.stage(node(f"x{number:03}", "192.168.9.12", ready=False))
    nodes = status(made.turn(), UP)["nodes"]
    assert (nodes["total"], nodes["usable"], len(nodes["unusable"])) == (301, 1, 100)


@pytest.mark.parametrize(
    ("stopped", "text"),
    [
        (Stopped(900.0, True), "routes are being withdrawn, and addresses unbound"),
        (Stopped(900.0, True, done=True), "all routes are withdrawn, and all addresses unbound"),
        (Stopped(900.0, True, done=True, left="ip: no"), "could not be withdrawn: ip: no"),
        (Stopped(900.0, False), "its sessions are closed, and what was announced and bound stays"),
    ],
)
def test_an_instance_that_was_stopped_says_so_first(stopped: Stopped, text: str) -> None:
    health = replace(HEALTHY, stopped=stopped, unready=stopped.text, faults=("task x died",))
    made = world().put(*(service(name, pool="none") for name in "cdefgh"))
    told = status(made, ended(UP, 5.0), ended(DOWN, 6.0), sent=False, health=health)
    assert told["summary"] == f"stopped by the operator (since 1970-01-01T00:15:00.000Z): {text}"
    assert ranked(told) == [("Stopped", 2), ("NoPool", 6)], "the rest follows from it"
    assert not told["ok"]


def test_a_source_that_cannot_be_read_is_one_problem() -> None:
    source = replace(HEALTHY.source, trouble="nodes cannot be read: 403", last_event={Kind.NODE: 1})
    health = replace(HEALTHY, source=source, unready="nodes cannot be read: 403")
    told = status(world(), UP, health=health)
    assert ranked(told) == [("SourceUnreadable", 0)]
    assert told["source"]["lastEvent"]["nodes"] == "1970-01-01T00:00:01.000Z"
    assert told["source"]["lastEvent"]["eips"] is None


def test_while_the_cluster_is_not_read_it_is_told_what_becomes_of_an_earlier_run() -> None:
    source = replace(HEALTHY.source, trouble="/m is empty")
    earlier = "60 paths of the earlier run will be announced again in 31 s"
    health = replace(HEALTHY, source=source, unready="/m is empty", earlier=earlier)
    told = status(world(), UP, health=health)
    assert told["summary"].endswith(f": /m is empty; {earlier}; no Service is announced yet")
    assert "stays as it was" not in told["summary"]
    health = replace(HEALTHY, unready="not all lists are read yet", earlier=earlier)
    (found,) = status(world(), UP, health=health)["problems"]
    assert found["what"] == f"not all lists are read yet; {earlier}"


def test_files_that_cannot_be_read_are_a_problem_also_if_they_hold_no_object() -> None:
    faults = ("broken.yaml:2: did not find expected node content", "a.yaml:9: 'a b' is not a name")
    source = replace(HEALTHY.source, unreadable=12, unreadable_first=faults)
    told = status(world(), UP, health=replace(HEALTHY, source=source))
    assert ranked(told) == [("FileUnreadable", 0)]
    [problem] = told["problems"]
    assert problem["what"].startswith("12 files cannot be read")
    assert problem["what"].endswith(faults[0])
    assert problem["objects"] == ["broken.yaml", "a.yaml"]


def test_problems_of_objects() -> None:
    made = world().put(Eip("bad", "nonsense"), Eip("zone", "203.0.113.4"))
    made.unreadable(Kind.NODE, "n1").unreadable(Kind.SERVICE, "a", "203.0.113.0")
    told = status(made, UP)
    assert ranked(told) == [
        ("EipNotServing", 0),
        ("EipNotServing", 0),
        ("ObjectUnreadable", 0),
        ("ObjectUnreadable", 0),
    ]
    assert "Eip bad does not serve" in told["problems"][0]["what"]


def test_a_peer_with_several_sessions_is_one_peer() -> None:
    fan = replace(UP, name="leaf1@192.0.2.9", local_address="192.0.2.9")
    other = replace(fan, name="leaf1@192.0.2.8", local_address="192.0.2.8", state="Active")
    told = status(world(), fan, other, replace(UP, name="leaf2", peer="leaf2"))
    assert told["peers"] == {"total": 2, "established": 2}
    assert told["sessions"] == {"total": 3, "established": 2}
    assert "2 Services announced to 2 peers" in told["summary"]


def test_drained_nodes_are_a_note_and_no_problem() -> None:
    made = world(Policy(drain=DrainPolicy("drain", seconds=30)))
    made.put(node("n2", "192.168.9.12"), node("n3", "192.168.9.13", annotations={"drain": "yes"}))
    made.put(node("n1", "192.168.9.11", annotations={"drain": "yes"}))
    told = status(made, UP)
    assert told["ok"]
    assert told["notes"] == [
        "node n1 is being drained (by annotation drain)",
        "node n3 is drained (by annotation drain)",
    ]
    assert (told["nodes"]["draining"], told["nodes"]["drained"]) == (1, 1)
    made.now = 60.0
    assert status(made.turn(), UP)["notes"] == told["notes"], "n1 is the only next hop of two"
    made.put(endpoints("a", "n2"), endpoints("b", "n2"))
    assert status(made, UP)["notes"] == ["nodes n1, n3 are drained (by annotation drain)"]


def test_an_eip_that_serves_on_in_its_last_good_form_says_no_contradiction() -> None:
    made = World(Eip("pool", "203.0.113.0/30")).turn().put(Eip("pool", "", invalid="spec is odd"))
    (found,) = status(made, UP)["problems"]
    assert found["reason"] == "EipProblem"
    assert found["what"] == (
        "Eip pool is not as its spec says: spec is odd; its last good form, 203.0.113.0/30, stays "
        "in force"
    )


def test_names_from_outside_are_one_word_of_a_command() -> None:
    told = status(world().put(service("x; rm -rf .\n\x1b[2J", pool="none")), UP)
    assert "service 'x; rm -rf .\\n\\x1b[2J'" in told["problems"][0]["mend"]
    assert all(entry["what"].isprintable() for entry in told["problems"])


# -- nodes ----------------------------------------------------------------------------------------


def nodes(made: World) -> dict[str, dict[str, Any]]:
    """The nodes by name."""
    routes = {
        held.address: made.planner.announcements(held.address)
        for decision in made.planner.decisions.values()
        for held in decision.outcome.held
    }
    told = report_nodes.nodes(made.planner, {a: r for a, r in routes.items() if r}, lambda: None)
    return {entry["node"]: entry for entry in told}


def test_what_leads_to_each_node() -> None:
    made = world().put(
        node("n2", "192.168.9.12"),
        node("n3", "192.168.9.13", ready=False),
        node("n4"),
        endpoints("b", "n1", "n2", "n3"),
    )
    told = nodes(made)
    assert {name: (e["services"], e["share"]) for name, e in told.items()} == {
        "n1": (2, 66.7),
        "n2": (1, 33.3),
        "n3": (0, 0.0),
        "n4": (0, 0.0),
    }
    assert (told["n1"]["usable"], told["n1"]["reason"]) == (True, "NextHop")
    assert (told["n3"]["usable"], told["n3"]["reason"]) == (False, "NotReady")
    assert (told["n4"]["usable"], told["n4"]["reason"]) == (False, "NoAddress")
    assert told["n1"]["addresses"] == ["192.168.9.11"]


def test_a_drained_node_says_by_what() -> None:
    made = world(Policy(drain=DrainPolicy(annotation="drain")))
    made.put(node("n1", "192.168.9.11", annotations={"drain": "true"}))
    told = nodes(made)["n1"]
    assert (told["draining"], told["drained"], told["reason"]) == (True, False, "Draining")
    assert told["why"].startswith("being drained by annotation drain; 2 Services have no next hop")
    assert told["services"] == 2, "the last next hop stays"
