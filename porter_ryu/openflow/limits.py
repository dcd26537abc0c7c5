"""What the controller's port admits, so that no client of it is noticed elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct


class Limits(Struct, frozen=True):
    """`max_switches`: connections whose handshake is complete; `max_handshakes`: other ones, each
    of which has `handshake_seconds`.  `silence_seconds`: how long a switch may say nothing, though
    it is asked; `stall_seconds`: how long it may read nothing.  `packet_ins_per_second`: what is
    above is not read.  `unsent_octets`: what waits for a switch that reads slowly.
    `reply_octets`: the longest answer to one question.
    """

    max_switches: int = 64
    max_handshakes: int = 64
    handshake_seconds: float = 5.0
    silence_seconds: float = 15.0
    stall_seconds: float = 10.0
    packet_ins_per_second: int = 2_000
    unsent_octets: int = 1 << 20
    reply_octets: int = 1 << 28


class Rate:
    """A limit of events a second; a second's worth may come at once."""

    def __init__(self, per_second: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = float(per_second)
        self._at = clock()

    def admits(self) -> bool:
        """Whether another event is within the limit; it counts then."""
        if self._left < 1:
            now = self._clock()
            self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return False
        self._left -= 1
        return True
