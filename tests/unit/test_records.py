"""A tenant who may patch services/status can forge a record: what a record is worth while running,
over a restart and after a change of the leader."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec import structs

from porter_ryu.domain.model import Eip, EipStatus, Family, FamilyPolicy, Kind, Port
from porter_ryu.domain.verdict import PoolReason
from tests.unit.world import World, key, node, service

SMALL, BIG = "10.0.0.1-10.0.0.9", "10.0.0.0/20"


def test_a_forged_record_for_a_free_address_gets_no_more_than_a_request_would() -> None:
    world = World(Eip("pool", SMALL)).put(service("thief"))
    world.forge("thief", "10.0.0.9").turn()
    assert world.address("thief") == "10.0.0.1", "it keeps the one that it has"
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
    """The thief is older and requests the address, but the Eip names the victim."""
    world = World(Eip("pool", SMALL)).put(service("victim"))
    world.put(service("an/older", created="0", requested="10.0.0.1"))
    assert world.state("an/older") == "AddressInUse"
    after = world.forge("an/older", "10.0.0.1").restarted()
    assert (after.address("victim"), after.address("an/older")) == ("10.0.0.1", "")


def test_a_record_confirmed_for_one_family_does_not_count_for_the_other() -> None:
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


def test_without_used_the_requester_stays_then_the_older() -> None:
    """The status of a large Eip does not name the holders."""
    world = World(Eip("pool", BIG)).put(service("b", requested="10.0.0.1"))
    world.put(service("c"), service("a")).forge("c", "10.0.0.1").forge("a", "10.0.0.1")
    assert world.restarted().address("b") == "10.0.0.1"


@pytest.mark.parametrize("text", [SMALL, BIG])
def test_a_forged_record_gets_nothing_from_a_disabled_eip_while_running(text: str) -> None:
    world = World(Eip("pool", text)).put(service("old"))
    mine = world.address("old")
    world.put(Eip("pool", text, disable=True), service("thief", pool="pool"))
    world.forge("thief", "10.0.0.7").turn()
    assert (world.address("thief"), world.state("thief")) == ("", "PoolDisabled")
    world.put(service("new", pool="pool", ingress=(ip_address("10.0.0.8"),)))
    assert world.address("new") == ""
    assert world.address("old") == mine


def test_a_disabled_eip_keeps_its_holders_over_a_restart_but_no_forged_record() -> None:
    world = World(Eip("pool", SMALL)).put(service("old"))
    world.put(Eip("pool", SMALL, disable=True), service("thief", pool="pool"))
    after = world.forge("thief", "10.0.0.7").restarted()
    assert (after.address("old"), after.address("thief")) == ("10.0.0.1", "")
    assert after.state("thief") == "PoolDisabled"


def test_a_disabled_eip_without_used_keeps_every_record_at_a_start() -> None:
    """A large Eip, and one without a status of ours."""
    for text in (BIG, SMALL):
        world = World(Eip("pool", text, disable=True))
        for name, address in (("a", "10.0.0.3"), ("b", "10.0.0.4")):
            made = service(name, ingress=(ip_address(address),))
            world.planner.put(made)
        world.turn()
        assert (world.address("a"), world.address("b")) == ("10.0.0.3", "10.0.0.4")


def test_without_a_status_of_the_eip_a_node_address_is_not_adopted() -> None:
    world = World(Eip("pool", SMALL))
    world.stage(node("n1", "10.0.0.5"))
    made = service("a", ingress=(ip_address("10.0.0.5"),))
    world.planner.put(made)
    assert world.turn().address("a") == "10.0.0.1"


@pytest.mark.parametrize("used", [{"junk": "default/a"}, {"10.0.0.3": "default/b"}])
def test_an_incomplete_used_is_ignored(used: dict[str, str]) -> None:
    status = EipStatus(True, PoolReason.VALID, "", usage=2, used=used)
    world = World(Eip("pool", SMALL, disable=True, status=status))
    made = service("a", ingress=(ip_address("10.0.0.3"),))
    world.planner.put(made)
    assert world.turn().address("a") == "10.0.0.3"


def test_a_forged_record_does_not_get_a_node_address() -> None:
    world = World(Eip("pool", SMALL)).put(
        node("n1", "10.0.0.5"), service("thief", requested="10.0.0.5")
    )
    world.forge("thief", "10.0.0.5")
    assert world.turn().address("thief") == ""
    assert world.forge("thief", "10.0.0.5").restarted().address("thief") == ""


def test_a_record_from_an_eip_that_excludes_the_service_is_not_adopted() -> None:
    world = World(Eip("pool", SMALL, namespaces=("red",))).put(service("thief"))
    assert world.forge("thief", "10.0.0.5").turn().address("thief") == ""
    assert world.forge("thief", "10.0.0.5").restarted().address("thief") == ""


def follower(leader: World) -> World:
    """A second instance that does not lead and reads what the first one wrote."""
    other = World(policy=leader.policy, leading=False)
    sync(leader, other)
    return other


def sync(leader: World, other: World) -> None:
    """Lets the second instance read the present cluster."""
    cluster = leader.planner.cluster
    other.planner.replace(Kind.EIP, cluster.eips.values())
    other.planner.replace(Kind.SERVICE, cluster.services.values())
    other.planner.turn(lambda: None, now=0.0)


def test_a_new_leader_adopts_no_forged_record_either() -> None:
    leader = World(Eip("pool", SMALL)).put(service("thief", pool="pool")).put(service("victim"))
    leader.put(Eip("pool", SMALL, disable=True))
    other = follower(leader)
    assert (leader.address("victim"), leader.address("thief")) == ("10.0.0.2", "10.0.0.1")
    leader.put(service("late", pool="pool"), service("an/older", created="0", requested="10.0.0.2"))
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


def test_a_follower_adopts_records_from_a_disabled_eip() -> None:
    leader = World(Eip("pool", SMALL)).put(service("a"))
    leader.put(Eip("pool", SMALL, disable=True))
    other = follower(leader)
    assert other.planner.allocator.holders(ip_address("10.0.0.1")) == (key("a"),)


def test_a_service_being_deleted_gets_nothing_new_and_keeps_what_it_has() -> None:
    world = World(Eip("pool", SMALL)).put(service("a", share_key="k"), service("b"))
    world.put(service("a", share_key="k", deleting=True), service("c", deleting=True))
    assert (world.address("a"), world.address("c")) == ("10.0.0.1", "")
    assert (world.state("c"), "being deleted" in world.message("c")) == ("NotAllowed", True)
    texts = [c.message for c in world.planner.cluster.services[key("a")].conditions]
    assert "it is being deleted" in texts[0]
    world.put(service("a", deleting=True, requested="10.0.0.9", pool="none"))
    assert world.restarted().address("a") == world.address("a") == "10.0.0.1"
    udp = frozenset([Port("UDP", 80)])
    world.put(service("d", share_key="k", ports=udp, deleting=True))
    assert world.address("d") == ""
    world.forge("c", "10.0.0.9").turn()
    assert world.address("c") == ""
    world.remove(Kind.SERVICE, "a")
    assert world.put(service("e")).address("e") == "10.0.0.1"


def test_a_service_being_deleted_does_not_wait_for_an_address() -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a"), service("b"))
    world.put(structs.replace(service("b"), deleting=True))
    world.remove(Kind.SERVICE, "a")
    assert world.address("b") == ""
