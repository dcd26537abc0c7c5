"""When the route refreshes that a peer requests are answered (RFC 2918, RFC 7313).

One refresh runs at a time, and all requests that come meanwhile are answered by one more.  After a
refresh its family rests for as long as it took, so that a peer that requests refreshes without end
gets at most half of the time.
"""

from __future__ import annotations

from collections.abc import Callable

from porter_ryu.domain.model import Family

_MIN_REST_SECONDS, _MAX_REST_SECONDS = 0.05, 1.0


class Refreshes:
    """The requests of one session.  `running`: the family that is being sent again; None: none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.running: Family | None = None
        self._clock = clock
        self._requests: set[Family] = set()
        self._began_at = 0.0
        self._rest_until = dict.fromkeys(Family, 0.0)

    def request(self, family: Family) -> None:
        """The peer requests a family."""
        self._requests.add(family)

    @property
    def wait(self) -> float | None:
        """In how many seconds the next refresh may begin; None: nothing is requested."""
        if not self._requests:
            return None
        return max(0.0, min(self._rest_until[f] for f in self._requests) - self._clock())

    def begin(self) -> Family:
        """Begins the refresh that may begin first; there has to be a request."""
        family = min(self._requests, key=lambda one: (self._rest_until[one], one))
        self._requests.discard(family)
        self.running, self._began_at = family, self._clock()
        return family

    def end(self) -> Family:
        """The running refresh has been sent; returns its family."""
        family, self.running = self.running, None
        assert family is not None
        now = self._clock()
        rest = min(max(_MIN_REST_SECONDS, now - self._began_at), _MAX_REST_SECONDS)
        self._rest_until[family] = now + rest
        return family
