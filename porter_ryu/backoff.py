"""Exponential backoff with jitter, the one that everything which is tried again uses."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from porter_ryu.domain.growth import doubled

_JITTER = (0.75, 1.0)


@dataclass
class Backoff:
    """Delays that double from `first` to `most`, in seconds, each cut by up to a quarter at
    random so that those who fail together do not come back together."""

    first: float
    most: float
    spread: Callable[[float, float], float] = field(default=random.uniform)
    _failures: int = 0

    def next(self) -> float:
        """How long to wait after one more failure."""
        delay = doubled(self.first, self.most, self._failures)
        self._failures += 1
        return delay * self.spread(*_JITTER)

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self._failures = 0
