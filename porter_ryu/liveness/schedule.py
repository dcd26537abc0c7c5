"""When each probe is sent, and when its answer is due.  It opens no socket and reads no clock.

Probes are spread evenly over the interval.  Whoever sends them may be late, because the machine is
busy or was suspended.  A probe whose turn has passed is not sent late, but at its next turn; and an
answer that was due meanwhile is not missed, because nobody was there to ask for it.
"""

from __future__ import annotations

import collections
import heapq
import itertools
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

_GOLDEN_RATIO = 0.6180339887498949  # its multiples, modulo 1, are spread evenly however many
_LATE_SHARE = 0.25  # of the interval
_LATE_MIN_SECONDS = 0.02


class Scheduled(Protocol):
    """A target of probes: `sequence` is the number of the last probe that was sent, `settled` that
    of the last one whose result is known, `removed` whether it is not probed any more."""

    sequence: int
    settled: int
    removed: bool


T = TypeVar("T", bound=Scheduled)


class Schedule(Generic[T]):
    """Each target has a turn every `interval` seconds, and `timeout` seconds to answer.  Each `now`
    is of one monotonic clock, in seconds."""

    def __init__(self, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._late = max(_LATE_MIN_SECONDS, interval * _LATE_SHARE)
        self._numbers = itertools.count()
        self._turns: list[tuple[float, int, T]] = []
        self._due: collections.deque[tuple[float, T, int]] = collections.deque()
        self._late_count = 0

    def add(self, target: T, now: float) -> None:
        """Adds a target; its first turn is within an interval."""
        number = next(self._numbers)
        phase = number * _GOLDEN_RATIO % 1.0
        heapq.heappush(self._turns, (now + phase * self._interval, number, target))

    def turns(self, now: float) -> Iterator[T]:
        """The targets whose turn has come; each has to be sent a probe, and then to be passed to
        `sent`.  Turns that passed too long ago are left out."""
        while self._turns and self._turns[0][0] <= now:
            turn, number, target = self._turns[0]
            if target.removed:
                heapq.heappop(self._turns)
                continue
            missed = (now - turn) // self._interval
            heapq.heapreplace(self._turns, (turn + (missed + 1) * self._interval, number, target))
            if now - turn > self._late:
                self._late_count += 1
            else:
                yield target

    def sent(self, target: T, now: float) -> None:
        """A probe was sent: its answer is due."""
        target.sequence += 1
        self._due.append((now + self._timeout, target, target.sequence))

    def missed(self, now: float) -> list[T]:
        """The targets whose answer was due by `now` and did not come; those that would be judged
        too late are left out.  All answers that had arrived by `now` have to be known."""
        targets: list[T] = []
        while self._due and self._due[0][0] <= now:
            due, target, sequence = self._due.popleft()
            if target.removed or target.settled >= sequence:
                continue
            target.settled = sequence
            if now - due > self._late:
                self._late_count += 1
            else:
                targets.append(target)
        return targets

    def pop_late(self) -> int:
        """How many probes count for nothing since this was called last, because it was late."""
        count, self._late_count = self._late_count, 0
        return count
