"""spec.advertisements of an Eip: which paths are announced, to whom, and with which attributes."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from msgspec.structs import replace

from porter_ryu import report, report_plan, report_plan_text
from porter_ryu.domain.announcement import PathAttributes
from porter_ryu.domain.communities import CommunityRequest, parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import LabelSelector, parse_selector
from porter_ryu.domain.model import Eip, Family, Kind, Port
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.status_changes import status_changes
from tests.unit.outbound_scene import POLICY
from tests.unit.world import World, endpoints, key, node, peers, service

RACK_A: LabelSelector = parse_selector("rack=a")
RACK_B: LabelSelector = parse_selector("rack in (b, c)")
ONE = "10.0.0.1"


def entry(*peers: str, communities: str = "", **fields: Any) -> AdvertisementEntry:
    """An entry that names these peers; `communities` are separated by blanks."""
    found = parse_communities(communities.split())
    return AdvertisementEntry(frozenset(peers), communities=found, **fields)


def pool(*entries: AdvertisementEntry, **fields: Any) -> Eip:
    """The Eip of 10.0.0.0/24."""
    return Eip("pool", fields.pop("address", "10.0.0.0/24"), advertisements=entries, **fields)


def world(*eips: Eip, mode: NextHopMode = ENDPOINTS, own: str = "") -> World:
    """Four nodes, two in each rack."""
    nodes = [
        node(f"n{i}", f"192.168.0.{i}", labels={"rack": "a" if i < 3 else "b"}) for i in range(1, 5)
    ]
    return World(*eips, policy=Policy(NextHopPolicy(mode, own))).put(*nodes)


def heard(w: World, peer: str, prefix: str = ONE) -> dict[str, PathAttributes]:
    """What a peer is sent for a prefix: the attributes by node."""
    policy = replace(POLICY, peer=peer)
    admitted = policy.admitted(w.announcements.get(prefix, frozenset()), Family.IPV4)
    return {path.next_hop.node: path.attributes for path, _ in admitted}


def nodes(w: World, peer: str, prefix: str = ONE) -> str:
    """The numbers of the nodes by which a peer is sent a prefix."""
    return "".join(sorted(name.removeprefix("n") for name in heard(w, peer, prefix)))


def serving(w: World, name: str = "a", *on: str, **fields: Any) -> World:
    """A Service with endpoints."""
    fields.setdefault("requested", ONE)
    return w.put(service(name, **fields), endpoints(name, *(on or ("n1", "n2", "n3", "n4"))))


def test_without_advertisements_every_peer_gets_every_path() -> None:
    w = serving(world(pool()))
    assert nodes(w, "leaf1") == nodes(w, "") == "1234"
    assert set(heard(w, "leaf1").values()) == {PathAttributes()}


def test_a_peer_that_no_entry_names_gets_nothing() -> None:
    w = serving(world(pool(entry("leaf1"), entry("leaf2", nodes=RACK_B))))
    assert (nodes(w, "leaf1"), nodes(w, "leaf2")) == ("1234", "34")
    assert (nodes(w, "leaf3"), nodes(w, "")) == ("", "")
    w.put(pool(entry("leaf1"), entry(nodes=RACK_A)))
    assert (nodes(w, "leaf1"), nodes(w, "leaf3"), nodes(w, "")) == ("1234", "12", "12")


def test_of_all_entries_that_match_the_attributes_are_united() -> None:
    w = serving(
        world(
            pool(
                entry(communities="65000:2 1:2:3", local_pref=200, med=50),
                entry("leaf1", communities="65000:1", local_pref=300, as_path_prepend=2),
                entry("leaf2", med=10, as_path_prepend=1),
                entry(nodes=RACK_B, med=0, local_pref=1),
            )
        )
    )
    first, second, other = heard(w, "leaf1"), heard(w, "leaf2"), heard(w, "")
    both = (65000 << 16 | 1, 65000 << 16 | 2)
    assert first["n1"] == PathAttributes(both, ((1, 2, 3),), 300, 50, 2)
    assert first["n3"] == PathAttributes(both, ((1, 2, 3),), 300, 0, 2)
    assert second["n1"] == PathAttributes(both[1:], ((1, 2, 3),), 200, 10, 1)
    assert other["n4"] == PathAttributes(both[1:], ((1, 2, 3),), 200, 0, 0)


def test_they_stand_on_top_of_those_of_the_peer_and_local_pref_is_for_internal_peers() -> None:
    group = PathAttributes((7,), (), 50, 60, 1)
    external = replace(POLICY, attributes=group, internal=False, peer="leaf1")
    internal = replace(external, internal=True)
    w = serving(world(pool(entry(communities="65000:1", local_pref=200, as_path_prepend=3))))
    ((path, hop),) = external.admitted(
        [a for a in w.announcements[ONE] if a.next_hop.node == "n1"], Family.IPV4
    )
    said = external.path_attributes(hop, path.attributes)
    assert (said.communities, said.med) == ((7, 65000 << 16 | 1), 60)
    assert (said.local_pref, len(said.as_path)) == (None, 4)
    assert internal.path_attributes(hop, path.attributes).local_pref == 200


def test_prefixes_of_one_eip_share_their_announcements() -> None:
    w = world(pool(entry("leaf1", communities="65000:1")))
    w.stage(service("a"))
    w.stage(service("b"))
    w.stage(endpoints("a", "n1", "n2"))
    w.stage(endpoints("b", "n2", "n1"))
    w.turn()
    assert w.announcements["10.0.0.1"] is w.announcements["10.0.0.0"]


def test_a_node_that_no_entry_selects_is_no_next_hop_and_the_service_says_why() -> None:
    w = serving(world(pool(entry(nodes=RACK_B))), "a", "n1", requested=ONE)
    assert (nodes(w, ""), w.state("a")) == ("", "NoUsableNode")
    message = w.planner.decisions[key("a")].verdict.message
    assert message == "no entry of spec.advertisements of Eip pool selects one of its nodes"
    assert nodes(w.put(endpoints("a", "n1", "n3")), "") == "3"
    assert w.state("a") == "Announced"
    w.put(node("n1", "192.168.0.1", labels={"rack": "c"}))
    assert nodes(w, "") == "13"
    w.put(pool(entry("leaf1", nodes=RACK_A)))
    assert (nodes(w, "leaf1"), w.state("a")) == ("", "NoUsableNode")
    w.put(pool())
    assert nodes(w, "leaf1") == "13"


def test_a_service_whose_eip_names_no_configured_peer_is_withdrawn_and_says_so() -> None:
    w = serving(world(pool(entry("leaf1", nodes=RACK_B))), "a", "n1", "n3")
    assert (nodes(w, "leaf1"), w.state("a")) == ("3", "Announced")
    w.put(pool(entry("leaf1", nodes=RACK_B), entry("ghost"), entry("other", nodes=RACK_A)))
    assert (w.routes[ONE], w.state("a")) == (frozenset(["192.168.0.3"]), "Announced")
    w.put(endpoints("a", "n1"))
    assert (w.routes[ONE], w.state("a")) == (frozenset(), "NoUsableNode")
    (obj,) = w.planner.cluster.services.values()
    told = obj.conditions[1]
    assert (told.status, told.reason) == (False, "NoUsableNode")
    assert told.message == (
        "spec.advertisements[1], spec.advertisements[2] of Eip pool are only for peers that are "
        "not configured (ghost, other), and spec.advertisements[0] selects none of its nodes; "
        "configured are core, edge, far, leaf, leaf1 and 3 more"
    )
    (route,) = report.explanation(w.planner, key("a"), None)["routes"]
    (why,) = (told["why"] for told in route["nodes"] if told["node"] == "n1")
    assert why == (
        "the entries of spec.advertisements of Eip pool that select it are only for peers that "
        "are not configured: ghost, other"
    )


def test_peers_that_a_reload_adds_are_announced_to() -> None:
    w = serving(world(pool(entry("ghost"))), "a", "n1")
    assert (w.routes[ONE], w.state("a")) == (frozenset(), "NoUsableNode")
    w.planner.reserve([], [], terms=peers("ghost"))
    assert (nodes(w.turn(), "ghost"), w.state("a")) == ("1", "Announced")
    w.planner.reserve([], [], terms=peers())
    assert (w.turn().routes[ONE], w.state("a")) == (frozenset(), "NoUsableNode")
    assert w.planner.decisions[key("a")].verdict.message.endswith("; configured are none")


def test_an_aggregate_for_no_configured_peer_is_not_announced() -> None:
    w = serving(world(pool(entry("ghost", aggregation_length=24), entry("leaf1"))), "a", "n1")
    assert (w.announcements.get("10.0.0.0/24"), nodes(w, "leaf1")) == (None, "1")


def test_a_switch_gets_what_no_peer_gets() -> None:
    policy = Policy(NextHopPolicy(ENDPOINTS), by_port=True)
    w = World(pool(entry("ghost")), policy=policy).put(node("n1", "192.168.0.1"))
    serving(w, "a", "n1")
    assert w.whole_routes[ONE].paths
    assert w.state("a") == "Announced"
    assert w.planner.decisions[key("a")].verdict.message.startswith(
        "announced to every switch, and to no router: spec.advertisements[0] of Eip pool is only"
    )


def asks(text: str) -> CommunityRequest:
    """What the annotation says."""
    return CommunityRequest.parse(text.split(","))


def test_a_service_adds_the_communities_that_its_eip_allows() -> None:
    allowed = parse_communities(["65000:1", "1:2:3", "no-export"])
    w = world(pool(entry("leaf1", communities="65000:9"), allowed_communities=allowed))
    serving(w, "a", requested=ONE, communities=asks("65000:1,65000:2,1:2:3,9:9:9,oops"))
    said = heard(w, "leaf1")["n1"]
    assert said.communities == (65000 << 16 | 1, 65000 << 16 | 9)
    assert said.large_communities == ((1, 2, 3),)
    (obj,) = w.planner.cluster.services.values()
    text = obj.conditions[1].message
    assert "Eip pool does not allow a Service to add 65000:2, 9:9:9" in text
    assert "'oops' is not a community" in text
    assert w.state("a") == "Announced"
    w.put(service("a", requested=ONE, communities=asks("no-export")))
    assert heard(w, "leaf1")["n1"].communities == (65000 << 16 | 9, 0xFFFFFF01)
    w.put(pool(entry("leaf1")))
    assert heard(w, "leaf1")["n1"] == PathAttributes()


def test_the_holders_of_an_address_add_the_communities_of_all() -> None:
    w = world(pool(allowed_communities=parse_communities(["65000:1", "65000:2"])))
    for name, port in (("a", 1), ("b", 2)):
        asked = asks(f"65000:{port},65000:3")
        more = {"share_key": "k", "ports": frozenset([Port("TCP", port)]), "communities": asked}
        serving(w, name, "n1", requested=ONE, **more)
    assert heard(w, "leaf1")["n1"].communities == (65000 << 16 | 1, 65000 << 16 | 2)
    w.remove(Kind.SERVICE, "b")
    assert heard(w, "leaf1")["n1"].communities == (65000 << 16 | 1,)


def test_a_refusal_is_one_event_until_it_changes() -> None:
    w = world(pool())
    w.planner.put(service("a", communities=asks("65000:1")))
    reasons = []
    while not w.planner.idle:
        for obj, status in w.planner.turn(lambda: None, now=0.0).statuses:
            reasons += [change.reason for change in status_changes(obj.status, status)]
            w.planner.put(w._written(obj, status))
    assert reasons.count("CommunityNotAllowed") == 1
    w.planner.resync()
    for obj, status in w.planner.turn(lambda: None, now=0.0).statuses:
        assert not status_changes(obj.status, status)
    w.planner.put(pool(allowed_communities=parse_communities(["65000:1"])))
    reasons = []
    for obj, status in w.planner.turn(lambda: None, now=0.0).statuses:
        reasons += [change.reason for change in status_changes(obj.status, status)]
    assert "CommunityNotAllowed" not in reasons


def test_a_long_refusal_is_one_event_too() -> None:
    w = world(pool())
    nonsense = ",".join(f"{i}{'x' * 200}\n" for i in range(60))
    w.put(service("a", requested=ONE, communities=asks(nonsense)), endpoints("a", *["n1", "n2"]))
    w.put(node("n1", "192.168.0.1", ready=False), node("n2", "192.168.0.2", ready=False))
    (obj,) = w.planner.cluster.services.values()
    allocated, announced = obj.conditions
    assert len(announced.message) <= 1024
    before = structs.replace(obj.status, conditions=(allocated,))
    w.planner.resync()
    ((_, status),) = (s for s in w.planner.turn(lambda: None, now=0.0).statuses if s[0] == obj)
    reasons = [change.reason for change in status_changes(before, status)]
    assert "CommunityNotAllowed" in reasons
    assert status_changes(obj.status, status) == []


def test_peers_that_are_not_configured_are_a_problem_of_the_eip() -> None:
    w = serving(world(pool(entry("leaf1", "leaf9"), entry("x"))))
    w.planner.reserve([], [], terms=peers("leaf1", "leaf2"))
    w.planner.resync()
    text = "spec.advertisements names peers that are not configured: leaf9, x"
    assert w.planner.turn(lambda: None, now=0.0).eip_problems == {"pool": text}
    assert nodes(w, "leaf1") == "1234"
    w.planner.reserve([], [], terms=peers("leaf1", "leaf9", "x"))
    assert w.planner.turn(lambda: None, now=0.0).eip_problems == {}


def test_each_other_error_of_an_eip_is_told_and_what_held_before_is_not() -> None:
    w = serving(world(pool(entry("ghost", "leaf1"))))
    told = []
    for error in ("one", "one", "two"):
        w.put(pool(address="", invalid=error))
        assert w.planner.eip_problems.found() == {}
        (obj,) = w.planner.cluster.eips.values()
        assert obj.status is not None
        (found,) = w.planner.eip_problems.all().values()
        told.append((found, obj.status.message))
    in_force = "its last good form, 10.0.0.0/24, stays in force"
    first, second = f"one; {in_force}", f"two; {in_force}"
    assert told == [(first, first), (first, first), (second, second)]
    (line,) = report_plan_text.plan(report_plan.plan(w.planner)).splitlines()[-1:]
    assert line == f"eip pool: InvalidAddress, 1 of 256 used (10.0.0.0/24): {second}"


def test_a_selector_that_selects_no_node_is_a_problem_of_the_eip_until_there_is_one() -> None:
    w = serving(world(pool(entry("leaf1"), entry("leaf2", nodes=parse_selector("rack=z")))))
    text = "spec.advertisements[1].nodeSelector selects no node of the cluster"
    assert w.planner.eip_problems.found() == {"pool": text}
    w.put(node("n9", "192.168.0.9", labels={"rack": "z"}))
    assert w.planner.eip_problems.found() == {}
    w.remove(Kind.NODE, "n9")
    assert w.planner.eip_problems.found() == {"pool": text}
