"""Lets other greenthreads run during long work.

eventlet switches greenthreads only when a call has to wait, so long work must yield by itself.
"""

from __future__ import annotations

import time

from ryu.lib import hub

_SLICE_SECONDS = 0.005


class TimeSlice:
    """A slice of five milliseconds; call it often during long work."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begins a slice: the other greenthreads have just run."""
        self._ends_at = time.monotonic() + _SLICE_SECONDS

    @property
    def used_up(self) -> bool:
        """Whether the next call yields."""
        return time.monotonic() >= self._ends_at

    def __call__(self) -> None:
        """Yields to the other greenthreads if the slice is used up."""
        if self.used_up:
            hub.sleep(0)
            self.begin()
