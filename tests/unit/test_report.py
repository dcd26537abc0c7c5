"""Reports about Services and Eips: no entry contradicts itself."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from fabric.objects import Json
from porter_ryu import report, report_plan, report_plan_text, report_text
from porter_ryu.commands.printing import printable_json
from porter_ryu.domain.communities import CommunityRequest
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Address, Eip, Kind, Network, Port
from porter_ryu.domain.nodes.next_hop_modes import SELF
from porter_ryu.domain.nodes.next_hops import OUT_OF_SERVICE_TAINT, NextHopPolicy
from porter_ryu.domain.nodes.weights import BY_CAPACITY
from porter_ryu.domain.objects import Object
from porter_ryu.domain.planner import Policy
from porter_ryu.report import Sent
from tests.unit.world import World, endpoints, key, node, peers, service

HOP = (ip_address("192.168.9.11"),)


def world(policy: Policy | None = None) -> World:
    """A Service with a record and a next hop."""
    pool = Eip("pool", "203.0.113.0/30")
    return World(pool, policy=policy).put(
        node("n1", "192.168.9.11"), service("web"), endpoints("web", "n1")
    )


def sent_to(*peers: str) -> Sent:
    """Peers that were sent every route."""
    return lambda _prefix: dict.fromkeys(peers, HOP)


def states(entry: Json) -> tuple[str, bool]:
    """The values of the two keys."""
    return entry["state"], entry["announced"]


def test_the_state_is_announced_once_a_peer_was_sent_the_route() -> None:
    planner = world().planner
    assert states(next(report.services(planner, sent_to("leaf")))) == ("Announced", True)
    entry = report.explanation(planner, key("web"), sent_to("leaf"))
    assert states(entry) == ("Announced", True)
    assert report_text.explanation(entry).startswith("default/web: announced: 203.0.113.0 to leaf")


def test_a_service_without_a_record_is_not_announced_by_a_route_of_another() -> None:
    """It shares an address with one that has its record, and the peer has the route."""
    both = world()
    asks = {"share_key": "k", "requested": "203.0.113.1"}
    both.put(service("first", **asks), endpoints("first", "n1"))
    both.stage(service("later", ports=frozenset([Port("TCP", 81)]), **asks))
    both.stage(endpoints("later", "n1"))
    both.planner.turn(lambda: None, now=0.0)  # and its status is not written
    entry = report.explanation(both.planner, key("later"), sent_to("leaf"))
    assert states(entry) == ("Allocated", False)
    assert entry["message"] == "the address is not recorded in its status yet"
    assert states(report.explanation(both.planner, key("first"), sent_to("leaf")))[1]


@pytest.mark.parametrize("sent", [report.nothing_sent, lambda _prefix: {"leaf": ()}])
def test_the_state_is_allocated_while_no_peer_was_sent_the_route(sent: Sent) -> None:
    planner = world().planner
    assert states(next(report.services(planner, sent))) == ("Allocated", False)
    entry = report.explanation(planner, key("web"), sent)
    assert states(entry) == ("Allocated", False)
    assert report_text.explanation(entry).startswith(
        "default/web: 203.0.113.0: no peer was sent it yet"
    )


def test_a_service_whose_peers_went_says_which_session_was_the_last_and_when_it_ended() -> None:
    planner = world().planner
    ended = {"time": "2026-03-01T08:31:02.000Z"}
    down: dict[str, object] = {
        "peer": "leaf1",
        "state": "Active",
        "families": [],
        "lastDown": ended,
        "routesKeptUntil": None,
        "pathsLeft": 0,
        "hint": "enable it there",
    }
    never = {**down, "peer": "leaf2", "lastDown": None}
    elsewhere = {**down, "peer": "leaf9", "lastDown": {"time": "2027-03-01T00:00:00.000Z"}}
    up = {**never, "state": "Established", "families": ["ipv4"]}
    no_session = "no peer that is to be sent it has"
    for sessions, text in (
        ([down, never, elsewhere], f"{no_session} a session: the last one, with leaf1, ended at "),
        ([never], f"{no_session} had a session yet: leaf2"),
        ([elsewhere], "no peer that is configured may have one of its next hops"),
        ([down, up], "no peer was sent it yet"),
    ):
        [line] = report.services(planner, report.nothing_sent, peers=sessions)
        entry = report.explanation(planner, key("web"), report.nothing_sent, peers=sessions)
        assert line["message"] == entry["message"]
        assert line["message"].startswith(text)


POOL, FIRST, SECOND = "203.0.113.0/24", "203.0.113.0/32", "203.0.113.1/32"
LATER, LATEST = "2026-03-01T08:33:02Z", "2026-03-01T08:34:02Z"
NOT_KEPT: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ({"leaf1": {FIRST: [1]}}, (f"leaf1 keeps what it was sent until about {LATER}",)),
        (
            {"leaf1": {FIRST: [1, 2]}, "leaf2": {FIRST: [2]}},
            (f"leaf1 and leaf2 keep what they were sent until about {LATEST}",),
        ),
        ({"leaf1": {SECOND: [1]}}, NOT_KEPT),
        (
            {"leaf1": {FIRST: [1]}, "leaf2": {FIRST: [3]}},
            (
                f"leaf1 keeps what it was sent until about {LATER}",
                "what leaf2 keeps leads only to n3, which is not Ready",
            ),
        ),
        (
            {"leaf1": {FIRST: [3]}, "leaf2": {FIRST: [3]}},
            ("what leaf1 and leaf2 keep leads only to n3, which is not Ready",),
        ),
        (
            {"leaf1": {FIRST: [3, 4, 9]}},
            (
                "what leaf1 keeps leads only to n3 (it is not Ready), "
                "n4 (its taint node.kubernetes.io/out-of-service says that it is shut down), "
                "192.168.9.19 (it belongs to no node)",
            ),
        ),
        (
            {"leaf1": {FIRST: [9]}},
            ("what leaf1 keeps leads only to 192.168.9.19, which belongs to no node",),
        ),
        # the route of the address comes before that of an aggregate, at each peer
        (
            {"leaf1": {FIRST: [3], POOL: [1]}, "leaf2": {POOL: [1]}},
            (
                f"leaf2 keeps what it was sent until about {LATEST}",
                "what leaf1 keeps leads only to n3, which is not Ready",
            ),
        ),
    ],
)
@pytest.mark.parametrize("local", [False, True])
def test_what_peers_keep_without_a_session_is_told_where_it_was_sent(
    kept: dict[str, dict[str, list[int]]], told: tuple[str, ...], local: bool
) -> None:
    whole = AdvertisementEntry(aggregation_length=24)
    made = World(Eip("pool", POOL, advertisements=(whole,))).put(
        node("n1", "192.168.9.11"),
        node("n2", "192.168.9.12"),
        node("n3", "192.168.9.13", ready=False),
        node("n4", "192.168.9.14", taints=frozenset([OUT_OF_SERVICE_TAINT])),
        service("web", local_traffic=local),
        endpoints("web", "n1", "n2"),
    )
    assert message_of(made, kept)[1:] == told


def test_a_local_service_is_not_reached_by_a_node_that_it_left() -> None:
    kept = {"leaf1": {FIRST: [2]}}
    for local, told in (
        (False, f"leaf1 keeps what it was sent until about {LATER}"),
        (True, "what leaf1 keeps leads only to n2, which has no ready endpoint"),
    ):
        made = world().put(node("n2", "192.168.9.12"), service("web", local_traffic=local))
        assert message_of(made, kept)[1:] == (told,)


def test_the_own_node_is_known_by_the_address_of_a_session() -> None:
    """With `self` a peer was sent the address of this host in the session, which no Node has."""
    made = world(Policy(next_hops=NextHopPolicy(SELF, "n1")))
    told = f"leaf1 keeps what it was sent until about {LATER}"
    assert message_of(made, {"leaf1": {FIRST: [9]}})[1:] == (told,)


def message_of(made: World, kept: dict[str, dict[str, list[int]]]) -> tuple[str, ...]:
    """The parts of what is told of a Service while leaf1 and leaf2 have no session and keep, by
    prefix, next hops by the numbers of nodes."""
    sessions: list[Json] = [
        {
            "peer": name,
            "state": "Active",
            "families": [],
            "lastDown": {"time": "2026-03-01T08:31:02.000Z"},
            "routesKeptUntil": until.replace("Z", ".000Z"),
            "pathsLeft": 1,
            "hint": "",
        }
        for name, until in (("leaf1", LATER), ("leaf2", LATEST))
    ]

    def kept_by(prefix: Network) -> dict[str, list[Address]]:
        return {
            peer: [ip_address(f"192.168.9.{10 + number}") for number in routes[str(prefix)]]
            for peer, routes in kept.items()
            if str(prefix) in routes
        }

    sent = report.nothing_sent
    entry = report.explanation(made.planner, key("web"), sent, peers=sessions, kept_by=kept_by)
    [line] = report.services(made.planner, sent, peers=sessions, kept_by=kept_by)
    assert line["message"] == entry["message"]
    return tuple(entry["message"].split("; "))


def test_an_address_without_record_is_not_announced() -> None:
    fresh = world()
    fresh.stage(service("new"))
    fresh.stage(endpoints("new", "n1"))
    fresh.planner.turn(lambda: None, now=0.0)
    entry = report.explanation(fresh.planner, key("new"), report.nothing_sent)
    assert states(entry) == ("Allocated", False)
    assert entry["message"] == "the address is not recorded in its status yet"


def test_the_state_is_the_reason_why_not_even_if_a_peer_still_has_the_route() -> None:
    fresh = world().put(endpoints("web"))
    entry = report.explanation(fresh.planner, key("web"), sent_to("leaf"))
    assert states(entry) == ("NoReadyEndpoints", False)


def test_without_bgp_nothing_is_announced() -> None:
    planner = world(Policy(announce=False)).planner
    assert states(next(report.services(planner, report.nothing_sent))) == ("Allocated", False)


def test_a_plan_shows_wanted_routes() -> None:
    entry = report_plan.plan(world().planner)["services"][0]
    assert states(entry) == ("Announced", True)
    assert entry["nextHops"] == {"203.0.113.0": ["192.168.9.11"]}
    assert report_plan_text.plan(report_plan.plan(world().planner)).startswith(
        "default/web: Announced (203.0.113.0 via 192.168.9.11)"
    )


def test_every_entry_has_the_key_announced() -> None:
    planner = world().planner
    for name in ("web", "gone"):
        assert "announced" in report.explanation(planner, key(name), report.nothing_sent)


def test_an_eip_that_no_turn_has_processed_is_left_out() -> None:
    fresh = world()
    fresh.planner.put(Eip("new", "198.51.100.0/24"))
    assert [entry["name"] for entry in report.eips(fresh.planner)] == ["pool"]


def test_services_may_change_while_they_are_reported() -> None:
    fresh = world().put(service("a"), service("b"), service("c"))
    entries = report.services(fresh.planner, report.nothing_sent)
    told = [next(entries)["name"]]
    fresh.remove(Kind.SERVICE, "b").put(service("aa"))
    told += [entry["name"] for entry in entries]
    assert told == ["a", "c", "web"]


def test_a_long_request_is_cut_in_reports() -> None:
    fresh = world().put(service("long", requested=None, ports=frozenset()))
    hostile = "\x1b[2J\n" + "x" * 200_000
    entry = {
        **report.explanation(fresh.planner, key("long"), report.nothing_sent),
        "message": hostile,
    }
    text = report_text.explanation(printable_json(entry))
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) < 2_000


def test_each_pool_has_a_reason_beside_its_why() -> None:
    busy = world().put(
        Eip("bad", "nonsense"),
        Eip("full", "203.0.113.8"),
        Eip("off", "203.0.113.12", disable=True),
        Eip("others", "203.0.113.16", namespaces=("elsewhere",)),
        Eip("asked", "203.0.113.20", auto_assign=False),
        service("fills", pool="full"),
    )
    busy.unreadable(Kind.EIP, "torn")
    entry = report.explanation(busy.planner, key("web"), report.nothing_sent)
    assert {pool["eip"]: (pool["usable"], pool["reason"]) for pool in entry["pools"]} == {
        "pool": (True, "Available"),
        "bad": (False, "NotServing"),
        "full": (False, "Exhausted"),
        "off": (False, "Disabled"),
        "others": (False, "NotAllowed"),
        "asked": (False, "OnlyOnRequest"),
        "torn": (False, "Unreadable"),
    }
    assert all(pool["why"] for pool in entry["pools"])
    (named,) = {
        pool["reason"]
        for pool in report.explanation(busy.planner, key("fills"), None)["pools"]
        if pool["eip"] in ("pool", "off")
    }
    assert named == "AnotherNamed"
    busy.put(service("web", deleting=True))
    entry = report.explanation(busy.planner, key("web"), report.nothing_sent)
    reasons = {pool["reason"] for pool in entry["pools"] if pool["eip"] != "torn"}
    assert reasons == {"ServiceDeleted"}


def test_each_node_has_a_reason_beside_its_why() -> None:
    excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
    mixed = world().put(
        node("off", "192.168.9.12", ready=False),
        node("out", "192.168.9.13", labels=excluded),
        node("cut", "192.168.9.14", network_unavailable=True),
        node("going", "192.168.9.15", deleting=True),
        node("bare", "127.0.0.1"),
        node("idle", "192.168.9.16"),
        endpoints("web", "n1", "off", "out", "cut", "going", "bare", "gone", "torn"),
    )
    mixed.unreadable(Kind.NODE, "torn")
    entry = report.explanation(mixed.planner, key("web"), report.nothing_sent)
    nodes = entry["routes"][0]["nodes"]
    assert {told["node"]: told["reason"] for told in nodes} == {
        "n1": "NextHop",
        "off": "NotReady",
        "out": "Excluded",
        "cut": "NetworkUnavailable",
        "going": "BeingDeleted",
        "bare": "NoAddress",
        "idle": "NoEndpoint",
        "gone": "NoSuchNode",
        "torn": "Unreadable",
    }
    assert [told["node"] for told in nodes if told["nextHop"]] == ["n1"]
    assert all(told["why"] for told in nodes if not told["nextHop"])


def aggregating() -> World:
    """An Eip that leaf1 hears as a /30 and leaf2 address by address; the Service asks for more
    communities than it may add."""
    entries = (
        AdvertisementEntry(frozenset(["leaf1"]), aggregation_length=30),
        AdvertisementEntry(frozenset(["leaf2", "leaf9"]), nodes=parse_selector("rack=a")),
    )
    pool = Eip("pool", "203.0.113.0/30", advertisements=entries)
    made = World(pool).put(
        node("n1", "192.168.9.11", labels={"rack": "a"}),
        service("web", communities=CommunityRequest.parse(["65000:1"])),
        endpoints("web", "n1"),
    )
    made.planner.reserve([], [], terms=peers("leaf1", "leaf2", "leaf3"))
    return made.turn()


def of_shared(address: str, local: str, by_port: bool = False) -> World:
    """Two Services that share an address: `a` runs on n1 and n2, `b` on n2 and n3; those that
    `local` names are Local."""
    w = World(Eip("pool", "203.0.113.0/30"), policy=Policy(by_port=by_port))
    w.put(*(node(f"n{number}", f"192.168.9.1{number}") for number in range(1, 5)))
    for port, (name, nodes) in enumerate({"a": ("n1", "n2"), "b": ("n2", "n3")}.items(), 80):
        asks = {"share_key": "k", "requested": address, "local_traffic": name in local}
        w.put(service(name, ports=frozenset([Port("TCP", port)]), **asks), endpoints(name, *nodes))
    return w


NOT_OF_B = (
    "it is no next hop of default/b, which shares 203.0.113.1 and has externalTrafficPolicy Local"
)


@pytest.mark.parametrize(
    ("local", "by_port", "expected"),
    [
        ("", False, ["NextHop", "NextHop", "NextHop of default/b, which shares 203.0.113.1"]),
        ("a", False, ["NextHop", "NextHop", "NoEndpoint"]),
        ("b", False, [f"NotShared {NOT_OF_B}", "NextHop", "NextHop of default/b, which shares"]),
        ("ab", False, [f"NotShared {NOT_OF_B}", "NextHop", "NoEndpoint"]),
        ("ab", True, [f"NextHop for switches alone: {NOT_OF_B}", "NextHop", "NoEndpoint"]),
        (
            "",
            True,
            ["NextHop", "NextHop", "NextHop of default/b, which shares 203.0.113.1, for rou"],
        ),
    ],
)
def test_a_node_is_a_next_hop_of_a_shared_address_as_all_its_holders_have_it(
    local: str, by_port: bool, expected: list[str]
) -> None:
    entry = report.explanation(of_shared("203.0.113.1", local, by_port).planner, key("a"), None)
    [route] = entry["routes"]
    for told, start in zip(route["nodes"], expected, strict=False):
        assert f"{told['reason']} {told['why']}".startswith(start)
        is_path = told["node"] in {path["node"] for path in route["paths"]}
        assert bool(told["nextHop"]) == (is_path or "switches alone" in start)
        assert told["mend"] == ""


def test_a_service_is_announced_if_only_an_aggregate_of_its_address_was_sent() -> None:
    planner = aggregating().planner
    aggregate = ip_network("203.0.113.0/30")

    def sent(prefix: Network) -> dict[str, tuple[Address, ...]]:
        return {"leaf1": HOP if prefix == aggregate else (), "leaf2": (), "leaf3": ()}

    assert states(next(report.services(planner, sent))) == ("Announced", True)
    entry = report.explanation(planner, key("web"), sent)
    (route,) = entry["routes"]
    peers = {"leaf1": ["192.168.9.11"]}
    assert route["aggregates"] == [{"prefix": "203.0.113.0/30", "peers": peers}]
    assert (route["peers"], route["notFor"]) == ({}, ["leaf3"])
    lines = report_text.explanation(entry).splitlines()
    assert lines[0] == "default/web: announced: 203.0.113.0 to leaf1"
    for line in (
        "  communities left out: Eip pool does not allow a Service to add 65000:1",
        "    in the aggregate 203.0.113.0/30",
        "      sent to leaf1: 192.168.9.11",
        "    not sent to leaf3: no entry of spec.advertisements of Eip pool names it",
    ):
        assert line in lines


def test_a_plan_tells_the_problem_of_an_eip() -> None:
    made = aggregating()
    entry = report_plan.plan(made.planner)
    text = "spec.advertisements names peers that are not configured: leaf9"
    assert entry["eips"][0]["problem"] == text
    assert text in report_plan_text.plan(entry)
    left_out = "  communities left out: Eip pool does not allow a Service to add 65000:1"
    assert left_out in report_plan_text.plan(entry).splitlines()
    made.put(node("n1", "192.168.9.11"))
    (chain,) = report_plan.plan(made.planner)["services"]
    (route,) = chain["routes"]
    assert route["notFor"] == ["leaf2", "leaf3"]
    by_selector = "spec.advertisements[1].nodeSelector of Eip pool selects"
    assert route["notSent"][0]["why"] == f"{by_selector} no node of the cluster"
    made.put(node("n2", "192.168.9.12", labels={"rack": "a"}))
    (chain,) = report_plan.plan(made.planner)["services"]
    (route,) = chain["routes"]
    assert route["notSent"] == [
        {"peer": "leaf2", "why": f"{by_selector} none of its next hops"},
        {"peer": "leaf3", "why": "no entry of spec.advertisements of Eip pool names it"},
    ]


def test_a_plan_tells_what_is_wrong_with_nodes() -> None:
    made = world(Policy(NextHopPolicy(weights=BY_CAPACITY)))
    made.put(node("n2", "192.168.9.12", cpu=4000, weight_error="its annotation is odd"))
    entry = report_plan.plan(made.planner)
    unknown = "it reports no allocatable CPU: no route that leads to it has weights"
    assert entry["warnings"] == [f"node n1: {unknown}", "node n2: its annotation is odd"]
    assert "warning: node n2: its annotation is odd" in report_plan_text.plan(entry).splitlines()


def test_a_plan_tells_which_addresses_of_an_eip_no_service_gets() -> None:
    made = world()
    made.put(Eip("pool", "203.0.113.0/24"), node("n2", "203.0.113.9"))
    owners = {ip_address("203.0.113.1"): ["peer leaf1"], ip_address("203.0.113.5"): ["this host"]}
    made.planner.reserve([ip_address("203.0.113.5")], [ip_address("203.0.113.1")], owners=owners)
    entry = report_plan.plan(made.turn().planner)
    told = (
        "Eip pool contains 203.0.113.1 of peer leaf1, 203.0.113.5 of this host, "
        "203.0.113.9 of node n2: no Service gets them"
    )
    assert entry["warnings"] == [told]
    assert f"warning: {told}" in report_plan_text.plan(entry).splitlines()


def test_a_dry_run_tells_whose_node_selector_selects_nothing() -> None:
    made = world()
    terms = [*peers("leaf1"), *peers("leaf2", selector=parse_selector("rack=z"))]
    made.planner.reserve([], [], terms=terms)
    (route,) = report.explanation(made.turn().planner, key("web"), None)["routes"]
    why = "its node_selector selects none of the next hops"
    assert route["notSent"] == [{"peer": "leaf2", "why": why}]
    assert [said["peers"] for said in route["paths"][0]["sent"]] == [["leaf1"]]


def test_a_peer_is_left_out_where_its_node_selector_and_the_entries_select_different_nodes() -> (
    None
):
    entry = AdvertisementEntry(frozenset(["leaf1"]), nodes=parse_selector("rack=a"))
    others = AdvertisementEntry(frozenset(["leaf2"]))
    made = World(Eip("pool", "203.0.113.0/30", advertisements=(entry, others))).put(
        node("n1", "192.168.9.11", labels={"rack": "a"}),
        node("n2", "192.168.9.12", labels={"rack": "b"}),
        service("web"),
        endpoints("web", "n1", "n2"),
    )
    terms = [*peers("leaf1", selector=parse_selector("rack=b")), *peers("leaf2")]
    made.planner.reserve([], [], terms=terms)
    (route,) = report.explanation(made.turn().planner, key("web"), None)["routes"]
    why = "spec.advertisements[0].nodeSelector of Eip pool selects none of its next hops"
    assert route["notSent"] == [{"peer": "leaf1", "why": why}]


def test_without_advertisements_nobody_is_left_out() -> None:
    (route,) = report.explanation(world().planner, key("web"), None)["routes"]
    assert (route["aggregates"], route["notFor"]) == ([], [])


def test_a_difference_begins_with_the_services_that_would_be_lost() -> None:
    made = World(Eip("pool", "203.0.113.0/30"))
    made.put(node("n1", "192.168.9.11"), node("n2", "192.168.9.12"))
    made.put(service("a"), endpoints("a", "n1", "n2"), service("b"), endpoints("b", "n2"))
    before = report_plan.plan(made.planner)
    made.put(node("n2", "192.168.9.12", ready=False))
    changes = report_plan.difference(before, report_plan.plan(made.planner))
    assert report_plan_text.difference(changes).splitlines() == [
        "2 Services would change; 1 of them would not be announced any more",
        "  default/b in Eip pool: Announced -> NoUsableNode",
        "  default/a in Eip pool: n1, n2 -> n1",
    ]
    assert report_plan_text.difference(changes[1:]).startswith("1 Service would change\n")
    assert report_plan_text.difference([]) == "nothing would change"


def differing(made: World, *objects: Object) -> list[str]:
    """The lines of the difference that these objects make."""
    before = report_plan.plan(made.planner)
    made.put(*objects)
    found = report_plan.difference(before, report_plan.plan(made.planner))
    return report_plan_text.difference(found).splitlines()


def two_services() -> World:
    """Two Services on two nodes."""
    made = World(Eip("pool", "203.0.113.0/30"))
    made.put(node("n1", "192.168.9.11"), node("n2", "192.168.9.12"))
    for name in ("a", "b"):
        made.put(service(name), endpoints(name, "n1", "n2"))
    return made


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        (
            Eip("pool", "198.51.100.0/30"),
            [
                "2 Services would change; 2 of them would have another address",
                "  2 Services in Eip pool: the same nodes by another address",
                "    default/a (203.0.113.0 -> 198.51.100.0), "
                "default/b (203.0.113.1 -> 198.51.100.1)",
            ],
        ),
        (
            Eip("pool", "203.0.113.0"),
            [
                "1 Service would change; 1 of them would not be announced any more",
                "  default/b (203.0.113.1) in Eip pool: Announced -> PoolExhausted",
            ],
        ),
        (
            node("n1", "192.168.9.99"),
            [
                "2 Services would change",
                "  2 Services in Eip pool: n1 (192.168.9.11) -> n1 (192.168.9.99)",
                "    default/a, default/b",
            ],
        ),
        (
            Eip("pool", "203.0.113.0/30", advertisements=(AdvertisementEntry(med=5),)),
            [
                "2 Services would change",
                "  2 Services in Eip pool: n1, n2 -> n1 [MED 5], n2 [MED 5]",
                "    default/a, default/b",
            ],
        ),
        (
            service("c"),
            [
                "1 Service would change",
                "  default/c (203.0.113.2) in Eip pool: not ours -> NoReadyEndpoints",
            ],
        ),
        (node("n3", "192.168.9.13"), ["nothing would change"]),
    ],
    ids=["address", "smaller", "node", "attributes", "new", "nothing"],
)
def test_what_differs_is_told_and_no_more(changed: Object, lines: list[str]) -> None:
    assert differing(two_services(), changed) == lines


def test_eips_that_would_serve_otherwise_are_told_beside_those_that_are_named() -> None:
    made = two_services()
    before = report_plan.plan(made.planner)
    made.put(Eip("older", "203.0.113.0/31", created="2020"), Eip("else", "192.0.2.0/30"))
    after = report_plan.plan(made.planner)
    told = report_plan.changed_eips(before, after, {"else": ["address"]})
    assert [(eip["name"], eip["ready"]) for eip in told] == [
        ("else", True),
        ("older", True),
        ("pool", False),
    ]
    assert all(eip["differs"] for eip in told)
    again = report_plan.changed_eips(after, after, {"else": []})
    assert [(eip["name"], eip["differs"]) for eip in again] == [("else", False)]


def test_an_eip_that_is_only_disabled_is_told() -> None:
    made = two_services()
    before = report_plan.plan(made.planner)
    made.put(Eip("pool", "203.0.113.0/30", disable=True))
    after = report_plan.plan(made.planner)
    eips = report_plan.changed_eips(before, after, {"pool": ["disable"]})
    services = report_plan.difference(before, after)
    told = {"services": services, "eips": eips, "warnings": []}
    assert report_plan_text.staged(told).splitlines() == [
        "eip pool: Valid, 2 of 4 used (203.0.113.0/30), disabled",
        "  would change: spec.disable",
        "no Service would change",
    ]
    eips = report_plan.changed_eips(after, after, {"pool": []})
    as_it_is = {"services": [], "eips": eips, "warnings": []}
    assert report_plan_text.staged(as_it_is).splitlines()[1:] == ["nothing would change"]


def test_an_eip_that_never_was_readable_is_told() -> None:
    made = two_services().unreadable(Kind.EIP, "broken", why="spec is a list")
    made.put(service("asks", pool="broken"), service("wants", requested="192.0.2.1"))
    [broken, pool] = report.eips(made.planner)
    assert (broken["name"], broken["ready"], broken["reason"]) == ("broken", False, "Unreadable")
    assert broken["message"] == "it cannot be read: spec is a list"
    text = report_plan_text.plan({"services": [], "eips": [broken, pool], "warnings": []})
    assert text.startswith("eip broken: Unreadable: it cannot be read: spec is a list\neip pool:")
    asks = report.explanation(made.planner, key("asks"), None)
    assert asks["message"] == "Eip broken, which the Service names, cannot be read: correct it"
    assert asks["mend"].startswith("Eip broken cannot be read, correct it: kubectl edit ")
    assert made.message("wants").startswith("192.0.2.1 is in no Eip that can be read: ask")
    made.unreadable(Kind.EIP, "pool", why="spec is text")
    told = list(report.eips(made.planner))[1]
    assert (told["reason"], told["poolSize"]) == ("Valid", 4)
    why = "it cannot be read, its last good form is in force: spec is text"
    assert told["problem"] == why
