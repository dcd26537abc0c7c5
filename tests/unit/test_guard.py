"""A broken object affects only itself: whatever it raises, the turn continues."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from msgspec import structs

from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Eip,
    EipStatus,
    EndpointSlice,
    Family,
    Kind,
    ObjectKey,
    Port,
)
from porter_ryu.domain.verdict import PoolReason
from tests.unit.world import World, endpoints, key, node, service

POOL = Eip("pool", "10.0.0.1-10.0.0.9")


ANYTHING: tuple[Any, ...] = (5, None)
"""Values that the types forbid, and that a bug may bring about."""


def due(world: World) -> float:
    """When the planner wants its next turn."""
    assert world.planner.due is not None
    return world.planner.due


def healthy() -> World:
    """A Service with a route, which no broken object may affect."""
    return World(POOL).put(node("n1", "192.168.0.1"), service("web"), endpoints("web", "n1"))


def check_unaffected(world: World) -> None:
    """The Service keeps its address and follows its endpoints; a new Service gets an address."""
    assert (world.address("web"), world.state("web")) == ("10.0.0.1", "Announced")
    world.put(node("n2", "192.168.0.2"), endpoints("web", "n2"), service("more"))
    assert world.routes["10.0.0.1"] == {"192.168.0.2"}
    assert world.address("more")


@pytest.mark.parametrize(
    "junk",
    [
        {"ports": None},
        {"labels": None},
        {"ingress": 5},
        {"ingress": ("10.0.0.2",)},
        {"request": "10.0.0.2"},
        {"families": 4},
        {"created": 5},
        {"pool": 7},
        {"share_key": ["k"]},
        {"conditions": None},
    ],
)
def test_a_service_with_invalid_fields(junk: dict[str, Any]) -> None:
    world = healthy()
    world.planner.put(structs.replace(service("bad"), **junk))
    world.turn()
    check_unaffected(world)
    assert not [text for text in world.warnings if "Service default/web" in text]
    world.planner.put(service("bad"))
    assert world.turn().address("bad")


@pytest.mark.parametrize("junk", [{"ports": None}, {"ingress": 5}, {"families": 4}])
def test_a_failed_service_keeps_what_it_had_and_is_retried_ever_later(
    junk: dict[str, Any],
) -> None:
    world = healthy().put(service("bad"), endpoints("bad", "n1"))
    assert world.routes["10.0.0.2"] == {"192.168.0.1"}
    bad = structs.replace(world.planner.cluster.services[key("bad")], **junk)
    world.planner.put(bad)
    world.turn()
    assert world.routes["10.0.0.2"] == {"192.168.0.1"}
    assert world.put(service("next")).address("next") == "10.0.0.3"
    assert "Service default/bad cannot be decided, and keeps what it had" in world.warnings[-1]
    times = []
    for _ in range(4):
        times.append(due(world) - world.now)
        world.now = due(world)
        world.turn()
    assert times == [1.0, 2.0, 4.0, 8.0]
    world.put(service("bad", ingress=(ip_address("10.0.0.2"),)))
    world.now = due(world)
    assert world.turn().planner.due is None
    assert (world.address("bad"), world.state("bad")) == ("10.0.0.2", "Announced")


def test_a_failed_service_counts_for_those_that_share_its_address() -> None:
    """Of two Local Services only nodes with endpoints of both are next hops, also after a restart
    in which one of them fails."""
    record = (ip_address("10.0.0.1"),)
    web = service("web", share_key="k", ingress=record, local_traffic=True)
    bad = service(
        "bad",
        share_key="k",
        ingress=record,
        local_traffic=True,
        ports=frozenset([Port("TCP", 81)]),
        request=ANYTHING[0],
    )
    world = World(POOL)
    for obj in (
        node("n1", "192.168.0.1"),
        node("n2", "192.168.0.2"),
        web,
        bad,
        endpoints("web", "n1", "n2"),
        endpoints("bad", "n1"),
    ):
        world.stage(obj)
    world.turn()
    assert world.state("bad") == "Unreadable"
    world.put(endpoints("web", "n2", "n1"))
    assert world.routes["10.0.0.1"] == {"192.168.0.1"}
    assert world.state("web") == "Announced"


def test_the_record_of_a_failed_service_is_kept_over_a_restart() -> None:
    world = World(POOL)
    bad = structs.replace(service("bad"), ports=ANYTHING[1], ingress=(ip_address("10.0.0.1"),))
    world.planner.put(bad)
    world.put(service("web"))
    assert world.address("web") == "10.0.0.2"
    assert world.state("bad") == "Unreadable"


@pytest.mark.parametrize(
    "serving",
    [
        Eip("bad", "x"),
        Eip("bad", ""),
        Eip("bad", "10.1.0.1", protocol="layer2"),
        Eip("bad", "127.0.0.1"),
        Eip("bad", "10.1.0.1", invalid="no"),
        Eip("bad", ANYTHING[0]),
        Eip("bad", ANYTHING[1]),
        "10.1.0.1",
        5,
        {"address": "x"},
    ],
)
def test_an_invalid_form_in_status_serving_is_ignored(serving: Any) -> None:
    """A broken Eip whose `status.serving` is `{"address":"x"}` failed in every turn."""
    status = EipStatus(False, PoolReason.INVALID_ADDRESS, "", serving=serving)
    world = healthy()
    world.put(Eip("bad", "10.1.0.1-oops", uid="7", status=status))
    assert world.planner.allocator.pool_status("bad").reason is PoolReason.INVALID_ADDRESS
    check_unaffected(world)


@pytest.mark.parametrize(
    "junk",
    [
        {"address": None},
        {"address": 5},
        {"protocol": 5},
        {"created": 5},
        {"namespaces": None},
        {"namespaces": 5},
        {"namespace_selector": 5},
        {"service_selector": None},
        {"status": 5},
    ],
)
def test_an_eip_with_invalid_fields(junk: dict[str, Any]) -> None:
    world = healthy()
    world.put(structs.replace(Eip("bad", "10.1.0.1"), **junk))
    assert (world.address("web"), world.state("web")) == ("10.0.0.1", "Announced")
    world.put(node("n2", "192.168.0.2"), endpoints("web", "n2"), service("more", pool="pool"))
    assert world.routes["10.0.0.1"] == {"192.168.0.2"}
    assert world.address("more") == "10.0.0.2"


@pytest.mark.parametrize("junk", [{"addresses": None}, {"addresses": (5,)}, {"labels": None}])
def test_a_node_with_invalid_fields_keeps_what_it_had(junk: dict[str, Any]) -> None:
    world = healthy()
    world.put(structs.replace(node("n9", "192.168.0.9"), **junk))
    check_unaffected(world)
    before = node("n2", "192.168.0.2")
    world.put(structs.replace(before, **junk))
    assert world.routes["10.0.0.1"] == {"192.168.0.2"}
    world.put(before)
    assert world.routes["10.0.0.1"] == {"192.168.0.2"}


def test_a_slice_with_repeated_endpoints_keeps_the_route() -> None:
    world = healthy().put(service("bad"), endpoints("bad", "n1"))
    piece = endpoints("bad", "n1")
    world.planner.put(
        EndpointSlice(piece.key, piece.service, Family.IPV4, piece.endpoints * 2),
    )
    check_unaffected(world.turn())


def test_a_guard_names_the_place_and_suppresses_only_exceptions() -> None:
    guard = Guard()
    guard.begin(0.0)
    with guard(Kind.NODE, ObjectKey("", "n1")):
        raise ValueError("\x1b[31mred" * 100)
    (warning,) = guard.end()
    assert warning.startswith("Node n1 cannot be decided")
    assert "ValueError" in warning
    assert "test_guard.py" in warning
    assert "\x1b" not in warning
    assert len(warning) < 500
    with pytest.raises(KeyboardInterrupt), guard(Kind.NODE, ObjectKey("", "n1")):
        raise KeyboardInterrupt
