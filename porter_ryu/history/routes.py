"""What was announced for each prefix, and how it changed: the next hops by name of the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from porter_ryu.domain.announcement import WITHDRAWN, Announcement, Announcements, in_use
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.turn import Turn

Prefix = Address | Network
_MAX_TEXTS = 1000


class RouteChange(NamedTuple):
    """A prefix, its next hops as texts (empty: none), and the nodes that make the difference."""

    prefix: Prefix
    before: str
    after: str
    nodes: tuple[str, ...]


class _Difference(NamedTuple):
    before: str
    after: str
    nodes: tuple[str, ...]


class AnnouncedRoutes:
    """The announcements of each address and aggregate.  `known` shares the sets that the targets
    have."""

    def __init__(self) -> None:
        self.known: dict[Prefix, Announcements] = {}
        self._texts: dict[Announcements, dict[str, str]] = {}

    def replace(self, turn: Turn) -> None:
        """Takes the routes of the first turn."""
        self.known = {prefix: paths for prefix, paths in _wanted(turn) if paths}

    def update(self, turn: Turn, give_way: Callable[[], None]) -> list[RouteChange]:
        """Takes the routes of a turn; returns what changed, in the order of the turn."""
        changes: list[RouteChange] = []
        differences: dict[tuple[Announcements, Announcements], _Difference | None] = {}
        for prefix, after in _wanted(turn):
            give_way()
            before = self.known.get(prefix, WITHDRAWN)
            if before is after:
                continue
            pair = (before, after)
            if pair not in differences:
                differences[pair] = self._difference(before, after)
            found = differences[pair]
            if after:
                self.known[prefix] = after
            else:
                self.known.pop(prefix, None)
            if found is not None:
                changes.append(RouteChange(prefix, *found))
        return changes

    def _difference(self, before: Announcements, after: Announcements) -> _Difference | None:
        """The difference between two sets; None if their next hops are the same."""
        if before == after:
            return None
        had, has = self._next_hops(before), self._next_hops(after)
        nodes = sorted(n for n in had.keys() | has.keys() if had.get(n) != has.get(n))
        old, new = ", ".join(had.values()), ", ".join(has.values())
        if not nodes:
            # an attribute that is not told, or a path that another instance announces
            changed = {path.next_hop.node for path in before ^ after}
            nodes = sorted(changed & has.keys())
            new = f"{new} with other attributes"
        return _Difference(old, new, tuple(nodes)) if nodes else None

    def _next_hops(self, announcements: Announcements) -> dict[str, str]:
        """The next hops that are in use by name of the node, with what the path says of it."""
        texts = self._texts.get(announcements)
        if texts is None:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            used = sorted(in_use(tuple(announcements)), key=lambda path: path.next_hop.node)
            texts = {path.next_hop.node: _text(path) for path in used}
            self._texts[announcements] = texts
        return texts


def _wanted(turn: Turn) -> Iterator[tuple[Prefix, Announcements]]:
    for address, route in turn.routes.items():
        yield address, route.announcements
    yield from turn.aggregates.items()


def _text(path: Announcement) -> str:
    """The name of the node of a path, its weight, and whether it is drained."""
    weight = "" if path.attributes.bandwidth is None else f" weight {path.attributes.bandwidth}"
    drain = "" if path.drain is None else " drained" if path.drain.over else " draining"
    return f"{path.next_hop.node}{weight}{drain}"
