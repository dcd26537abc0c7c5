"""Work that takes long gives way: eventlet's own sockets do so only when they have to wait."""

from __future__ import annotations

import time

from ryu.lib import hub

_SECONDS = 0.005


class TimeSlice:
    """To be called often in a long piece of work: lets every other greenthread run once this
    one has worked for five milliseconds."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS

    def __call__(self) -> None:
        """Gives way when the slice is used up."""
        if time.monotonic() >= self._until:
            hub.sleep(0)
            self._until = time.monotonic() + _SECONDS
