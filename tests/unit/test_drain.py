"""Which nodes are drained, how their paths are announced, and that no prefix loses its last one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.communities import WELL_KNOWN
from porter_ryu.domain.explanation import explain
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Eip, Kind, Node
from porter_ryu.domain.nodes.drain import DrainPolicy, NodeDrains
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, SELF, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.weights import BY_ENDPOINTS
from porter_ryu.domain.planner import Policy
from tests.unit.outbound_scene import POLICY
from tests.unit.world import World, endpoints, key, node, service

NAMES = ("n1", "n2", "n3", "n4")
DRAIN = DrainPolicy("example.com/drain", frozenset(["going", "gone"]), seconds=30, med=77)
PREFIX = ip_network("10.0.0.1/32")
GRACEFUL_SHUTDOWN = WELL_KNOWN["graceful-shutdown"]


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.0.{name[1:]}", **fields)


def drained(name: str, **fields: Any) -> Node:
    """A node with the annotation."""
    return up(name, annotations={DRAIN.annotation: "true"}, **fields)


def world(
    mode: NextHopMode = ENDPOINTS, drain: DrainPolicy = DRAIN, nodes: Sequence[Node] = ()
) -> World:
    """Four nodes, and a Service with an endpoint on each."""
    made = World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=Policy(NextHopPolicy(mode), drain=drain))
    return made.put(*(nodes or map(up, NAMES)), service("a"), endpoints("a", *NAMES))


def later(w: World, seconds: float) -> World:
    """Time passes."""
    w.now += seconds
    return w.turn()


def sent(w: World, policy: ExportPolicy = POLICY) -> str:
    """The last digits of the next hops that a peer is sent; `*` stands for GRACEFUL_SHUTDOWN."""
    table = AdjRibOut(policy, PathIds())
    table.sync({PREFIX: w.announcements.get("10.0.0.1", frozenset())}, [PREFIX])
    paths = table.sent.get(PREFIX, {}).values()
    return " ".join(
        sorted(
            f"{said.next_hop}"[-1] + "*" * (GRACEFUL_SHUTDOWN in said.communities) for said in paths
        )
    )


def test_no_annotation_drains_where_none_is_configured() -> None:
    """Not even one without a name, which a file may have."""
    assert DrainPolicy().cause(up("n1", annotations={"": "true"})) == ""


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_a_drained_node_is_announced_as_one_to_leave_then_not_at_all(mode: NextHopMode) -> None:
    w = world(mode)
    assert sent(w) == "1 2 3 4"
    assert sent(w.put(drained("n2"))) == "1 2* 3 4"
    (path,) = (a for a in w.announcements["10.0.0.1"] if a.next_hop.node == "n2")
    assert (path.attributes.med, path.attributes.local_pref) == (77, 0)
    assert sent(later(w, 29.9)) == "1 2* 3 4"
    assert sent(later(w, 0.2)) == "1 3 4"
    assert sent(later(w, 3600)) == "1 3 4"
    assert sent(w.put(up("n2"))) == "1 2 3 4", "undone, it is as it was"
    assert sent(w.put(drained("n2"))) == "1 2* 3 4", "a second drain is as the first"
    assert sent(w.put(up("n2"))) == "1 2 3 4", "undone before it was over"
    assert sent(later(w, 60)) == "1 2 3 4"


@pytest.mark.parametrize(
    ("fields", "is_drained"),
    [
        ({"annotations": {DRAIN.annotation: "true"}}, True),
        ({"annotations": {DRAIN.annotation: ""}}, True),
        ({"annotations": {DRAIN.annotation: "no"}}, True),
        ({"annotations": {DRAIN.annotation: "false"}}, False),
        ({"annotations": {"other": "true"}}, False),
        ({"taints": frozenset(["gone"])}, True),
        ({"taints": frozenset(["going", "other"])}, True),
        ({"taints": frozenset(["other"])}, False),
        ({"unschedulable": True}, False),
        ({"taints": frozenset(["node.kubernetes.io/unschedulable"])}, False),
    ],
)
def test_what_drains_a_node(fields: dict[str, Any], is_drained: bool) -> None:
    w = world().put(up("n2", **fields))
    assert sent(w) == ("1 2* 3 4" if is_drained else "1 2 3 4")


def test_a_cordoned_node_is_drained_only_if_asked() -> None:
    asked = replace(DRAIN, cordoned=True)
    assert sent(world(drain=asked).put(up("n1", unschedulable=True))) == "1* 2 3 4"
    nothing = DrainPolicy()
    assert sent(world(drain=nothing).put(drained("n1", unschedulable=True))) == "1 2 3 4"


def test_another_cause_does_not_begin_the_drain_again() -> None:
    w = world().put(drained("n1"))
    later(w, 20).put(up("n1", taints=frozenset(["going"])))
    assert sent(w) == "1* 2 3 4"
    assert sent(later(w, 10.1)) == "2 3 4"


def test_with_zero_seconds_it_is_withdrawn_at_once() -> None:
    w = world(drain=replace(DRAIN, seconds=0))
    assert sent(w.put(drained("n1"))) == "2 3 4"
    assert sent(later(w, 1).put(*map(drained, NAMES[1:]))) == "2* 3* 4*", "the last ones stay"


def test_nodes_that_are_drained_together_stay_if_there_is_no_other() -> None:
    w = world()
    for name in NAMES:
        w.put(drained(name))
        later(w, 5)
    assert sent(w) == "1* 2* 3* 4*"
    assert sent(later(w, 3600)) == "1* 2* 3* 4*"
    assert sent(w.put(up("n3"))) == "3", "it is enough that one comes back"
    assert w.state("a") == "Announced"


def test_of_nodes_that_are_drained_one_after_the_other_the_last_one_stays() -> None:
    w = world()
    for name in NAMES:
        w.put(drained(name))
        later(w, 60)
    assert sent(w) == "4*"
    w.put(up("n4", ready=False))
    assert sent(later(w, 10)) == "3*", "the one before is better than none"
    assert sent(w.put(up("n5"), endpoints("a", *NAMES, "n5"))) == "5"


def test_a_restart_finds_a_drain_over() -> None:
    w = world().put(drained("n1"))
    assert sent(w.restarted()) == "2 3 4"
    assert sent(world(nodes=[drained(n) for n in NAMES])) == "1* 2* 3* 4*"
    w = world(nodes=[drained("n1"), drained("n2")]).put(up("n3"))
    assert sent(w) == "3"
    assert sent(w.put(drained("n3"))) == "3*", "it is the last one that was drained"
    assert sent(w.put(up("n1"))) == "1 3*"


def test_a_process_that_was_told_which_drains_began_finds_them_not_over() -> None:
    """As `plan --diff` is told by the running instance."""
    w = World(Eip("pool", "10.0.0.1"), policy=Policy(NextHopPolicy(ENDPOINTS), drain=DRAIN))
    w.planner.drains.begin_with(["n1", "gone"])
    w.put(drained("n1"), drained("n2"), up("n3"), service("a"), endpoints("a", *NAMES))
    assert sent(w) == "1* 3"
    assert sent(later(w, 30)) == "3"


def test_a_node_that_is_drained_before_it_is_seen_is_not_announced_first() -> None:
    w = world().put(drained("n5"), endpoints("a", *NAMES, "n5"))
    assert sent(w) == "1 2 3 4"
    w.remove(Kind.NODE, "n4")
    assert sent(w.put(drained("n4"))) == "1 2 3", "deleted, and registered again"


def test_a_peer_with_some_nodes_alone_keeps_the_last_of_them() -> None:
    """A node that is withdrawn elsewhere is all that this peer has."""
    rack = {"rack": "b"}
    w = world(nodes=[up("n1", labels=rack), up("n2", labels=rack), up("n3"), up("n4")])
    peer = replace(POLICY, selector=parse_selector("rack=b"))
    w.put(drained("n1", labels=rack))
    assert (sent(w), sent(w, peer)) == ("1* 2 3 4", "1* 2")
    later(w, 31).put(drained("n2", labels=rack))
    assert (sent(w), sent(w, peer)) == ("2* 3 4", "2*")
    later(w, 31)
    assert (sent(w), sent(w, peer)) == ("3 4", "2*")
    w.put(up("n1", labels=rack))
    assert (sent(w), sent(w, peer)) == ("1 3 4", "1")


def test_where_paths_are_limited_drained_nodes_are_chosen_last() -> None:
    one = replace(POLICY, add_path=frozenset())
    two = replace(POLICY, max_next_hops=2)
    w = world()
    for count in range(1, 4):
        chosen = f"n{sent(w, one)}"
        w.put(drained(chosen))
        assert sent(w, one).isdigit(), f"{4 - count} are not drained"
        assert len(sent(w, two).split()) == 2
        assert sent(w, two).count("*") == max(0, count - 2)
    later(w, 31)
    assert sent(w, one) == sent(w, two)
    assert sent(w, one).isdigit()
    w.put(*map(drained, NAMES))
    assert len(sent(w, one)) == len("1*"), "one of those that are drained"


def test_a_local_service_keeps_its_only_node() -> None:
    w = world().put(service("a", local_traffic=True), endpoints("a", "n2")).put(drained("n2"))
    assert sent(w) == "2*"
    assert sent(later(w, 3600)) == "2*"
    assert sent(w.put(endpoints("a", "n2", "n3"))) == "3", "now there is another"


def test_a_shared_address_keeps_what_its_holders_have_in_common() -> None:
    shared = {"share_key": "k", "requested": "10.0.0.1", "local_traffic": True}
    w = world().put(
        service("a", **shared),
        service("b", ports=frozenset(), **shared),
        endpoints("a", "n1", "n2"),
        endpoints("b", "n2", "n3"),
    )
    assert sent(w) == "2"
    w.put(drained("n2"))
    assert sent(later(w, 31)) == "2*"


def test_a_drained_node_keeps_its_weight() -> None:
    hop_policy = NextHopPolicy(weights=BY_ENDPOINTS)
    w = World(Eip("pool", "10.0.0.1"), policy=Policy(hop_policy, drain=DRAIN))
    w.put(up("n1"), up("n2"), service("a"), endpoints("a", "n1", "n1", "n1", "n2"))

    def bandwidths() -> dict[str, int | None]:
        return {a.next_hop.node: a.attributes.bandwidth for a in w.announcements["10.0.0.1"]}

    before = bandwidths()
    assert before == {"n1": 3, "n2": 1}
    w.put(drained("n1"))
    assert sent(w) == "1* 2"
    assert bandwidths() == before


def test_a_drained_node_that_is_lost_is_no_next_hop() -> None:
    w = world().put(drained("n1"))
    w.put(drained("n1", ready=False))
    assert sent(later(w, 10)) == "2 3 4"
    assert sent(w.put(drained("n1"))) == "1* 2 3 4"


def test_a_node_out_of_service_is_not_usable() -> None:
    w = world().put(up("n1", taints=frozenset(["node.kubernetes.io/out-of-service"])))
    assert sent(w) == "2 3 4"
    w = world(nodes=[up(n, taints=frozenset(["node.kubernetes.io/out-of-service"])) for n in NAMES])
    assert (sent(w), w.state("a")) == ("", "NoUsableNode"), "not even the last one"
    assert "out-of-service" in w.planner.decisions[service("a").key].verdict.message


def test_the_notices_name_the_node_and_the_cause() -> None:
    w = world().put(drained("n1"))
    assert w.notices == [
        "node n1 is being drained by annotation example.com/drain: it is announced with "
        "GRACEFUL_SHUTDOWN for 30 s, then withdrawn"
    ]
    later(w, 31)
    over = (
        "node n1 is drained by annotation example.com/drain, except where it is the last next hop"
    )
    assert w.notices[1:] == [over]
    w.put(up("n1"))
    assert w.notices[2:] == ["node n1 is not drained any more"]
    w.put(up("n5", taints=frozenset(["gone"]))).remove(Kind.NODE, "n5")
    assert w.notices[3:] == [
        "node n5 is found drained by taint gone",
        "node n5 was drained and is gone",
    ]


def test_a_node_that_is_gone_leaves_nothing_behind() -> None:
    w = world()
    for _ in range(3):
        w.put(drained("n9")).remove(Kind.NODE, "n9")
        w.put(up("n9")).put(drained("n9")).remove(Kind.NODE, "n9")
    assert (w.planner.drains.count, w.planner.drains.cached_entries) == (0, 0)
    assert w.planner.due is None


@pytest.mark.parametrize("seed", range(20))
def test_no_order_of_drains_leaves_a_peer_without_a_path(seed: int) -> None:
    """Whichever nodes are drained and undone, and whenever: a peer that may use a node has a path,
    and one without drained nodes has no drained one."""
    chance = random.Random(seed)
    labels = {name: {"rack": chance.choice("ab")} for name in NAMES}
    w = world(nodes=[up(name, labels=labels[name]) for name in NAMES])
    limited = (POLICY, replace(POLICY, add_path=frozenset()), replace(POLICY, max_next_hops=2))
    peers = [
        replace(policy, selector=parse_selector(selector))
        for selector, policy in itertools.product(("", "rack=a", "rack=b"), limited)
    ]
    now_drained: set[str] = set()
    for _ in range(60):
        name = chance.choice(NAMES)
        now_drained ^= {name}
        w.put((drained if name in now_drained else up)(name, labels=labels[name]))
        later(w, chance.choice([0, 1, 10, 29, 31, 100]))
        for peer in peers:
            mine = {n for n in NAMES if peer.selector.matches(labels[n])}
            got = sent(w, peer).split()
            assert bool(got) == bool(mine)
            undrained = {n[1:] for n in mine - now_drained}
            assert {g for g in got if "*" not in g} <= undrained
            if undrained:
                assert any("*" not in g for g in got)


def instances() -> list[World]:
    """An instance on each of four nodes in two racks, which announces it alone."""
    made = []
    for own in NAMES:
        policy = Policy(NextHopPolicy(SELF, own), drain=DRAIN)
        w = World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=policy)
        w.put(*(in_rack(up, name) for name in NAMES), service("a"), endpoints("a", *NAMES))
        made.append(w)
    return made


def in_rack(make: Callable[..., Node], name: str) -> Node:
    """A node with the label of its rack: n1 and n2 are in rack a, n3 and n4 in rack b."""
    return make(name, labels={"rack": "a" if name in NAMES[:2] else "b"})


def sent_by(worlds: Sequence[World], selector: str = "") -> str:
    """The nodes that peers of these labels are sent by all instances; `*` as in `sent`."""
    peer = replace(POLICY, selector=parse_selector(selector))
    return " ".join(
        name[1:] + "*" * ("*" in found)
        for name, w in zip(NAMES, worlds, strict=True)
        if (found := sent(w, peer))
    )


def test_an_instance_withdraws_its_own_drained_node_while_others_announce_theirs() -> None:
    worlds = instances()

    def do(make: Callable[..., Node], *names: str, seconds: float = 0) -> None:
        for w in worlds:
            w.put(*(in_rack(make, name) for name in names))
            later(w, seconds)

    assert sent_by(worlds) == "1 2 3 4"
    do(drained, "n1", seconds=10)
    assert sent_by(worlds) == "1* 2 3 4"
    assert said(worlds[0], "n1")[0] == "Draining"
    do(drained, seconds=21)
    assert sent_by(worlds) == "2 3 4"
    assert said(worlds[0], "n1")[0] == "Drained"
    do(drained, "n2", seconds=31)
    assert (sent_by(worlds), sent_by(worlds, "rack=a")) == ("3 4", "2*"), "a rack keeps its last"
    do(drained, "n3", "n4", seconds=31)
    assert sent_by(worlds) == "3* 4*"
    assert said(worlds[3], "n4")[0] == "LastNextHop"
    do(up, "n1")
    assert (sent_by(worlds), sent_by(worlds, "rack=b")) == ("1", "3* 4*")


@pytest.mark.parametrize("seed", range(5))
def test_instances_of_one_node_each_never_withdraw_the_last_path_together(seed: int) -> None:
    """Each decides alone, knows what it has seen since its start, and is restarted at times."""
    chance = random.Random(seed)
    worlds = instances()
    now_drained: set[str] = set()
    for _ in range(60):
        name = chance.choice(NAMES)
        now_drained ^= {name}
        wait = chance.choice([0, 1, 29, 31, 100])
        again = chance.choice([*range(4), None, None])
        for w in worlds:
            later(w.put(in_rack(drained if name in now_drained else up, name)), wait)
        if again is not None:
            now = worlds[again].now
            worlds[again] = worlds[again].restarted()
            later(worlds[again], now)
        for selector in ("", "rack=a", "rack=b"):
            got = sent_by(worlds, selector).split()
            assert got
            own = {n for n in NAMES if parse_selector(selector).matches(in_rack(up, n).labels)}
            if own - now_drained:
                assert any("*" not in g for g in got)


def test_what_is_due_is_the_end_of_the_next_drain() -> None:
    drains = NodeDrains(DRAIN)
    assert drains.observe({"a": up("n1"), "b": up("n2")}, 0.0) == set()
    assert drains.due is None
    assert drains.observe({"a": drained("n1")}, 10.0) == {"a"}
    assert drains.observe({"b": drained("n2")}, 20.0) == {"b"}
    assert drains.due == 40.0
    assert drains.observe({}, 40.0) == {"a"}
    assert drains.due == 50.0
    assert drains.observe({"b": up("n2")}, 45.0) == {"b"}
    assert drains.due is None


def said(w: World, name: str) -> tuple[str, str, bool]:
    """The reason and the sentence about a node, and whether it is a next hop."""
    (address,) = explain(w.planner, key("a"), w.now).addresses
    (found,) = (entry for entry in address.nodes if entry.node == name)
    return found.verdict.reason.value, found.verdict.message, found.next_hop is not None


def test_what_is_said_about_a_drained_node() -> None:
    cause = "by annotation example.com/drain"
    w = world(nodes=[up("n1"), up("n2")])
    assert said(w, "n1") == ("NextHop", "", True)
    later(w.put(drained("n1")), 8.4)
    text = (
        f"being drained {cause}: announced with GRACEFUL_SHUTDOWN for 22 more seconds, "
        "then withdrawn"
    )
    assert said(w, "n1") == ("Draining", text, True)
    later(w, 30)
    assert said(w, "n1") == ("Drained", f"drained {cause}", False)
    w.put(drained("n2"))
    text = f"being drained {cause}, but the last next hop: announced with GRACEFUL_SHUTDOWN"
    assert said(w, "n2") == ("LastNextHop", text, True)
    later(w, 31)
    text = f"drained {cause}, but the last next hop: announced with GRACEFUL_SHUTDOWN"
    assert said(w, "n2") == ("LastNextHop", text, True)
    assert said(w, "n1") == ("Drained", f"drained {cause}", False)
    w.put(up("n1", ready=False), drained("n2", ready=False))
    assert said(later(w, 10), "n2") == ("NotReady", "it is not Ready", False)
