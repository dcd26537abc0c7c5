"""How long an informer waits before its next request to the API server.

A watch that ended after a while is resumed at once.  A watch that ends repeatedly right after its
start, or with 410, costs a list of the whole kind each time; such lists are at least a second
apart, with backoff.  Times are time.monotonic(), in seconds.
"""

from __future__ import annotations

from porter_ryu.backoff import Backoff
from porter_ryu.kube.errors import GONE, ApiError

_FIRST_WAIT_SECONDS = 0.2
_MAX_WAIT_AFTER_WATCH_SECONDS, _MAX_WAIT_AFTER_LIST_SECONDS = 30.0, 5.0
_LONG_WATCH_SECONDS, _LONG_WATCH_WITH_EVENTS_SECONDS = 5.0, 1.0
_MIN_SECONDS_BETWEEN_LISTS = 1.0


class Pace:
    """The waits of one informer."""

    def __init__(self) -> None:
        self._watch_backoff = Backoff(_FIRST_WAIT_SECONDS, _MAX_WAIT_AFTER_WATCH_SECONDS)
        self._list_backoff = Backoff(_FIRST_WAIT_SECONDS, _MAX_WAIT_AFTER_LIST_SECONDS)
        self._listed_at: float | None = None

    def listed(self, now: float) -> None:
        """Notes that a list begins."""
        self._listed_at = now

    def refused(self, error: ApiError, now: float) -> float:
        """The wait after a failed list or connection: 0.2 to 5 s, so that a server that is back is
        read soon, or longer if the server asks for it.  A list that took too long (410) counts
        like a watch that ended at once."""
        if error.status == GONE:
            return self.ended(0.0, 0, now, error.retry_after)
        return max(self._list_backoff.next(), error.retry_after or 0.0)

    def ended(self, lived: float, events: int, now: float, retry_after: float | None) -> float:
        """The wait after a watch that lasted `lived` seconds and had this number of `events`: none
        if it lasted 5 s, or 1 s with events; else 0.2 to 30 s, and at least a second between two
        lists."""
        self._list_backoff.reset()
        long_enough = _LONG_WATCH_WITH_EVENTS_SECONDS if events else _LONG_WATCH_SECONDS
        if lived >= long_enough:
            self._watch_backoff.reset()
            return retry_after or 0.0
        wait = max(self._watch_backoff.next(), retry_after or 0.0)
        if self._listed_at is not None:
            wait = max(wait, self._listed_at + _MIN_SECONDS_BETWEEN_LISTS - now)
        return wait
