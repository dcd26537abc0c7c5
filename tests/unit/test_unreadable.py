"""An object that cannot be read is not gone: it keeps what it had."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from fabric import objects
from porter_ryu import report, report_nodes, report_text
from porter_ryu.domain.explanation import explain
from porter_ryu.domain.model import Eip, Family, Kind, Namespace, Port
from porter_ryu.domain.verdict import NodeReason
from porter_ryu.kube.errors import CodecError
from tests.unit import decoded
from tests.unit.world import World, endpoints, key, node, service

N1, N2 = node("n1", "192.168.0.1"), node("n2", "192.168.0.2")


def ports(number: int, share: str = "k") -> dict[str, Any]:
    """A sharing key and a port that no other Service has."""
    return {"share_key": share, "ports": frozenset([Port("TCP", number)])}


def test_a_service_keeps_its_last_good_form_with_address_and_routes() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(N1, N2, service("a"), endpoints("a", "n1"))
    world.broken("a").put(endpoints("a", "n2"), service("b"), service("c"))
    assert (world.address("a"), world.routes["10.0.0.1"]) == (
        "10.0.0.1",
        frozenset({"192.168.0.2"}),
    )
    assert world.state("a") == "Announced"
    assert explain(world.planner, key("a"), world.now).unreadable == "oops"
    assert world.state("c") == "PoolExhausted"
    world.put(service("a"))
    assert explain(world.planner, key("a"), world.now).unreadable == ""
    assert world.address("a") == "10.0.0.1"


def test_its_record_stays_reserved_over_a_restart_until_it_is_readable() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(N1, service("a"), endpoints("a", "n1"))
    after = world.broken("a").restarted().put(service("b"), service("c"))
    assert after.address("b") == "10.0.0.2"
    assert (after.state("a"), after.state("c")) == ("Unreadable", "PoolExhausted")
    assert "oops" in after.message("a")
    used = after.planner.allocator.pool_status("pool").used
    assert used["10.0.0.1"] == "default/a"
    after.put(service("a", ingress=(ip_address("10.0.0.1"),)))
    assert (after.address("a"), after.state("a")) == ("10.0.0.1", "Announced")


def test_of_a_record_the_address_in_an_eip_counts() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2"))
    world.unreadable(Kind.SERVICE, "a", "203.0.113.5,10.0.0.1,203.0.113.7")
    assert world.put(service("b")).address("b") == "10.0.0.2"


def test_explain_of_an_unreadable_service() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a")).broken("a")
    world.unreadable(Kind.EIP, "other", why="spec is a list")
    told = report.explanation(world.planner, key("a"), report.nothing_sent)
    assert (told["state"], told["unreadable"]) == ("NoReadyEndpoints", "oops")
    (other,) = (pool for pool in told["pools"] if pool["eip"] == "other")
    assert (other["usable"], other["reason"]) == (False, "Unreadable")
    assert other["why"] == "it cannot be read: spec is a list"
    after = world.restarted()
    told = report.explanation(after.planner, key("a"), report.nothing_sent)
    assert (told["state"], told["addresses"], told["recorded"]) == (
        "Unreadable",
        ["10.0.0.1"],
        ["10.0.0.1"],
    )
    text = report_text.explanation(told)
    assert text.startswith("default/a: Unreadable: it cannot be read (oops): its record")
    assert "there is no Eip" not in text, "there is one"


def test_a_number_as_annotation_is_named_in_the_reason() -> None:
    text = "metadata.annotations: 'share' or its value is not text: put it in quotes"
    with pytest.raises(CodecError, match=text):
        decoded.service(objects.service("web", annotations={"share": 5}))


def test_no_status_is_written_to_an_unreadable_object() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).unreadable(Kind.SERVICE, "a", "10.0.0.1")
    world.planner.resync()
    turn = world.planner.turn(lambda: None, now=0.0)
    assert key("a") not in [obj.key for obj, _ in turn.statuses]
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a")).broken("a")
    world.planner.resync()
    turn = world.planner.turn(lambda: None, now=0.0)
    assert key("a") not in [obj.key for obj, _ in turn.statuses]


def test_the_reservation_ends_with_the_object_or_its_opt_in() -> None:
    for gone in (True, False):
        world = World(Eip("pool", "10.0.0.1")).unreadable(Kind.SERVICE, "a", "10.0.0.1")
        world.put(service("b"))
        assert world.state("b") == "PoolExhausted"
        if gone:
            world.remove(Kind.SERVICE, "a")
        else:
            world.unreadable(Kind.SERVICE, "a", "")
        assert world.address("b") == "10.0.0.1"
        assert (key("a") in world.planner.decisions) is not gone


def test_a_list_without_an_unreadable_object_removes_it() -> None:
    world = World(Eip("pool", "10.0.0.1")).unreadable(Kind.SERVICE, "a", "10.0.0.1")
    unread = world.planner.cluster.unreadable(Kind.SERVICE, key("a"))
    assert unread is not None
    waiting = service("b")
    world.planner.replace(Kind.SERVICE, [unread, waiting])
    assert world.turn().state("b") == "PoolExhausted"
    world.planner.replace(Kind.SERVICE, [waiting])
    assert world.turn().address("b") == "10.0.0.1"


def test_only_a_service_that_may_share_adopts_the_address_of_an_unreadable_one() -> None:
    """In a large pool, whose status does not name the holders."""
    world = World(Eip("big", "10.0.0.0/20"))
    world.planner.put(service("thief", ingress=(EIP,)))
    sharer = service("sharer", ingress=(EIP,), **ports(81))
    world.planner.put(sharer)
    other = service("other/sharer", ingress=(EIP,), **ports(82))
    world.planner.put(other)
    world.unreadable(Kind.SERVICE, "a", str(EIP))
    assert world.address("sharer") == str(EIP)
    assert world.address("thief") not in ("", str(EIP))
    assert world.address("other/sharer") not in ("", str(EIP))


EIP = ip_address("10.0.0.7")


def test_sharers_of_an_unreadable_service_stay_and_no_other_joins() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    world.put(N1, service("a", **ports(80)), service("b", **ports(81)), endpoints("b", "n1"))
    after = world.broken("a").restarted()
    assert after.address("b") == "10.0.0.1"
    assert after.routes["10.0.0.1"] == {"192.168.0.1"}
    after.put(service("b", **ports(82)), service("c", **ports(83)))
    assert (after.address("b"), after.address("c")) == ("10.0.0.1", "10.0.0.2")
    after.put(service("a", ingress=(ip_address("10.0.0.1"),), **ports(80)))
    assert after.address("a") == after.address("b") == "10.0.0.1"
    assert after.put(service("d", **ports(84))).address("d") == "10.0.0.1"


def test_an_unreadable_service_takes_no_address_from_a_confirmed_holder() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9")).put(service("a"))
    world.unreadable(Kind.SERVICE, "evil/x", "10.0.0.1")
    for after in (world, world.restarted()):
        assert after.address("a") == "10.0.0.1"
        assert not after.planner.allocator.held(key("evil/x"))


def test_holders_stay_when_their_eip_becomes_unreadable() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a"))
    world.unreadable(Kind.EIP, "pool").put(service("b"))
    assert (world.address("a"), world.address("b")) == ("10.0.0.1", "10.0.0.2")


def test_no_service_loses_an_address_that_may_be_from_an_unreadable_eip() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2"), Eip("spare", "10.1.0.1"))
    world.put(N1, service("a"), service("n", pool="pool"), endpoints("a", "n1"))
    world.put(endpoints("n", "n1"))
    after = world.unreadable(Kind.EIP, "pool").restarted()
    assert (after.address("a"), after.address("n")) == ("10.0.0.1", "10.0.0.2")
    assert after.routes["10.0.0.1"] == after.routes["10.0.0.2"] == {"192.168.0.1"}
    texts = [c.message for c in after.planner.cluster.services[key("a")].conditions]
    assert "an Eip cannot be read" in texts[0]
    after.put(service("b"), service("c"), service("d", pool="pool"))
    assert (after.address("b"), after.state("c")) == ("10.1.0.1", "PoolExhausted")
    assert (after.state("d"), "cannot be read" in after.message("d")) == ("NoPool", True)
    after.forge("c", "8.8.8.8").turn()
    assert (after.address("c"), "8.8.8.8" in after.routes) == ("", False)
    after.put(Eip("pool", "10.0.0.1-10.0.0.4"))
    assert [after.address(n) for n in "ancd"] == [f"10.0.0.{i}" for i in range(1, 5)]
    after.remove(Kind.EIP, "pool")
    assert [after.address(n) for n in "an"] == ["", ""]


def test_addresses_are_released_when_the_unreadable_eip_is_deleted() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a"))
    after = world.unreadable(Kind.EIP, "pool").restarted()
    assert after.address("a") == "10.0.0.1"
    assert after.remove(Kind.EIP, "pool").address("a") == ""


def test_a_deleted_eip_is_gone_although_another_is_unreadable() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a"))
    world.unreadable(Kind.EIP, "other").remove(Kind.EIP, "pool")
    assert world.address("a") == ""


def test_an_unreadable_namespace_keeps_its_holders_and_admits_no_other() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9", namespace_selector={"team": "red"}))
    world.put(Namespace("pink", {"team": "red"}), service("pink/a"))
    world.unreadable(Kind.NAMESPACE, "pink").put(service("pink/b"))
    assert (world.address("pink/a"), world.address("pink/b")) == ("10.0.0.1", "10.0.0.2")
    after = world.restarted().put(service("pink/c"))
    assert (after.address("pink/a"), after.address("pink/b")) == ("10.0.0.1", "10.0.0.2")
    assert after.state("pink/c") == "NoPool"
    after.forge("pink/c", "10.0.0.5").turn()
    assert after.address("pink/c") == ""
    after.put(Namespace("pink", {"team": "red"}))
    assert after.address("pink/c") == "10.0.0.3"
    after.put(Namespace("pink", {"team": "blue"}))
    assert after.address("pink/a") == ""


def test_a_node_and_a_slice_keep_their_last_good_form() -> None:
    world = World(Eip("pool", "10.0.0.1")).put(N1, service("a"), endpoints("a", "n1"))
    world.unreadable(Kind.NODE, "n1").unreadable(Kind.ENDPOINT_SLICE, "a-4")
    assert world.routes["10.0.0.1"] == {"192.168.0.1"}
    world.remove(Kind.ENDPOINT_SLICE, "a-4")
    assert world.routes["10.0.0.1"] == frozenset()


def test_explain_of_a_node_that_was_never_readable() -> None:
    world = World(Eip("pool", "10.0.0.1")).unreadable(Kind.NODE, "n1", why="status is a list")
    world.put(service("a"), endpoints("a", "n1"))
    (found,) = explain(world.planner, key("a"), world.now).addresses[0].nodes
    assert found.verdict.reason is NodeReason.UNREADABLE
    assert found.verdict.message == "its Node cannot be read: status is a list"
    world.put(N2)
    told = [(n["node"], n["reason"]) for n in report_nodes.nodes(world.planner, {}, lambda: None)]
    assert told == [("n1", "Unreadable"), ("n2", "NextHop")]


def test_an_eip_that_overlaps_with_an_unreadable_one_takes_nothing_from_its_holders() -> None:
    for rules in ({"disable": True}, {"namespaces": ("red",)}):
        old = Eip("old", "10.0.0.1-10.0.0.3", created="1")
        world = World(old, Eip("young", "10.0.0.1-10.0.0.3", created="2", **rules))
        world.put(service("a"))
        after = world.unreadable(Kind.EIP, "old").restarted()
        assert after.address("a") == "10.0.0.1"
        after.put(old, service("b"))
        assert (after.address("a"), after.address("b")) == ("10.0.0.1", "10.0.0.2")
        assert after.planner.allocator.pool_status("old").used["10.0.0.1"] == "default/a"


def test_an_unreadable_service_reserves_only_addresses_that_it_may_hold() -> None:
    world = World(
        Eip("red", "10.0.0.1", namespaces=("red",)),
        Eip("closed", "10.1.0.1", disable=True),
        Eip("open", "10.2.0.1"),
    ).put(node("n1", "10.2.0.1"))
    for name, record in (("x", "10.0.0.1"), ("y", "10.1.0.1"), ("z", "10.2.0.1")):
        world.unreadable(Kind.SERVICE, f"blue/{name}", record)
        assert not world.planner.allocator.held(key(f"blue/{name}"))
    assert world.put(service("red/a")).address("red/a") == "10.0.0.1"


def test_an_endpointslice_without_its_service_is_told_once_that_lasts() -> None:
    """The two are read one after the other, and a Service that cannot be read is there."""
    warning = "endpointslice default/a-4 is of Service default/a, which is not there"
    world = World(Eip("pool", "10.0.0.1")).put(endpoints("a", "n1"))
    world.put(service("a")).remove(Kind.SERVICE, "a")
    world.remove(Kind.ENDPOINT_SLICE, "a-4").put(endpoints("b", "n1"))
    world.unreadable(Kind.SERVICE, "b").planner.resync()
    world.now += 60.0
    assert world.turn().warnings == []
    assert world.planner.due is None
    world.put(endpoints("a", "n1"), endpoints("a", "n1", family=Family.IPV6))
    for later, told in ((4.9, []), (0.2, [warning, warning.replace("a-4", "a-6")]), (60.0, [])):
        world.warnings.clear()
        world.now += later
        assert world.turn().warnings == told
    world.remove(Kind.SERVICE, "b").now += 60.0
    assert world.turn().warnings == [warning.replace("/a", "/b")]
