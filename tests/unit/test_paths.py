"""The paths of a prefix: rules give attributes to them, and equal ones are one object."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from ipaddress import ip_address

from msgspec import structs

from porter_ryu.domain.announcement import Announcement, NextHop, PathAttributes
from porter_ryu.domain.model import Address, Service
from porter_ryu.domain.paths import PathAssembly, Paths
from tests.unit.world import service

N1 = NextHop("n1", ip_address("192.168.0.1"))
N2 = NextHop("n2", ip_address("192.168.0.2"))
BOTH = frozenset([N1, N2])
ONE, OTHER = ip_address("10.0.0.1"), ip_address("10.0.0.2")


class CommunityOfFirstHolder:
    """Adds a community to each path: the length of the name of the first holder."""

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        return len(holders[0].key.name)

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        assert isinstance(facts, int)
        said = PathAttributes((facts,))
        return tuple(structs.replace(p, attributes=said.over(p.attributes)) for p in paths)


class WithoutN1:
    """Leaves out the path by n1 while there is another one."""

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        return None

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        return tuple(path for path in paths if path.next_hop != N1) or paths


def test_without_rules_each_next_hop_is_a_path_without_attributes() -> None:
    assembly = PathAssembly()
    made = assembly.announcements(ONE, BOTH, [service("s")])
    assert made == {Announcement(N1), Announcement(N2)}
    assert assembly.announcements(OTHER, frozenset([N2, N1]), [service("t")]) is made
    assert assembly.announcements(ONE, frozenset(), [service("s")]) == frozenset()


def test_rules_apply_in_order_and_equal_paths_are_one_object() -> None:
    assembly = PathAssembly([WithoutN1(), CommunityOfFirstHolder()])
    made = assembly.announcements(ONE, BOTH, [service("s")])
    assert made == {Announcement(N2, PathAttributes((1,)))}
    assert assembly.announcements(OTHER, BOTH, [service("t")]) is made
    # other next hops, the same paths
    assert assembly.announcements(OTHER, frozenset([N2]), [service("t")]) is made
    last = assembly.announcements(OTHER, frozenset([N1]), [service("two")])
    assert last == {Announcement(N1, PathAttributes((3,)))}
    assert assembly.announcements(OTHER, frozenset(), [service("t")]) == frozenset()


def test_a_turn_begins_with_an_empty_cache() -> None:
    assembly = PathAssembly([CommunityOfFirstHolder()])
    assembly.announcements(ONE, BOTH, [service("s")])
    assert assembly.cached_entries
    assembly.begin_turn()
    assert not assembly.cached_entries


def test_a_bandwidth_overrides_and_is_kept() -> None:
    weighted = PathAttributes(bandwidth=3)
    assert weighted.over(PathAttributes((1,), med=5)) == PathAttributes((1,), med=5, bandwidth=3)
    assert PathAttributes((1,)).over(weighted) == PathAttributes((1,), bandwidth=3)
