"""The objects of the cluster as they are now, and which Services a change touches.

With the indexes here one change costs the same among ten Services as among ten thousand.  An object
that cannot be read is not gone: its last good form stays.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from porter_ryu.domain.model import (
    Address,
    AddressRequest,
    Eip,
    Endpoint,
    EndpointSlice,
    Kind,
    Namespace,
    Node,
    ObjectKey,
    Service,
)
from porter_ryu.domain.objects import Reading, Unreadable

_NO_SERVICES: frozenset[ObjectKey] = frozenset()


class Cluster:
    """The objects of the five kinds by key; `listed` are the kinds that were listed completely."""

    def __init__(self) -> None:
        self.services: dict[ObjectKey, Service] = {}
        self.nodes: dict[ObjectKey, Node] = {}
        self.namespaces: dict[ObjectKey, Namespace] = {}
        self.eips: dict[ObjectKey, Eip] = {}
        self.listed: set[Kind] = set()
        self._slices: dict[ObjectKey, EndpointSlice] = {}
        self._tables: Mapping[Kind, dict[ObjectKey, Any]] = {
            Kind.SERVICE: self.services,
            Kind.ENDPOINT_SLICE: self._slices,
            Kind.NODE: self.nodes,
            Kind.NAMESPACE: self.namespaces,
            Kind.EIP: self.eips,
        }
        self._unreadable: Mapping[Kind, dict[ObjectKey, Unreadable]] = {kind: {} for kind in Kind}
        # tuples: nearly every Service has one, and a tuple takes a fifth of a dictionary
        self._slices_of: dict[ObjectKey, tuple[EndpointSlice, ...]] = {}
        self._services_on: dict[str, dict[ObjectKey, int]] = {}
        self._requesting: dict[Address, set[ObjectKey]] = {}

    def node(self, name: str) -> Node | None:
        """A Node by name."""
        return self.nodes.get(ObjectKey("", name))

    def slices_of(self, service: ObjectKey) -> Collection[EndpointSlice]:
        """All EndpointSlices of a Service."""
        return self._slices_of.get(service, ())

    def services_on(self, node: str) -> Collection[ObjectKey]:
        """The Services with an EndpointSlice that names this node."""
        return self._services_on.get(node, {}).keys()

    def requesting(self, address: Address) -> Collection[ObjectKey]:
        """The Services, ours or not, that request an address."""
        return self._requesting.get(address, ())

    def unreadable(self, kind: Kind, key: ObjectKey) -> Unreadable | None:
        """What is known of an object that cannot be read now; None where it can or is gone."""
        return self._unreadable[kind].get(key)

    def why_unreadable(self, kind: Kind, key: ObjectKey) -> str:
        """Why an object cannot be read; empty where it can, or is not there."""
        unreadable = self._unreadable[kind].get(key)
        return unreadable.reason if unreadable is not None else ""

    def is_known(self, kind: Kind, key: ObjectKey) -> bool:
        """Whether a good form of an object is known; it is the last one while it cannot be read."""
        return key in self._tables[kind]

    def all_unreadable(self, kind: Kind) -> Collection[Unreadable]:
        """What is known of all objects of a kind that cannot be read now."""
        return list(self._unreadable[kind].values())

    def never_read(self, kind: Kind) -> Collection[Unreadable]:
        """The unreadable objects of a kind of which no good form is known."""
        known = self._tables[kind]
        return [entry for key, entry in self._unreadable[kind].items() if key not in known]

    def supposing(
        self, nodes: Collection[str], suppose: Callable[[Endpoint], Endpoint | None]
    ) -> Cluster:
        """A copy, for a question, in which the endpoints on these nodes are what `suppose` makes of
        them (None: gone).  It is not for changes."""

        def supposed(piece: EndpointSlice) -> EndpointSlice:
            found = (suppose(e) if e.node in nodes else e for e in piece.endpoints)
            return replace(piece, endpoints=tuple(e for e in found if e is not None))

        made = copy.copy(self)
        made._slices_of = dict(self._slices_of)
        for service in {service for node in nodes for service in self.services_on(node)}:
            made._slices_of[service] = tuple(map(supposed, self.slices_of(service)))
        return made

    def keys(self, kind: Kind) -> set[ObjectKey]:
        """The keys of all objects of a kind, readable or not."""
        return self._tables[kind].keys() | self._unreadable[kind].keys()

    def put(self, obj: Reading) -> Iterable[ObjectKey] | None:
        """Stores one object.

        Returns the Services that it touches directly (for a Node: those with endpoints on it), or
        None where nothing changed.
        """
        kind, key = obj.kind, obj.key
        unreadable, known = self._unreadable[kind], self._tables[kind]
        if isinstance(obj, Unreadable):
            if unreadable.get(key) == obj:
                return None
            unreadable[key] = obj
            return self._touched_by(kind, key)
        was_unreadable = unreadable.pop(key, None) is not None
        before = known.get(key)
        if before == obj:
            return self._touched_by(kind, key) if was_unreadable else None
        known[key] = obj
        if isinstance(obj, Service):
            self._index_request(key, before, obj)
        if isinstance(obj, EndpointSlice):
            return {*self._drop_slice(before), *self._add_slice(obj)}
        return self._touched_by(kind, key)

    def remove(self, kind: Kind, key: ObjectKey) -> Iterable[ObjectKey] | None:
        """Removes one object; returns what `put` does, None where it was not there."""
        unreadable, known = self._unreadable[kind].pop(key, None), self._tables[kind].pop(key, None)
        if unreadable is None and known is None:
            return None
        if kind is Kind.SERVICE:
            self._index_request(key, known, None)
        if kind is Kind.ENDPOINT_SLICE:
            return self._drop_slice(known)
        return self._touched_by(kind, key)

    def _touched_by(self, kind: Kind, key: ObjectKey) -> Iterable[ObjectKey]:
        if kind is Kind.SERVICE:
            return (key,)
        return list(self.services_on(key.name)) if kind is Kind.NODE else _NO_SERVICES

    def _index_request(self, key: ObjectKey, before: Service | None, after: Service | None) -> None:
        """Notes which addresses a Service requests; it was `before` and is `after`, None where
        there is none."""
        was, now = _requested(before), _requested(after)
        if was == now:
            return
        for address in was:
            asking = self._requesting[address]
            asking.discard(key)
            if not asking:
                del self._requesting[address]
        for address in now:
            self._requesting.setdefault(address, set()).add(key)

    def _add_slice(self, piece: EndpointSlice) -> Iterable[ObjectKey]:
        if piece.service is None:
            return _NO_SERVICES
        self._slices_of[piece.service] = (*self._slices_of.get(piece.service, ()), piece)
        for node in _nodes_in(piece):
            counts = self._services_on.setdefault(node, {})
            counts[piece.service] = counts.get(piece.service, 0) + 1
        return (piece.service,)

    def _drop_slice(self, piece: EndpointSlice | None) -> Iterable[ObjectKey]:
        if piece is None or piece.service is None:
            return _NO_SERVICES
        siblings = tuple(s for s in self._slices_of[piece.service] if s.key != piece.key)
        if siblings:
            self._slices_of[piece.service] = siblings
        else:
            del self._slices_of[piece.service]
        for node in _nodes_in(piece):
            counts = self._services_on[node]
            counts[piece.service] -= 1
            if not counts[piece.service]:
                del counts[piece.service]
            if not counts:
                del self._services_on[node]
        return (piece.service,)


def _requested(service: Service | None) -> tuple[Address, ...]:
    """The addresses that a Service requests.  One with a request of another form is refused when it
    is decided (`guard`), and must not stop its storing."""
    request = service.request if service is not None else None
    return request.addresses if isinstance(request, AddressRequest) else ()


def _nodes_in(piece: EndpointSlice) -> set[str]:
    return {endpoint.node for endpoint in piece.endpoints if endpoint.node}
