"""What the cluster looks like now, and which Services a change of it can touch.

The indexes here are why one change costs the same with ten Services and with ten thousand.  An
object that cannot be read is neither another nor gone: its last good form stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from porter_ryu.domain.model import (
    Eip,
    EndpointSlice,
    Kind,
    Namespace,
    Node,
    Object,
    ObjectKey,
    Reading,
    Service,
    Unreadable,
)

NOTHING: frozenset[ObjectKey] = frozenset()


class Cluster:
    """The five kinds by key; `listed` holds the kinds of which a whole list has been read."""

    def __init__(self) -> None:
        self.services: dict[ObjectKey, Service] = {}
        self.nodes: dict[str, Node] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.eips: dict[str, Eip] = {}
        self.listed: set[Kind] = set()
        self._unread: dict[tuple[Kind, ObjectKey], Unreadable] = {}
        self._slices: dict[ObjectKey, EndpointSlice] = {}
        self._slices_of: dict[ObjectKey, dict[ObjectKey, EndpointSlice]] = {}
        self._services_on: dict[str, dict[ObjectKey, int]] = {}

    def slices_of(self, service: ObjectKey) -> Collection[EndpointSlice]:
        """All EndpointSlices of a Service."""
        return self._slices_of.get(service, {}).values()

    def services_on(self, node: str) -> Collection[ObjectKey]:
        """The Services of which some slice names this node."""
        return self._services_on.get(node, {}).keys()

    @property
    def unreadable(self) -> dict[tuple[Kind, ObjectKey], str]:
        """Why objects that are there cannot be understood now."""
        return {which: unreadable.reason for which, unreadable in self._unread.items()}

    def unread(self, kind: Kind, key: ObjectKey) -> Unreadable | None:
        """What there is of an object that cannot be understood now; None where it can."""
        return self._unread.get((kind, key))

    def keys(self, kind: Kind) -> set[ObjectKey]:
        """Keys of all objects of a kind, readable or not."""
        return self._known(kind) | {key for other, key in self._unread if other is kind}

    def knows(self, kind: Kind, key: ObjectKey) -> bool:
        """Whether there is a good form of an object, be it the last one."""
        if kind is Kind.SERVICE:
            return key in self.services
        return key in self._slices if kind is Kind.ENDPOINT_SLICE else key.name in self._named(kind)

    def why_unreadable(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object cannot be read; empty where it can, or is not there."""
        unreadable = self._unread.get((kind, key))
        return unreadable.reason if unreadable is not None else ""

    def never_read(self, kind: Kind) -> dict[ObjectKey, Unreadable]:
        """The objects of a kind that are there, and of which no good form is known."""
        return {
            key: unreadable
            for (other, key), unreadable in self._unread.items()
            if other is kind and not self.knows(kind, key)
        }

    def put(self, kind: Kind, key: ObjectKey, obj: Reading) -> Iterable[ObjectKey] | None:
        """Takes in one object.

        Returns the Services that it touches directly (for a Node: those with endpoints on it),
        or None where the object is as it was.
        """
        if isinstance(obj, Unreadable):
            if self._unread.get((kind, key)) == obj:
                return None
            self._unread[kind, key] = obj
            return self._touched_by(kind, key)
        again = self._unread.pop((kind, key), None) is not None
        if kind is Kind.ENDPOINT_SLICE and isinstance(obj, EndpointSlice):
            if self._slices.get(key) == obj:
                return NOTHING if again else None
            return {*self._drop_slice(key), *self._add_slice(obj)}
        known = self._table(kind)
        name = key if kind is Kind.SERVICE else key.name
        if known.get(name) == obj and not again:
            return None
        known[name] = obj
        return self._touched_by(kind, key)

    def remove(self, kind: Kind, key: ObjectKey) -> Iterable[ObjectKey] | None:
        """Takes out one object; returns as `put` does, None where it was not there."""
        there = self._unread.pop((kind, key), None) is not None or self.knows(kind, key)
        if not there:
            return None
        if kind is Kind.ENDPOINT_SLICE:
            return self._drop_slice(key)
        self._table(kind).pop(key if kind is Kind.SERVICE else key.name, None)
        return self._touched_by(kind, key)

    def _touched_by(self, kind: Kind, key: ObjectKey) -> Iterable[ObjectKey]:
        if kind is Kind.SERVICE:
            return (key,)
        return list(self.services_on(key.name)) if kind is Kind.NODE else NOTHING

    def _known(self, kind: Kind) -> set[ObjectKey]:
        if kind is Kind.SERVICE:
            return set(self.services)
        if kind is Kind.ENDPOINT_SLICE:
            return set(self._slices)
        return {ObjectKey("", name) for name in self._named(kind)}

    def _table(self, kind: Kind) -> dict[Any, Any]:
        return self.services if kind is Kind.SERVICE else self._named(kind)

    def _named(self, kind: Kind) -> dict[str, Object]:
        tables: Mapping[Kind, dict[str, Object]] = {
            Kind.NODE: self.nodes,  # type: ignore[dict-item]
            Kind.NAMESPACE: self.namespaces,  # type: ignore[dict-item]
            Kind.EIP: self.eips,  # type: ignore[dict-item]
        }
        return tables[kind]

    def _add_slice(self, piece: EndpointSlice) -> Iterable[ObjectKey]:
        self._slices[piece.key] = piece
        if piece.service is None:
            return NOTHING
        self._slices_of.setdefault(piece.service, {})[piece.key] = piece
        for node in _nodes_in(piece):
            counts = self._services_on.setdefault(node, {})
            counts[piece.service] = counts.get(piece.service, 0) + 1
        return (piece.service,)

    def _drop_slice(self, key: ObjectKey) -> Iterable[ObjectKey]:
        piece = self._slices.pop(key, None)
        if piece is None or piece.service is None:
            return NOTHING
        siblings = self._slices_of[piece.service]
        del siblings[key]
        if not siblings:
            del self._slices_of[piece.service]
        for node in _nodes_in(piece):
            counts = self._services_on[node]
            counts[piece.service] -= 1
            if not counts[piece.service]:
                del counts[piece.service]
            if not counts:
                del self._services_on[node]
        return (piece.service,)


def _nodes_in(piece: EndpointSlice) -> set[str]:
    return {endpoint.node for endpoint in piece.endpoints if endpoint.node}
