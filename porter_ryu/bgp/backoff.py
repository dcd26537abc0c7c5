"""When a peer is called again: exponential backoff with jitter (RFC 4271, 8.1.1 and 10)."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MOST = 60.0
_DOUBLINGS = 4
_REFUSED = 30.0
_REFUSALS_AT_ONCE = 3


@dataclass
class Backoff:
    """Counts what went wrong; `first` is connect_retry, in seconds."""

    first: float
    _failures: int = 0
    _refusals: int = 0

    def succeeded(self) -> None:
        """A session came up: all is forgotten."""
        self._failures = self._refusals = 0

    def failed(self, refused: bool) -> float:
        """A connection, or (`refused`) the OPEN over it, came to nothing.  Returns the seconds
        to wait: not below 30 once a peer has refused our OPEN a few times."""
        self._failures += 1
        self._refusals += refused
        delay = self.first * 2.0 ** min(self._failures - 1, _DOUBLINGS)
        delay = min(delay, max(_MOST, self.first)) * random.uniform(0.75, 1.0)  # noqa: S311
        return max(delay, _REFUSED) if self._refusals > _REFUSALS_AT_ONCE else delay
