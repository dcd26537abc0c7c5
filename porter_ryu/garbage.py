"""Keeps the garbage collector from blocking the loop.

A full collection visits every object.  With 10,000 Services it takes 0.9 s, and no KEEPALIVE is
sent meanwhile.  Almost no object here is part of a reference cycle, and the objects of a list live
long.  So Python collects only the youngest objects by itself; the objects of each list are frozen
(`gc.freeze`), and the few others are collected every ten seconds.

The text of a list leaves holes in the heap, which the C library keeps: they are given back.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import time
from collections.abc import Callable

from ryu.lib import hub

from porter_ryu.kube.shared import forget_keys
from porter_ryu.supervisor import Beat

_INTERVAL_SECONDS = 10.0
_SLOW_SECONDS = 0.03
_THRESHOLDS = 5_000, 1_000_000, 1_000_000  # only that of the youngest objects runs by itself


class GarbageCollector:
    """`lists_read` returns how many lists were read so far."""

    def __init__(self, lists_read: Callable[[], int]) -> None:
        self._lists_read = lists_read
        self._lists_frozen = 0

    def run(self, beat: Beat) -> None:
        """Collects every ten seconds; never returns."""
        gc.set_threshold(*_THRESHOLDS)
        while True:
            beat()
            hub.sleep(_INTERVAL_SECONDS)
            self.collect()

    def collect(self) -> None:
        """Freezes all objects and gives free memory back if a list was read since the last call,
        else collects.  Freezes also after a slow collection, so that the next one is fast.  Keys of
        objects that are gone are not kept for others to share."""
        forget_keys()
        lists = self._lists_read()
        if lists != self._lists_frozen:
            self._lists_frozen = lists
            gc.freeze()
            _give_memory_back()
            return
        started_at = time.monotonic()
        gc.collect()
        if time.monotonic() - started_at > _SLOW_SECONDS:
            gc.freeze()


def _give_memory_back() -> None:
    """malloc_trim(3), which only the GNU C library has."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
