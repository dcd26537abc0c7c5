"""Which changes a request to /v1/changes asks for."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator

from msgspec import Struct
from webob import Request

from porter_ryu.history.change import Change
from porter_ryu.history.record import History
from porter_ryu.history.subject import About
from porter_ryu.http.query import SEQUENCE, count, number, parameters, subject
from porter_ryu.time_slice import TimeSlice


class ChangeFilter(Struct, frozen=True):
    """The changes after the number `since`, about a subject (None: all), of the last `seconds`, and
    of these the newest `limit` (0: no limit)."""

    since: int = 0
    about: About | None = None
    seconds: int = 0
    limit: int = 0

    def of(self, history: History, now: float) -> Iterable[Change]:
        """The changes, oldest first; those before let other greenthreads run.  `now` is Unix time.
        A number of an earlier process stands for the beginning."""
        found = self._wanted(history, now)
        return collections.deque(found, self.limit) if self.limit else found

    def begins(self, history: History, now: float) -> int:
        """The number of the first change that is young enough; 0 if there is no such limit."""
        if not self.seconds:
            return 0
        give_way = TimeSlice()
        for change in history.since(0):
            give_way()
            if self._is_young(change, now):
                return change.sequence
        return history.last + 1

    def _is_young(self, change: Change, now: float) -> bool:
        return not self.seconds or change.time >= now - self.seconds

    def _wanted(self, history: History, now: float) -> Iterator[Change]:
        give_way = TimeSlice()
        for change in history.since(self.since if self.since <= history.last else 0):
            give_way()
            found = change if self.about is None else change.concerning(self.about)
            if found is not None and self._is_young(change, now):
                yield found


def parse(req: Request) -> ChangeFilter:
    """The filter of a request: `since`, `about`, `seconds` and `limit`; raises QueryError."""
    query = parameters(req)
    seconds, limit = (
        count(name, query[name], f"a number of {what}") if name in query else 0
        for name, what in (("seconds", "seconds"), ("limit", "changes"))
    )
    since = number("since", query.get("since", "0"), SEQUENCE)
    return ChangeFilter(since, subject(query.get("about")), seconds, limit)
