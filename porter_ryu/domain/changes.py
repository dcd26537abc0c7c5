"""What changed since the last turn, and which Services have to be decided again for it.

A change of the cluster only marks what depends on it; nothing is decided here.  `collect` begins a
turn: it hands the marked changes to the allocator and to the next-hop resolver, and returns the
Services that the turn has to decide.  A node or an EndpointSlice changes the next hops of Services,
and nothing else of most of them, so those are marked apart (`pop_moved`).  Of many of these a turn
takes a part, so that the routes of the first ones are sent while those of the others are computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Set
from typing import NamedTuple

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.holdings import A_NODE, A_PEER, THIS_HOST
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.model import Address, Kind, Node, ObjectId, ObjectKey
from porter_ryu.domain.nodes.node_verdicts import NodeVerdicts
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.objects import Reading


class Moved(NamedTuple):
    """Services whose next hops may have changed.  `relocated`: those of them of which an
    EndpointSlice changed, and not only a node.  `unfinished`: others stay marked, because there are
    too many for one turn."""

    services: Collection[ObjectKey]
    relocated: Set[ObjectKey]
    unfinished: bool


class PendingChanges:
    """Marks what the next turn has to decide.

    `decided` holds the Services that have a decision.  `peers` are the addresses of the peers.
    `most_moved`: how many Services `pop_moved` returns at most; None: all.
    """

    def __init__(
        self,
        cluster: Cluster,
        allocator: Allocator,
        nodes: NodeVerdicts,
        resolver: NextHopResolver,
        decided: Collection[ObjectKey],
        most_moved: int | None,
    ) -> None:
        self.peers: frozenset[Address] = frozenset()
        self._cluster = cluster
        self._allocator = allocator
        self._node_verdicts = nodes
        self._resolver = resolver
        self._decided = decided
        self._most_moved = most_moved
        self._services: set[ObjectKey] = set()
        # in the order in which the objects were read, so that they are near one another in memory
        self._moved: dict[ObjectKey, None] = {}
        self._relocated: set[ObjectKey] = set()
        self._nodes: set[str] = set()
        self._any_node = False
        self._nodes_of_turn: set[str] = set()
        self._host: frozenset[Address] = frozenset()
        self._peers_changed: frozenset[Address] = frozenset()
        self._pools_changed = self._namespaces_changed = self._reserved_changed = True

    @property
    def empty(self) -> bool:
        """Whether nothing is marked."""
        return not (
            self._services
            or self._moved
            or self._nodes
            or self._pools_changed
            or self._namespaces_changed
            or self._reserved_changed
        )

    @property
    def cached_entries(self) -> int:
        """How many marks are kept; an object that is gone leaves none behind after a turn."""
        marked = len(self._services) + len(self._moved) + len(self._relocated)
        return marked + len(self._nodes) + len(self._nodes_of_turn)

    def put(self, obj: Reading) -> None:
        """Stores one object in the cluster and marks what depends on it."""
        before = self._cluster.nodes.get(obj.key) if isinstance(obj, Node) else None
        touched = self._cluster.put(obj)
        self._mark(obj.kind, obj.key, touched)
        if touched is not None and isinstance(obj, Node):
            self._reserved_changed |= before is None or before.addresses != obj.addresses

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Removes one object from the cluster and marks what depended on it."""
        self._mark(kind, key, self._cluster.remove(kind, key))
        self._reserved_changed |= kind is Kind.NODE

    def reserve(self, host: frozenset[Address], peers: frozenset[Address]) -> None:
        """Sets the addresses of this host and of the peers, which are assigned to no Service."""
        if (host, peers) == (self._host, self.peers):
            return
        self._peers_changed |= self.peers ^ peers
        self._host, self.peers = host, peers
        self._reserved_changed = True

    def mark_all(self, more: Iterable[ObjectKey] = ()) -> None:
        """Marks every Service and every pool, and `more` Services, which may be gone."""
        self._services.update(more)
        self._services.update(self._cluster.services)
        self._services.update(self._decided)
        self._pools_changed = True

    def collect(self, failed: Iterable[ObjectId], now: float) -> set[ObjectKey]:
        """Begins a turn: applies the marked changes and returns the Services to decide.

        `failed` are the objects that are due for another attempt; `now` is of a monotonic clock,
        in seconds.
        """
        self._mark_failed(failed)
        nodes, self._nodes = self._nodes, set()
        self._nodes_of_turn |= nodes
        # only now: a turn that has begun still sees them as they were
        self.mark_nodes(nodes | self._resolver.begin_turn(now))
        batch, self._services = self._services, set()
        if self._peers_changed:
            self.mark_nodes(self._resolver.addresses_changed(self._peers_changed))
            self._peers_changed = frozenset()
        if self._reserved_changed:
            self._reserved_changed = False
            batch |= self._allocator.set_reserved(
                dict.fromkeys(self._host, THIS_HOST)
                | dict.fromkeys(self._node_verdicts.addresses(), A_NODE)
                | dict.fromkeys(self.peers, A_PEER)
            )
        if self._namespaces_changed:
            self._namespaces_changed = False
            namespaces = {n.name: n for n in self._cluster.namespaces.values()}
            unreadable = (n.key.name for n in self._cluster.never_read(Kind.NAMESPACE))
            batch |= self._allocator.set_namespaces(namespaces, unreadable)
        if self._pools_changed:
            self._pools_changed = False
            batch |= self._apply_pools()
        return batch

    def _apply_pools(self) -> set[ObjectKey]:
        eips = {eip.name: eip for eip in self._cluster.eips.values()}
        reasons = {eip.key.name: eip.reason for eip in self._cluster.never_read(Kind.EIP)}
        touched = set(self._allocator.set_pools(eips, reasons))
        touched.update(service.key for service in self._cluster.never_read(Kind.SERVICE))
        return touched

    def mark_nodes(self, nodes: Iterable[str]) -> None:
        """Marks the Services whose next hops depend on one of these nodes."""
        for name in nodes:
            self._any_node = True
            self._moved.update(dict.fromkeys(self._cluster.services_on(name)))
            if self._resolver.depends_on(name):
                self._moved.update(dict.fromkeys(self._decided))

    def pop_moved(self, batch: Set[ObjectKey]) -> Moved:
        """The Services whose next hops may have changed with a node or an EndpointSlice since this
        was called last, without those of the batch, which the turn decides anyway."""
        for key in batch:
            self._moved.pop(key, None)
        moved = dict.fromkeys(itertools.islice(self._moved, self._most_moved))
        for key in moved:
            del self._moved[key]
        relocated = self._relocated & moved.keys()
        self._relocated &= self._moved.keys()
        return Moved(moved, relocated, bool(self._moved))

    def pop_any_node(self) -> bool:
        """Whether a node changed, or what it offers, since this was called last."""
        found, self._any_node = self._any_node, False
        return found

    def pop_nodes(self) -> set[str]:
        """The nodes that changed before the turn began and since this was called last, by name."""
        nodes, self._nodes_of_turn = self._nodes_of_turn, set()
        return nodes

    def _mark(self, kind: Kind, key: ObjectKey, touched: Iterable[ObjectKey] | None) -> None:
        """Marks an object that changed and the Services that it touches; None: nothing changed."""
        if touched is None:
            return
        if kind is Kind.NODE:
            self._nodes.add(key.name)
            self._node_verdicts.changed(key.name)
            return
        if kind is Kind.ENDPOINT_SLICE:
            self._moved.update(dict.fromkeys(touched))
            self._relocated.update(touched)
            return
        self._services.update(touched)
        if kind is Kind.NAMESPACE:
            self._namespaces_changed = True
        elif kind is Kind.EIP:
            self._pools_changed = True

    def _mark_failed(self, failed: Iterable[ObjectId]) -> None:
        """Marks objects that failed in an earlier turn."""
        for kind, key in failed:
            if kind is Kind.SERVICE:
                self._services.add(key)
            elif kind is Kind.NODE:
                self._node_verdicts.changed(key.name)
                self.mark_nodes([key.name])
            elif kind is Kind.EIP:
                self._allocator.reread_pools()
                self._pools_changed = True
