"""Decides: what the cluster looks like goes in, what is wanted comes out.

One `turn` looks again at every key that something touched since the last one and returns only
what those keys want.  It is the same function for one changed endpoint, a burst, the first list
and the periodic resync.  It is pure: `explain` and `plan` run it exactly as the process does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from porter_ryu.domain.addresses.allocator import Allocator, Held, Outcome
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision, service_status
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Family,
    Kind,
    NextHop,
    Node,
    ObjectKey,
    Reading,
    Reason,
    Refusal,
    Route,
    Service,
    ServiceStatus,
)
from porter_ryu.domain.nodes.health import OF_A_CLUSTER, NodeHealth, Patience
from porter_ryu.domain.nodes.next_hops import NextHopMode, NextHopPolicy, combine
from porter_ryu.domain.nodes.view import NodeView

_KEYS_BETWEEN_PAUSES = 100


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that stand in the configuration; `announce` is [bgp] enabled, `panic_percent`
    (100: never) and `patience` are what `NodeHealth` takes."""

    next_hops: NextHopPolicy = field(default_factory=NextHopPolicy)
    announce: bool = True
    panic_percent: int = 100
    patience: Patience = OF_A_CLUSTER


@dataclass(frozen=True, slots=True)
class Turn:
    """What is wanted of the keys that this turn looked at; nothing is said of any other.

    `oddities` are sentences about objects that cannot be used as they are.
    """

    services: Mapping[ObjectKey, tuple[Service, ServiceStatus]] = field(default_factory=dict)
    routes: Mapping[Address, Route] = field(default_factory=dict)
    eips: Mapping[str, tuple[Eip, EipStatus]] = field(default_factory=dict)
    oddities: tuple[str, ...] = ()


class Planner:
    """Holds the cluster, the allocation and what is still to be looked at.

    `leading` says whether this instance assigns addresses and writes status.
    """

    def __init__(self, policy: Policy, leading: bool) -> None:
        self.cluster = Cluster()
        self.allocator = Allocator()
        self.decisions: dict[ObjectKey, Decision] = {}
        self._policy = policy
        self._leading = leading
        self._assigning = leading
        self._dirty: set[ObjectKey] = set()
        self._reserved: frozenset[Address] = frozenset()
        self._pools_changed = self._namespaces_changed = self._reserved_changed = True
        self._routed: dict[ObjectKey, frozenset[Address]] = {}
        self._nodes_to_check: set[str] = set()
        health = NodeHealth(policy.panic_percent, policy.patience)
        self.view = NodeView(self.cluster, policy.next_hops, health)
        self._eip_status: dict[str, tuple[Eip, EipStatus]] = {}

    @property
    def ready(self) -> bool:
        """Whether every list has been read: before that nothing is decided."""
        return len(self.cluster.listed) == len(Kind)

    @property
    def idle(self) -> bool:
        """Whether a turn would find nothing to look at."""
        return not (
            self._dirty or self._pools_changed or self._namespaces_changed or self._reserved_changed
        )

    @property
    def due(self) -> float | None:
        """When a turn has to be taken though nothing happened; None: not at all."""
        return self.view.due

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self.view.doubted

    @property
    def leading(self) -> bool:
        """Whether this instance assigns addresses and writes status."""
        return self._leading

    def lead(self, leading: bool) -> None:
        """Takes or gives up the assigning; either way everything is looked at again."""
        if leading != self._leading:
            self.resync()
        self._leading = leading

    def reserve(self, host: Iterable[Address], peers: Iterable[Address]) -> None:
        """Sets addresses that are never handed out, beside those of nodes: what this host (with
        its gateways) has, and what its peers have."""
        reserved = frozenset(host) | frozenset(peers)
        if reserved != self._reserved:
            self._reserved = reserved
            self._reserved_changed = True

    def resync(self) -> None:
        """Marks everything to be looked at again."""
        self._dirty.update(self.cluster.services)
        self._dirty.update(self.decisions)
        self._eip_status.clear()
        self._pools_changed = True

    def replace(self, kind: Kind, objects: Mapping[ObjectKey, Reading]) -> None:
        """Takes in a complete list of a kind."""
        for key in self.cluster.keys(kind):
            if key not in objects:
                self.remove(kind, key)
        for key, obj in objects.items():
            self.put(kind, key, obj)
        self.cluster.listed.add(kind)

    def put(self, kind: Kind, key: ObjectKey, obj: Reading) -> None:
        """Takes in one object, and marks what it touches."""
        before = self.cluster.nodes.get(key.name) if kind is Kind.NODE else None
        touched = self.cluster.put(kind, key, obj)
        self._mark(kind, key, touched)
        if touched is not None and isinstance(obj, Node):
            self._reserved_changed |= before is None or before.addresses != obj.addresses

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Takes out one object, and marks what it touches."""
        self._mark(kind, key, self.cluster.remove(kind, key))
        self._reserved_changed |= kind is Kind.NODE

    def _mark(self, kind: Kind, key: ObjectKey, touched: Iterable[ObjectKey] | None) -> None:
        if touched is None:
            return
        self._dirty.update(touched)
        if kind is Kind.NODE:
            self._nodes_to_check.add(key.name)
            self.view.changed(key.name)
            self._mark_by_policy(key.name)
        elif kind is Kind.NAMESPACE:
            self._namespaces_changed = True
        elif kind is Kind.EIP:
            self._pools_changed = True

    def _mark_by_policy(self, name: str) -> None:
        """Marks what depends on a node without an endpoint on it."""
        mode, own = self._policy.next_hops.mode, self._policy.next_hops.node_name
        if mode is NextHopMode.NODES or (mode is NextHopMode.SELF and name == own):
            self._dirty.update(self.decisions)

    def turn(self, pause: Callable[[], None], now: float) -> Turn:
        """Looks at everything marked.  `pause` is called every so often, to let others run;
        what they report meanwhile is for the next turn.  `now` is of a monotonic clock, in
        seconds."""
        if not self.ready:
            return Turn()
        self._assigning = self._leading
        for name in self.view.weigh(now):
            self._mark_by_policy(name)
            self._dirty.update(self.cluster.services_on(name))
        batch = self._take_batch()
        pausing = _Pausing(pause)
        batch |= self._settle(batch, pausing)
        batch |= self._sharers(batch)
        touched: set[Address] = set()
        for service in self._ours_by_age(batch):
            pausing.tick()
            touched |= self._decide(service)
        for key in batch:
            if key not in self.decisions:
                touched |= self._routed.pop(key, frozenset())
                self.view.forget(key)
        routes = {}
        for address in touched:
            pausing.tick()
            routes[address] = self._route(address)
        statuses = self._statuses(batch) if self._assigning else {}
        return Turn(statuses, routes, self._eips(), tuple(self._oddities(batch)))

    def _oddities(self, batch: Iterable[ObjectKey]) -> Iterable[str]:
        """What is odd about the objects that changed."""
        names, self._nodes_to_check = self._nodes_to_check, set()
        for name in sorted(names & self.cluster.nodes.keys()):
            if not self.cluster.nodes[name].addresses:
                yield f"node {name} has no address, so it is no next hop"
        for key in sorted(batch):
            if key not in self.cluster.services:
                for piece in self.cluster.slices_of(key):
                    yield f"endpointslice {piece.key} is of Service {key}, which is not there"

    def _take_batch(self) -> set[ObjectKey]:
        batch, self._dirty = self._dirty, set()
        if self._reserved_changed:
            self._reserved_changed = False
            of_nodes = (entry.address for n in self.cluster.nodes.values() for entry in n.addresses)
            batch |= self.allocator.set_reserved(self._reserved.union(of_nodes))
        if self._namespaces_changed:
            self._namespaces_changed = False
            batch |= self.allocator.set_namespaces(self.cluster.namespaces)
        if self._pools_changed:
            self._pools_changed = False
            batch |= self.allocator.set_pools(self.cluster.eips)
        return batch

    def _settle(self, batch: set[ObjectKey], pausing: _Pausing) -> set[ObjectKey]:
        """Adopts, keeps or releases for each key; returns the Services that can gain by it."""
        again: set[ObjectKey] = set()
        ours: list[Service] = []
        for key in batch:
            service = self.cluster.services.get(key)
            if service is not None and service.ours:
                ours.append(service)
            elif self.decisions.pop(key, None) is not None or self.allocator.held(key):
                again |= self.allocator.release(key)
        return again | self.allocator.settle(ours, not self._assigning, pausing.tick)

    def _sharers(self, batch: Iterable[ObjectKey]) -> set[ObjectKey]:
        """Those that share an address which a key of the batch holds, or held before."""
        allocator = self.allocator
        addresses = {held.address for key in batch for held in allocator.held(key)}
        addresses.update(a for key in batch for a in self._routed.get(key, ()))
        return {key for address in addresses for key in allocator.holders(address)}

    def _ours_by_age(self, batch: Iterable[ObjectKey]) -> list[Service]:
        known = (self.cluster.services.get(key) for key in batch)
        return sorted((s for s in known if s is not None and s.ours), key=lambda s: s.age)

    def _decide(self, service: Service) -> frozenset[Address]:
        """Decides for one Service; returns the addresses whose routes this can change."""
        allocator = self.allocator
        self.view.note(service.key)
        outcome = allocator.assign(service) if self._assigning else allocator.look(service)
        held = frozenset(entry.address for entry in outcome.held)
        touched = held | self._routed.get(service.key, frozenset())
        self._routed[service.key] = held
        self.decisions[service.key] = Decision(service, outcome, self._announced(service, outcome))
        return touched

    def _route(self, address: Address) -> Route:
        """What is wanted of one address: only holders whose record says so count."""
        recorded = [s for s in self._holders(address) if address in s.ingress]
        hops = self._hops_of(address, recorded) if self._policy.announce else frozenset()
        return Route(address, bool(recorded), hops, tuple(s.key for s in recorded))

    def _holders(self, address: Address) -> list[Service]:
        services = (self.cluster.services.get(k) for k in self.allocator.holders(address))
        return [service for service in services if service is not None]

    def _hops_of(self, address: Address, holders: Iterable[Service]) -> frozenset[NextHop]:
        family = Family(address.version)
        return combine((s.local_traffic, self.view.next_hops(s, family)) for s in holders)

    def _announced(self, service: Service, outcome: Outcome) -> Refusal | None:
        if not self._policy.announce:
            return None
        if not outcome.held:
            return Refusal(Reason.NO_ADDRESS, "it has no address to announce")
        refusals = []
        for held in outcome.held:
            refusal = self._not_announced(service, held)
            if refusal is None:
                return Refusal(Reason.ANNOUNCED, "announced to the routers")
            refusals.append(refusal)
        return refusals[0]

    def _not_announced(self, service: Service, held: Held) -> Refusal | None:
        """Why an address would have no route even once it is recorded."""
        family = Family(held.address.version)
        holders = self._holders(held.address)
        if self._hops_of(held.address, holders):
            return None
        if self.view.next_hops(service, family):
            return Refusal(
                Reason.NO_USABLE_NODE,
                f"no node has endpoints of every Local Service that shares {held.address}",
            )
        return self.view.why_none(service, family)

    def _statuses(self, batch: set[ObjectKey]) -> dict[ObjectKey, tuple[Service, ServiceStatus]]:
        statuses = {}
        for key in batch:
            service = self.cluster.services.get(key)
            if service is None:
                continue
            decision = self.decisions.get(key)
            if decision is not None:
                statuses[key] = (service, service_status(decision))
            elif not service.ours and service.conditions:
                kept = tuple(a for a in service.ingress if self.allocator.pool_of(a) is None)
                statuses[key] = (service, ServiceStatus(kept, ()))
        return statuses

    def _eips(self) -> dict[str, tuple[Eip, EipStatus]]:
        """The Eips that are not, or whose status is not, what it was at the last turn."""
        changed = {}
        for name, eip in self.cluster.eips.items():
            entry = (eip, self.allocator.pool_status(name))
            if self._eip_status.get(name) != entry:
                self._eip_status[name] = changed[name] = entry
        for name in self._eip_status.keys() - self.cluster.eips.keys():
            del self._eip_status[name]
        return changed


class _Pausing:
    """Calls `pause` at every hundredth tick."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._ticks = 0

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _KEYS_BETWEEN_PAUSES == 0:
            self._pause()
