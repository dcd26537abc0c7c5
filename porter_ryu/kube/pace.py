"""How long an informer waits before it asks the API server again.

A watch that ends once goes on at once.  One that ends again and again as soon as it has begun, or
is answered 410, costs a list of the whole kind each time: those come at most once a second, then
ever more seldom.  Times are time.monotonic(), in seconds.
"""

from __future__ import annotations

from porter_ryu.backoff import Backoff
from porter_ryu.kube.errors import GONE, ApiError

_FIRST = 0.2
_MOST_ENDED, _MOST_UNREAD = 30.0, 5.0
_LIVED, _LIVED_WITH_EVENTS = 5.0, 1.0
_LISTS_APART = 1.0


class Pace:
    """The waits of one informer."""

    def __init__(self) -> None:
        self._ended = Backoff(_FIRST, _MOST_ENDED)
        self._unread = Backoff(_FIRST, _MOST_UNREAD)
        self._listed_at: float | None = None

    def listed(self, now: float) -> None:
        """A list begins."""
        self._listed_at = now

    def refused(self, error: ApiError, now: float) -> float:
        """The wait after a list that failed, or a server that is not reached: 0.2 to 5 s, so that
        one that comes back is soon read; longer where it asks for that.  A list that was too long
        under way (410) waits as a watch that ended at once."""
        if error.status == GONE:
            return self.ended(0.0, 0, now, error.retry_after)
        return max(self._unread.next(), error.retry_after or 0.0)

    def ended(self, lived: float, events: int, now: float, retry_after: float | None) -> float:
        """The wait after a watch that lasted `lived` seconds and had `events`: none after one of
        5 s, or of 1 s with events; else 0.2 to 30 s, and a second from list to list."""
        self._unread.reset()
        if lived >= _LIVED or (events and lived >= _LIVED_WITH_EVENTS):
            self._ended.reset()
            return retry_after or 0.0
        wait = max(self._ended.next(), retry_after or 0.0)
        if self._listed_at is not None:
            wait = max(wait, self._listed_at + _LISTS_APART - now)
        return wait
