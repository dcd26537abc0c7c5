"""What a change is blamed on: a route that follows from an address has the cause of the address."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from porter_ryu.domain.address_states import is_holder_unknown
from porter_ryu.domain.announcement import SentPath
from porter_ryu.domain.model import Eip, EndpointSlice, Kind, Node, ObjectKey, Service
from porter_ryu.domain.nodes.drain import DrainPolicy
from porter_ryu.domain.objects import Object
from porter_ryu.domain.planner import Policy
from porter_ryu.history.causes import Causes
from porter_ryu.history.change import Change, ChangeKind
from porter_ryu.history.record import History
from porter_ryu.history.restart import Comparison, Earlier, Left, RestartCauses
from porter_ryu.history.routes import RouteChange
from porter_ryu.history.subject import About
from porter_ryu.history.turns import Cluster, TurnRecorder
from tests.unit.world import World, endpoints, key, node, service

MAIN = Eip("main", "203.0.113.0/29")
HALF = Eip("main", "203.0.113.0/30")
EXTRA = Eip("extra", "198.51.100.128/29", priority=1)


class Lab:
    """A planner, and a recorder of its turns; what is written comes back when `read_back` is
    called."""

    def __init__(
        self, *objects: Object, earlier: Earlier | None = None, cordoned: bool = False
    ) -> None:
        self.world = World(policy=Policy(drain=DrainPolicy(cordoned=cordoned)))
        self.planner = self.world.planner
        self.history, self.causes = History(), Causes()
        cluster = Cluster(
            self.planner.allocator.holders,
            lambda: {eip.name for eip in self.planner.cluster.eips.values()},
            self.planner.why_not,
            lambda: {
                e.address: n.name for n in self.planner.cluster.nodes.values() for e in n.addresses
            },
            lambda address: is_holder_unknown(self.planner, address),
        )
        self.recorder = TurnRecorder(self.history, self.causes, cluster, lambda: None)
        self.recorder.restarted(earlier or Earlier())
        self.written: dict[ObjectKey, Service] = {}
        self.now = 0.0
        for obj in objects:
            self.world.stage(obj)
        self.turn()

    def read(self, *objects: Object) -> Lab:
        """Objects are read, with the status that is on record."""
        for obj in objects:
            self.now += 1
            self.world.stage(obj)
            stored = self.planner.cluster.services.get(obj.key)
            record = stored.ingress if isinstance(obj, Service) and stored else ()
            owner = obj.service if isinstance(obj, EndpointSlice) else None
            self.causes.read(obj.kind, obj.key, self.now, owner, record=record)
        return self

    def remove(self, kind: Kind, name: ObjectKey) -> Lab:
        """An object is gone."""
        self.now += 1
        self.planner.remove(kind, name)
        self.written.pop(name, None)
        self.causes.read(kind, name, self.now, gone=True)
        return self

    def turn(self) -> Lab:
        """Takes a turn; what it writes is on its way."""
        self.causes.begin_turn("timer", self.now)
        turn = self.planner.turn(lambda: None, now=self.now)
        for obj, status in turn.statuses:
            if obj.status == status:
                continue
            written = self.world._written(obj, status)
            if isinstance(written, Service):
                self.written[obj.key] = written
            else:
                self.planner.put(written)
        self.recorder.record(turn)
        return self

    def read_back(self) -> Lab:
        """What was written is read, and turns follow."""
        while self.written:
            written, self.written = self.written, {}
            for obj in written.values():
                now = self.planner.cluster.services.get(obj.key)
                if now is None:
                    continue
                self.now += 1
                self.planner.put(obj)
                self.causes.read(Kind.SERVICE, obj.key, self.now, record=obj.ingress)
            self.turn()
        return self

    def settle(self) -> Lab:
        """A turn, and all that follows."""
        return self.turn().read_back()

    def changes(self, kind: ChangeKind, after: int = 0) -> list[Change]:
        """The changes of a kind after a number."""
        return [change for change in self.history.since(after) if change.kind is kind]


def services(number: int) -> list[Object]:
    """Services with an endpoint each."""
    names = [f"s{n}" for n in range(number)]
    return [obj for name in names for obj in (service(name), endpoints(name, "n1"))]


def test_a_route_follows_from_the_edit_of_an_eip() -> None:
    lab = Lab(MAIN, node("n1", "192.168.0.1"), *services(8)).read_back()
    assert len(lab.changes(ChangeKind.ROUTE)) == 8
    seen = lab.history.last
    lab.read(HALF, EXTRA, endpoints("s1", "n1"), node("n1", "192.168.0.1")).settle()
    moved = lab.changes(ChangeKind.ADDRESS, seen)
    assert [change.after for change in moved] == [f"198.51.100.{n}" for n in (128, 129, 130, 131)]
    routes = lab.changes(ChangeKind.ROUTE, seen)
    assert len([change for change in routes if change.after]) == 4
    causes = {change.cause.partition(":")[0] for change in (*moved, *routes)}
    assert causes == {"Eip main, Eip extra"}
    pools = {change.object: change.cause for change in lab.changes(ChangeKind.POOL, seen)}
    assert pools == {"main": "Eip main, Eip extra", "extra": "Eip extra, Eip main"}


def test_a_pool_is_not_blamed_on_what_was_read_in_the_same_turn() -> None:
    lab = Lab(MAIN, node("n1", "192.168.0.1"), *services(5)).read_back()
    seen = lab.history.last
    lab.read(*(endpoints(f"s{n}", "n1") for n in range(1, 5)))
    lab.remove(Kind.SERVICE, key("s0")).settle()
    [pool] = lab.changes(ChangeKind.POOL, seen)
    assert (pool.before, pool.after) == ("5 of 8 used", "4 of 8 used")
    assert pool.cause == "Service default/s0 deleted"


def test_what_comes_later_is_not_blamed_on_the_address() -> None:
    lab = Lab(node("n1", "192.168.0.1"), service("web"), endpoints("web", "n1", ready=False))
    lab.read_back().read(MAIN).settle()
    assert lab.changes(ChangeKind.ADDRESS)[-1].cause == "Eip main"
    lab.read(endpoints("web", "n1")).settle()
    assert lab.changes(ChangeKind.ROUTE)[-1].cause == "EndpointSlice default/web-4"


def test_a_status_that_is_read_while_the_turn_goes_on_is_no_cause() -> None:
    causes = Causes()
    web, addresses = key("web"), [ip_address("203.0.113.1")]
    causes.read(Kind.EIP, ObjectKey("", "main"), 1.0)
    causes.begin_turn("timer", 1.0)
    causes.read(Kind.SERVICE, web, 2.0, record=addresses)
    current = causes.begin_turn("timer", 2.0, goes_on=True)
    causes.gave(web, addresses, addresses, "Eip main")
    assert current.carried[addresses[0]].cause == "Eip main"
    assert current.of() == "Eip main"


def test_a_status_that_comes_with_a_list_is_no_cause() -> None:
    causes = Causes()
    web, addresses = key("web"), [ip_address("203.0.113.1")]
    causes.begin_turn("timer", 1.0)
    causes.gave(web, addresses, addresses, "Eip main")
    causes.listed(web, [])
    causes.listed(web, addresses)
    assert causes.begin_turn("timer", 2.0).carried[addresses[0]].cause == "Eip main"


def test_what_a_start_gives_is_about_the_restart() -> None:
    old = ip_address("203.0.113.1")
    web = service("web", requested="203.0.113.2", ingress=(old,))
    lab = Lab(MAIN, node("n1", "192.168.0.1"), web, endpoints("web", "n1")).read_back()
    told = [
        (c.kind.value, c.object, c.cause)
        for c in lab.history.since(0)
        if c.concerning(About("restart"))
    ]
    assert told == [
        ("address", "default/web", "this process started: it asks for 203.0.113.2"),
        ("restart", "routes", "this process started"),
        ("route", "203.0.113.2", "this process started"),
    ]
    [restart] = lab.changes(ChangeKind.RESTART)
    assert restart.after.endswith("0 new, 1 new address is announced once on record")


def test_a_restart_says_which_nodes_are_no_next_hops_any_more() -> None:
    """The drain of a node is over after a restart."""
    left: Left = {
        "leaf": {
            ip_network(f"203.0.113.{n}"): {
                1: SentPath(ip_address("192.168.0.1")),
                2: SentPath(ip_address("192.168.0.2")),
            }
            for n in range(2)
        }
    }
    nodes = [node("n1", "192.168.0.1"), node("n2", "192.168.0.2", unschedulable=True)]
    found = [
        obj
        for n in range(2)
        for obj in (
            service(f"s{n}", ingress=(ip_address(f"203.0.113.{n}"),)),
            endpoints(f"s{n}", "n1", "n2"),
        )
    ]
    lab = Lab(MAIN, *nodes, *found, earlier=Earlier(left, forgetful=("leaf",)), cordoned=True)
    [restart] = lab.changes(ChangeKind.RESTART)
    assert restart.after == "0 as before, 2 changed, 0 gone, 0 new"
    assert restart.cause == (
        "this process started; 2 changed: n2 is drained because it is cordoned (a restart ends a "
        "drain); with BFD a restart may have removed the routes at leaf for a while"
    )


def causes_about(lab: Lab, subject: str) -> list[tuple[str, str]]:
    """The kind and the cause of each change about a subject."""
    found = (change.concerning(About(subject)) for change in lab.history.since(0))
    return [(change.kind.value, change.cause) for change in found if change is not None]


def test_each_route_that_a_restart_changed_has_its_own_cause() -> None:
    """While no process ran, s0 was deleted, s1 asked for another Eip, s2 lost its endpoints, n3 was
    drained, and n1 got no endpoint of s5 any more."""
    hops: dict[int | None, SentPath] = {
        n: SentPath(ip_address(f"192.168.0.{n}")) for n in (1, 2, 3)
    }
    left: Left = {"leaf": {ip_network(f"203.0.113.{n}"): hops for n in range(6)}}
    nodes = [node(f"n{n}", f"192.168.0.{n}") for n in (1, 2)]
    found: list[Object] = []
    for n in range(1, 6):
        pool = "extra" if n == 1 else None
        found.append(service(f"s{n}", pool=pool, ingress=(ip_address(f"203.0.113.{n}"),)))
        if n in (3, 4):
            found.append(endpoints(f"s{n}", "n1", "n2", "n3"))
        elif n == 5:
            found.append(endpoints(f"s{n}", "n2", "n3"))
    drained = node("n3", "192.168.0.3", unschedulable=True)
    lab = Lab(MAIN, EXTRA, *nodes, drained, *found, earlier=Earlier(left), cordoned=True)
    lab.read_back()
    is_drained = "n3 is drained because it is cordoned (a restart ends a drain)"
    no_service = "no Service has this address any more"
    [restart] = lab.changes(ChangeKind.RESTART)
    assert restart.after.startswith("0 as before, 3 changed, 3 gone, 0 new")
    assert restart.cause == (
        f"this process started; 3 changed: {is_drained}; 2 gone: {no_service}; "
        "1 gone: NoReadyEndpoints"
    )
    gone = [("restart", f"this process started: {no_service}")]
    assert causes_about(lab, "203.0.113.0") == gone
    assert causes_about(lab, "203.0.113.1")[-1:] == gone
    assert causes_about(lab, "default/s1") == [
        ("address", "this process started: it asks for Eip extra"),
        *gone,
    ]
    assert causes_about(lab, "203.0.113.2") == [
        ("restart", "this process started: NoReadyEndpoints")
    ]
    assert causes_about(lab, "203.0.113.3") == [("restart", f"this process started: {is_drained}")]
    assert causes_about(lab, "node n3") == [("restart", restart.cause)], "for several reasons"


def test_of_many_reasons_the_most_frequent_are_told() -> None:
    changes = [RouteChange(ip_address(f"10.0.0.{n}"), "n1", "", ("n1",)) for n in range(9)]
    changes.append(RouteChange(ip_network("10.0.0.0/24"), "n1", "", ("n1",)))
    reasons = [*["NoUsableNode"] * 3, *["Conflict"] * 2, *["NoPool"] * 2, "Failed", ""]
    found = Comparison(0, 0, 10, 0, tuple(changes))

    def causes_of(found: Comparison) -> RestartCauses:
        return RestartCauses(
            Earlier(),
            found,
            {"n1": "not usable: it is not Ready"},
            lambda address: [key(str(int(address) % 256))],
            lambda service: reasons[int(service.name)],
            lambda _: False,
        )

    causes = causes_of(found)
    told = [causes.of_route(change) for change in changes]
    no_node = "NoUsableNode: n1 is not usable: it is not Ready"
    assert told[:1] == [f"this process started: {no_node}"]
    assert told[-2:] == ["this process started"] * 2, "no reason is known"
    assert causes.of_all() == (
        f"this process started; 3 gone: {no_node}; 2 gone: Conflict; 2 gone: NoPool; "
        "1 for other reasons"
    )
    some = causes_of(Comparison(0, 0, 1500, 0, tuple(changes)))
    some.of_route(changes[3])
    assert some.of_all() == "this process started; gone: Conflict", "not all were looked at"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("eip"), st.sampled_from([MAIN, HALF, EXTRA])),
        st.tuples(st.just("no eip"), st.sampled_from(["main", "extra"])),
        st.tuples(st.just("service"), st.integers(0, 9)),
        st.tuples(st.just("no service"), st.integers(0, 9)),
        st.tuples(st.just("endpoints"), st.integers(0, 9)),
        st.tuples(st.just("node"), st.booleans()),
        st.just(("turn", 0)),
        st.just(("read back", 0)),
    ),
    max_size=30,
)


def take(lab: Lab, step: str, value: object) -> None:
    """One step."""
    if isinstance(value, Eip):
        lab.read(value)
    elif step == "no eip":
        lab.remove(Kind.EIP, ObjectKey("", str(value)))
    elif step == "service":
        lab.read(service(f"s{value}"))
    elif step == "no service":
        lab.remove(Kind.SERVICE, key(f"s{value}"))
    elif step == "endpoints":
        lab.read(endpoints(f"s{value}", "n1"))
    elif step == "node":
        ready: Node = node("n1", "192.168.0.1", ready=bool(value))
        lab.read(ready)
    else:
        lab.settle() if step == "read back" else lab.turn()


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_route_has_the_cause_of_the_address_that_it_follows(
    steps: list[tuple[str, object]],
) -> None:
    lab = Lab(MAIN, node("n1", "192.168.0.1"), *services(6)).read_back()
    for step, value in steps:
        take(lab, step, value)
    lab.settle()
    edited = {f"s{value}" for step, value in steps if step == "service"}
    given_because: dict[str, str] = {}
    for change in lab.history.since(0):
        if change.kind is ChangeKind.ADDRESS and change.after and "no address" not in change.after:
            given_because[change.after] = change.cause.partition(":")[0]
        elif change.kind is ChangeKind.ROUTE and change.after and not change.before:
            because = given_because.get(change.object)
            own = f"Service {change.about[1]}"
            # an edit may be read with the status that a write before has yet to replace
            if because is not None and own in change.cause and own.split("/")[1] not in edited:
                assert own in because, "its own status is the cause of nothing"
            if change.cause == because:
                given_because.pop(change.object)
