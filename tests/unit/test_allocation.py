"""Which Service gets which address, and why not: the rules of docs/addresses.md."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from porter_ryu.domain.labels import LabelSelector, match_labels
from porter_ryu.domain.model import (
    AddressRequest,
    Eip,
    Family,
    FamilyPolicy,
    Kind,
    Namespace,
    ObjectKey,
    Port,
)
from porter_ryu.domain.verdict import PoolReason
from tests.unit.world import World, node, service


def test_the_oldest_gets_the_lowest_free_address_and_a_freed_one_is_assigned_again() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.3"))
    world.put(service("c"), service("a"), service("b"))
    assert [world.address(name) for name in "abc"] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    world.remove(Kind.SERVICE, "b").put(service("d"))
    assert world.address("d") == "10.0.0.2"


def test_the_oldest_service_that_waits_gets_the_freed_address() -> None:
    world = World(Eip("pool", "10.0.0.1"))
    world.put(service("a")).put(service("z")).put(service("m"))
    assert (world.state("z"), world.address("z")) == ("PoolExhausted", "")
    world.remove(Kind.SERVICE, "a")
    assert (world.address("m"), world.address("z")) == ("10.0.0.1", "")
    world.put(Eip("pool", "10.0.0.1-10.0.0.2"))
    assert (world.address("m"), world.address("z")) == ("10.0.0.1", "10.0.0.2")


def test_records_are_adopted_before_any_address_is_assigned() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2"))
    world.put(service("a"), service("b", ingress=(ip_address("10.0.0.1"),)))
    assert (world.address("a"), world.address("b")) == ("10.0.0.2", "10.0.0.1")


def test_pools_are_drawn_from_by_priority_then_name_if_auto_assign() -> None:
    world = World(
        Eip("a", "10.0.1.1", priority=1),
        Eip("b", "10.0.2.1"),
        Eip("c", "10.0.3.1", auto_assign=False),
    )
    world.put(service("1")).put(service("2")).put(service("3"))
    assert [world.address(n) for n in "123"] == ["10.0.2.1", "10.0.1.1", ""]
    assert world.state("3") == "PoolExhausted"
    assert world.put(service("3", pool="c")).address("3") == "10.0.3.1"
    assert world.put(service("3")).address("3") == "10.0.3.1", "an assignment stays"


def test_pools_of_a_namespace_and_of_all_are_drawn_from_in_one_order() -> None:
    world = World(
        Eip("all", "10.0.1.1", priority=2),
        Eip("own", "10.0.2.1", priority=1, namespaces=("default", "default")),
        Eip("selected", "10.0.3.1", priority=3, namespace_selector={"a": "b"}),
        Eip("later", "10.0.4.1", priority=4, namespaces=("other", "default")),
        Eip("foreign", "10.0.5.1", namespaces=("other",)),
    )
    world.put(Namespace("default", {"a": "b"}))
    for name in "12345":
        world.put(service(name))
    found = [world.address(name) for name in "12345"]
    assert found == ["10.0.2.1", "10.0.1.1", "10.0.3.1", "10.0.4.1", ""]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"requested": "10.9.9.9"}, "AddressNotInPool"),
        ({"requested": "10.0.0.1"}, "AddressInUse"),
        ({"requested": "10.0.0.7"}, "AddressInUse"),
        ({"requested": "10.0.5.1"}, "NotAllowed"),
        ({"requested": "10.0.6.1"}, "PoolDisabled"),
        ({"requested": "2001:db8::1"}, "FamilyUnavailable"),
        (
            {"request": AddressRequest("annotation", "x", error="'x' is no address")},
            "InvalidRequest",
        ),
        ({"pool": "absent"}, "NoPool"),
        ({"pool": "others"}, "NotAllowed"),
        ({"pool": "closed"}, "PoolDisabled"),
        ({"pool": "broken"}, "NoPool"),
        ({"pool": "six"}, "FamilyUnavailable"),
        ({"pool": "closed", "requested": "10.0.0.2"}, "AddressNotInPool"),
    ],
)
def test_a_request_that_cannot_be_met_gets_no_other_address(
    fields: dict[str, Any], reason: str
) -> None:
    world = World(
        Eip("pool", "10.0.0.1-10.0.0.9"),
        Eip("others", "10.0.5.1", namespaces=("other",)),
        Eip("closed", "10.0.6.1", disable=True),
        Eip("broken", "10.0.7.1-"),
        Eip("six", "2001:db8::/120"),
    )
    world.put(
        node("n1", "10.0.0.7"), service("holder", requested="10.0.0.1"), service("w", **fields)
    )
    assert (world.state("w"), world.address("w")) == (reason, "")


def test_a_request_is_met_and_a_changed_request_changes_the_address() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    assert world.put(service("a", requested="10.0.0.5")).address("a") == "10.0.0.5"
    assert world.put(service("a", requested="10.0.0.6")).address("a") == "10.0.0.6"
    assert world.put(service("a")).address("a") == "10.0.0.6"
    assert world.put(service("a", requested="10.1.0.1")).address("a") == ""


def test_a_pool_must_admit_the_service_however_it_requests() -> None:
    pool = Eip("team", "10.0.0.1-10.0.0.9", namespaces=("red",), namespace_selector={"team": "red"})
    world = World(pool).put(Namespace("blue", {"team": "blue"}), Namespace("pink", {"team": "red"}))
    world.put(service("red/a"), service("pink/a"), service("blue/a"))
    world.put(service("blue/b", requested="10.0.0.8"), service("blue/c", pool="team"))
    assert world.address("red/a")
    assert world.address("pink/a")
    assert [world.state(f"blue/{n}") for n in "abc"] == ["NoPool", "NotAllowed", "NotAllowed"]
    world.put(Namespace("pink", {"team": "blue"}))
    assert world.address("pink/a") == "", "its Namespace does not match any more"
    assert world.address("red/a")


def test_a_service_selector_restricts_a_pool() -> None:
    selector = LabelSelector(match_labels({"tier": "front"}))
    world = World(Eip("front", "10.0.0.1", service_selector=selector))
    world.put(service("a"), service("b", labels={"tier": "front"}))
    assert (world.state("a"), world.address("b")) == ("NoPool", "10.0.0.1")


def test_a_record_written_by_somebody_else_is_corrected() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    world.put(service("victim"))
    world.put(service("thief", ingress=(ip_address("10.0.0.1"),)))
    world.put(service("liar", ingress=(ip_address("8.8.8.8"),)))
    assert [world.address(n) for n in ("victim", "thief", "liar")] == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
    ]
    assert "8.8.8.8" not in world.routes


def test_overlapping_broken_and_unsupported_pools() -> None:
    world = World(
        Eip("old", "10.0.0.0/24", created="1"),
        Eip("new", "10.0.0.9,10.0.1.1", created="2"),
        Eip("layer2", "10.0.2.1", protocol="layer2"),
        Eip("loop", "127.0.0.1"),
    ).put(service("a"))
    pools = world.planner.cluster.eips.values()
    reasons = {p.name: world.planner.allocator.pool_status(p.name).reason for p in pools}
    assert reasons == {
        "old": PoolReason.VALID,
        "new": PoolReason.OVERLAPS,
        "layer2": PoolReason.UNSUPPORTED_PROTOCOL,
        "loop": PoolReason.INVALID_ADDRESS,
    }
    world.put(Eip("old", "10.0.0.0/33", created="1"))
    assert world.address("a") == "10.0.0.0", "its last good form stays in force"
    assert world.planner.allocator.pool_status("old").reason is PoolReason.INVALID_ADDRESS
    world.remove(Kind.EIP, "old")
    assert world.address("a") == "10.0.0.9"


def test_holders_keep_addresses_of_a_disabled_pool_and_lose_those_of_a_deleted_one() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a"))
    world.put(Eip("pool", "10.0.0.1-10.0.0.2", disable=True), service("b"))
    assert (world.address("a"), world.state("b")) == ("10.0.0.1", "PoolDisabled")
    world.remove(Kind.EIP, "pool")
    assert (world.address("a"), world.state("a")) == ("", "NoPool")


def test_ip_families_and_policy_decide_the_families() -> None:
    both = (Family.IPV4, Family.IPV6)
    world = World(Eip("four", "10.0.0.1-10.0.0.9"))
    require = {"families": both, "family_policy": FamilyPolicy.REQUIRE_DUAL_STACK}
    prefer = {"families": both, "family_policy": FamilyPolicy.PREFER_DUAL_STACK}
    world.put(service("r", **require), service("p", **prefer), service("6", families=both[1:]))
    assert [world.address(n) for n in "rp6"] == ["", "10.0.0.1", ""]
    assert world.state("r") == "FamilyUnavailable"
    world.put(Eip("six", "2001:db8::1-2001:db8::9"))
    assert world.address("p") == "10.0.0.1,2001:db8::2"
    assert world.address("r") == "10.0.0.2,2001:db8::3"
    assert world.address("6") == "2001:db8::1"
    world.put(service("p", families=both[:1]))
    assert world.address("p") == "10.0.0.1"


def test_a_service_without_ip_families_gets_the_family_that_is_available() -> None:
    assert World(Eip("six", "2001:db8::1")).put(service("a", families=())).address("a")


def test_sharing_needs_one_key_one_namespace_and_disjoint_ports() -> None:
    udp = frozenset([Port("UDP", 80)])
    world = World(Eip("pool", "10.0.0.1-10.0.0.9")).put(service("a", share_key="k"))
    world.put(service("b", share_key="k", ports=udp), service("c", share_key="k"))
    world.put(service("other/d", share_key="k", ports=udp), service("e", ports=udp))
    assert [world.address(n) for n in ("a", "b", "c", "other/d", "e")] == [
        "10.0.0.1",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
    ]
    world.put(service("x", share_key="k", requested="10.0.0.1"))
    assert world.state("x") == "AddressInUse"
    world.put(service("b", share_key="k"))
    assert (world.address("a"), world.address("b")) == ("10.0.0.1", "10.0.0.5"), "b changed"


def test_of_conflicting_records_after_a_restart_the_requester_stays_then_the_older() -> None:
    one = (ip_address("10.0.0.1"),)
    two = (ip_address("10.0.0.2"),)
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    world.put(
        service("a", ingress=one),
        service("b", ingress=one, requested="10.0.0.1"),
        service("c", ingress=two),
        service("d", ingress=two, created=None),
    )
    assert [world.address(n) for n in "abcd"] == ["10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.4"]


def test_pool_status() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2")).put(service("a"), service("b"))
    status = world.planner.allocator.pool_status("pool")
    assert (status.usage, status.pool_size, status.occupied) == (2, 2, True)
    assert status.used == {"10.0.0.1": "default/a", "10.0.0.2": "default/b"}
    huge = World(Eip("six", "2001:db8::/32")).planner
    huge.turn(lambda: None, now=0.0)
    assert huge.allocator.pool_status("six").pool_size == 2**63 - 1


def test_a_follower_assigns_nothing_and_adopts_records() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.2"), leading=False)
    world.put(service("a"), service("b", ingress=(ip_address("10.0.0.2"),)))
    assert (world.address("a"), world.address("b")) == ("", "10.0.0.2")
    assert "10.0.0.2" in world.routes


def test_a_broken_pool_serves_its_last_good_form_also_after_a_restart() -> None:
    labels = LabelSelector(match_labels({"tier": "front"}))
    pool = Eip("pool", "10.0.0.1-10.0.0.9", uid="1", namespaces=("red",), service_selector=labels)
    world = World(pool).put(service("red/a", labels={"tier": "front"}))
    world.put(Eip("pool", "10.0.0.1-oops", uid="1"))
    for after in (world, world.restarted(), world.restarted().restarted()):
        assert after.address("red/a") == "10.0.0.1"
        status = after.planner.allocator.pool_status("pool")
        assert (status.ready, status.reason) == (False, PoolReason.INVALID_ADDRESS)
        assert "10.0.0.1-10.0.0.9, stays in force" in status.message
        after.put(service("blue/b", labels={"tier": "front"}), service("red/c"))
        assert after.address("blue/b") == after.address("red/c") == "", "they are still excluded"
    world.remove(Kind.EIP, "pool").put(Eip("pool", "10.0.0.1-oops", uid="2"))
    assert world.address("red/a") == "", "another Eip of that name has no last good form"


def test_services_that_swap_their_ports_keep_sharing() -> None:
    def ports(number: int) -> dict[str, Any]:
        return {"share_key": "k", "ports": frozenset([Port("TCP", number)])}

    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    world.put(service("a", **ports(80)), service("b", **ports(81)))
    world.put(service("a", **ports(81)), service("b", **ports(80)))
    assert world.address("a") == world.address("b") == "10.0.0.1"
    world.planner.resync()
    world.put(service("a", **ports(80)))
    assert (world.address("a"), world.address("b")) == ("10.0.0.2", "10.0.0.1"), "a changed"


def test_a_follower_adopts_a_record_as_soon_as_the_other_holder_is_gone() -> None:
    def ports(number: int) -> dict[str, Any]:
        return {"ports": frozenset([Port("TCP", number)]), "ingress": (ip_address("10.0.0.1"),)}

    def holders() -> tuple[ObjectKey, ...]:
        return world.planner.allocator.holders(ip_address("10.0.0.1"))

    world = World(Eip("pool", "10.0.0.1-10.0.0.9"), leading=False)
    world.put(service("a", share_key="k", **ports(80)), service("b", share_key="k", **ports(81)))
    world.put(service("a", **ports(80)))
    assert holders() == (service("b").key,), "a stopped sharing"
    world.remove(Kind.SERVICE, "b")
    assert holders() == (service("a").key,), "as an instance finds it that starts now"


def test_a_follower_releases_an_address_that_is_not_recorded_any_more() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"), leading=False)
    world.put(service("a", ingress=(ip_address("10.0.0.1"),)))
    world.planner.put(service("a"))
    world.put(service("b", ingress=(ip_address("10.0.0.1"),)))
    assert world.planner.allocator.holders(ip_address("10.0.0.1")) == (service("b").key,)


def test_an_address_change_has_a_reason() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"))
    world.put(service("a"))
    world.put(Eip("pool", "10.0.0.5-10.0.0.9"))
    assert world.address("a") == "10.0.0.5"
    moved = world.address_changes["default/a"]
    assert moved.startswith("from 10.0.0.1 to 10.0.0.5: 10.0.0.1 is in no Eip")
