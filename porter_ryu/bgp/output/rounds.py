"""Round robin over the peers that have something to send: one slice each, in one greenthread.

So a whole table, or many route refreshes, delays everything else by one slice, however many peers
there are, and a peer that requests much takes no time from the others.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Protocol

from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

_AFTER_A_FAULT = 0.1


class Source(Protocol):
    """Something that sends slice by slice."""

    def send_slice(self) -> bool:
        """Sends a slice of a few milliseconds; returns whether more can be sent now."""


class OutputRounds:
    """The queue of sources that have something to send."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._queue: collections.OrderedDict[Source, None] = collections.OrderedDict()
        self._running = False
        self._waiting: list[Callable[[], object]] = []

    def due(self, source: Source) -> None:
        """Queues a source, unless it is queued already."""
        self._queue[source] = None
        self._start(0.0)

    def when_sent(self, tell: Callable[[], object]) -> None:
        """Calls `tell` when the queue is empty, immediately if it is empty now."""
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
                source = next(iter(self._queue))
                more = True
                try:
                    more = source.send_slice()
                finally:
                    # after an exception only this slice is lost: the source is queued again
                    if more:
                        self._queue.move_to_end(source)
                    else:
                        del self._queue[source]
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
