"""Exponential backoff with jitter, used for all retries."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec import Struct, field

from porter_ryu.domain.growth import doubled

_JITTER = (0.75, 1.0)  # factor of a delay, at least and at most


class Backoff(Struct):
    """Delays that double from `first` to `maximum`, in seconds.  Each is shortened at random by up
    to a quarter, so that instances that fail at the same time do not retry at the same time."""

    first: float
    maximum: float
    spread: Callable[[float, float], float] = field(default=random.uniform)
    _failures: int = 0

    def next(self) -> float:
        """How long to wait after another failure, in seconds."""
        delay = doubled(self.first, self.maximum, self._failures)
        self._failures += 1
        return delay * self.spread(*_JITTER)

    def reset(self) -> None:
        """Starts again at `first`, after a success."""
        self._failures = 0
