"""When an Eip will be full if it goes on filling as it did of late.

The use of each Eip is kept for an hour, so this needs no other program that remembers.
"""

from __future__ import annotations

import collections
from collections.abc import Mapping

from msgspec import Struct

SAMPLE_SECONDS = 300.0
WINDOW_SECONDS = 3600.0
_LEAST_SECONDS = 900.0  # of less, one new Service would look like a trend
_NOT_KNOWN = "how full it was is known for less than 15 minutes"
_FARTHEST_SECONDS = 30 * 86_400.0  # nobody acts on more


class PoolUse(Struct, frozen=True):
    """How many addresses of an Eip are held, of how many."""

    used: int
    size: int


class PoolGrowth(Struct, frozen=True):
    """How an Eip fills: so many addresses more in the last `seconds`, and at that rate it is full
    at `full_at`, on the clock of the samples, in seconds."""

    added: int
    seconds: float
    full_at: float


class PoolGrowths:
    """Remembers how full each Eip was; times are of a monotonic clock, in seconds.  What is kept
    are 13 numbers for each Eip that there is."""

    def __init__(self) -> None:
        kept = int(WINDOW_SECONDS / SAMPLE_SECONDS) + 1
        self._samples: collections.deque[tuple[float, Mapping[str, PoolUse]]] = collections.deque(
            maxlen=kept
        )

    @property
    def cached_entries(self) -> int:
        """How many numbers are kept."""
        return sum(len(uses) for _, uses in self._samples)

    def observe(self, uses: Mapping[str, PoolUse], now: float) -> None:
        """Takes how full the Eips are, by name; every SAMPLE_SECONDS."""
        self._samples.append((now, dict(uses)))

    def of(self, name: str) -> PoolGrowth | str:
        """How an Eip fills, or why there is nothing to say of that."""
        now, uses = self._samples[-1] if self._samples else (0.0, {})
        use = uses.get(name)
        if use is None:
            return _NOT_KNOWN
        if use.used >= use.size:
            return "it is full"
        at, before = next(
            (at, before[name].used)
            for at, before in self._samples
            if name in before and now - at <= WINDOW_SECONDS
        )
        return _growth(before, use, now, now - at)


def _growth(before: int, use: PoolUse, now: float, seconds: float) -> PoolGrowth | str:
    added = use.used - before
    if seconds < _LEAST_SECONDS:
        return _NOT_KNOWN
    if added <= 0:
        return f"it did not fill in the last {seconds / 60:.0f} minutes"
    left = (use.size - use.used) * seconds / added
    if left > _FARTHEST_SECONDS:
        return "at its rate it is not full for 30 days"
    return PoolGrowth(added, seconds, now + left)
