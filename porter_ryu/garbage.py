"""Keeps the garbage collector from stopping the loop.

A full collection walks every object: 0.9 s with 10,000 Services, in which no keepalive is sent.
Nearly nothing here is a cycle, and what was listed lives long.  So full collections are not left to
chance: what a list brought is taken out of the collector's sight, and the rest, which is little, is
collected every ten seconds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

from ryu.lib import hub

from porter_ryu.supervisor import Beat

_EVERY = 10.0
_TOO_LONG = 0.03
_YOUNG, _MIDDLE, _NEVER = 5_000, 20, 1_000_000


class Garbage:
    """`lists` counts the lists that were read so far."""

    def __init__(self, lists: Callable[[], int]) -> None:
        self._lists = lists
        self._seen = 0

    def run(self, beat: Beat) -> None:
        """Collects for as long as the program runs."""
        gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)
        while True:
            beat()
            hub.sleep(_EVERY)
            self.collect()

    def collect(self) -> None:
        """Spares what lives long, or collects; what takes too long to walk is spared next."""
        lists = self._lists()
        if lists != self._seen:
            self._seen = lists
            gc.freeze()
            return
        began = time.monotonic()
        gc.collect()
        if time.monotonic() - began > _TOO_LONG:
            gc.freeze()
