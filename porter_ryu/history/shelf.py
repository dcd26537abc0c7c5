"""Keeps changes of one kind so that a storm of one cause does not push out those of the others."""

from __future__ import annotations

import collections
import itertools

from porter_ryu.history.change import Change

_STORM = 100  # more changes than these with one cause


class Shelf:
    """The changes of one kind, in the order of their numbers.  `forgotten_at` is the time of the
    last one that is not kept any more, a Unix time; 0: all are kept."""

    def __init__(self) -> None:
        self.forgotten_at = 0.0
        self._changes: collections.OrderedDict[int, Change] = collections.OrderedDict()
        self._by_cause: dict[str, list[int]] = {}  # their numbers; a deque of one takes 0.6 kB
        self._of_size: dict[int, dict[str, None]] = {}  # the causes of so many changes
        self._most = 0

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: Change) -> None:
        """Adds a change with a higher number than those before."""
        self._changes[change.sequence] = change
        cause = _culprit(change)
        numbers = self._by_cause.setdefault(cause, [])
        self._resize(cause, len(numbers), len(numbers) + 1)
        numbers.append(change.sequence)

    def forget_one(self) -> int:
        """Forgets the oldest change of the cause that has most, if these are a storm; otherwise the
        oldest of all.  Returns its number; there must be one."""
        if self._most > _STORM:
            cause = next(iter(self._of_size[self._most]))
        else:
            cause = _culprit(next(iter(self._changes.values())))
        numbers = self._by_cause[cause]
        change = self._changes.pop(numbers.pop(0))
        self._resize(cause, len(numbers) + 1, len(numbers))
        if not numbers:
            del self._by_cause[cause]
        self.forgotten_at = max(self.forgotten_at, change.time)
        return change.sequence

    def later(self, sequence: int) -> list[Change]:
        """The changes after the one with this number, oldest first; costs as much as there are."""
        newest_first = reversed(self._changes.values())
        found = list(itertools.takewhile(lambda c: c.sequence > sequence, newest_first))
        found.reverse()
        return found

    def _resize(self, cause: str, before: int, after: int) -> None:
        if before:
            causes = self._of_size[before]
            del causes[cause]
            if not causes:
                del self._of_size[before]
        if after:
            self._of_size.setdefault(after, {})[cause] = None
        if after > self._most or self._most not in self._of_size:
            self._most = after


def _culprit(change: Change) -> str:
    """The cause, without the reason that follows from it for one Service."""
    return change.cause.partition(": ")[0].partition(", read ")[0]
