"""A result that takes long to make, made once for all who ask for it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ryu.lib import hub

R = TypeVar("R")


class SharedResult(Generic[R]):
    """`make` may let other greenthreads run.  It runs once at a time; all who ask meanwhile share
    the next result, so that none of them gets one that began before they asked."""

    def __init__(self, make: Callable[[], R]) -> None:
        self._make = make
        self._lock = hub.Semaphore(1)
        self._started = self._finished = 0  # numbers of results
        self._result: R | None = None

    def get(self) -> R:
        """A result that was begun after this call; raises what `make` raises."""
        wanted = self._started + 1
        with self._lock:
            if self._finished < wanted or self._result is None:
                self._started += 1
                number = self._started
                self._result = self._make()
                self._finished = number
            return self._result
