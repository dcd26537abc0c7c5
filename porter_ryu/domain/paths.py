"""The paths of a prefix: its next hops, each with the attributes that this path has.

Why a path has attributes, or why it is left out, is the concern of a `PathRule`; here the rules are
put together, and prefixes with equal paths get the same object.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from porter_ryu.domain.announcement import Announcement, Announcements, NextHop
from porter_ryu.domain.model import Address, Service

Paths = tuple[Announcement, ...]


class PathRule(Protocol):
    """One reason for attributes of paths."""

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        """All that the rule has to know of one address, besides its next hops.

        It is asked for every address of a turn.  Addresses with equal next hops and equal facts of
        every rule share their paths, so it should be equal for as many as possible.
        """

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        """The paths with the attributes of this rule; it may leave out paths, but never all.

        The result depends on nothing that can change within a turn but `paths` and `facts`.
        """


class PathAssembly:
    """Makes the Announcements of addresses by the rules, which apply in their order."""

    def __init__(self, rules: Sequence[PathRule] = ()) -> None:
        self._rules = tuple(rules)
        self._made: dict[tuple[frozenset[NextHop], tuple[Hashable, ...]], Announcements] = {}
        self._equal: dict[Announcements, Announcements] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns."""
        return len(self._made) + len(self._equal)

    def begin_turn(self) -> None:
        """Clears the cache: what the rules depend on may have changed."""
        self._made.clear()
        self._equal.clear()

    def announcements(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Announcements:
        """One announcement for each path of an address; `holders` are the Services for which it is
        announced.  Within a turn, equal announcements are the same object."""
        made = (hops, tuple([rule.facts(address, hops, holders) for rule in self._rules]))
        known = self._made.get(made)
        if known is None:
            paths: Paths = tuple(map(Announcement, hops))
            for rule, facts in zip(self._rules, made[1], strict=True):
                paths = rule.apply(paths, facts) if paths else paths
            announcements = frozenset(paths)
            known = self._made[made] = self._equal.setdefault(announcements, announcements)
        return known
