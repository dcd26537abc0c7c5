"""A record is written by us, and can be written by any tenant who may patch services/status: what
it is worth, running and over a restart, on one instance and on two."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address

import pytest

from porter_ryu.domain.model import Eip, EipStatus, Family, FamilyPolicy, Kind, Port
from porter_ryu.domain.verdict import PoolReason
from tests.unit.world import World, key, node, service

SMALL, BIG = "10.0.0.1-10.0.0.9", "10.0.0.0/20"


def test_a_forged_record_for_a_free_address_gets_no_more_than_a_request_would() -> None:
    world = World(Eip("pool", SMALL)).put(service("thief"))
    world.forge("thief", "10.0.0.9").turn()
    assert world.address("thief") == "10.0.0.1", "it has one already"
    world = World(Eip("red", SMALL, namespaces=("red",)), Eip("spare", "10.1.0.1"))
    world.put(service("thief")).forge("thief", "10.0.0.9").turn()
    assert world.address("thief") == "10.1.0.1"
    assert world.forge("thief", "10.0.0.9").restarted().address("thief") == "10.1.0.1"


@pytest.mark.parametrize("text", [SMALL, BIG])
def test_a_forged_record_for_anothers_address_while_running(text: str) -> None:
    world = World(Eip("pool", text)).put(service("victim"), service("thief"))
    mine, theirs = world.address("victim"), world.address("thief")
    world.forge("thief", mine).turn()
    assert (world.address("victim"), world.address("thief")) == (mine, theirs)


def test_a_forged_record_for_anothers_address_over_a_restart() -> None:
    """The thief is older, and asks for the address: the Eip names the victim."""
    world = World(Eip("pool", SMALL)).put(service("victim"))
    world.put(service("an/older", created="0", wish="10.0.0.1"))
    assert world.state("an/older") == "AddressInUse"
    after = world.forge("an/older", "10.0.0.1").restarted()
    assert (after.address("victim"), after.address("an/older")) == ("10.0.0.1", "")


def test_a_thief_that_is_named_for_one_family_gains_nothing_in_the_other() -> None:
    world = World(Eip("four", SMALL), Eip("six", "2001:db8::1-2001:db8::9"))
    dual = {
        "families": (Family.IPV4, Family.IPV6),
        "family_policy": FamilyPolicy.REQUIRE_DUAL_STACK,
    }
    world.put(service("victim", **dual), service("a-thief", created="0", **dual))
    mine = world.address("victim")
    forged = f"{world.address('a-thief').split(',')[0]},{mine.split(',')[1]}"
    after = world.forge("a-thief", forged).restarted()
    assert after.address("victim") == mine


def test_without_a_list_of_holders_who_asks_stays_then_the_older() -> None:
    """Of a big pool the Eip does not say who holds what."""
    world = World(Eip("pool", BIG)).put(service("b", wish="10.0.0.1"))
    world.put(service("c"), service("a")).forge("c", "10.0.0.1").forge("a", "10.0.0.1")
    assert world.restarted().address("b") == "10.0.0.1"


@pytest.mark.parametrize("text", [SMALL, BIG])
def test_a_disabled_eip_gives_nothing_to_a_forged_record_while_running(text: str) -> None:
    world = World(Eip("pool", text)).put(service("old"))
    mine = world.address("old")
    world.put(Eip("pool", text, disable=True), service("thief", pool="pool"))
    world.forge("thief", "10.0.0.7").turn()
    assert (world.address("thief"), world.state("thief")) == ("", "PoolDisabled")
    world.put(service("new", pool="pool", ingress=(ip_address("10.0.0.8"),)))
    assert world.address("new") == ""
    assert world.address("old") == mine


def test_a_disabled_eip_keeps_its_holders_over_a_restart_and_no_forged_record() -> None:
    world = World(Eip("pool", SMALL)).put(service("old"))
    world.put(Eip("pool", SMALL, disable=True), service("thief", pool="pool"))
    after = world.forge("thief", "10.0.0.7").restarted()
    assert (after.address("old"), after.address("thief")) == ("10.0.0.1", "")
    assert after.state("thief") == "PoolDisabled"


def test_a_disabled_eip_that_does_not_say_who_holds_what_keeps_every_record() -> None:
    """A big one, and one whose status was lost, or is another program's."""
    for text in (BIG, SMALL):
        world = World(Eip("pool", text, disable=True))
        for name, address in (("a", "10.0.0.3"), ("b", "10.0.0.4")):
            made = service(name, ingress=(ip_address(address),))
            world.planner.put(made)
        world.turn()
        assert (world.address("a"), world.address("b")) == ("10.0.0.3", "10.0.0.4")


def test_an_eip_without_a_status_gave_nobody_a_nodes_address() -> None:
    world = World(Eip("pool", SMALL))
    world.stage(node("n1", "10.0.0.5"))
    made = service("a", ingress=(ip_address("10.0.0.5"),))
    world.planner.put(made)
    assert world.turn().address("a") == "10.0.0.1"


@pytest.mark.parametrize("used", [{"junk": "default/a"}, {"10.0.0.3": "default/b"}])
def test_a_list_of_holders_that_cannot_be_all_is_none(used: dict[str, str]) -> None:
    status = EipStatus(True, PoolReason.VALID, "", usage=2, used=used)
    world = World(Eip("pool", SMALL, disable=True, status=status))
    made = service("a", ingress=(ip_address("10.0.0.3"),))
    world.planner.put(made)
    assert world.turn().address("a") == "10.0.0.3"


def test_a_nodes_address_is_not_to_be_had_by_a_record() -> None:
    world = World(Eip("pool", SMALL)).put(node("n1", "10.0.0.5"), service("thief", wish="10.0.0.5"))
    world.forge("thief", "10.0.0.5")
    assert world.turn().address("thief") == ""
    assert world.forge("thief", "10.0.0.5").restarted().address("thief") == ""


def test_a_record_in_an_eip_that_excludes_the_service() -> None:
    world = World(Eip("pool", SMALL, namespaces=("red",))).put(service("thief"))
    assert world.forge("thief", "10.0.0.5").turn().address("thief") == ""
    assert world.forge("thief", "10.0.0.5").restarted().address("thief") == ""


def follower(leader: World) -> World:
    """A second instance that sees what the first wrote, and does not lead."""
    other = World(policy=leader.policy, leading=False)
    sync(leader, other)
    return other


def sync(leader: World, other: World) -> None:
    """The second one reads what there is now."""
    cluster = leader.planner.cluster
    other.planner.replace(Kind.EIP, cluster.eips.values())
    other.planner.replace(Kind.SERVICE, cluster.services.values())
    other.planner.turn(lambda: None, now=0.0)


def test_the_instance_that_takes_over_believes_no_forged_record_either() -> None:
    leader = World(Eip("pool", SMALL)).put(service("thief", pool="pool")).put(service("victim"))
    leader.put(Eip("pool", SMALL, disable=True))
    other = follower(leader)
    assert (leader.address("victim"), leader.address("thief")) == ("10.0.0.2", "10.0.0.1")
    leader.put(service("late", pool="pool"), service("an/older", created="0", wish="10.0.0.2"))
    leader.forge("late", "10.0.0.8").forge("an/older", "10.0.0.2")
    sync(leader, other)
    other.planner.lead(True)
    other.turn()
    assert [other.address(n) for n in ("victim", "thief", "late", "an/older")] == [
        "10.0.0.2",
        "10.0.0.1",
        "",
        "",
    ]


def test_a_follower_follows_what_is_recorded_from_a_disabled_eip() -> None:
    leader = World(Eip("pool", SMALL)).put(service("a"))
    leader.put(Eip("pool", SMALL, disable=True))
    other = follower(leader)
    assert other.planner.allocator.holders(ip_address("10.0.0.1")) == (key("a"),)


def test_one_that_is_being_deleted_gets_nothing_new_and_keeps_what_it_has() -> None:
    world = World(Eip("pool", SMALL)).put(service("a", share_key="k"), service("b"))
    world.put(service("a", share_key="k", deleting=True), service("c", deleting=True))
    assert (world.address("a"), world.address("c")) == ("10.0.0.1", "")
    assert (world.state("c"), "being deleted" in world.message("c")) == ("NotAllowed", True)
    texts = [c.message for c in world.planner.cluster.services[key("a")].conditions]
    assert "it is being deleted" in texts[0]
    world.put(service("a", deleting=True, wish="10.0.0.9", pool="none"))
    assert world.restarted().address("a") == world.address("a") == "10.0.0.1"
    udp = frozenset([Port("UDP", 80)])
    world.put(service("d", share_key="k", ports=udp, deleting=True))
    assert world.address("d") == ""
    world.forge("c", "10.0.0.9").turn()
    assert world.address("c") == ""
    world.remove(Kind.SERVICE, "a")
    assert world.put(service("e")).address("e") == "10.0.0.1"


def test_one_that_is_being_deleted_waits_for_nothing() -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a"), service("b"))
    world.put(dataclasses.replace(service("b"), deleting=True))
    world.remove(Kind.SERVICE, "a")
    assert world.address("b") == ""
