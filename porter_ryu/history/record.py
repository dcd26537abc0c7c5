"""Keeps the last changes in memory, and logs them.

A storm of changes of one kind is a few lines in the log, and then one that counts the others and
names their causes; while it lasts, fewer lines.  The record has them all, as far back as it goes:
if there are too many, the kind that has most loses one, of the cause that has most.
"""

from __future__ import annotations

import collections
import heapq
import logging
import operator
import time
from collections.abc import Callable, Iterator

from porter_ryu.domain.text import changed_text, printable
from porter_ryu.history.change import NO_DELIVERY, Change, ChangeKind, Delivery, LaterDelivery, Part
from porter_ryu.history.shelf import Shelf

LOG = logging.getLogger(__name__)

MAX_CHANGES = 10_000
_KEPT = operator.attrgetter("kept")
_MAX_LINES, _MAX_LINES_IN_STORM, _LINES_SECONDS = 30, 5, 30.0
_MAX_CAUSES, _MAX_CAUSES_TOLD = 100, 3  # of the changes without a line
# the part that makes such a change logs it, with more than is told here
_LOGGED_ELSEWHERE = frozenset([ChangeKind.SESSION, ChangeKind.LEADER, ChangeKind.RELOAD])


class _Burst:
    """The lines of one kind in the present half minute, which may be `most`; how many changes have
    none, and of how many each of the first causes is one."""

    __slots__ = ("causes", "lines", "more", "most", "until")

    def __init__(self, until: float, most: int) -> None:
        self.until = until
        self.most = most
        self.lines = self.more = 0
        self.causes: collections.Counter[str] = collections.Counter()

    def has_room(self, cause: str) -> bool:
        """Whether there is room for another line; else the change is counted."""
        if self.lines < self.most:
            self.lines += 1
            return True
        self.more += 1
        if cause in self.causes or len(self.causes) < _MAX_CAUSES:
            self.causes[cause] += 1
        return False

    def told(self, kind: ChangeKind) -> str:
        """The line about those that had no line."""
        most = self.causes.most_common(_MAX_CAUSES_TOLD)
        causes = ", ".join(f"{printable(cause)} ({count})" for cause, count in most)
        others = self.more - sum(count for _, count in most)
        other = f", others ({others})" if others else ""
        return f"{self.more} more of this kind: {kind.value}, because of {causes}{other}"


class History:
    """The last 10,000 changes; a storm of one kind or cause does not push out the others.

    `now` is Unix time, `clock` any monotonic clock, in seconds.  `last` is the number of the last
    change, `forgotten` that of the last one that is not kept any more (0: all are kept).  `on_add`
    is called after each change that is added.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self._clock = clock
        self._shelves = {kind: Shelf() for kind in ChangeKind}
        self._kept = 0
        self.last = 0
        self.forgotten = 0
        self.on_add: Callable[[], None] = _do_nothing
        self._bursts: dict[ChangeKind, _Burst] = {}

    def add(
        self,
        kind: ChangeKind,
        name: str,
        before: str,
        after: str,
        cause: str,
        about: tuple[str, ...] = (),
        delivery: Delivery | LaterDelivery = NO_DELIVERY,
        level: int = logging.INFO,
        parts: tuple[Part, ...] = (),
    ) -> None:
        """Adds a change of the object `name`, with the present time, and logs it."""
        self.last += 1
        change = Change(
            self.last, self._now(), kind, name, before, after, cause, about, delivery, parts
        )
        if self._kept == MAX_CHANGES:
            self.forgotten = max(
                self.forgotten, max(self._shelves.values(), key=_KEPT).forget_one()
            )
        else:
            self._kept += 1
        self._shelves[kind].add(change)
        self.on_add()
        if kind not in _LOGGED_ELSEWHERE and self._burst_of(kind).has_room(cause):
            told = changed_text(before, after)
            LOG.log(level, f"{kind.value} %s: %s (%s)", name, told, cause)

    def complete_since(self, began: float) -> float:
        """From when on all changes are kept; `began` is when the record was begun, a Unix time."""
        return max(began, *(shelf.forgotten_at for shelf in self._shelves.values()))

    def incomplete(self) -> dict[ChangeKind, float]:
        """Of the kinds of which not all changes are kept, from when on they are, a Unix time."""
        shelves = self._shelves.items()
        return {kind: shelf.forgotten_at for kind, shelf in shelves if shelf.forgotten_at}

    def last_changes(self, kind: ChangeKind, give_way: Callable[[], None]) -> dict[str, float]:
        """When each object of a kind changed last, by name, as far as that is kept.  `give_way` is
        called for each change, to let other greenthreads run."""
        found = {}
        for change in self._shelves[kind].later(0):
            give_way()
            found[change.object] = change.time
        return found

    def since(self, sequence: int) -> Iterator[Change]:
        """The changes after the one with this number, oldest first, as they are now."""
        later = (shelf.later(sequence) for shelf in self._shelves.values())
        return heapq.merge(*later, key=lambda change: change.sequence)

    def log_counts(self) -> None:
        """Logs how many changes had no line of their own; to be called every few seconds."""
        now = self._clock()
        for kind, burst in list(self._bursts.items()):
            if now >= burst.until and burst.more:
                LOG.info("%s", burst.told(kind))
                self._bursts[kind] = _Burst(now + _LINES_SECONDS, _MAX_LINES_IN_STORM)
            elif now >= burst.until:
                del self._bursts[kind]

    def _burst_of(self, kind: ChangeKind) -> _Burst:
        burst = self._bursts.get(kind)
        if burst is None:
            burst = self._bursts[kind] = _Burst(self._clock() + _LINES_SECONDS, _MAX_LINES)
        return burst


def _do_nothing() -> None:
    """Until somebody waits for changes."""
