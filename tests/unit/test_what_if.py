"""What the loss or the drain of a node would change: the same as when it really happens."""

from __future__ import annotations

import json
import random
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec import structs

from porter_ryu import report_plan, report_plan_text
from porter_ryu.domain.announcement import in_use
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import (
    Eip,
    Endpoint,
    EndpointSlice,
    Family,
    FamilyPolicy,
    Kind,
    Node,
    NodeAddress,
    Port,
    Service,
)
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.rendezvous import choose
from porter_ryu.domain.nodes.weights import BY_CAPACITY, BY_ENDPOINTS, UNWEIGHTED, WeightMode
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.prefix import host_prefix
from porter_ryu.domain.sending import PeerTerms
from porter_ryu.domain.what_if import Supposition
from tests.unit.test_http_api import ask
from tests.unit.world import World, endpoints, key, node, service

NAMES = ("n1", "n2", "n3", "n4")
DRAIN = DrainPolicy("example.com/drain", seconds=30, med=77)
Json = dict[str, Any]


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.0.{name[1:]}", **fields)


def world(mode: NextHopMode = ENDPOINTS, weights: WeightMode = UNWEIGHTED) -> World:
    """Four nodes; the instance runs on n1."""
    policy = Policy(NextHopPolicy(mode, "n1", weights=weights), drain=DRAIN)
    return World(Eip("pool", "203.0.113.0/26"), policy=policy).put(*map(up, NAMES))


def answer(w: World, lost: str = "", drained: str = "") -> Json:
    """The answer for nodes with these names, separated by blanks."""
    supposed = Supposition(frozenset(lost.split()), frozenset(drained.split()))
    return report_plan.Answer(w.planner, supposed).whole()


def supposed(w: World, name: str, drained: bool) -> list[Json]:
    """What would change."""
    found = answer(w, drained=name) if drained else answer(w, lost=name)
    return list(found["services"])


def text(w: World, lost: str = "", drained: str = "") -> list[str]:
    """The lines of the answer for people."""
    return report_plan_text.what_if(answer(w, lost, drained)).splitlines()


def happens(w: World, name: str, drained: bool) -> None:
    """The node is lost with its endpoints, or is drained for long enough."""
    present = w.planner.cluster.node(name)
    assert present is not None
    if drained:
        w.put(structs.replace(present, annotations={DRAIN.annotation: "true"}))
        w.now += DRAIN.seconds + 1
        w.turn()
        return
    for owner in list(w.planner.cluster.services_on(name)):
        for piece in list(w.planner.cluster.slices_of(owner)):
            left = tuple(e for e in piece.endpoints if e.node != name)
            w.stage(structs.replace(piece, endpoints=left))
    w.remove(Kind.NODE, name)


def standings(found: list[Json]) -> dict[str, str]:
    """By Service, its state and the next hops of its addresses, before and after."""
    return {
        entry["service"].removeprefix("default/"): " -> ".join(
            side(entry[when]) for when in ("was", "becomes")
        )
        for entry in found
    }


def side(standing: Json) -> str:
    """The state of a Service, and the last digits of its next hops."""
    hops = "; ".join(",".join(hop[-1] for hop in one) for one in standing["nextHops"].values())
    return f"{standing['state']} {hops}"


def test_the_loss_of_a_node() -> None:
    w = world().put(
        service("both"),
        endpoints("both", "n1", "n2"),
        service("only"),
        endpoints("only", "n2"),
        service("other"),
        endpoints("other", "n3"),
        service("none"),
    )
    assert standings(supposed(w, "n2", drained=False)) == {
        "both": "Announced 1,2 -> Announced 1",
        "only": "Announced 2 -> NoReadyEndpoints ",
    }
    assert supposed(w, "n4", drained=False) == []


def test_the_drain_of_a_node_takes_no_last_path() -> None:
    w = world().put(
        service("both"), endpoints("both", "n1", "n2"), service("only"), endpoints("only", "n2")
    )
    found = supposed(w, "n2", drained=True)
    assert standings(found) == {
        "both": "Announced 1,2 -> Announced 1",
        "only": "Announced 2 -> Announced 2",
    }
    assert [entry["effect"] for entry in found] == ["LastNextHop", "FewerNextHops"]
    [stays] = found[0]["becomes"]["paths"]["203.0.113.1"]
    assert (stays["communities"], stays["med"]) == (["graceful-shutdown"], 77)


def test_the_drain_of_a_drained_node_changes_nothing_and_names_what_stays_on_it() -> None:
    w = world().put(
        *(service("both"), endpoints("both", "n1", "n2")),
        *(service("only"), endpoints("only", "n2")),
        *(service("also"), endpoints("also", "n2", "n3")),
    )
    would = answer(w, drained="n2")["services"]
    happens(w, "n2", drained=True)
    found = answer(w, drained="n2")
    assert found["services"] == []
    assert found["already"] == would
    assert found["nodes"][0]["reason"] == "Draining"
    assert answer(w, lost="n2")["nodes"][0]["reason"] == "Draining"
    assert found["sentence"] == (
        "With n2 drained, nothing would change. n2 is being drained by annotation "
        "example.com/drain, which is not finished: it still carries 1 Service, which has no next "
        "hop that is not drained. 1 Service has no other node and stays on n2. "
        "2 Services have already lost one of several nodes."
    )
    # a node that was drained before, and one that is drained now: the first is not drained again
    happens(w, "n3", drained=True)
    assert answer(w, drained="n2")["services"] == []
    assert standings(answer(w, lost="n3")["services"]) == {"also": "Announced 3 -> Announced 2"}


def test_a_drain_that_is_not_over_would_end() -> None:
    w = world().put(
        *(service("both"), endpoints("both", "n1", "n2")),
        *(service("only"), endpoints("only", "n2")),
    )
    w.put(up("n2", annotations={DRAIN.annotation: "true"}))
    found = answer(w, drained="n2")
    assert standings(found["services"]) == {"both": "Announced 1,2 -> Announced 1"}
    assert [(e["service"], e["effect"]) for e in found["already"]] == [
        ("default/only", "LastNextHop")
    ]
    assert found["nodes"][0]["reason"] == "Draining"


def test_a_node_that_is_lost_already() -> None:
    w = world().put(
        *(service("both"), endpoints("both", "n1", "n2")),
        *(service("only"), endpoints("only", "n2")),
        *(service("else"), endpoints("else", "n3")),
    )
    would = answer(w, lost="n2")["services"]
    states = {"both": ("n1", "n2"), "only": ("n2",)}
    w.put(up("n2", ready=False))
    for name, nodes in states.items():
        pieces = tuple(Endpoint(n, ready=n != "n2") for n in nodes)
        w.put(structs.replace(endpoints(name), endpoints=pieces))
    found = answer(w, lost="n2")
    assert found["services"] == []
    assert found["already"] == would
    assert [entry["effect"] for entry in would] == ["NotAnnounced", "FewerNextHops"]
    assert found["nodes"] == [
        {
            "node": "n2",
            "event": "loss",
            "usable": False,
            "reason": "NotReady",
            "why": "it is not Ready",
            "services": ["default/both", "default/only"],
        }
    ]
    assert answer(w, drained="n2")["already"] == [], "it is not drained"


def test_a_node_that_is_gone_is_known_by_the_endpoints_on_it() -> None:
    w = world().put(service("web"), endpoints("web", "n1", "n9"))
    assert text(w, lost="n9") == [
        "Without n9, nothing would change. n9 is no next hop now: there is no such Node; 1 Service "
        "has endpoints on it.",
        "endpoints on n9:",
        "    default/web",
    ]


def test_several_nodes_at_once() -> None:
    w = world().put(
        *(service("a"), endpoints("a", "n1", "n2")),
        *(service("b"), endpoints("b", "n2", "n3")),
        *(service("c"), endpoints("c", "n1", "n4")),
        *(service("d"), endpoints("d", "n1")),
    )
    assert standings(answer(w, lost="n1 n2")["services"]) == {
        "a": "Announced 1,2 -> NoReadyEndpoints ",
        "d": "Announced 1 -> NoReadyEndpoints ",
        "b": "Announced 2,3 -> Announced 3",
        "c": "Announced 1,4 -> Announced 4",
    }
    assert answer(w, lost="n1", drained="n2 n4")["sentence"] == (
        "Without n1, with n2 and n4 drained, 1 Service would not be announced any more; "
        "2 Services have no other node and would stay on n2 and n4; "
        "1 Service would lose some of several nodes."
    )


def test_a_peer_that_would_lose_its_only_path_or_would_keep_it() -> None:
    w = world().put(up("n1", labels={"rack": "a"}), up("n2", labels={"rack": "b"}))
    racks = (PeerTerms("leaf-a", selector=parse_selector("rack=a")), PeerTerms("leaf"))
    w.planner.reserve([], [], terms=racks)
    w.put(service("web"), endpoints("web", "n1", "n2"))
    [lost] = answer(w, lost="n1")["services"]
    assert (lost["effect"], lost["peers"]) == ("NotToEveryPeer", ["leaf-a"])
    [stays] = answer(w, drained="n1")["services"]
    assert (stays["effect"], stays["peers"]) == ("LastNextHop", ["leaf-a"])
    assert text(w, drained="n1")[2] == "  default/web (for leaf-a) in Eip pool: n1, n2 -> n2"
    happens(w, "n1", drained=True)
    found = answer(w, drained="n1")
    assert (found["services"], len(found["already"])) == ([], 1)


def test_the_one_path_of_a_peer_without_add_path_moves() -> None:
    w = world()
    plain = PeerTerms("plain", single_path=frozenset(Family))
    w.planner.reserve([], [], terms=[plain])
    w.put(*(service(f"s{n}") for n in range(8)), *(endpoints(f"s{n}", *NAMES) for n in range(8)))
    found = answer(w, lost="n2")
    moved = [entry for entry in found["services"] if entry["effect"] == "OtherPath"]
    stays = [entry for entry in found["services"] if entry["effect"] == "FewerNextHops"]
    assert moved
    assert [*moved, *stays] == found["services"]
    assert not any(entry["moves"] for entry in stays)
    for entry in moved:
        [move] = entry["moves"]
        [address] = entry["was"]["paths"]
        hops = {path.next_hop for path in w.planner.announcements(ip_address(address))}
        left = [hop for hop in hops if hop.node != "n2"]
        [then] = choose(host_prefix(ip_address(address)), left, 1)
        assert move == {"peer": "plain", "was": "n2", "becomes": then.node}
    first, move = moved[0]["service"], moved[0]["moves"][0]
    line = f"{first} (plain: n2 -> {move['becomes']})"
    assert line in "\n".join(text(w, lost="n2"))
    drained = answer(w, drained="n2")["services"]
    assert [entry["moves"] for entry in drained] == [e["moves"] for e in found["services"]]
    # one that is not offered this family has no path of it
    six = PeerTerms("six", families=frozenset([Family.IPV6]))
    w.planner.reserve([], [], terms=[plain, six])
    again = answer(w, lost="n2")
    assert [again[part] for part in ("sentence", "effects")] == [
        found[part] for part in ("sentence", "effects")
    ]
    # where another peer has all paths, it is one of several changes
    w.planner.reserve([], [], terms=[plain, PeerTerms("leaf")])
    told = answer(w, lost="n2")["services"]
    assert {entry["effect"] for entry in told} == {"FewerNextHops"}
    assert sum(len(entry["moves"]) for entry in told) == len(moved)


def test_a_session_says_whether_a_peer_has_one_path() -> None:
    w = world().put(service("web"), endpoints("web", "n1", "n2"))
    w.planner.reserve([], [], terms=[PeerTerms("leaf")])
    up_, names = {"peer": "leaf", "state": "Established"}, ["ipv4", "ipv6"]

    def effects(*sessions: Json) -> set[tuple[str, int]]:
        found = set()
        for name in ("n1", "n2"):
            supposed = Supposition(frozenset([name]), frozenset())
            [entry] = report_plan.Answer(w.planner, supposed, sessions).whole()["services"]
            found.add((entry["effect"], len(entry["moves"])))
        return found

    one = {**up_, "families": names, "addPath": ["ipv6"]}
    assert effects(one) == {("OtherPath", 1), ("FewerNextHops", 0)}
    assert effects({**one, "addPath": names}) == {("FewerNextHops", 0)}
    assert effects({**one, "state": "Idle"}) == {("FewerNextHops", 0)}
    assert effects(one, one) == {("FewerNextHops", 0)}, "several sessions have several paths"


def test_a_node_that_serves_one_family_alone() -> None:
    w = World(Eip("four", "203.0.113.0/30"), Eip("six", "2001:db8::/126"))
    addresses = (NodeAddress("InternalIP", ip_address("2001:db8:1::2")),)
    w.put(up("n1"), Node("n2", addresses=addresses))
    both = {
        "families": (Family.IPV4, Family.IPV6),
        "family_policy": FamilyPolicy.REQUIRE_DUAL_STACK,
    }
    six = endpoints("web", "n2", family=Family.IPV6)
    w.put(service("web", **both), endpoints("web", "n1", "n2"), six)
    assert text(w, lost="n2") == [
        "Without n2, 1 Service would not be announced by one of its addresses any more.",
        "1 Service would not be announced by one of its addresses any more:",
        "  default/web in Eip four, six: n1 for IPv4, n2 for IPv6 -> n1 for IPv4",
    ]
    assert standings(answer(w, drained="n2")["services"]) == {
        "web": "Announced 1; 2 -> Announced 1; 2"
    }


def aggregating(*eips: Eip) -> World:
    """Four nodes that carry every Service, these Eips, and a Service in each."""
    w = World(*eips, policy=Policy(NextHopPolicy(NODES), drain=DRAIN)).put(*map(up, NAMES))
    for eip in eips:
        w.put(service(eip.name, pool=eip.name), endpoints(eip.name, "n1", "n3"))
    return w


def aggregated(name: str, address: str, **selected: Any) -> Eip:
    """An Eip with aggregates of 16 addresses."""
    entry = AdvertisementEntry(aggregation_length=28, **selected)
    return Eip(name, address, advertisements=(entry,))


def test_aggregates_are_told_after_the_services() -> None:
    w = aggregating(
        aggregated("x", "10.0.0.0/27"),
        aggregated("y", "10.0.1.0/28"),
        aggregated("z", "10.0.2.0/28", nodes=parse_selector("rack=a")),
        Eip("plain", "10.0.3.0/28"),
    )
    w.put(up("n3", labels={"rack": "a"}))
    w.put(service("more", requested="10.0.0.17"), endpoints("more", "n1"))
    assert text(w, lost="n3") == [
        "Without n3, 1 Service would not be announced any more; 4 Services would lose one of "
        "several nodes; 4 aggregates would change.",
        "1 Service would not be announced any more:",
        "  default/z in Eip z: Announced -> NoUsableNode",
        "4 Services would lose one of several nodes:",
        "  2 Services in Eip x: n1, n2, n3, n4 -> n1, n2, n4",
        "    default/more, default/x",
        "  default/plain in Eip plain: n1, n2, n3, n4 -> n1, n2, n4",
        "  default/y in Eip y: n1, n2, n3, n4 -> n1, n2, n4",
        "aggregates:",
        "  10.0.2.0/28 in Eip z: Announced -> Withdrawn",
        "  2 aggregates in Eip x: without n3",
        "    10.0.0.0/28, 10.0.0.16/28",
        "  10.0.1.0/28 in Eip y: without n3",
    ]
    drain = answer(w, drained="n3")["aggregates"]
    assert [(e["prefix"], e["effect"], e["already"]) for e in drain] == [
        ("10.0.2.0/28", "LastNextHop", False),
        ("10.0.0.0/28", "FewerNextHops", False),
        ("10.0.0.16/28", "FewerNextHops", False),
        ("10.0.1.0/28", "FewerNextHops", False),
    ]
    happens(w, "n3", drained=True)
    found = answer(w, drained="n3")
    assert found["aggregates"] == [{**entry, "already": True} for entry in drain]
    assert "aggregates that have changed already:" in text(w, drained="n3")
    assert "aggregate" not in found["sentence"]
    assert answer(aggregating(Eip("plain", "10.0.3.0/28")), lost="n1")["aggregates"] == []


def test_services_with_the_same_change_are_told_together() -> None:
    w = world()
    for number in range(1, 13):
        nodes = ("n1", "n2") if number <= 7 else ("n2", "n3")
        w.put(service(f"s{number:02}"), endpoints(f"s{number:02}", *nodes))
    w.put(service("zz"), endpoints("zz", "n2"))
    assert text(w, drained="n2") == [
        "With n2 drained, 1 Service has no other node and would stay on n2; 12 Services would lose "
        "one of several nodes.",
        "1 Service has no other node and would stay on n2:",
        "  default/zz in Eip pool: n2 -> n2 with GRACEFUL_SHUTDOWN",
        "12 Services would lose one of several nodes:",
        "  7 Services in Eip pool: n1, n2 -> n1",
        "    default/s01, default/s02, default/s03, default/s04, default/s05 and 2 more "
        "(-o json has all)",
        "  5 Services in Eip pool: n2, n3 -> n3",
        "    default/s08, default/s09, default/s10, default/s11, default/s12",
    ]


def test_many_changes_are_told_by_the_nodes_that_are_lost_and_folded() -> None:
    w = World(Eip("pool", "203.0.113.0/24"))
    for number in range(1, 31):
        w.put(up(f"n{number}"), service(f"s{number:02}"), endpoints(f"s{number:02}", f"n{number}"))
    w.put(up("n99"), *(endpoints(f"s{n:02}", f"n{n}", "n99") for n in range(1, 31)))
    assert text(w, lost="n99")[2:] == [
        "  30 Services in Eip pool: without n99",
        "    default/s01, default/s02, default/s03, default/s04, default/s05 and 25 more "
        "(-o json has all)",
    ]
    lines = text(w, lost=" ".join(f"n{number}" for number in range(1, 31)))
    assert len(lines) == 23
    assert lines[2] == "  default/s01 in Eip pool: without n1"
    assert lines[-1] == "  and 10 other changes of 10 Services (-o json has all)"


def test_of_many_nodes_the_difference_is_told() -> None:
    w = World(Eip("pool", "203.0.113.0/30"), policy=Policy(NextHopPolicy(NODES), drain=DRAIN))
    w.put(*(up(f"n{number}") for number in range(1, 41)))
    w.put(service("web"), endpoints("web", "n1"))
    assert text(w, drained="n7")[-1] == "  default/web in Eip pool: 40 -> 39: without n7"


def test_pods_that_are_ending_elsewhere_serve_when_the_last_ready_one_is_lost() -> None:
    pieces = (
        Endpoint("n1", ready=True),
        Endpoint("n2", ready=False, serving=True, terminating=True),
    )
    w = world().put(service("web"), structs.replace(endpoints("web", "n1"), endpoints=pieces))
    assert standings(supposed(w, "n1", drained=False)) == {"web": "Announced 1 -> Announced 2"}


def test_local_services_and_shared_addresses() -> None:
    shared = {"share_key": "k", "requested": "203.0.113.9"}
    w = world(NODES).put(
        service("alone", local_traffic=True),
        endpoints("alone", "n1", "n2"),
        service("first", local_traffic=True, ports=frozenset([Port("TCP", 81)]), **shared),
        endpoints("first", "n2", "n3"),
        service("second", local_traffic=True, ports=frozenset([Port("TCP", 82)]), **shared),
        endpoints("second", "n2", "n4"),
        service("wide"),
        endpoints("wide", "n3"),
    )
    assert standings(supposed(w, "n2", drained=False)) == {
        "alone": "Announced 1,2 -> Announced 1",
        "first": "Announced 2 -> NoUsableNode ",
        "second": "Announced 2 -> NoUsableNode ",
        "wide": "Announced 1,2,3,4 -> Announced 1,3,4",
    }


def test_nothing_of_the_question_reaches_what_runs() -> None:
    w = world(weights=BY_ENDPOINTS).put(service("web"), endpoints("web", *NAMES, "n1"))
    before = json.dumps(report_plan.plan(w.planner), default=str)
    entries = w.planner.cached_entries
    for drained in (True, False):
        for name in NAMES:
            assert supposed(w, name, drained)
    assert json.dumps(report_plan.plan(w.planner), default=str) == before
    assert w.planner.cached_entries == entries
    assert w.planner.idle
    assert w.planner.drains.count == 0


MODES = [
    (ENDPOINTS, UNWEIGHTED),
    (ENDPOINTS, BY_ENDPOINTS),
    (ENDPOINTS, BY_CAPACITY),
    (NODES, UNWEIGHTED),
    (NODES, BY_ENDPOINTS),
    (SELF, UNWEIGHTED),
    (SELF, BY_ENDPOINTS),
]


@pytest.mark.parametrize("drained", [False, True], ids=["loss", "drain"])
@pytest.mark.parametrize(("mode", "weights"), MODES)
@pytest.mark.parametrize("seed", range(12))
def test_what_is_supposed_is_what_happens(
    mode: NextHopMode, weights: WeightMode, drained: bool, seed: int
) -> None:
    chance = random.Random(seed)
    w = world(mode, weights)
    length = chance.choice([None, 28, 30])
    if chance.random() < 0.5:
        w.put(Eip("pool", "203.0.113.0/26", advertisements=(entry(length),)))
    for name in NAMES:
        labels = {"rack": chance.choice("ab")}
        annotations = {"porter.kubesphere.io/weight": str(chance.randint(1, 9))}
        w.put(up(name, ready=chance.random() < 0.9, labels=labels, annotations=annotations))
    if chance.random() < 0.3:
        happens(w, chance.choice(NAMES), drained=True)
    for number in range(8):
        w.put(*one_service(f"s{number}", chance))
    name = chance.choice(NAMES)
    was, whole = (
        report_plan.plan(w.planner),
        answer(w, **{("drained" if drained else "lost"): name}),
    )
    found, nodes = whole["services"], aggregate_nodes(w)
    was_drained = w.planner.drains.of(name) is not None
    assert not (drained and was_drained and found), "it is drained already"
    if chance.random() < 0.5:
        w.put(service("another"), endpoints("another", name))
        w.remove(Kind.SERVICE, "another")
    happens(w, name, drained)
    happened = report_plan.difference(was, report_plan.plan(w.planner))
    assert sorted(map(sides, found), key=str) == sorted(map(sides, happened), key=str)
    for told in whole["aggregates"]:
        was_of, becomes = (
            {path["node"] for path in told[side]["paths"][told["prefix"]]}
            for side in ("was", "becomes")
        )
        if not told["already"]:
            assert nodes.pop(told["prefix"], set()) == was_of
            nodes |= {told["prefix"]: becomes} if becomes else {}
    assert nodes == aggregate_nodes(w)
    if drained and not was_drained:
        after = answer(w, drained=name)
        assert after["services"] == []
        assert after["already"] == found


def sides(entry: Json) -> Json:
    """An entry without what is said about it."""
    return {name: entry[name] for name in ("service", "was", "becomes")}


def aggregate_nodes(w: World) -> dict[str, set[str]]:
    """The nodes of each aggregate that is announced."""
    return {
        prefix: {path.next_hop.node for path in in_use(list(paths))}
        for prefix, paths in w.announcements.items()
        if "/" in prefix and paths
    }


def entry(length: int | None) -> AdvertisementEntry:
    """An entry of spec.advertisements that selects a part of the nodes, for aggregates of this
    length."""
    return AdvertisementEntry(nodes=parse_selector("rack=a"), aggregation_length=length)


def one_service(name: str, chance: random.Random) -> tuple[Service, EndpointSlice]:
    """A Service and its endpoints, some of which are not ready, or on no named node."""
    places = [chance.choice((*NAMES, *NAMES, None)) for _ in range(chance.randint(0, 4))]
    states: list[Json] = [
        {"ready": True},
        {"ready": True},
        {"ready": False},
        {"ready": False, "serving": True, "terminating": True},
    ]
    pieces = tuple(Endpoint(place, **chance.choice(states)) for place in places)
    shared: Json = {"share_key": "k", "requested": "203.0.113.60"} if chance.random() < 0.4 else {}
    ports = frozenset([Port("TCP", 8000 + chance.randrange(1000))])
    made = service(name, local_traffic=chance.random() < 0.4, ports=ports, **shared)
    return made, structs.replace(endpoints(name), endpoints=pieces)


def test_over_http() -> None:
    w = world().put(service("web"), endpoints("web", "n1", "n2"))
    found = ask("/v1/plan?without=n2", planner=w.planner).json
    assert found == answer(w, lost="n2")
    assert standings(found["services"]) == {"web": "Announced 1,2 -> Announced 1"}
    found = ask("/v1/plan?drain=n2", planner=w.planner).json
    assert found["services"][0]["service"] == "default/web"
    assert ask("/v1/plan?drain=n3", planner=w.planner).json["services"] == []
    assert ask("/v1/plan?drain=n1,n3&without=n2", planner=w.planner).json == answer(
        w, lost="n2", drained="n1 n3"
    )
    assert w.planner.node("n2") is not None
    assert key("web") in w.planner.decisions
    w.unreadable(Kind.NODE, "n8", why="status is a list")
    told = ask("/v1/plan?without=n8", planner=w.planner)
    assert told.status_int == 200
    assert "its Node cannot be read: status is a list" in told.text


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("without=n9", 404, "there is no Node 'n9' (there is n1, n2, n3"),
        ("drain=", 404, "there is no Node ''"),
        ("drain=%1b%5b2J%ff", 404, "there is no Node"),
        ("without=n1&drain=n1", 400, "either"),
        ("without=n1,n2&drain=n3,n2", 400, "a node is either lost or drained: 'n2'"),
        ("drain=n1,", 404, "there is no Node ''"),
        ("drain=n1,n9", 404, "there is no Node 'n9'"),
        ("without=n1&without=n2", 400, "given twice"),
        ("lose=n1", 400, "only without, drain"),
    ],
)
def test_what_cannot_be_supposed(query: str, status: int, why: str) -> None:
    refused = ask(f"/v1/plan?{query}", planner=world().planner)
    assert refused.status_int == status
    assert why in refused.json["error"]
    assert refused.text.isprintable() or refused.text.strip().isprintable()
