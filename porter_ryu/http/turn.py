"""Requests that are all complete at once take the loop for a few milliseconds in each turn."""

from __future__ import annotations

import time

from eventlet import hubs
from ryu.lib import hub

_SECONDS = 0.005


class Turn:
    """What every request waits for before it is answered."""

    def __init__(self) -> None:
        self._until: float | None = None

    def wait(self) -> None:
        """Returns at once while the present turn of the loop has spent less than 5 ms on answers
        that began in it, else in one of the next turns, in order."""
        hub.sleep(0)
        while True:
            if self._until is None:
                self._until = time.monotonic() + _SECONDS
                hubs.get_hub().schedule_call_global(0, self._end)
            if time.monotonic() < self._until:
                return
            hub.sleep(0)

    def _end(self) -> None:
        self._until = None
