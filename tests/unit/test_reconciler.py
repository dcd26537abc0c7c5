"""The main loop: it takes a turn when something changed and continues after errors; bindings depend
on the role of the instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest
from ryu.lib import hub

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Eip, Kind, Network, ObjectKey, Service
from porter_ryu.domain.objects import Object
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.domain.ports import Role
from porter_ryu.domain.prefix import host_prefix
from porter_ryu.domain.turn import Turn
from porter_ryu.effects import Effects
from porter_ryu.history.causes import STARTED
from porter_ryu.leadership import Leadership
from porter_ryu.null_parts import NoWriter
from porter_ryu.reconciler import Reconciler
from porter_ryu.supervisor import Supervisor
from tests.unit.until import until
from tests.unit.world import endpoints, key, node, service

EIP = ip_network("10.0.0.1/32")


class Bindings:
    """A BindingTarget in memory; addresses of an earlier run stay until `complete`."""

    def __init__(self, *left: Network) -> None:
        self.bound = set(left)
        self._wanted: set[Network] = set()

    def bind(self, addresses: frozenset[Network]) -> None:
        """Binds at once."""
        self._wanted |= addresses
        self.bound |= addresses

    def unbind(self, addresses: frozenset[Network]) -> None:
        """Unbinds at once."""
        self._wanted -= addresses
        self.bound -= addresses

    def complete(self) -> None:
        """Unbinds what is not wanted."""
        self.bound &= self._wanted


@dataclass
class Instance:
    """The parts that a test needs."""

    planner: Planner
    leadership: Leadership
    reconciler: Reconciler


def instance(bindings: Bindings) -> Instance:
    """An instance that binds if it leads, with a Service that has an address on record."""
    planner, status = Planner(Policy(), leading=False), NoWriter()
    leadership = Leadership(planner, status, bind_only_leading=True)
    made = Reconciler(planner, Effects([], bindings, status, leadership), 300)
    pool, web, n1 = Eip("pool", "10.0.0.1"), service("web", ingress=(ip_address("10.0.0.1"),)), "n1"
    slices = endpoints("web", n1)
    lists: Mapping[Kind, list[Object]] = {
        Kind.EIP: [pool],
        Kind.SERVICE: [web],
        Kind.NODE: [node(n1, "192.168.0.1")],
        Kind.NAMESPACE: [],
        Kind.ENDPOINT_SLICE: [slices],
    }
    for kind, objects in lists.items():
        made.replace(kind, objects, 0.0)
    made.turn()
    return Instance(planner, leadership, made)


def set_role(made: Instance, role: Role) -> None:
    """Sets the role and takes a turn."""
    made.leadership.set_role(role)
    made.reconciler.turn()


def test_bindings_of_an_earlier_run_stay_until_the_role_is_known() -> None:
    stale = ip_network("10.0.0.9/32")
    bindings = Bindings(EIP, stale)
    made = instance(bindings)
    assert made.reconciler.synced
    assert bindings.bound == {EIP, stale}
    set_role(made, Role.LEADER)
    assert bindings.bound == {EIP}, "the wanted address stayed bound all the time"


def test_a_follower_unbinds() -> None:
    bindings = Bindings(EIP)
    set_role(instance(bindings), Role.FOLLOWER)
    assert bindings.bound == set()


def test_an_unreachable_api_server_unbinds_nothing() -> None:
    bindings = Bindings()
    made = instance(bindings)
    for role in (Role.LEADER, Role.UNKNOWN, Role.LEADER, Role.UNKNOWN):
        set_role(made, role)
        assert bindings.bound == {EIP}
        assert made.planner.leading is (role is Role.LEADER), "but it does not assign"
    set_role(made, Role.FOLLOWER)
    assert bindings.bound == set()
    set_role(made, Role.UNKNOWN)
    assert bindings.bound == set()


@pytest.mark.parametrize("role", Role)
def test_a_retired_reconciler_does_nothing(role: Role) -> None:
    bindings = Bindings(EIP)
    made = instance(bindings)
    made.reconciler.retire()
    set_role(made, role)
    assert bindings.bound == {EIP}
    assert not made.reconciler.synced


def recorded(name: str, address: str) -> Service:
    """A Service with an address on record."""
    return service(name, ingress=(ip_address(address),))


class Subscribed:
    """A running reconciler with a subscriber that raises for the next `failures` turns."""

    def __init__(self, resync_seconds: float = 300, leading: bool = True) -> None:
        self.turns: list[Turn] = []
        self.failures = 0
        planner, status = Planner(Policy(), leading), NoWriter()
        self.leadership = Leadership(planner, status, bind_only_leading=False)
        effects = Effects([], Bindings(), status, self.leadership)
        self.reconciler = Reconciler(planner, effects, resync_seconds)
        self.reconciler.subscribe(self._on_turn)
        self.supervisor = Supervisor()
        self.task = self.supervisor.keep_running("turns", self.reconciler.run)

    def _on_turn(self, turn: Turn) -> None:
        self.turns.append(turn)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a fault of ours")

    def read_all(self) -> None:
        """Stores the first lists, with a pool and one Service that has an address on record."""
        lists: dict[Kind, list[Object]] = {
            Kind.EIP: [Eip("pool", "10.0.0.0/28")],
            Kind.SERVICE: [recorded("web", "10.0.0.1")],
        }
        for kind in Kind:
            self.reconciler.replace(kind, lists.get(kind, []), 0.0)

    def decided(self) -> list[list[str]]:
        """The Services that each turn decided."""
        return [
            sorted(obj.key.name for obj, _ in turn.statuses if isinstance(obj, Service))
            for turn in self.turns
        ]


@pytest.fixture
def subscribed() -> Iterator[Subscribed]:
    """One for which all lists are stored."""
    subscribed = Subscribed()
    subscribed.read_all()
    yield subscribed
    subscribed.task.end()


def test_nothing_is_decided_before_every_kind_was_listed() -> None:
    subscribed = Subscribed()
    subscribed.reconciler.replace(Kind.SERVICE, [service("web")], 0.0)
    subscribed.reconciler.turn()
    assert subscribed.turns == []
    assert not subscribed.reconciler.synced
    subscribed.task.end()


def test_what_the_first_lists_lead_to_has_the_start_as_its_cause(subscribed: Subscribed) -> None:
    subscribed.task.end()  # on a busy machine a turn lets it run, and it would take another one
    reconciler = subscribed.reconciler
    reconciler.turn()
    causes = reconciler.causes.current
    assert (causes.of(), causes.of_pool("pool", [])) == (STARTED, STARTED)
    reconciler.replace(Kind.SERVICE, [service("web")], 9.0)
    reconciler.turn()
    assert reconciler.causes.current.of() == "the list of services"


def test_an_instance_that_takes_the_lease_at_its_start_decides_everything_once() -> None:
    subscribed, tried = Subscribed(leading=False), hub.Event()
    subscribed.reconciler.await_role = tried.wait
    subscribed.read_all()
    hub.sleep(0)
    assert subscribed.turns == []
    subscribed.leadership.set_role(Role.LEADER)
    tried.set()
    until(lambda: subscribed.turns, "the first turn")
    subscribed.reconciler.put(recorded("api", "10.0.0.2"), 0.0)
    until(lambda: len(subscribed.turns) == 2, "a turn for the new one")
    assert subscribed.decided() == [["web"], ["api"]], "the first one decides as the leader"
    subscribed.task.end()


def test_it_takes_a_turn_when_something_changed_and_not_before(subscribed: Subscribed) -> None:
    until(lambda: subscribed.turns, "the first turn")
    assert subscribed.reconciler.synced
    subscribed.reconciler.put(recorded("api", "10.0.0.2"), 0.0)
    until(lambda: len(subscribed.turns) == 2, "a turn for the new one")
    assert subscribed.decided() == [["web"], ["api"]], "each is decided when it changed"


def test_a_burst_that_comes_during_a_turn_is_one_turn(subscribed: Subscribed) -> None:
    until(lambda: subscribed.turns, "the first turn")

    def put(number: int) -> None:
        subscribed.reconciler.put(recorded(f"s{number}", f"10.0.0.{number}"), 0.0)

    def during(_turn: Turn) -> None:
        if len(subscribed.turns) == 2:
            put(3)
            for number in (4, 5, 6):
                hub.spawn(put, number)

    subscribed.reconciler.subscribe(during)
    put(2)
    until(lambda: len(subscribed.turns) == 3, "the turn for the burst")
    assert subscribed.decided() == [["web"], ["s2"], ["s3", "s4", "s5", "s6"]]


def test_after_a_failed_turn_everything_is_decided_again(
    subscribed: Subscribed, caplog: pytest.LogCaptureFixture
) -> None:
    until(lambda: subscribed.turns, "the first turn")
    subscribed.failures = 2
    subscribed.reconciler.put(recorded("api", "10.0.0.2"), 0.0)
    until(lambda: len(subscribed.turns) == 4, "two turns fail, and a third does not")
    assert subscribed.decided() == [["web"], ["api"], ["api", "web"], ["api", "web"]]
    assert caplog.text.count("a turn failed: everything is decided again") == 2
    assert subscribed.supervisor.faults == ()


def test_everything_is_decided_again_at_each_resync() -> None:
    subscribed = Subscribed(resync_seconds=0.01)
    subscribed.read_all()
    until(lambda: len(subscribed.turns) > 1, "a resync")
    assert subscribed.decided()[:2] == [["web"], ["web"]]
    subscribed.task.end()


class Routes:
    """A RouteTarget in memory; `sizes`: how many prefixes were set at a time.  `complete_with`: how
    many it had when it was complete."""

    def __init__(self) -> None:
        self.routes: dict[Network, Announcements] = {}
        self.sizes: list[int] = []
        self.complete_with: int | None = None

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Sets them at once."""
        self.routes |= routes
        self.sizes.append(len(routes))

    def announces(self, prefix: Network) -> bool:
        """Whether it was set."""
        return bool(self.routes.get(prefix))

    def complete(self) -> None:
        """Nothing is left of an earlier run."""
        self.complete_with = len(self.routes)


def many_listed(routes: Routes, policy: Policy) -> Reconciler:
    """A follower that has read 1,200 Services on two nodes, and taken no turn."""
    planner, status = Planner(policy, leading=False), NoWriter()
    leadership = Leadership(planner, status, bind_only_leading=True)
    made = Reconciler(planner, Effects([routes], Bindings(), status, leadership), 300)
    names = [f"s{number}" for number in range(1200)]
    first = ip_address("10.0.0.1")
    lists: Mapping[Kind, list[Object]] = {
        Kind.EIP: [Eip("pool", "10.0.0.0/16")],
        Kind.SERVICE: [service(name, ingress=(first + i,)) for i, name in enumerate(names)],
        Kind.NODE: [node("n1", "192.168.0.1"), node("n2", "192.168.0.2")],
        Kind.NAMESPACE: [],
        Kind.ENDPOINT_SLICE: [endpoints(name, "n1", "n2") for name in names],
    }
    for kind, objects in lists.items():
        made.replace(kind, objects, 0.0)
    return made


def many(routes: Routes, policy: Policy) -> Reconciler:
    """A follower with 1,200 announced Services on two nodes."""
    made = many_listed(routes, policy)
    while not made.synced:
        made.turn()
    routes.sizes.clear()
    return made


def test_a_start_sends_the_first_routes_before_the_last_are_decided() -> None:
    routes, told = Routes(), list[Turn]()
    made = many_listed(routes, Policy())
    made.subscribe(told.append)
    made.turn()
    assert routes.sizes == [1000]
    assert (made.synced, routes.complete_with, told) == (False, None, []), "End-of-RIB has to wait"
    made.turn()
    assert routes.sizes == [1000, 200]
    assert (made.synced, routes.complete_with) == (True, 1200)
    assert [len(turn.routes) for turn in told] == [1000, 200]


def test_a_start_in_parts_waits_for_the_role_once() -> None:
    """The API server may not answer for the Lease, and each wait is a second."""
    awaited = list[None]()
    made = many_listed(Routes(), Policy())
    made.await_role = lambda: awaited.append(None)
    task = Supervisor().keep_running("turns", made.run)
    until(lambda: made.synced, "the whole table")
    task.end()
    assert len(awaited) == 1


def test_what_changes_while_a_start_is_decided_is_right_when_it_is_complete() -> None:
    routes = Routes()
    made = many_listed(routes, Policy())
    made.turn()
    address = ip_address("10.0.0.1")
    decided = int(next(iter(routes.routes)).network_address) - int(address)
    left = next(n for n in range(1200) if host_prefix(address + n) not in routes.routes)
    made.remove(Kind.SERVICE, key(f"s{decided}"), 1.0)
    made.remove(Kind.SERVICE, key(f"s{left}"), 1.0)
    made.put(endpoints(f"s{left + 1}", "n1"), 1.0)
    made.put(endpoints("new", "n2"), 1.0)
    made.put(service("new", ingress=(address + 5000,)), 1.0)
    made.remove(Kind.NODE, ObjectKey("", "n2"), 1.0)
    while not made.synced:
        made.turn()
    assert routes.complete_with is not None
    hops_of = {prefix: len(paths) for prefix, paths in routes.routes.items()}
    gone = {host_prefix(address + n) for n in (decided, left)}
    assert not any(hops_of.get(prefix) for prefix in gone)
    assert not hops_of.get(host_prefix(address + 5000)), "its only node is gone"
    assert [n for n in hops_of.values() if n] == [1] * 1198


def test_after_an_error_in_the_middle_of_a_start_all_is_decided_before_it_is_complete() -> None:
    class Failing(Routes):
        """It fails once, at the second part."""

        def set_routes(
            self, routes: Mapping[Network, Announcements], read_at: float | None
        ) -> None:
            """Sets them."""
            super().set_routes(routes, read_at)
            if len(self.sizes) == 2:
                raise RuntimeError

    routes = Failing()
    made = many_listed(routes, Policy())
    task = Supervisor().keep_running("turns", made.run)
    until(lambda: made.synced, "the whole table")
    task.end()
    assert (routes.complete_with, hops(routes)) == (1200, {2})


def test_what_could_not_be_withdrawn_is_withdrawn_when_all_is_decided_again() -> None:
    class Failing(Routes):
        """It fails once, when nothing is set any more."""

        failed = False

        def set_routes(
            self, routes: Mapping[Network, Announcements], read_at: float | None
        ) -> None:
            """Sets them."""
            if not self.failed and not any(routes.values()):
                self.failed = True
                raise RuntimeError
            super().set_routes(routes, read_at)

    routes = Failing()
    made = many(routes, Policy())
    task = Supervisor().keep_running("turns", made.run)
    made.remove(Kind.SERVICE, key("s0"), 1.0)
    until(lambda: not routes.announces(ip_network("10.0.0.1/32")), "it is withdrawn")
    task.end()
    assert routes.failed


def hops(routes: Routes) -> set[int]:
    """How many next hops the routes have."""
    return set(map(len, routes.routes.values()))


def test_of_a_lost_node_the_first_routes_are_sent_before_the_last_are_computed() -> None:
    routes, told = Routes(), list[tuple[int, str]]()
    made = many(routes, Policy())
    made.subscribe(lambda turn: told.append((len(turn.routes), made.causes.current.of())))
    made.remove(Kind.NODE, ObjectKey("", "n2"), 1.0)
    made.turn()
    made.put(endpoints("s0"), 2.0)  # what is read meanwhile is for the turns that go on
    made.turn()
    assert (routes.sizes, told) == ([500, 500], [])
    made.turn()
    assert hops(routes) == {0, 1}
    assert [count for count, _ in told] == routes.sizes
    assert {cause for _, cause in told} == {"Node n2 deleted, EndpointSlice default/s0-4"}
    causes = made.causes.current
    assert causes.read_at == 1.0
    assert causes.of([ObjectKey("default", "s0")]) == "EndpointSlice default/s0-4"
    assert causes.of(nodes=["n2"]) == "Node n2 deleted"


def test_a_switch_is_told_of_all_addresses_that_a_node_moves_at_once() -> None:
    routes = Routes()
    made = many(routes, Policy(by_port=True))
    made.remove(Kind.NODE, ObjectKey("", "n2"), 1.0)
    made.turn()
    assert (routes.sizes, hops(routes)) == ([1200], {1})
