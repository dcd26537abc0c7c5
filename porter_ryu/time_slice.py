"""Lets other greenthreads run during long work.

eventlet switches greenthreads only when a call has to wait, so long work must yield by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ryu.lib import hub

_SLICE_SECONDS = 0.005


class TimeSlice:
    """A slice of five milliseconds of the greenthread that calls it; call it often in long work.

    A greenthread has one slice, whichever object it asks.  If each object had its own, a function
    that yields and calls another one that yields would yield several times for each piece of work
    wherever the others take longer than a slice, and hardly get on.  `clock` is in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def begin(self) -> None:
        """Begins a slice: the other greenthreads have just run."""
        hub.getcurrent().slice_ends_at = self._clock() + _SLICE_SECONDS

    @property
    def used_up(self) -> bool:
        """Whether the next call yields."""
        ends_at: float | None = getattr(hub.getcurrent(), "slice_ends_at", None)
        if ends_at is None:
            self.begin()
            return False
        return self._clock() >= ends_at

    def __call__(self) -> None:
        """Yields to the other greenthreads if the slice is used up."""
        if self.used_up:
            hub.sleep(0)
            self.begin()
