"""When a peer is called again, and when one whose sessions do not last is served again.

Two waits, both of RFC 4271: ConnectRetryTimer (8.1.1 and 10), for calls that come to nothing, and
IdleHoldTimer with DampPeerOscillations (8.1.1), for sessions that end soon after they came up: each
of them costs a whole table, so a peer could have as many as it likes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from porter_ryu.backoff import Backoff

_MOST = 60.0
_REFUSED = 30.0
_REFUSALS_AT_ONCE = 3
_SHORT_LIVED = 30.0
_FLAPS_AT_ONCE = 3
_IDLE_FIRST, _IDLE_MOST = 2.0, 120.0
_PROMPTLY = (0.1, 0.5)

Spread = Callable[[float, float], float]


@dataclass
class ConnectRetry:
    """How long to wait for the next call; `first` is connect_retry, in seconds."""

    first: float
    spread: Spread = field(default=random.uniform)
    _refusals: int = 0

    def __post_init__(self) -> None:
        self._backoff = Backoff(self.first, max(_MOST, self.first), self.spread)

    def succeeded(self) -> None:
        """A session came up: all is forgotten."""
        self._refusals = 0
        self._backoff.reset()

    def failed(self, refused: bool) -> float:
        """A connection, or (`refused`) the OPEN over it, came to nothing.  Returns the seconds
        to wait: not below 30 once a peer has refused our OPEN a few times."""
        self._refusals += refused
        delay = self._backoff.next()
        return max(delay, _REFUSED) if self._refusals > _REFUSALS_AT_ONCE else delay


@dataclass
class Damping:
    """Keeps a peer idle for a growing time while its sessions end within 30 s.

    The first three such ends cost nothing, so a restart or two is served at once; from the fourth
    on the peer is neither called nor served for 2, 4, … 120 s.  A session that lasts makes all of
    it forgotten.
    """

    spread: Spread = field(default=random.uniform)
    _flaps: int = 0
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._backoff = Backoff(_IDLE_FIRST, _IDLE_MOST, self.spread)

    def ended(self, lived: float, now: float) -> float:
        """An Established session ended after `lived` seconds.  Returns the seconds after which
        the peer is called again."""
        if lived >= _SHORT_LIVED:
            self._flaps = 0
            self._backoff.reset()
        else:
            self._flaps += 1
        prompt = self.spread(*_PROMPTLY)
        if self._flaps <= _FLAPS_AT_ONCE:
            return prompt
        idle = self._backoff.next()
        self._until = now + idle
        return idle + prompt

    def remaining(self, now: float) -> float:
        """For how many seconds the peer is still kept idle, 0 if it is not."""
        return max(0.0, self._until - now)
