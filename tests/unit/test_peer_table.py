"""What a peer is announced now: each path, its node, its attributes, and since when."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from msgspec.structs import replace

from porter_ryu import report_peers
from porter_ryu.bgp.peer_table import PeerTable
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.announcement import (
    NO_ATTRIBUTES,
    Announcement,
    Announcements,
    NextHop,
    PathAttributes,
)
from porter_ryu.domain.model import Network
from tests.unit.outbound_scene import POLICY

A, B, WIDE = (ip_network(text) for text in ("203.0.113.1", "203.0.113.2", "203.0.113.0/24"))
COMMUNITY = 65000 << 16 | 1


def via(*numbers: int, said: PathAttributes = NO_ATTRIBUTES) -> Announcements:
    """Paths by these nodes."""
    hops = (NextHop(f"n{n}", ip_address(f"192.168.0.{n}")) for n in numbers)
    return frozenset(Announcement(hop, said) for hop in hops)


class Scene:
    """A table, and the Loc-RIB that it follows."""

    def __init__(self, policy: ExportPolicy = POLICY) -> None:
        self.table = AdjRibOut(policy, PathIds())
        self.routes: dict[Network, Announcements] = {}

    def want(self, now: float, routes: dict[Network, Announcements]) -> None:
        """Sends the difference at this time."""
        self.routes |= routes
        self.table.sync(self.routes, routes, now=now)

    def told(self, prefix: str | None = None, up_at: float = 0.0) -> list[dict[str, Any]]:
        """What is said of it as JSON; the monotonic clock began with Unix time."""
        wanted = None if prefix is None else ip_network(prefix)
        table = PeerTable(self.table, self.routes, up_at, 0.0)
        return list(report_peers.routes("leaf", table.paths(wanted)))


def seconds(told: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Since when each path of each prefix is announced: the seconds of the minute."""
    return {(entry["prefix"], entry["node"]): entry["since"][17:19] for entry in told}


def test_only_a_path_that_changes_begins_anew() -> None:
    scene = Scene()
    scene.want(1.0, {A: via(1, 2), B: via(1, 2)})
    scene.want(5.0, {A: via(1, 2, 3)})
    scene.want(7.0, {A: via(1, 3), B: via(1, 2)})
    assert seconds(scene.told()) == {
        ("203.0.113.1/32", "n1"): "01",
        ("203.0.113.1/32", "n3"): "05",
        ("203.0.113.2/32", "n1"): "01",
        ("203.0.113.2/32", "n2"): "01",
    }
    scene.want(9.0, {A: frozenset([*via(1, said=PathAttributes(med=5)), *via(3)])})
    assert seconds(scene.told("203.0.113.1")) == {
        ("203.0.113.1/32", "n1"): "09",
        ("203.0.113.1/32", "n3"): "05",
    }


def test_prefixes_with_one_past_share_it_and_others_do_not() -> None:
    scene = Scene()
    both = via(1)
    scene.want(1.0, {A: both})
    scene.want(2.0, {B: both})
    scene.want(3.0, {A: via(1, 2), B: via(1, 2)})
    assert seconds(scene.told())["203.0.113.1/32", "n1"] == "01"
    assert seconds(scene.told())["203.0.113.2/32", "n1"] == "02"
    scene.want(4.0, {A: frozenset(), B: frozenset()})
    assert scene.told() == []
    assert scene.table.since == {}


def test_nothing_was_announced_before_the_session_was_up() -> None:
    scene = Scene()
    scene.want(1.0, {A: via(1)})
    assert seconds(scene.told(up_at=30.0)) == {("203.0.113.1/32", "n1"): "30"}


def test_a_prefix_chooses_what_is_in_it_and_what_contains_it() -> None:
    scene = Scene()
    scene.want(0.0, {A: via(1), B: via(2), WIDE: via(3)})
    told = {entry["prefix"] for entry in scene.told("203.0.113.1")}
    assert told == {"203.0.113.1/32", "203.0.113.0/24"}
    assert len(scene.told("203.0.0.0/16")) == 3
    assert scene.told("198.51.100.0/24") == []
    assert scene.told("2001:db8::/32") == []


def test_the_attributes_are_those_on_the_wire() -> None:
    group = PathAttributes(communities=(COMMUNITY,), med=10, as_path_prepend=2)
    scene = Scene(replace(POLICY, attributes=group))
    scene.want(0.0, {A: via(1, said=PathAttributes(bandwidth=3, large_communities=((1, 2, 3),)))})
    (entry,) = scene.told()
    assert entry == {
        "session": "leaf",
        "prefix": "203.0.113.1/32",
        "nextHop": "192.168.0.1",
        "node": "n1",
        "pathId": PathIds().of(ip_address("192.168.0.1")),
        "communities": ["65000:1", "1:2:3"],
        "med": 10,
        "localPref": None,
        "asPathPrepend": 2,
        "weight": 3,
        "announced": True,
        "since": "1970-01-01T00:00:00.000Z",
    }


def test_an_internal_peer_is_always_sent_a_preference() -> None:
    scene = Scene(replace(POLICY, internal=True))
    scene.want(0.0, {A: via(1), B: via(1, said=PathAttributes(local_pref=7))})
    assert [entry["localPref"] for entry in scene.told()] == [100, 7]


def test_a_next_hop_that_no_node_has_any_more_is_told_without_a_name() -> None:
    scene = Scene()
    scene.want(0.0, {A: via(1)})
    scene.routes[A] = via(2)
    assert [entry["node"] for entry in scene.told()] == [""]
