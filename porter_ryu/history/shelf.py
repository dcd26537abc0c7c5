"""Keeps changes of one kind so that a storm of one cause does not push out those of the others.

The newest are values; the others are packed, some at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from porter_ryu.history.change import Change
from porter_ryu.history.packed import Packed, pack

_STORM = 100  # more changes than these with one cause
_TOGETHER = 64  # changes are packed


class Shelf:
    """The changes of one kind, in the order of their numbers: so many are `kept`.  `forgotten_at`
    is the time of the last one that is not kept any more, a Unix time; 0: all are kept."""

    def __init__(self) -> None:
        self.kept = 0
        self.forgotten_at = 0.0
        self._packed: list[Packed] = []
        self._newest: list[Change] = []
        self._causes: list[int] = []  # of the newest
        self._counts: dict[int, int] = {}  # of the changes of each cause
        # of the causes of many changes: the number of the last one that was forgotten
        self._storms: dict[int, int] = {}

    def add(self, change: Change) -> None:
        """Adds a change with a higher number than those before."""
        cause = _culprit(change)
        self._newest.append(change)
        self._causes.append(cause)
        self.kept += 1
        count = self._counts[cause] = self._counts.get(cause, 0) + 1
        if count > _STORM:
            self._storms.setdefault(cause, 0)
        if len(self._newest) == 2 * _TOGETHER:
            old, causes = self._newest[:_TOGETHER], self._causes[:_TOGETHER]
            del self._newest[:_TOGETHER], self._causes[:_TOGETHER]
            self._packed.append(pack(old, causes))

    def forget_one(self) -> int:
        """Forgets the oldest change of the cause that has most, if these are a storm; otherwise the
        oldest of all.  Returns its number; there must be one."""
        storm = max(self._storms, key=self._counts.__getitem__, default=None)
        if storm is not None and self._counts[storm] <= _STORM:
            storm = None
        number, time, cause = self._forget_oldest(storm)
        self.kept -= 1
        self.forgotten_at = max(self.forgotten_at, time)
        left = self._counts[cause] = self._counts[cause] - 1
        if cause in self._storms:
            self._storms[cause] = number
            if left <= _STORM // 2:
                del self._storms[cause]
        if not left:
            del self._counts[cause]
        return number

    def later(self, sequence: int) -> Iterator[Change]:
        """The changes after the one with this number, oldest first, as they are now; costs as much
        as there are."""
        packed = [each for each in self._packed if each.numbers[-1] > sequence]
        newest = [change for change in self._newest if change.sequence > sequence]
        return _each(packed, newest, sequence)

    def _forget_oldest(self, storm: int | None) -> tuple[int, float, int]:
        """Forgets the oldest change of a storm, or of all; returns its number, time and cause."""
        first = 0
        if storm is not None:  # those before it have none of this cause any more
            after = self._storms[storm]
            first = bisect_right(self._packed, after, key=lambda packed: packed.numbers[0]) - 1
        for place in range(max(0, first), len(self._packed)):
            packed = self._packed[place]
            index = packed.oldest(storm)
            if index is not None:
                self._replace(place, packed.without(index))
                return packed.numbers[index], packed.times[index], packed.causes[index]
        index = 0 if storm is None else self._causes.index(storm)
        change = self._newest.pop(index)
        return change.sequence, change.time, self._causes.pop(index)

    def _replace(self, place: int, packed: Packed) -> None:
        """Puts back changes of which one was forgotten: packed anew, if half of them are, together
        with the next ones, if these are few.  The first ones are about to be forgotten anyway."""
        left = packed.left
        if not left:
            del self._packed[place]
            return
        if not place or left > len(packed.numbers) // 2:
            self._packed[place] = packed
            return
        some = [packed]
        following = self._packed[place + 1 : place + 2]
        if following and left + following[0].left <= _TOGETHER:
            some += following
        changes = [change for each in some for change in each.changes()]
        again = pack(changes, [*map(_culprit, changes)])
        self._packed[place : place + len(some)] = [again]


def _each(packed: list[Packed], newest: list[Change], after: int) -> Iterator[Change]:
    for each in packed:
        yield from each.changes(after)
    yield from newest


def _culprit(change: Change) -> int:
    """The cause, without the reason that follows from it for one Service, as a hash: it takes less
    memory, and two causes with the same one would count as one."""
    return hash(change.cause.partition(": ")[0].partition(", read ")[0])
