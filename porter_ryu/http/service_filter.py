"""Which Services a request to /v1/services asks for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address

from msgspec import Struct
from webob import Request

from porter_ryu.domain.text import quoted
from porter_ryu.domain.verdict import Reason
from porter_ryu.http.query import QueryError, count, parameters
from porter_ryu.report import Json
from porter_ryu.time_slice import TimeSlice

_MAX_TEXT_CHARACTERS = 300
_STATES = frozenset(reason.value for reason in Reason)


class ServiceFilter(Struct, frozen=True):
    """Services in one of `states` (none: all) of which the name, an address or an Eip contains
    `text`, in small or capital letters (of a complete address: which have it, also on record
    alone), after the name `after` (namespace, name), and at most `limit` of them (0: no limit).
    `node`: only those that have it as a next hop, which `report.services` knows; empty: all."""

    states: frozenset[str] = frozenset()
    text: str = ""
    after: tuple[str, str] = ("", "")
    limit: int = 0
    node: str = ""

    def of(self, entries: Iterable[Json]) -> Iterator[Json]:
        """The entries that are asked for; the others let other greenthreads run."""
        found = self._wanted(entries)
        return itertools.islice(found, self.limit) if self.limit else found

    def _wanted(self, entries: Iterable[Json]) -> Iterator[Json]:
        give_way = TimeSlice()
        wanted = self._matcher()
        for entry in entries:
            give_way()
            if (entry["namespace"], entry["name"]) <= self.after:
                continue
            if self.states and entry["state"] not in self.states:
                continue
            if not self.text or wanted(entry):
                yield entry

    def _matcher(self) -> Callable[[Json], bool]:
        try:
            address = str(ip_address(self.text))
        except ValueError:
            text = self.text.lower()
            return lambda entry: any(text in found.lower() for found in _texts(entry))
        return lambda entry: address in entry["addresses"] or address in entry["recorded"]


def _texts(entry: Json) -> list[str]:
    name = f"{entry['namespace']}/{entry['name']}"
    return [name, *entry["addresses"], *entry["recorded"], *entry["eips"]]


def parse(req: Request) -> ServiceFilter:
    """The filter of a request: `state` (several separated by commas), `q`, `node`, `after` and
    `limit`.
    Raises QueryError."""
    query = parameters(req)
    states = frozenset(part for part in query.get("state", "").split(",") if part)
    unknown = sorted(states - _STATES)
    if unknown:
        raise QueryError(f"state: {quoted(unknown[0])} is none of {', '.join(sorted(_STATES))}")
    namespace, slash, name = query.get("after", "/").partition("/")
    if not slash:
        raise QueryError("after: is not NAMESPACE/NAME")
    limit = 0
    if "limit" in query:
        limit = count("limit", query["limit"], "a number of Services")
    text = query.get("q", "")
    if len(text) > _MAX_TEXT_CHARACTERS:
        raise QueryError(f"q: has more than {_MAX_TEXT_CHARACTERS} characters")
    return ServiceFilter(states, text, (namespace, name), limit, query.get("node", ""))
