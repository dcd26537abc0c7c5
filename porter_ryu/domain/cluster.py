"""What the cluster looks like now, and which Services a change of it can touch.

The indexes here are why one change costs the same with ten Services and with ten thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

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
        self._slices: dict[ObjectKey, EndpointSlice] = {}
        self._slices_of: dict[ObjectKey, dict[ObjectKey, EndpointSlice]] = {}
        self._services_on: dict[str, dict[ObjectKey, int]] = {}

    def slices_of(self, service: ObjectKey) -> Collection[EndpointSlice]:
        """All EndpointSlices of a Service."""
        return self._slices_of.get(service, {}).values()

    def services_on(self, node: str) -> Collection[ObjectKey]:
        """The Services of which some slice names this node."""
        return self._services_on.get(node, {}).keys()

    def keys(self, kind: Kind) -> list[ObjectKey]:
        """Keys of all objects of a kind."""
        if kind is Kind.SERVICE:
            return list(self.services)
        if kind is Kind.ENDPOINT_SLICE:
            return list(self._slices)
        return [ObjectKey("", name) for name in self._named(kind)]

    def put(self, kind: Kind, key: ObjectKey, obj: Reading) -> Iterable[ObjectKey] | None:
        """Takes in one object.

        Returns the Services that it touches directly (for a Node: those with endpoints on it),
        or None where the object is as it was.
        """
        if kind is Kind.SERVICE and isinstance(obj, Service):
            if self.services.get(key) == obj:
                return None
            self.services[key] = obj
            return (key,)
        if kind is Kind.ENDPOINT_SLICE and isinstance(obj, EndpointSlice):
            if self._slices.get(key) == obj:
                return None
            return {*self._drop_slice(key), *self._add_slice(obj)}
        known = self._named(kind)
        if isinstance(obj, Unreadable) or known.get(key.name) == obj:
            return None
        known[key.name] = obj
        return list(self.services_on(key.name)) if kind is Kind.NODE else NOTHING

    def remove(self, kind: Kind, key: ObjectKey) -> Iterable[ObjectKey] | None:
        """Takes out one object; returns as `put` does, None where it was not there."""
        if kind is Kind.SERVICE:
            return (key,) if self.services.pop(key, None) is not None else None
        if kind is Kind.ENDPOINT_SLICE:
            return self._drop_slice(key) if key in self._slices else None
        if self._named(kind).pop(key.name, None) is None:
            return None
        return list(self.services_on(key.name)) if kind is Kind.NODE else NOTHING

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
