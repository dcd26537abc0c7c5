"""The shares of paths, and how reports show them."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec import structs

from fabric.objects import Json
from porter_ryu import report, report_plan, report_plan_text, report_text
from porter_ryu.domain.announcement import (
    Advertisement,
    Announcement,
    NextHop,
    PathAttributes,
)
from porter_ryu.domain.communities import parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Address, Eip
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.nodes.next_hop_modes import SELF
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import BY_ENDPOINTS
from porter_ryu.domain.sending import Sending
from porter_ryu.domain.shares import shares
from porter_ryu.domain.turn import Policy
from porter_ryu.report_paths import attributes_text, path
from tests.unit.world import World, endpoints, key, node, peers, service

ADDRESS = "203.0.113.0"
PLAIN = PathAttributes()
LEAVING = PathAttributes((0xFFFF0000,))


def announcement(number: int, attributes: PathAttributes = PLAIN) -> Announcement:
    """A path by a node."""
    return Announcement(NextHop(f"n{number}", ip_address(f"192.168.0.{number}")), attributes)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ([PLAIN], [100]),
        ([PLAIN, PLAIN, PLAIN, PLAIN], [25, 25, 25, 25]),
        ([PathAttributes(bandwidth=3), PathAttributes(bandwidth=1)], [75, 25]),
        ([PathAttributes(bandwidth=3), PLAIN], [50, 50]),
        ([PLAIN, LEAVING], [100, 0]),
        ([LEAVING, LEAVING], [50, 50]),
        ([PathAttributes(med=5), PLAIN], [0, 100]),
        ([PathAttributes(med=5), PathAttributes(med=5)], [50, 50]),
        ([PathAttributes(as_path_prepend=1), PathAttributes(med=5)], [0, 100]),
        ([PathAttributes(local_pref=200), PLAIN], [100, 0]),
        ([PathAttributes(local_pref=100), PLAIN], [50, 50]),
        ([], []),
    ],
)
def test_only_the_best_paths_share_the_traffic(
    attributes: list[PathAttributes], expected: list[float]
) -> None:
    paths = [announcement(number, said) for number, said in enumerate(attributes, 1)]
    assert list(shares(paths).values()) == expected


def test_what_an_eip_says_about_a_path_counts() -> None:
    nearer, farther = (
        structs.replace(
            announcement(number),
            advertisements=(Advertisement(frozenset(), PathAttributes(med=number)),),
        )
        for number in (1, 2)
    )
    assert list(shares([nearer, farther]).values()) == [100, 0]


def test_a_path_as_json_and_text() -> None:
    said = PathAttributes((0xFDE80001, 0xFFFFFF01), ((65000, 1, 2),), 7, 0, 2, 3)
    entry = path(announcement(1, said), 33.333, Sending())
    assert entry == {
        "node": "n1",
        "nextHop": "192.168.0.1",
        "share": 33.3,
        "weight": 3,
        "communities": ["65000:1", "no-export", "65000:1:2"],
        "localPref": 7,
        "med": 0,
        "asPathPrepend": 2,
        "advertisements": [],
        "sent": [],
        "toAll": True,
    }
    assert attributes_text(entry) == (
        "communities 65000:1 no-export 65000:1:2; local-pref 7; MED 0; AS path prepended 2 times"
    )
    limited = (
        Advertisement(frozenset(["leaf2", "leaf1"]), PathAttributes(med=1)),
        Advertisement(frozenset(), PLAIN),
    )
    to_some = Announcement(announcement(1).next_hop, advertisements=limited)
    sending = Sending(peers("leaf1", "leaf2", "leaf3"))
    entry = path(to_some, 100, sending)
    assert attributes_text(entry) == "to leaf1, leaf2: MED 1; to leaf3"


def world(policy: Policy) -> World:
    """Three endpoints on n1 and one on n2."""
    return World(Eip("pool", f"{ADDRESS}/30"), policy=policy).put(
        node("n1", "192.168.0.1"),
        node("n2", "192.168.0.2"),
        service("web"),
        endpoints("web", "n1", "n1", "n1", "n2"),
    )


def lines(entry: Json) -> list[str]:
    """The lines of an explanation about nodes."""
    text = report_text.explanation(entry)
    return [line.strip() for line in text.splitlines() if line.strip().startswith("node ")]


def test_explain_tells_the_share_of_each_node() -> None:
    planner = world(Policy(NextHopPolicy(weights=BY_ENDPOINTS))).planner
    assert lines(report.explanation(planner, key("web"), None)) == [
        "node n1: next hop 192.168.0.1, 75 % (weight 3)",
        "node n2: next hop 192.168.0.2, 25 % (weight 1)",
    ]
    planner = world(Policy()).planner
    assert lines(report.explanation(planner, key("web"), None)) == [
        "node n1: next hop 192.168.0.1, 50 %",
        "node n2: next hop 192.168.0.2, 50 %",
    ]


def test_explain_tells_what_a_drained_node_says() -> None:
    drain = DrainPolicy("drain")
    made = world(Policy(NextHopPolicy(weights=BY_ENDPOINTS), drain=drain))
    made.put(node("n2", "192.168.0.2", annotations={"drain": ""}))
    first, second = lines(report.explanation(made.planner, key("web"), None))
    assert first == "node n1: next hop 192.168.0.1, 100 % (weight 3)"
    assert second.startswith("node n2: next hop 192.168.0.2, 0 % (weight 1) (being drained")
    assert second.endswith("; communities graceful-shutdown; MED 4294967295")


def test_explain_tells_what_the_eip_says() -> None:
    racks = AdvertisementEntry(
        frozenset(["leaf1"]), parse_selector("rack=a"), parse_communities(["65000:1"]), med=5
    )
    made = world(Policy())
    made.put(node("n1", "192.168.0.1", labels={"rack": "a"}))
    made.put(Eip("pool", f"{ADDRESS}/30", advertisements=(racks,)))
    first, second = lines(report.explanation(made.planner, key("web"), None))
    assert first == "node n1: next hop 192.168.0.1, 100 %; to leaf1: communities 65000:1, MED 5"
    assert second == "node n2: no: no entry of spec.advertisements of Eip pool selects it"


def test_explain_of_an_instance_that_announces_its_own_node() -> None:
    policy = NextHopPolicy(SELF, "n1", weights=BY_ENDPOINTS)
    made = world(Policy(policy)).put(service("web", local_traffic=True))
    first, second = lines(report.explanation(made.planner, key("web"), None))
    assert first == "node n1: next hop self, weight 3"
    assert second.startswith("node n2: no: ")


def test_a_plan_tells_weights_and_a_difference_finds_a_change_of_them_alone() -> None:
    made = world(Policy(NextHopPolicy(weights=BY_ENDPOINTS)))
    before = report_plan.plan(made.planner)
    assert report_plan_text.plan(before).startswith(
        f"default/web: Announced ({ADDRESS} via 192.168.0.1 [75 % (weight 3)], "
        "192.168.0.2 [25 % (weight 1)])"
    )
    made.put(endpoints("web", "n1", "n2"))
    after = report_plan.plan(made.planner)
    changes = report_plan.difference(before, after)
    assert [change["service"] for change in changes] == ["default/web"]
    assert "[75 % (weight 3)]" in report_plan_text.difference(changes)
    assert "[50 % (weight 1)]" in report_plan_text.difference(changes)
    assert report_plan.difference(after, report_plan.plan(made.planner)) == []


def hops(*numbers: int) -> tuple[Address, ...]:
    """The next hops by these nodes."""
    return tuple(ip_address(f"192.168.0.{number}") for number in numbers)


def test_explain_tells_the_shares_at_each_peer() -> None:
    """A peer without ADD-PATH has one path of several."""
    made = world(Policy(NextHopPolicy(weights=BY_ENDPOINTS)))
    sent = {"leaf1": hops(2, 1), "leaf2": hops(2), "leaf3": ()}
    entry = report.explanation(made.planner, key("web"), lambda _prefix: sent)
    (route,) = entry["routes"]
    assert route["peers"]["leaf1"] == ["192.168.0.1", "192.168.0.2"], "in order"
    assert route["shares"] == {"leaf1": {"n1": 75.0, "n2": 25.0}, "leaf2": {"n2": 100.0}}
    text = report_text.explanation(entry)
    assert "    sent to leaf1: 192.168.0.1, 192.168.0.2\n" in text
    assert "    sent to leaf2: 192.168.0.2 (n2 100 %)\n" in text


def test_the_share_at_a_peer_follows_the_attributes_that_it_is_sent() -> None:
    """MED for one peer alone; LOCAL_PREF only within the AS."""
    better = AdvertisementEntry(frozenset(["leaf1"]), parse_selector("rack=a"), med=5)
    preferred = AdvertisementEntry(
        frozenset(["core", "leaf2"]), parse_selector("rack=a"), local_pref=200
    )
    others = AdvertisementEntry(nodes=parse_selector("rack=b"))
    made = world(Policy())
    made.planner.reserve(
        [], [], terms=[*peers("leaf1", "leaf2", "leaf3"), *peers("core", internal=True)]
    )
    made.put(Eip("pool", f"{ADDRESS}/30", advertisements=(better, preferred, others)))
    made.put(node("n1", "192.168.0.1", labels={"rack": "a"}))
    made.put(node("n2", "192.168.0.2", labels={"rack": "b"}))
    both = {name: hops(1, 2) for name in ("leaf1", "leaf2", "core")}
    entry = report.explanation(made.planner, key("web"), lambda _p: {**both, "leaf3": hops(2)})
    assert entry["routes"][0]["shares"] == {
        "core": {"n1": 100.0, "n2": 0.0},
        "leaf1": {"n1": 0.0, "n2": 100.0},
        "leaf2": {"n1": 50.0, "n2": 50.0},
        "leaf3": {"n2": 100.0},
    }


def test_a_drained_node_has_a_share_only_where_it_is_alone() -> None:
    made = world(Policy(drain=DrainPolicy("drain")))
    made.put(node("n2", "192.168.0.2", annotations={"drain": ""}))
    sent = {"leaf1": hops(1, 2), "leaf2": hops(2)}
    entry = report.explanation(made.planner, key("web"), lambda _prefix: sent)
    assert entry["routes"][0]["shares"] == {
        "leaf1": {"n1": 100.0, "n2": 0.0},
        "leaf2": {"n2": 100.0},
    }


def test_of_two_nodes_with_one_address_a_peer_has_one() -> None:
    made = world(Policy()).put(node("n2", "192.168.0.1"))
    entry = report.explanation(made.planner, key("web"), lambda _prefix: {"leaf1": hops(1)})
    assert entry["routes"][0]["shares"] == {"leaf1": {"n1": 100.0}}


def test_shares_are_not_known_where_other_instances_announce_the_other_nodes() -> None:
    made = world(Policy(NextHopPolicy(SELF, "n1")))
    entry = report.explanation(made.planner, key("web"), lambda _prefix: {"leaf1": hops(9)})
    assert entry["routes"][0]["shares"] == {"leaf1": {"n1": None}}
    assert "    sent to leaf1: 192.168.0.9\n" in report_text.explanation(entry)


def test_a_dry_run_knows_no_shares_at_peers() -> None:
    assert (
        report.explanation(world(Policy()).planner, key("web"), None)["routes"][0]["shares"] == {}
    )
