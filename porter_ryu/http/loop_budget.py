"""Limits how long responses may occupy one iteration of the event loop.

Without a limit, many requests that become complete at the same time would all be answered in one
iteration, and every other greenthread would wait.
"""

from __future__ import annotations

import time

from eventlet import hubs
from ryu.lib import hub

_SECONDS = 0.005


class LoopBudget:
    """Grants five milliseconds of each loop iteration to responses."""

    def __init__(self) -> None:
        self._deadline: float | None = None  # of the current iteration

    def wait(self) -> None:
        """Returns as soon as the current iteration has time left for another response; callers are
        served in order."""
        hub.sleep(0)
        while True:
            if self._deadline is None:
                self._deadline = time.monotonic() + _SECONDS
                hubs.get_hub().schedule_call_global(0, self._end_iteration)
            if time.monotonic() < self._deadline:
                return
            hub.sleep(0)

    def _end_iteration(self) -> None:
        self._deadline = None
