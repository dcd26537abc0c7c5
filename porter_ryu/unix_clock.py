"""Moments of the monotonic clock as Unix times.

One moment is the same Unix time whenever it is asked for, as long as nobody sets the clock of the
host: what is computed anew each time differs by what passes between looking at the two clocks.
"""

from __future__ import annotations

import time

_SET_SECONDS = 0.1  # by so much at least the clock was set; adjustments by NTP are far less at once


class _Zero:
    """Follows the clock of the host where somebody sets it."""

    def __init__(self) -> None:
        before = time.monotonic()
        self._zero = time.time() - before

    def now(self) -> float:
        """The Unix time at which the monotonic clock was 0."""
        before = time.monotonic()
        unix = time.time()
        after = time.monotonic()
        # this process may have waited for the processor between the two clocks
        earliest, latest = unix - after, unix - before
        if not earliest - _SET_SECONDS <= self._zero <= latest + _SET_SECONDS:
            self._zero = latest
        return self._zero


_ZERO = _Zero()


def unix_zero() -> float:
    """The Unix time, in seconds, at which `time.monotonic` was 0, by the clock of the host as it is
    now: with a moment of the monotonic clock it makes the Unix time of that moment."""
    return _ZERO.now()
