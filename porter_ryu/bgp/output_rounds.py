"""Who has something to send sends one slice of it in turn, for all peers in one greenthread.

So a table, or a storm of refreshes, delays everything else by one slice, however many peers
there are, and a peer that asks much takes nothing from the others.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Protocol

from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

_AFTER_A_FAULT = 0.1


class Source(Protocol):
    """Who sends."""

    def send_slice(self) -> bool:
        """Sends a piece of a few milliseconds; whether there is more that can be sent now."""


class OutputRounds:
    """The queue of those who have something to send."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._queue: collections.deque[Source] = collections.deque()
        self._running = False
        self._waiting: list[Callable[[], object]] = []

    def due(self, source: Source) -> None:
        """A source has something to send; one that waits its turn already goes on waiting."""
        if source not in self._queue:
            self._queue.append(source)
        self._start(0.0)

    def when_sent(self, tell: Callable[[], object]) -> None:
        """Calls `tell` once nobody has anything to send any more, now if that is so."""
        if self._queue:
            self._waiting.append(tell)
        else:
            tell()

    def _start(self, seconds: float) -> None:
        if self._queue and not self._running:
            self._running = True
            self._supervisor.after(seconds, "bgp output", self._run)

    def _run(self) -> None:
        give_way = TimeSlice()
        pause = _AFTER_A_FAULT
        try:
            while self._queue:
                source = self._queue[0]
                more = True
                try:
                    more = source.send_slice()
                finally:
                    # a fault costs the slice alone: the rest of the source has its turn again
                    self._queue.popleft()
                    if more and source not in self._queue:
                        self._queue.append(source)
                give_way()
            self._tell()
            pause = 0.0
        finally:
            self._running = False
            self._start(pause)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell()
