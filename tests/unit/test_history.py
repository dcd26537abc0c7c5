"""The record of decisions: the ring, the log, causes, subjects, and what turns changed."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from itertools import pairwise

import pytest
from msgspec import structs
from msgspec.structs import replace

from porter_ryu.domain.address_changes import AddressChange, AddressChanges
from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.announcement import (
    NO_ATTRIBUTES,
    WITHDRAWN,
    Announcement,
    Announcements,
    NextHop,
    PathAttributes,
    Route,
    SentPath,
)
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Eip, EipStatus, Kind, ObjectKey
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.planner import Policy
from porter_ryu.domain.ports import Role
from porter_ryu.domain.text import changed_text
from porter_ryu.domain.turn import Turn
from porter_ryu.domain.verdict import PoolReason, Reason, Verdict
from porter_ryu.history.causes import Causes
from porter_ryu.history.change import Change, ChangeKind
from porter_ryu.history.observers import Observers
from porter_ryu.history.record import MAX_CHANGES, History
from porter_ryu.history.reload import record_refused_reload, record_reload
from porter_ryu.history.restart import Earlier, Left, compare
from porter_ryu.history.routes import AnnouncedRoutes
from porter_ryu.history.subject import About
from porter_ryu.history.turns import Cluster, TurnRecorder
from tests.unit.clock import Clock
from tests.unit.peers import peer
from tests.unit.world import World, key, node, service

WEB = key("web")
Table = dict[int | None, SentPath]
CLUSTER = Cluster(
    holders=lambda _address: (WEB,),
    eips=lambda: ["pool"],
    why_not=lambda _key: "NoUsableNode",
    node_names=lambda: {ip_address("192.168.0.1"): "n1"},
    holder_unknown=lambda _address: False,
)


def nothing() -> None:
    """No other greenthread has to run."""


def no_eip(_address: Address) -> None:
    """No Eip has the address."""


def paths(*names: str, attributes: PathAttributes = NO_ATTRIBUTES) -> Announcements:
    """Paths by these nodes."""
    hops = (NextHop(name, ip_address(f"192.168.0.{name[1:]}")) for name in names)
    return frozenset(Announcement(hop, attributes) for hop in hops)


def weighing(name: str, weight: int) -> Announcements:
    """The path by a node with a weight."""
    return paths(name, attributes=PathAttributes(bandwidth=weight))


def turn(**routes: Announcements) -> Turn:
    """A turn that wants these paths: `a8` is 203.0.113.8."""
    addresses = {ip_address(f"203.0.113.{name[1:]}"): wanted for name, wanted in routes.items()}
    return Turn(routes={a: Route(a, True, wanted) for a, wanted in addresses.items()})


def since(history: History, sequence: int) -> list[Change]:
    """The changes after one."""
    return list(history.since(sequence))


def about(history: History, subject: About, sequence: int = 0) -> list[Change]:
    """The changes after one about a subject."""
    return [change for change in history.since(sequence) if change.concerning(subject)]


class Scene:
    """A recorder whose first turn is over, as the process has it."""

    def __init__(self) -> None:
        self.history = History()
        self.causes = Causes()
        self.recorder = TurnRecorder(self.history, self.causes, CLUSTER, nothing)
        self.recorder.record(Turn())

    def take(self, wanted: Turn) -> None:
        """Takes a turn."""
        self.causes.begin_turn("timer", 100.0)
        self.recorder.record(wanted)

    def told(self) -> list[tuple[str, str, str, str]]:
        """Object, from, to and cause of each change after the first."""
        return [(c.object, c.before, c.after, c.cause) for c in since(self.history, 1)]


def test_the_ring_keeps_the_last_changes() -> None:
    history = History(now=lambda: 5.0)
    for number in range(MAX_CHANGES + 7):
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", "", ("node n1",))
    kept = since(history, 0)
    assert len(kept) == MAX_CHANGES
    assert (kept[0].sequence, kept[-1].sequence) == (8, MAX_CHANGES + 7)
    assert [c.object for c in since(history, MAX_CHANGES + 5)] == [f"r{MAX_CHANGES + 5}", "r10006"]
    assert since(history, 10**17) == []
    assert len(since(history, 3)) == MAX_CHANGES, "those before it are forgotten"
    assert (history.forgotten, history.incomplete()) == (7, {ChangeKind.ROUTE: 5.0})
    assert len(about(history, About("node n1"), 0)) == MAX_CHANGES
    assert about(history, About("node n2"), 0) == []


def test_a_storm_of_routes_does_not_push_out_the_others() -> None:
    history = History(now=lambda: 5.0)
    history.add(ChangeKind.ADDRESS, "default/web", "", "203.0.113.8", "Service default/web")
    history.add(ChangeKind.ROUTE, "203.0.113.8", "", "n1", "Service default/web")
    for number in range(300):
        history.add(ChangeKind.SESSION, "leaf", "down", "Established", str(number))
    for number in range(3 * MAX_CHANGES):
        if number % 120 == 0:
            history.add(ChangeKind.NODE, "n1", "usable", "not usable", "Node n1", ("node n1",))
        cause = "Node n1: NoUsableNode" if number % 3 else "Node n1, read 6.0 s before"
        history.add(ChangeKind.ROUTE, f"r{number}", "n1", "", cause, ("node n1",))
    kept = since(history, 0)
    assert len(kept) == MAX_CHANGES
    assert [c.sequence for c in kept] == sorted(c.sequence for c in kept)
    assert [c.object for c in kept[:3]] == ["default/web", "203.0.113.8", "leaf"]
    assert sum(c.kind is ChangeKind.SESSION for c in kept) == 300
    assert history.incomplete() == {ChangeKind.ROUTE: 5.0}
    storm = [c.sequence for c in kept if c.object.startswith("r")]
    assert storm[-1] - storm[0] == len(storm) - 1 + (len(storm) - 1) // 120, "its newest are kept"


def test_without_a_storm_the_oldest_are_forgotten() -> None:
    history = History()
    for number in range(MAX_CHANGES + 50):
        name = f"default/s{number % 2000}-{number // 4000}"
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", f"EndpointSlice {name}")
    assert since(history, 0)[0].object == "r50"
    assert len(since(history, 0)) == MAX_CHANGES


def test_a_storm_is_some_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    history = History(clock=clock)
    for number in range(100):
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", "Node n1")
    history.add(ChangeKind.NODE, "n1", "usable", "not usable", "Node n1")
    assert len(caplog.messages) == 31
    assert caplog.messages[0] == "route r0: none -> n1 (Node n1)"
    assert caplog.messages[-1] == "node n1: usable -> not usable (Node n1)"
    history.log_counts()
    clock.now += 30
    history.log_counts()
    history.log_counts()
    told = "70 more of this kind: route, because of Node n1 (70)"
    assert caplog.messages[31:] == [told]
    history.add(ChangeKind.ROUTE, "r1", "n1", "", "Node n1")
    assert caplog.messages[-1] == "route r1: n1 -> none (Node n1)"


def test_ten_minutes_of_churn_are_some_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()
    history = History(clock=clock)
    for second in range(600):
        for number in range(10):
            cause = f"EndpointSlice default/s{number}" if number else f"Service a/{second}"
            history.add(ChangeKind.ROUTE, f"r{number}", "n1", "n2", cause)
        clock.now += 1
        history.log_counts()
    assert len(caplog.messages) == 30 + 19 * 5 + 20
    shown = [text for text in caplog.messages if "more of this kind" not in text]
    told = [int(text.split()[0]) for text in caplog.messages if text not in shown]
    assert sum(told) + len(shown) == 6000, "none is left out in silence"
    assert caplog.messages[-1] == (
        "295 more of this kind: route, because of EndpointSlice default/s5 (30), EndpointSlice "
        "default/s6 (30), EndpointSlice default/s7 (30), others (205)"
    )
    clock.now += 100
    history.log_counts()
    for number in range(31):
        history.add(ChangeKind.ROUTE, f"r{number}", "n1", "n2", "x")
    assert len(caplog.messages) == 30 + 19 * 5 + 20 + 30, "a quiet time ends it"


@pytest.mark.parametrize(
    ("about", "subjects", "matches"),
    [
        ("default/web", ("203.0.113.8", "default/web"), True),
        ("default/web", ("default/web2", "node web"), False),
        ("203.0.113.8", ("203.0.113.8",), True),
        ("203.0.113.8/32", ("203.0.113.8",), True),
        ("203.0.113.8", ("203.0.113.0/24",), True),
        ("203.0.113.8", ("203.0.112.0/24", "2001:db8::/32", "a/24"), False),
        ("2001:DB8::0001", ("2001:db8::1",), True),
        ("2001:db8::1", ("2001:db8::/64",), True),
        ("203.0.113.0/24", ("203.0.113.8",), False),
        (" node  n1 ", ("node n1",), True),
        (" restart ", ("restart",), True),
        ("node restart", ("restart",), False),
        ("peer node", ("node peer",), False),
        ("eip pool", ("eip pool",), True),
    ],
)
def test_subjects(about: str, subjects: tuple[str, ...], matches: bool) -> None:
    assert About(about).matches(subjects) is matches


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "web",
        "a/b/c",
        "/web",
        "web/",
        "peer",
        "node",
        "restart x",
        "peer a b",
        "pod x",
        "1.2.3",
    ],
)
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAMESPACE/NAME, ADDRESS"):
        About(text)


def test_a_route_is_told_with_its_nodes_and_cause() -> None:
    scene = Scene()
    scene.causes.read(Kind.ENDPOINT_SLICE, key("web-1"), 99.0, WEB)
    scene.take(turn(a8=paths("n1", "n2")))
    scene.causes.read(Kind.NODE, ObjectKey("", "n2"), 99.5, gone=True)
    scene.take(turn(a8=paths("n1")))
    scene.take(turn(a8=paths("n1")))
    scene.causes.read(Kind.SERVICE, WEB, 99.5, gone=True)
    scene.take(turn(a8=WITHDRAWN))
    assert scene.told() == [
        ("203.0.113.8", "", "n1, n2", "EndpointSlice default/web-1"),
        ("203.0.113.8", "n1, n2", "n1", "Node n2 deleted"),
        ("203.0.113.8", "n1", "", "Service default/web deleted: NoUsableNode"),
    ]
    about = [c.about for c in since(scene.history, 1)]
    assert about[1] == ("203.0.113.8", "default/web", "node n2")


def test_weights_drains_and_other_attributes_are_told() -> None:
    routes = AnnouncedRoutes()
    routes.replace(turn(a8=paths("n1", "n2")))
    [weighted] = routes.update(turn(a8=weighing("n1", 3) | weighing("n2", 1)), nothing)
    assert weighted[1:] == ("n1, n2", "n1 weight 3, n2 weight 1", ("n1", "n2"))
    routes.replace(turn(a8=paths("n1")))
    [other] = routes.update(turn(a8=paths("n1", attributes=PathAttributes(med=7))), nothing)
    assert other[1:] == ("n1", "n1 with other attributes", ("n1",))


def test_an_aggregate_is_a_route() -> None:
    routes = AnnouncedRoutes()
    prefix = ip_network("203.0.113.0/24")
    [change] = routes.update(Turn(aggregates={prefix: paths("n1")}), nothing)
    assert change == (prefix, "", "n1", ("n1",))


def test_of_many_causes_those_that_concern_a_change_are_named() -> None:
    causes = Causes()
    for number in range(2000):
        causes.read(Kind.ENDPOINT_SLICE, key(f"s{number}"), 1.0, key(f"owner{number}"))
    causes.read(Kind.NODE, ObjectKey("", "n1"), 1.0)
    current = causes.begin_turn("timer", 2.0)
    assert current.read_at == 1.0
    assert current.of([key("owner7")]) == "EndpointSlice default/s7"
    general = "EndpointSlice default/s0, EndpointSlice default/s1, EndpointSlice default/s2"
    assert current.of([WEB]) == f"{general} and 1998 more"


def test_a_timer_names_the_node_that_was_read_before() -> None:
    causes = Causes()
    causes.read(Kind.NODE, ObjectKey("", "n1"), 9.0)
    causes.begin_turn("timer", 9.0)
    current = causes.begin_turn("timer", 10.04)
    assert current.read_at is None
    assert current.of([WEB], ["n1"]) == "Node n1, read 1.0 s before"
    assert current.of([WEB], ["n2"]) == "timer"
    assert causes.begin_turn("resync", 80.0).of([WEB], ["n1"]) == "resync"


def test_how_long_it_took_to_the_wire_is_filled_in_when_all_is_sent() -> None:
    scene = Scene()
    scene.causes.read(Kind.SERVICE, WEB, 99.0)
    scene.take(turn(a8=paths("n1")))
    [change] = since(scene.history, 1)
    assert change.delivery.seconds is None
    scene.recorder.sent(99.0, 0.25)
    assert change.delivery.seconds == 0.25
    scene.take(turn(a8=WITHDRAWN))
    assert since(scene.history, 2)[0].delivery.seconds is None, "a timer was not read"


def test_a_restart_counts_routes() -> None:
    first, second = (SentPath(ip_address(f"192.168.0.{n}")) for n in (1, 2))
    one: Table = {7: first}
    two: Table = {**one, 8: second}
    left: Left = {
        "leaf1": {
            ip_network("203.0.113.1"): two,
            ip_network("203.0.113.2"): two,
            ip_network("203.0.113.3"): one,
            ip_network("203.0.113.4"): one,
        },
        "without-add-path": {ip_network("203.0.113.1"): {None: second}},
    }
    routes = AnnouncedRoutes()
    both = paths("n1", "n2")
    routes.replace(turn(a1=both, a2=paths("n1"), a3=both, a5=paths("n1")))
    now, names = routes.known, {ip_address("192.168.0.1"): "n1"}
    found = compare(left, now, True, names, nothing)
    assert str(found) == "1 as before, 2 changed, 1 gone, 1 new"
    assert [(str(c.prefix), c.before, c.after, c.nodes) for c in found.changes] == [
        ("203.0.113.4", "n1", "", ("n1",)),
        ("203.0.113.2", "192.168.0.2, n1", "n1", ("192.168.0.2",)),
        ("203.0.113.3", "n1", "n1, n2", ("n2",)),
        ("203.0.113.5", "", "n1", ("n1",)),
    ], "first what is gone; a node that is not there any more is told by its address"
    some = "2 as before, 1 changed, 1 gone, 1 new"
    assert str(compare(left, now, False, names, nothing)) == some, "a peer may have only some"
    at_first = compare({}, now, True, names, nothing)
    assert (str(at_first), at_first.changes) == ("4 new", ()), "a first start"


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "new addresses"), ("10.1.0.0", "other addresses than on record")],
)
def test_many_addresses_of_a_start_are_new_unless_there_were_others(
    before: str, after: str
) -> None:
    history = History()
    recorder = TurnRecorder(history, Causes(), CLUSTER, nothing)
    recorder.restarted(Earlier())
    net = ip_network("10.0.0.0/16")
    given = {
        key(f"s{n}"): AddressChange("" if n else before, str(net[n]), (net[n],))
        for n in range(1500)
    }
    recorder.record(Turn(addresses=given))
    addresses, _ = since(history, 0)
    assert (addresses.object, addresses.after) == ("1500 Services", after)


def test_what_a_restart_did_to_one_of_many_is_on_record() -> None:
    history, causes = History(), Causes()
    recorder = TurnRecorder(history, causes, CLUSTER, nothing)
    net = ip_network("10.0.0.0/16")
    hops: Table = {1: SentPath(ip_address("192.168.0.1"))}
    recorder.restarted(Earlier({"leaf": {ip_network(net[n]): hops for n in range(1500)}}))
    wanted = {net[n]: Route(net[n], True, paths("n1", "n2")) for n in range(10, 1500)}
    recorder.record(Turn(routes=wanted))
    [change] = since(history, 0)
    assert change.after == "0 as before, 1490 changed, 10 gone, 0 new"
    assert len(change.parts) == 1000
    for text in ("restart", "node n2", "10.0.0.3", "10.0.0.11", "default/web"):
        [found] = [c.concerning(About(text)) for c in since(history, 0)]
        assert found is not None
        parts = found.parts if text == "restart" else [p for p in found.parts if text in p.about]
        assert len(parts) == len(found.parts) > 0
    [one] = [c.concerning(About("10.0.0.11")) for c in since(history, 0)]
    assert one is not None
    assert [(p.object, p.before, p.after) for p in one.parts] == [("10.0.0.11", "n1", "n1, n2")]
    assert change.concerning(About("10.0.9.9")) is None


def decision(name: str, held: str = "", reason: Reason = Reason.ALLOCATED) -> Decision:
    """A decision about a Service that holds an address."""
    addresses = (Held(ip_address(held), "pool"),) if held else ()
    verdict = Verdict(reason is Reason.ALLOCATED, reason, f"because of {reason.value}")
    return Decision(service(name), Outcome(addresses, verdict), None)


def test_the_addresses_of_services_are_told_with_the_reason() -> None:
    scene, changes = Scene(), AddressChanges(no_eip)
    steps = [
        None,
        decision("web", "203.0.113.8"),
        decision("web", "203.0.113.8"),
        decision("web", "203.0.113.9"),
        decision("web", reason=Reason.POOL_EXHAUSTED),
        decision("web", reason=Reason.POOL_EXHAUSTED),
        decision("web", reason=Reason.NO_POOL),
        None,
    ]
    for before, after in pairwise(steps):
        changes.note(WEB, before, after)
        scene.take(Turn(addresses=changes.pop()))
    assert [(c.before, c.after) for c in since(scene.history, 1)] == [
        ("", "203.0.113.8"),
        ("203.0.113.8", "203.0.113.9"),
        ("203.0.113.9", "no address: PoolExhausted"),
        ("no address: PoolExhausted", "no address: NoPool"),
        ("no address: NoPool", ""),
    ]
    assert since(scene.history, 3)[0].cause == "timer: because of PoolExhausted"
    assert since(scene.history, 2)[0].about == ("default/web", "203.0.113.8", "203.0.113.9")


def test_what_a_service_has_on_record_is_no_change() -> None:
    changes = AddressChanges(no_eip)
    known = service("web", ingress=(ip_address("203.0.113.8"),))
    changes.note(WEB, None, structs.replace(decision("web", "203.0.113.8"), service=known))
    assert changes.pop() == {}
    changes.note(WEB, None, structs.replace(decision("web", "203.0.113.9"), service=known))
    assert changes.pop()[WEB].before == "203.0.113.8"


def test_a_request_that_changed_while_no_process_ran_is_told() -> None:
    old, new = ip_address("203.0.113.8"), ip_address("203.0.113.9")
    world = World(Eip("pool", "203.0.113.8/29"))
    found = world.planner
    found.put(service("web", requested="203.0.113.9", ingress=(old,)))
    told = found.turn(nothing, now=100.0).addresses[WEB]
    assert (told.before, told.after) == (str(old), str(new))
    assert told.why == "it asks for 203.0.113.9"
    left: Left = {"leaf": {ip_network(old): {1: SentPath(ip_address("192.168.0.1"))}}}
    for unknown, why in (
        (False, "no Service has this address any more"),
        (True, "which Service had this address is not known: not every record can be read"),
    ):
        asked = {True: lambda _a: True, False: lambda _a: False}[unknown]
        cluster = Cluster(lambda _a: (), list, lambda _k: "", dict, asked)
        history = History()
        recorder = TurnRecorder(history, Causes(), cluster, nothing)
        recorder.restarted(Earlier(left))
        recorder.record(Turn(addresses={WEB: told}))
        restarts = (c for c in about(history, About("default/web")))
        [restart] = [c for c in restarts if c.kind is ChangeKind.RESTART]
        assert [(p.object, p.after) for p in restart.parts] == [(str(old), "")], "what it had"
        assert restart.parts[0].cause == f"this process started: {why}"


@pytest.mark.parametrize(
    ("pool", "had", "why"),
    [
        ("extra", "203.0.113.8", "it asks for Eip extra"),
        ("extra", "198.51.100.1", ""),  # of no Eip any more: what it asks for is not why
        (None, "198.51.100.1", ""),
    ],
)
def test_an_eip_that_is_asked_for_since_no_process_ran_is_told(
    pool: str | None, had: str, why: str
) -> None:
    world = World(Eip("pool", "203.0.113.8/29"), Eip("extra", "192.0.2.128/29", priority=1))
    world.planner.put(service("web", pool=pool, ingress=(ip_address(had),)))
    told = world.planner.turn(nothing, now=100.0).addresses[WEB]
    assert (told.before, told.after) == (had, "192.0.2.128" if pool else "203.0.113.8")
    assert told.why == why


def test_why_a_service_is_not_ours_any_more_is_told() -> None:
    world = World(Eip("pool", "203.0.113.8/29")).put(service("web"))
    other = structs.replace(service("web"), ours=False, not_ours="its class is other.io/lb")
    world.planner.put(other)
    found = world.planner.turn(nothing, now=100.0).addresses[WEB]
    assert (found.before, found.after, found.why) == ("203.0.113.8", "", other.not_ours)
    scene = Scene()
    scene.take(turn(a8=paths("n1")))
    scene.causes.read(Kind.SERVICE, WEB, 99.0)
    scene.take(structs.replace(turn(a8=WITHDRAWN), addresses={WEB: found}))
    causes = [c.cause for c in since(scene.history, 2)]
    assert causes == [
        f"Service default/web: {other.not_ours}",
        f"Service default/web: NoUsableNode, {other.not_ours}",
    ]


def test_many_addresses_at_a_start_are_one_change() -> None:
    history, changes = History(), AddressChanges(no_eip)
    recorder = TurnRecorder(history, Causes(), CLUSTER, nothing)
    for number in range(1500):
        changes.note(key(f"s{number}"), None, decision(f"s{number}", f"10.0.{number % 250}.1"))
    recorder.record(Turn(addresses=changes.pop()))
    told = since(history, 0)
    assert [c.object for c in told] == ["1500 Services", "routes"]
    assert len(told[0].parts) == 1000
    one = told[0].concerning(About("default/s7"))
    assert one is not None
    assert [(p.object, p.before, p.after) for p in one.parts] == [("default/s7", "", "10.0.7.1")]


def test_the_nodes_of_a_cluster() -> None:
    world = World(Eip("pool", "203.0.113.8/29"), policy=Policy(drain=DrainPolicy(cordoned=True)))
    world.put(node("n1", "192.168.0.1"), node("n2", "192.168.0.2"))
    found = []
    for after in (
        node("n1", "192.168.0.1"),
        node("n1", "192.168.0.1", unschedulable=True),
        node("n1", "192.168.0.1", network_unavailable=True),
        node("n1"),
    ):
        world.planner.put(after)
        found.append(dict(world.planner.turn(nothing, now=100.0).nodes))
    usable, draining = "usable", "draining because it is cordoned"
    down = "not usable: its condition NetworkUnavailable is true"
    assert found[:3] == [{}, {"n1": (usable, draining)}, {"n1": (draining, down)}]
    assert found[3]["n1"].after.startswith("IPv4: not usable: it has no IPv4 address")
    world.planner.remove(Kind.NODE, ObjectKey("", "n1"))
    assert world.planner.turn(nothing, now=100.0).nodes["n1"].after == ""


def test_the_fill_of_a_pool() -> None:
    scene = Scene()
    eip = Eip("pool", "203.0.113.0/29", status=EipStatus(True, PoolReason.VALID, "", usage=1))
    for usage, reason in ((1, PoolReason.VALID), (2, PoolReason.VALID), (2, PoolReason.OVERLAPS)):
        ready = reason is PoolReason.VALID
        scene.take(Turn([(eip, EipStatus(ready, reason, "", usage=usage))]))
    assert [c.after for c in since(scene.history, 1)] == ["2 of 0 used", "2 of 0 used, Overlaps"]
    assert about(scene.history, About("eip pool"), 1) == since(scene.history, 1)


def test_sessions_and_roles() -> None:
    history = History()
    observers = Observers(history)
    config = peer("leaf1")
    observers.session(config, False, "AS 65003, expected 65099")
    observers.session(config, True, "connected by us")
    observers.session(config, False, "the peer sent Cease")
    observers.role(Role.UNKNOWN, Role.LEADER)
    told = [(c.kind.value, c.object, c.before, c.after) for c in since(history, 0)]
    assert told == [
        ("session", "leaf1", "", "not up yet"),
        ("session", "leaf1", "down", "Established"),
        ("session", "leaf1", "Established", "down"),
        ("leader", "this instance", "unknown", "leads"),
    ]
    assert len(about(history, About("peer leaf1"), 0)) == 3


def test_what_becomes_of_an_earlier_run_and_the_stop_by_the_operator() -> None:
    history = History()
    observers = Observers(history)
    observers.replay(60)
    observers.stop(withdraw=True, stay=True)
    assert [(c.kind.value, c.object, c.after, c.cause) for c in since(history, 0)] == [
        (
            "restart",
            "routes",
            "60 paths are announced again as an earlier run announced them",
            "the cluster has not been read",
        ),
        (
            "leader",
            "this instance",
            "stopped by the operator",
            "porter-ryu stop --withdraw --stay",
        ),
    ]


def test_a_reload_names_the_peers() -> None:
    history = History()
    one, two, other = peer("one"), peer("two"), replace(peer("one"), hold_time=7)
    record_reload(history, [one], [one], [], "SIGHUP")
    record_reload(history, [one], [other, two], ["[porter] x: A, B"], "SIGHUP")
    record_reload(history, [one, two], [one], [], "SIGHUP")
    record_refused_reload(history, ["[bgp] local_as: no number"], "a changed file")
    assert [c.after for c in since(history, 0)] == [
        "in force, peers: as before",
        "in force, peers: with two; changed one (hold_time); [porter] x: A, B",
        "in force, peers: without two",
        "not in force: [bgp] local_as: no number",
    ]
    assert len(about(history, About("peer two"), 0)) == 2


def test_bindings_and_repairs() -> None:
    scene = Scene()
    scene.recorder.bound([ip_network("203.0.113.8")], True, "")
    scene.recorder.bound([ip_network("203.0.113.8")], True, "it had been removed")
    scene.recorder.bound([ip_network(f"10.0.{n}.0") for n in range(250)] * 5, False, "")
    told = [(c.object, c.before, c.after) for c in since(scene.history, 1)]
    bound = ("203.0.113.8", "", "bound")
    assert told == [bound, bound, ("1250 addresses", "bound", "")]
    assert len(about(scene.history, About("10.0.7.0"))) == 1, "one of many"
    assert len(about(scene.history, About("203.0.113.8"))) == 2


def test_an_error_in_the_record_is_logged_and_fails_no_turn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(_address: Address) -> tuple[ObjectKey, ...]:
        raise RuntimeError("oops")

    history = History()
    recorder = TurnRecorder(
        history, Causes(), Cluster(fails, list, str, dict, lambda _: False), nothing
    )
    recorder.record(Turn())
    recorder.record(turn(a8=paths("n1")))
    assert "what a turn changed is not recorded completely" in caplog.messages
    assert [c.kind.value for c in since(history, 0)] == ["restart"]


def test_ten_thousand_routes_at_a_start_are_one_change_and_cheap() -> None:
    wanted = Turn(
        routes={
            a: Route(a, True, paths("n1", "n2"))
            for a in (ip_network("10.0.0.0/16")[number] for number in range(10_000))
        }
    )
    hops: Table = {n: SentPath(ip_address(f"192.168.0.{n}")) for n in (1, 2)}
    left: Left = {"leaf": {ip_network(a.packed): hops for a in wanted.routes}}
    history, causes = History(), Causes()
    recorder = TurnRecorder(history, causes, CLUSTER, nothing)
    recorder.restarted(Earlier(left))
    began = time.process_time()
    recorder.record(wanted)
    assert time.process_time() - began < 0.5, "measured: 0.05 s"
    [change] = since(history, 0)
    assert change.before == "10000 announced by an earlier run"
    assert change.after == "10000 as before, 0 changed, 0 gone, 0 new"


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("", "n1", "none -> n1"),
        ("n1, n2", "n1", "n1, n2 -> n1"),
        (", ".join("abcdefg"), ", ".join("abcdefh"), "7 -> 7: without g, with h"),
        (", ".join("abcdefg"), ", ".join("abcdef"), "7 -> 6: without g"),
        (", ".join("abcdefg"), "", "a, b, c, d, e and 2 more -> none"),
    ],
)
def test_long_lists_are_folded(before: str, after: str, text: str) -> None:
    assert changed_text(before, after) == text
