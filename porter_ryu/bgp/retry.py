"""How long to wait before the next connection with a peer.

RFC 4271 has two timers: the ConnectRetryTimer (8.1.1 and 10) for failed connection attempts, and
the IdleHoldTimer with DampPeerOscillations (8.1.1) for sessions that end soon after they came up.
Each session costs a full table, so a flapping peer must be slowed down.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from porter_ryu.backoff import Backoff

_CONNECT_RETRY_MAX_SECONDS = 60.0
_REFUSED_MIN_SECONDS = 30.0
_REFUSALS_TOLERATED = 3
_SHORT_LIVED_SECONDS = 30.0
_FLAPS_TOLERATED = 3
_IDLE_FIRST_SECONDS, _IDLE_MAX_SECONDS = 2.0, 120.0
_RECONNECT_MIN_SECONDS, _RECONNECT_MAX_SECONDS = 0.1, 0.5

Spread = Callable[[float, float], float]
"""Returns a random number between two numbers."""


class ConnectRetry:
    """The delay between connection attempts; `first` is connect_retry, in seconds."""

    def __init__(self, first: float, spread: Spread = random.uniform) -> None:
        self._backoff = Backoff(first, max(_CONNECT_RETRY_MAX_SECONDS, first), spread)
        self._refusals = 0

    def reset(self) -> None:
        """A session came up: the next failure is the first again."""
        self._refusals = 0
        self._backoff.reset()

    def next_delay(self, refused: bool) -> float:
        """Returns the seconds to wait after one more failure.

        `refused`: the connection was made, but the session did not come up.  After a few such
        refusals the delay is at least 30 s.
        """
        self._refusals += refused
        delay = self._backoff.next()
        if self._refusals > _REFUSALS_TOLERATED:
            return max(delay, _REFUSED_MIN_SECONDS)
        return delay


class Damping:
    """Keeps a peer idle for a growing time while its sessions end within 30 s.

    The first three such ends have no effect, so one or two restarts are not delayed.  From the
    fourth on there is no connection with the peer, in either direction, for 2, 4, … 120 s.  A
    session that lasts longer resets the count.
    """

    def __init__(self, spread: Spread = random.uniform) -> None:
        self._spread = spread
        self._backoff = Backoff(_IDLE_FIRST_SECONDS, _IDLE_MAX_SECONDS, spread)
        self._flaps = 0
        self._idle_until = 0.0

    def session_ended(self, lifetime: float, now: float) -> float:
        """Records that an Established session ended after `lifetime` seconds.  Returns the seconds
        until the next connection attempt."""
        if lifetime >= _SHORT_LIVED_SECONDS:
            self._flaps = 0
            self._backoff.reset()
        else:
            self._flaps += 1
        delay = self._spread(_RECONNECT_MIN_SECONDS, _RECONNECT_MAX_SECONDS)
        if self._flaps <= _FLAPS_TOLERATED:
            return delay
        idle = self._backoff.next()
        self._idle_until = now + idle
        return idle + delay

    def idle_seconds(self, now: float) -> float:
        """How many seconds the peer is still kept idle; 0 if it is not damped."""
        return max(0.0, self._idle_until - now)
