"""EndpointSlices of a Service that is not there, told once that lasts.

A Service and its EndpointSlices are read one after the other: from two watches, or object by object
from a directory, and after a Service is deleted its EndpointSlices stay until they are collected.
Only what lasts is a mistake, as a label with a wrong name.
"""

from __future__ import annotations

from collections.abc import Iterator

from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.text import printable

LASTS_SECONDS = 5.0


class Orphans:
    """Follows which Services of EndpointSlices are not there; times are of any monotonic clock, in
    seconds.  A Service that cannot be read is there."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._since: dict[ObjectKey, float] = {}  # in the order in which they are due
        self._told: set[ObjectKey] = set()

    @property
    def due(self) -> float | None:
        """When `warnings` has something to say although nothing changed; None: never."""
        first = next(iter(self._since.values()), None)
        return None if first is None else first + LASTS_SECONDS

    @property
    def cached_entries(self) -> int:
        """How many Services are waited for, or are missing."""
        return len(self._since) + len(self._told)

    def observe(self, service: ObjectKey, now: float) -> None:
        """Looks at a Service that changed, or of which an EndpointSlice did."""
        if not self._is_missing(service):
            self._since.pop(service, None)
            self._told.discard(service)
        elif service not in self._told:
            self._since.setdefault(service, now)

    def warnings(self, now: float) -> Iterator[str]:
        """A sentence for each EndpointSlice of a Service that is still not there; each Service
        is told once, until it was there."""
        while self._since:
            key, since = next(iter(self._since.items()))
            if now < since + LASTS_SECONDS:
                return
            del self._since[key]
            self._told.add(key)
            owner = printable(str(key))
            for piece in sorted(self._cluster.slices_of(key), key=lambda piece: piece.key):
                yield f"endpointslice {piece.key} is of Service {owner}, which is not there"

    def _is_missing(self, key: ObjectKey) -> bool:
        cluster = self._cluster
        if key in cluster.services or cluster.unreadable(Kind.SERVICE, key) is not None:
            return False
        return bool(cluster.slices_of(key))
