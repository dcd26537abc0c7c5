"""What decisions can cost when a tenant tries to make them expensive, counted in calls and cached
entries, not in seconds."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec import structs

from benchmarks.sharing import planner_with
from porter_ryu.domain.model import (
    Eip,
    EipStatus,
    Endpoint,
    EndpointSlice,
    Family,
    Kind,
    Node,
    ObjectKey,
    Port,
    Service,
)
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Planner, Policy
from tests.unit.world import World, endpoints, key, node, service


def calls(run: Callable[[], object]) -> int:
    """How many Python calls something takes, without those of the garbage collector: it may find
    what other tests left."""
    count = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    gc.disable()
    sys.setprofile(count_call)
    try:
        run()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def endpoint_change(planner: Planner) -> int:
    """The cost of one changed endpoint."""
    which = ObjectKey("default", "s1")
    piece = EndpointSlice(which, which, Family.IPV4, (Endpoint("n7"),))
    planner.put(piece)
    return calls(lambda: planner.turn(lambda: None, now=0.0))


def service_change(planner: Planner) -> int:
    """The cost of one changed port, and of one Service gone."""
    which = ObjectKey("default", "s1")
    before = planner.cluster.services[which]
    ports = frozenset([Port("UDP", 9)])
    changed = Service(
        which,
        True,
        ports=ports,
        families=before.families,
        share_key=before.share_key,
        ingress=before.ingress,
    )
    planner.put(changed)
    cost = calls(lambda: planner.turn(lambda: None, now=0.0))
    planner.remove(Kind.SERVICE, which)
    return cost + calls(lambda: planner.turn(lambda: None, now=0.0))


@pytest.mark.parametrize("change", [endpoint_change, service_change])
def test_one_change_among_many_sharers_is_linear_at_worst(change: Callable[[Planner], int]) -> None:
    few, many = (change(planner_with(count, shared=True)) for count in (100, 800))
    assert many < 10 * few
    assert many < 800 * 30, "a few calls for each sharer, not for each pair"


def test_a_resync_with_many_sharers_is_linear() -> None:
    """A resync and the loss of a node decide each of them once."""

    def everything(count: int) -> int:
        planner = planner_with(count, shared=True)
        planner.resync()
        cost = calls(lambda: planner.turn(lambda: None, now=0.0))
        planner.put(Node("n3", ready=False))
        return cost + calls(lambda: planner.turn(lambda: None, now=0.0))

    assert everything(800) < 12 * everything(100)


def test_the_cost_of_joining_a_shared_address_does_not_grow_with_the_joiners() -> None:
    def joining(count: int) -> int:
        world = World(Eip("pool", "10.0.0.0/24"))
        for number in range(count):
            ports = frozenset([Port("TCP", number)])
            world.stage(service(f"s{number:04}", share_key="k", ports=ports))
        cost = calls(world.turn)
        assert world.address(f"s{count - 1:04}") == "10.0.0.0"
        return cost

    assert joining(400) < 6 * joining(100)


def each_with_its_address(world: World, count: int) -> None:
    """One sharing key and one port: no Service can join another, and half of them wait."""
    world.stage(Eip("pool", f"10.0.0.1-{ip_address('10.0.0.0') + count}"))
    for number in range(2 * count):
        world.stage(service(f"s{number:04}", share_key="k", ports=frozenset([Port("TCP", 9)])))


def all_at_one_address(world: World, count: int) -> None:
    """Half of them share an address; the others request it with a port that is in use."""
    for name in ("s", "w"):
        for number in range(count):
            ports = frozenset([Port("TCP", number)])
            one = service(f"{name}{number:04}", share_key="k", ports=ports, requested="10.0.0.1")
            world.stage(one)


def other_keys_at_one_address(world: World, count: int) -> None:
    """Half of them share an address; the others request it with another sharing key."""
    for name, share_key in (("s", "k"), ("w", "other")):
        for number in range(count):
            ports = frozenset([Port("TCP", number)])
            one = service(
                f"{name}{number:04}", share_key=share_key, ports=ports, requested="10.0.0.1"
            )
            world.stage(one)


@pytest.mark.parametrize(
    "build", [each_with_its_address, all_at_one_address, other_keys_at_one_address]
)
def test_a_change_costs_the_same_for_each_service_that_waits(
    build: Callable[[World, int], None],
) -> None:
    def change(count: int) -> int:
        world = World(Eip("pool", "10.0.0.0/24"))
        build(world, count)
        world.turn()
        before = world.planner.allocator.settled(key("s0000"))
        assert before is not None
        ports = before.ports | {Port("UDP", 9)}
        world.stage(structs.replace(before, ports=ports))
        return calls(lambda: world.planner.turn(lambda: None, now=world.now))

    assert change(400) < 6 * change(100)


def test_the_cost_of_an_eip_does_not_grow_with_their_number() -> None:
    def judging(count: int) -> int:
        world = World()
        for number in range(count):
            world.stage(Eip(f"e{number:04}", f"10.{number // 256}.{number % 256}.0/28"))
        return calls(world.turn)

    assert judging(1600) < 10 * judging(200)


def test_the_cost_of_a_change_does_not_grow_with_the_number_of_eips() -> None:
    """A Service changes, loses its endpoints, and goes."""

    def change(count: int) -> int:
        world = World(*(Eip(f"e{number}", f"10.0.{number}.0/28") for number in range(count)))
        world.put(node("n1", "192.168.0.1"), service("a"), endpoints("a", "n1"))
        cost = 0
        for obj in (service("a", ports=frozenset([Port("UDP", 9)])), endpoints("a")):
            world.planner.put(obj)
            cost += calls(lambda: world.planner.turn(lambda: None, now=0.0))
        world.planner.remove(Kind.SERVICE, key("a"))
        return cost + calls(lambda: world.planner.turn(lambda: None, now=0.0))

    assert change(200) == change(20)


def test_a_turn_reports_the_eips_whose_addresses_are_held_by_others() -> None:
    world = World(*(Eip(f"e{number}", f"10.0.{number}.0/28") for number in range(20)))
    planner = world.planner

    def reported() -> dict[str, int]:
        found = planner.turn(lambda: None, now=0.0).statuses
        return {o.key.name: s.usage for o, s in found if isinstance(s, EipStatus)}

    world.put(service("a", pool="e3"), service("b", pool="e4"))
    assert reported() == {}
    planner.put(service("c", pool="e4"))
    planner.allocator.pool_status("e4")  # a question meanwhile takes nothing away
    assert reported() == {"e4": 2}
    planner.remove(Kind.SERVICE, key("a"))
    assert reported() == {"e3": 0}
    planner.remove(Kind.EIP, ObjectKey("", "e3"))
    planner.put(Eip("e4", "10.0.4.0/28", priority=1))
    assert reported() == {"e4": 2}
    planner.put(Eip("e3", "10.0.3.0/28"))
    assert reported() == {"e3": 0}
    planner.resync()
    assert len(reported()) == 20


@pytest.mark.parametrize(
    ("others", "wish"),
    [
        ({"namespaces": ("elsewhere",)}, {}),
        ({"auto_assign": False}, {}),
        ({"priority": 1}, {}),
        ({}, {"pool": "own"}),
    ],
    ids=["of another namespace", "only on request", "drawn from later", "another is named"],
)
def test_a_new_service_costs_by_the_eips_that_can_serve_it(
    others: Mapping[str, Any], wish: Mapping[str, Any]
) -> None:
    def new_service(count: int) -> int:
        eips = [Eip(f"e{number}", f"10.0.{number}.0/28", **others) for number in range(count)]
        world = World(Eip("own", "192.0.2.0/28"), *eips)
        world.put(service("a", **wish))
        world.planner.put(service("b", **wish))
        cost = calls(lambda: world.planner.turn(lambda: None, now=0.0))
        assert [str(held.address) for held in world.planner.allocator.held(key("b"))] == [
            "192.0.2.1"
        ]
        return cost

    assert new_service(200) == new_service(20)


def test_only_the_lowest_addresses_of_a_sharing_key_are_tried() -> None:
    world = World(Eip("pool", "10.0.0.0/24"))
    tcp, udp = Port("TCP", 1), Port("UDP", 1)
    for number in range(40):
        ports = frozenset([tcp, udp] if number < 32 else [tcp])
        world.put(service(f"s{number:02}", share_key="k", ports=ports))
    joins = service("t", share_key="k", ports=frozenset([udp]))
    assert world.put(joins).address("t") == "10.0.0.40"
    asks = service("u", share_key="k", ports=frozenset([udp]), requested="10.0.0.39")
    assert world.put(asks).address("u") == "10.0.0.39"
    world.remove(Kind.SERVICE, "s07")
    joins = service("v", share_key="k", ports=frozenset([udp]))
    assert world.put(joins).address("v") == "10.0.0.32"


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_names_of_nodes_that_do_not_exist_leave_nothing_behind(mode: NextHopMode) -> None:
    """Updates of a slice, each with 999 new nodeNames."""
    world = World(Eip("pool", "10.0.0.1"), policy=Policy(NextHopPolicy(mode=mode)))
    world.put(node("n1", "192.168.0.1"), service("a"), endpoints("a", "n1"))
    before = world.planner.cached_entries
    for number in range(50):
        world.put(endpoints("a", *(f"x{number}-{i}" for i in range(999))))
    world.put(endpoints("a", "n1"))
    assert world.planner.cached_entries == before
    assert len(world.planner.cluster.services_on("x0-0")) == 0


def test_objects_that_come_and_go_leave_nothing_behind() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.3.9"), policy=Policy(panic_percent=90))
    world.put(node("n1", "192.168.0.1"), service("a"), endpoints("a", "n1"))

    def round_of(number: int) -> None:
        ports = frozenset([Port("TCP", number)])
        world.put(Eip(f"e{number}", f"10.1.{number}.0/24"), node(f"n1{number}", "192.168.0.9"))
        world.put(service(f"s{number}", share_key=f"k{number}", ports=ports))
        world.put(service(f"t{number}", pool=f"e{number}"), endpoints(f"s{number}", f"n1{number}"))
        world.put(service(f"u{number}", pool="none"))
        world.unreadable(Kind.SERVICE, f"v{number}", "10.0.0.200")
        world.put(Eip(f"e{number}", "broken", created="1"))
        for name in (f"s{number}", f"t{number}", f"u{number}", f"v{number}"):
            world.remove(Kind.SERVICE, name)
        world.remove(Kind.ENDPOINT_SLICE, f"s{number}-4")
        world.remove(Kind.EIP, f"e{number}").remove(Kind.NODE, f"n1{number}")
        world.now += 120
        world.turn()

    round_of(0)
    before = world.planner.cached_entries
    for number in range(1, 51):
        round_of(number)
    assert world.planner.cached_entries == before


def test_an_address_that_is_assigned_and_freed_repeatedly_is_stored_once() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9")).put(service("a"), service("b"))
    entries = []
    for _ in range(50):
        world.remove(Kind.SERVICE, "a")
        assert world.put(service("a")).address("a") == "10.0.0.1"
        entries.append(world.planner.cached_entries)
    assert len(set(entries)) == 1


def test_a_list_and_a_turn_give_way_for_every_piece_of_work() -> None:
    planner = Planner(Policy(), leading=True)
    for kind in (Kind.NODE, Kind.NAMESPACE, Kind.ENDPOINT_SLICE):
        planner.replace(kind, [])
    planner.replace(Kind.EIP, [Eip("pool", "10.0.0.0/20")])
    pieces = 0

    def give_way() -> None:
        nonlocal pieces
        pieces += 1
        if pieces < 1000:
            assert not planner.ready, "nothing is decided between two pieces of a list"
            assert not planner.turn(give_way, now=0.0).statuses

    first = int(ip_address("10.0.0.0"))
    services = []
    for number in range(1000):
        services.append(service(f"s{number:04}", ingress=(ip_address(first + number),)))
    planner.replace(Kind.SERVICE, services, give_way)
    assert pieces == 1000
    planner.turn(give_way, now=0.0)
    assert pieces > 5000, "settling, adopting, deciding, routes and statuses are a piece each"


def test_what_changes_during_a_turn_is_for_the_next_turn() -> None:
    """Objects are stored and removed between two pieces of a turn."""
    world = World(Eip("pool", "10.0.0.1-10.0.0.9")).put(node("n1", "192.168.0.1"))
    for number in range(5):
        world.put(service(f"s{number}"), endpoints(f"s{number}", "n1"))
    world.planner.resync()
    pending = [
        lambda: world.planner.remove(Kind.SERVICE, key("s1")),
        lambda: world.stage(Eip("second", "10.1.0.0/24")),
        lambda: world.stage(service("s9")),
        lambda: world.planner.remove(Kind.EIP, ObjectKey("", "pool")),
        lambda: world.planner.remove(Kind.NODE, ObjectKey("", "n1")),
        lambda: world.stage(service("s2", requested="10.1.0.7")),
    ]

    def meanwhile() -> None:
        if pending:
            pending.pop(0)()

    world.planner.turn(meanwhile, now=0.0)
    world.turn()
    assert not pending
    assert key("s1") not in world.planner.decisions
    assert (world.address("s2"), world.address("s0")) == ("10.1.0.7", "10.1.0.0")
    assert not [text for text in world.warnings if "cannot be decided" in text]


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES])
def test_a_node_that_goes_at_any_moment_of_a_turn_takes_its_routes_with_it(
    mode: NextHopMode,
) -> None:
    for moment in range(25):
        world = World(
            Eip("pool", "10.0.0.1-10.0.0.9"), policy=Policy(next_hops=NextHopPolicy(mode))
        )
        world.put(node("n1", "192.168.0.1"), node("n2", "192.168.0.2"))
        for number in range(3):
            world.put(service(f"s{number}"), endpoints(f"s{number}", "n1", "n2"))
        world.stage(service("s1", labels={"is": "changed"}))
        world.stage(service("s2", labels={"is": "changed"}))
        pieces = 0

        def meanwhile(moment: int = moment, world: World = world) -> None:
            nonlocal pieces
            if pieces == moment:
                world.planner.remove(Kind.NODE, ObjectKey("", "n1"))
            pieces += 1

        world.planner.turn(meanwhile, now=0.0)
        if pieces <= moment:
            break
        world.turn()
        assert world.routes["10.0.0.1"] == frozenset(["192.168.0.2"]), moment
