"""A record that cannot be read is not an empty record: nobody else gets the address on it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from porter_ryu import report, report_addresses
from porter_ryu.domain.model import Eip, EipStatus, Family, FamilyPolicy, Kind, Port
from porter_ryu.domain.verdict import PoolReason
from tests.unit.world import World, endpoints, key, node, service

SMALL, BIG = "10.0.0.1-10.0.0.9", "10.0.0.1-10.0.15.255"
N1 = node("n1", "192.168.0.1")
DUAL = {
    "families": (Family.IPV4, Family.IPV6),
    "family_policy": FamilyPolicy.REQUIRE_DUAL_STACK,
}


def unread(world: World, *names: str) -> World:
    """A new process that cannot read the records of these Services."""
    for name in names:
        world.unreadable(Kind.SERVICE, name, unread=True)
    return world.restarted()


def recorded(world: World, name: str) -> World:
    """Makes the record of a Service readable."""
    world.planner.put(service(name, ingress=(ip_address("10.0.0.7"),)))
    return world.turn()


def with_record(pool: Eip) -> World:
    """A Service that holds 10.0.0.7, and one that holds another."""
    world = World(pool).put(N1, service("a", requested="10.0.0.7"), service("c"))
    return world.put(service("a"), endpoints("a", "n1"))


def test_what_an_eip_says_that_it_holds_stays_reserved() -> None:
    after = unread(with_record(Eip("pool", SMALL)), "a")
    after.put(*(service(f"other/s{number}") for number in range(8)))
    assert after.address("other/s6") == "10.0.0.9"
    assert after.state("other/s7") == "PoolExhausted"
    assert after.planner.allocator.pool_status("pool").used["10.0.0.7"] == "default/a"
    assert after.state("a") == "Unreadable"
    assert "10.0.0.7 stays reserved, which may be its address" in after.message("a")
    for world in (recorded(unread(after, "a"), "a"), recorded(after, "a")):
        world.put(N1, endpoints("a", "n1"))
        assert (world.address("a"), world.state("a")) == ("10.0.0.7", "Announced")
        assert world.state("other/s7") == "PoolExhausted"


def test_an_address_that_the_eip_names_for_it_is_not_requested_away() -> None:
    after = unread(with_record(Eip("pool", SMALL)), "a")
    after.put(service("other/thief", requested="10.0.0.7"))
    assert after.state("other/thief") == "AddressInUse"


def test_sharers_whose_records_cannot_be_read_keep_the_address() -> None:
    world = World(Eip("pool", SMALL))
    for name, number in (("a", 80), ("b", 81)):
        world.put(service(name, share_key="k", ports=frozenset([Port("TCP", number)])))
    after = unread(world, "a", "b").put(service("other/x"))
    assert after.address("other/x") == "10.0.0.2"
    assert after.planner.allocator.holders(ip_address("10.0.0.1")) == (key("a"), key("b"))


def test_nothing_is_assigned_from_an_eip_that_does_not_say_who_holds_what() -> None:
    after = unread(with_record(Eip("pool", BIG)), "a")
    after.put(service("other/x"), service("other/y", requested="10.0.0.7"))
    after.put(service("other/z", pool="pool"))
    for name in ("other/x", "other/y", "other/z"):
        assert (after.address(name), after.state(name)) == ("", "RecordUnknown")
    assert "default/a" not in after.message("other/x"), "another tenant reads it"
    assert after.address("c") == "10.0.0.1", "it keeps what it has"
    recorded(after, "a")
    assert (after.address("a"), after.state("a")) == ("10.0.0.7", "Announced")
    assert (after.address("other/x"), after.address("other/z")) == ("10.0.0.2", "10.0.0.3")
    assert after.state("other/y") == "AddressInUse"


def test_it_is_explained_what_waits_and_for_which_record() -> None:
    after = unread(with_record(Eip("pool", BIG)), "a").put(service("other/x"))
    told = report.explanation(after.planner, key("other/x"), report.nothing_sent)
    assert (told["state"], told["pools"][0]["reason"]) == ("RecordUnknown", "RecordUnknown")
    assert told["mend"] == "kubectl -n default get services a -o yaml"
    standing = report_addresses.address(after.planner, ip_address("10.0.0.8"), lambda: None)
    assert (standing["state"], standing["free"]) == ("RecordUnknown", False)


def test_another_eip_is_used_meanwhile() -> None:
    world = with_record(Eip("pool", BIG)).put(Eip("spare", "10.1.0.1", priority=9))
    after = unread(world, "a").put(service("other/x"), service("other/y"))
    assert (after.address("other/x"), after.state("other/y")) == ("10.1.0.1", "RecordUnknown")


def test_an_eip_that_the_service_may_not_use_is_not_held_back() -> None:
    world = with_record(Eip("pool", SMALL)).put(Eip("red", "10.1.0.0/20", namespaces=("red",)))
    world.put(service("red/x", pool="red"))
    after = unread(world.unreadable(Kind.SERVICE, "new", unread=True), "a")
    after.put(service("red/y", pool="red"))
    assert (after.address("red/x"), after.address("red/y")) == ("10.1.0.0", "10.1.0.1")


def test_a_service_whose_address_an_eip_knows_holds_back_no_other() -> None:
    world = with_record(Eip("pool", SMALL)).put(Eip("big", "10.1.0.0/20", priority=-1))
    after = unread(world, "a").put(service("other/x"))
    assert after.address("other/x").startswith("10.1.")


def test_each_family_is_known_or_not() -> None:
    four, six = Eip("four", SMALL), Eip("six", "2001:db8::/64")
    world = World(four, six).put(service("a", **DUAL))
    after = unread(world, "a").put(service("other/x"), service("other/y", families=(Family.IPV6,)))
    assert (after.address("other/x"), after.state("other/y")) == ("10.0.0.2", "RecordUnknown")


def test_a_service_that_is_gone_holds_nothing_back() -> None:
    after = unread(with_record(Eip("pool", BIG)), "a").put(service("other/x"))
    after.remove(Kind.SERVICE, "a")
    assert after.address("other/x") == "10.0.0.2"
    assert not after.planner.allocator.unread_records


def test_a_service_that_turns_out_not_to_be_ours_holds_nothing_back() -> None:
    after = unread(with_record(Eip("pool", BIG)), "a").put(service("other/x"))
    after.unreadable(Kind.SERVICE, "a")
    assert after.address("other/x") == "10.0.0.2"


def test_the_status_of_an_eip_is_not_written_while_it_would_deny_a_record() -> None:
    """It was lost, or the Eip is new: a restart must not take what is written for the truth."""
    world = World(Eip("pool", SMALL)).unreadable(Kind.SERVICE, "a", unread=True)
    for after in (world, world.restarted()):
        after.put(service("other/x"))
        assert after.state("other/x") == "RecordUnknown"
        assert after.planner.cluster.eips[key("/pool")].status is None
    recorded(world, "a")
    assert (world.address("a"), world.address("other/x")) == ("10.0.0.7", "10.0.0.1")
    status = world.planner.cluster.eips[key("/pool")].status
    assert status is not None
    assert status.used == {"10.0.0.1": "other/x", "10.0.0.7": "default/a"}


@pytest.mark.parametrize("used", [{}, {"10.0.0.7": "default/a"}])
def test_an_incomplete_status_of_an_eip_does_not_say_what_is_free(used: dict[str, str]) -> None:
    status = EipStatus(True, PoolReason.VALID, "", usage=5, used=used)
    world = World(Eip("pool", SMALL, status=status))
    world.unreadable(Kind.SERVICE, "a", unread=True).put(service("other/x"))
    assert world.state("other/x") == "RecordUnknown"


def test_the_status_of_an_eip_that_is_restored_counts() -> None:
    world = World(Eip("pool", SMALL)).unreadable(Kind.SERVICE, "a", unread=True)
    world.put(service("other/x"))
    status = EipStatus(True, PoolReason.VALID, "", usage=1, used={"10.0.0.1": "default/a"})
    world.put(Eip("pool", SMALL, status=status))
    assert world.address("other/x") == "10.0.0.2"


def test_an_eip_that_can_be_read_later_says_what_it_holds() -> None:
    world = with_record(Eip("pool", SMALL))
    pool = world.planner.cluster.eips[key("/pool")]
    after = unread(world.unreadable(Kind.EIP, "pool"), "a")
    after.put(*(service(f"other/s{number}") for number in range(8)), pool)
    assert after.address("other/s6") == "10.0.0.9"
    assert after.planner.allocator.holders(ip_address("10.0.0.7")) == (key("a"),)


def test_a_record_that_turns_out_to_be_another_one_counts() -> None:
    """The status in a manifest is older than the one that cannot be read."""
    world = World(Eip("pool", BIG))
    world.unreadable(Kind.SERVICE, "a", "10.0.0.3", unread=True)
    world.put(service("other/x"))
    assert world.state("other/x") == "RecordUnknown"
    recorded(world, "a")
    assert (world.address("a"), world.address("other/x")) == ("10.0.0.7", "10.0.0.1")


def test_a_record_that_turns_out_to_be_empty_leaves_what_the_eip_says() -> None:
    after = unread(with_record(Eip("pool", SMALL)), "a")
    after.planner.put(service("a"))
    assert after.turn().address("a") == "10.0.0.7"


@pytest.mark.parametrize("text", [SMALL, BIG])
def test_a_record_in_a_disabled_eip_is_adopted_when_it_can_be_read(text: str) -> None:
    world = with_record(Eip("pool", text)).put(Eip("pool", text, disable=True))
    after = recorded(unread(world, "a"), "a")
    assert (after.address("a"), after.address("c")) == ("10.0.0.7", "10.0.0.1")


def test_who_was_given_the_address_meanwhile_keeps_it() -> None:
    """An older version did that, and wrote it to the Eip."""
    status = EipStatus(True, PoolReason.VALID, "", usage=1, used={"10.0.0.7": "other/x"})
    world = World(Eip("pool", SMALL, status=status))
    world.stage(service("other/x", created="9", ingress=(ip_address("10.0.0.7"),)))
    world.unreadable(Kind.SERVICE, "a", unread=True)
    recorded(world, "a")
    assert (world.address("other/x"), world.address("a")) == ("10.0.0.7", "10.0.0.1")
    assert world.address_changes["default/a"].startswith("from 10.0.0.7 to 10.0.0.1")


def test_an_instance_that_only_follows_holds_what_the_eip_says() -> None:
    world = with_record(Eip("pool", SMALL)).unreadable(Kind.SERVICE, "a", unread=True)
    follower = World(leading=False)
    cluster = world.planner.cluster
    follower.planner.replace(Kind.EIP, cluster.eips.values())
    follower.planner.replace(Kind.SERVICE, cluster.all_unreadable(Kind.SERVICE))
    follower.turn()
    assert follower.planner.allocator.holders(ip_address("10.0.0.7")) == (key("a"),)


def test_nothing_is_kept_once_all_can_be_read() -> None:
    world = with_record(Eip("pool", SMALL))
    entries = world.restarted().planner.allocator.cached_entries
    after = recorded(unread(world, "a"), "a")
    assert after.planner.allocator.cached_entries == entries


INSIDE = Eip("inside", "10.0.0.4-10.0.0.8", created="2")


def inside_a_larger_one() -> World:
    """`a` holds 10.0.0.7 of an Eip that says nothing of its holders; a smaller one is inside."""
    world = World(Eip("pool", BIG, created="1"), INSIDE)
    world.put(service("a", requested="10.0.0.7")).put(service("a"), service("c"))
    return unread(world, "a")


def test_an_eip_that_did_not_serve_does_not_say_what_is_free() -> None:
    """Its status was written while the larger one had the address."""
    after = inside_a_larger_one()
    after.put(Eip("pool", "10.0.8.0/22", created="1"))
    for world in (after, after.restarted()):
        world.put(*(service(f"other/s{number}", pool="inside") for number in range(5)))
        assert {world.state(f"other/s{number}") for number in range(5)} == {"RecordUnknown"}
    assert recorded(after, "a").address("a") == "10.0.0.7"
    assert after.state("other/s4") == "PoolExhausted"


def test_an_eip_that_is_gone_says_nothing() -> None:
    world = World(Eip("pool", SMALL, created="1"), INSIDE)
    world.put(service("a", requested="10.0.0.7")).put(service("a"))
    after = unread(world, "a").remove(Kind.EIP, "pool")
    after.put(*(service(f"other/s{number}") for number in range(5)))
    assert {after.state(f"other/s{number}") for number in range(5)} == {"RecordUnknown"}
    assert recorded(after, "a").address("a") == "10.0.0.7"


def test_an_address_stays_reserved_when_an_older_eip_takes_its_place() -> None:
    """Both say for a moment who holds it: the one that serves now, and the one that did."""
    world = World(INSIDE).put(service("a", requested="10.0.0.7")).put(service("a"))
    after = unread(world, "a").put(Eip("above", SMALL, created="1"))
    for each in (after, after.restarted()):
        each.put(service("other/thief", requested="10.0.0.7"))
        assert each.state("other/thief") == "AddressInUse"
        assert each.planner.allocator.pool_status("above").used == {"10.0.0.7": "default/a"}
    assert recorded(after, "a").address("a") == "10.0.0.7"


def test_a_record_that_is_forged_in_the_same_turn_does_not_take_the_address() -> None:
    after = inside_a_larger_one()
    after.planner.put(Eip("pool", "10.0.8.0/22", created="1"))
    after.forge("c", "10.0.0.7").turn()
    assert after.address("c") != "10.0.0.7"
    assert recorded(after, "a").address("a") == "10.0.0.7"


def test_an_eip_that_did_not_have_the_address_does_not_say_that_it_is_free() -> None:
    """One that served is enlarged by what the larger one gives up."""
    world = World(Eip("pool", "10.0.0.4-10.0.15.255", created="1"), Eip("low", "10.0.0.1"))
    world.put(service("a", requested="10.0.0.7")).put(service("a"))
    after = unread(world, "a")
    after.put(Eip("pool", "10.0.8.0/22", created="1"), Eip("low", "10.0.0.1-10.0.0.9"))
    after.put(service("other/thief", requested="10.0.0.7"))
    assert after.state("other/thief") == "RecordUnknown"
    assert recorded(after, "a").address("a") == "10.0.0.7"


def test_the_status_of_an_eip_that_was_too_large_for_names_does_not_say_what_is_free() -> None:
    world = World(Eip("pool", BIG)).unreadable(Kind.SERVICE, "a", unread=True)
    world.put(Eip("pool", SMALL), service("other/x", requested="10.0.0.7"))
    assert world.state("other/x") == "RecordUnknown"


def test_a_holder_that_the_eip_names_is_confirmed_though_the_eip_is_larger_now() -> None:
    """The process did not run when the Eip was enlarged and a record forged."""
    world = World(Eip("pool", SMALL)).put(service("z", requested="10.0.0.7")).put(service("z"))
    world.put(service("a"))
    world.planner.put(Eip("pool", "10.0.0.1-10.0.0.99", status=pool_status(world)))
    after = world.forge("a", "10.0.0.7").restarted()
    assert (after.address("z"), after.address("a")) == ("10.0.0.7", "10.0.0.1")


def pool_status(world: World) -> EipStatus | None:
    return world.planner.cluster.eips[key("/pool")].status
