"""A turn that decides a few Services at a time ends where one ends that decides all at once.

Random clusters change by several objects at once.  `SEEDS=500` runs more of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Eip, Kind, Port
from porter_ryu.domain.objects import Object
from tests.unit.world import World, endpoints, key, node, service

SEEDS = range(int(os.environ.get("SEEDS", "15")))
STEPS = 12
NAMES = [f"{namespace}/s{n}" for namespace in ("red", "blue") for n in range(8)]
NODES = ("n1", "n2", "n3")
POOLS = {"a": ("10.0.0.0/29", "10.0.0.0/30"), "b": ("10.0.1.0/29", "10.0.1.2-10.0.1.4")}
Removal = tuple[Kind, str]


class Chance:
    """Random changes of a cluster."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def eip(self) -> Eip:
        """A form of an Eip; some have an aggregate."""
        name = self.random.choice(list(POOLS))
        aggregated = AdvertisementEntry(aggregation_length=29)
        return Eip(
            name,
            self.random.choice(POOLS[name]),
            created=name,
            disable=self.random.random() < 0.1,
            namespaces=self.random.choice(((), (), ("red",))),
            advertisements=self.random.choice(((), (aggregated,))),
        )

    def change(self) -> Object | Removal:
        """Anything."""
        pick, name = self.random.choice, self.random.choice(NAMES)
        on = self.random.sample(NODES, self.random.randrange(4))
        kind = self.random.randrange(10)
        if kind < 5:
            return service(
                name,
                share_key=pick((None, None, "k")),
                ports=frozenset([Port("TCP", pick((80, 81, 82)))]),
                requested=pick((None, None, None, "10.0.0.2", "10.0.1.3")),
                local_traffic=pick((False, True)),
            )
        if kind == 5:
            return (Kind.SERVICE, name)
        if kind < 8:
            return endpoints(name, *on)
        if kind == 8:
            number = self.random.randrange(3)
            address = pick((f"192.168.0.{number}", f"192.168.0.{number}", "10.0.0.3"))
            return node(NODES[number], address, ready=self.random.random() < 0.8)
        return self.eip()

    def changes(self) -> list[Object | Removal]:
        """Several changes at once."""
        return [self.change() for _ in range(self.random.randrange(1, 16))]


def begin(most: int) -> World:
    """A cluster of which a turn decides so many Services at a time."""
    world = World(
        Eip("a", POOLS["a"][0], created="a"),
        Eip("b", POOLS["b"][0], created="b"),
        most_decided=most,
    )
    for number, name in enumerate(NODES):
        world.put(node(name, f"192.168.0.{number}"))
    return world


def stage(world: World, changes: Sequence[Object | Removal]) -> None:
    """Stores changes without a turn."""
    for change in changes:
        if isinstance(change, tuple):
            world.planner.remove(change[0], key(change[1]))
        else:
            world.stage(change)


def state(world: World) -> object:
    """All that anybody is told."""
    services = world.planner.cluster.services.values()
    return (
        {each.key: (each.ingress, each.conditions) for each in services},
        {name: eip.status for name, eip in world.planner.cluster.eips.items()},
        announced(world),
        {which: decision.state for which, decision in world.planner.decisions.items()},
    )


def announced(world: World) -> dict[str, Announcements]:
    """What is announced."""
    return {prefix: paths for prefix, paths in world.announcements.items() if paths}


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_in_parts_everything_ends_as_in_one_turn(seed: int, most: int) -> None:
    chance, whole, parts = Chance(seed), begin(1000), begin(most)
    for step in range(STEPS):
        changes = chance.changes()
        for world in (whole, parts):
            stage(world, changes)
            world.turn()
        assert state(parts) == state(whole), (seed, step)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_changes_between_two_parts_ends_as_after_a_restart(seed: int) -> None:
    chance, world = Chance(seed), begin(2)
    for step in range(STEPS):
        for _ in range(4):
            stage(world, chance.changes())
            world.turn_once()
        world.turn()
        assert announced(world) == announced(world.restarted()), (seed, step)
        holders = world.planner.allocator.holders
        for each in world.planner.cluster.services.values():
            assert all(each.key in holders(address) for address in each.ingress), (seed, step)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_turns_that_failed_left_ends_as_after_a_restart(seed: int) -> None:
    """What they returned was not applied, so that it has to be withdrawn by later ones."""
    chance, world = Chance(seed), begin(2)
    for step in range(STEPS):
        stage(world, chance.changes())
        for _ in range(chance.random.randrange(3)):
            world.planner.turn(lambda: None, now=world.now)
            world.planner.recover()
        world.turn()
        assert announced(world) == announced(world.restarted()), (seed, step)


def test_a_shared_address_waits_for_no_holder_that_is_decided_later() -> None:
    """Both are Local: packets reach both only by a node that both run on."""
    world = begin(1)
    for name, port, on in (("s1", 80, ("n1", "n2")), ("s2", 81, ("n2", "n3"))):
        ports = frozenset([Port("TCP", port)])
        record = (ip_address("10.0.0.1"),)
        world.stage(service(name, share_key="k", ports=ports, ingress=record, local_traffic=True))
        world.stage(endpoints(name, *on))
    world.turn_once()
    assert world.planner.decisions.keys() == {key("s1")}
    assert world.routes == {"10.0.0.1": {"192.168.0.1"}}, "the only node of both"


def test_an_aggregated_address_that_is_released_before_its_holder_is_decided_is_withdrawn() -> None:
    world = begin(1)
    aggregated = (AdvertisementEntry(aggregation_length=29),)
    world.put(Eip("a", POOLS["a"][0], created="a", advertisements=aggregated))
    for number in (1, 2):
        world.stage(service(f"s{number}", ingress=(ip_address(f"10.0.0.{number}"),)))
        world.stage(endpoints(f"s{number}", "n1"))
    world.stage(node("n4", "192.168.0.4"))  # an aggregate depends on every node
    world.turn_once()
    assert world.planner.decisions.keys() == {key("s1")}
    assert "10.0.0.0/29" in announced(world)
    world.remove(Kind.EIP, "a")
    assert announced(world).keys() == {"10.0.1.0", "10.0.1.1"}, "those of the other Eip alone"
