"""Decides: what the cluster looks like goes in, what is wanted comes out.

One `turn` looks again at every key that something touched since the last one and returns only
what those keys want.  It is the same function for one changed endpoint, a burst, the first list
and the periodic resync.  It is pure: `explain` and `plan` run it exactly as the process does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision, of_unread
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Kind,
    Node,
    ObjectId,
    ObjectKey,
    ObjectStatus,
    Reading,
    Service,
    WithStatus,
)
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.view import NodeView
from porter_ryu.domain.routing import Routing
from porter_ryu.domain.statuses import Statuses
from porter_ryu.domain.text import printable
from porter_ryu.domain.turn import Policy, Turn
from porter_ryu.domain.verdict import AddressReason, Verdict

__all__ = ["Planner", "Policy", "Turn"]


class Planner:
    """Holds the cluster, the allocation and what is still to be looked at.

    `leading` says whether this instance assigns addresses and writes status.
    """

    def __init__(self, policy: Policy, leading: bool) -> None:
        self.cluster = Cluster()
        self._guard = Guard()
        self.allocator = Allocator(self._guard)
        self.decisions: dict[ObjectKey, Decision] = {}
        self._leading = leading
        self._assigning = leading
        self._dirty: set[ObjectKey] = set()
        self._taking_in = 0
        self._host: frozenset[Address] = frozenset()
        self._peers: frozenset[Address] = frozenset()
        self._peers_changed: frozenset[Address] = frozenset()
        self._pools_changed = self._namespaces_changed = self._reserved_changed = True
        self._routed: dict[ObjectKey, tuple[Address, ...]] = {}
        self._nodes_to_check: set[str] = set()
        health = NodeHealth(policy.panic_percent, policy.patience)
        self.view = NodeView(self.cluster, policy.next_hops, health, self._taken, self._guard)
        self._routing = Routing(
            self.cluster, self.allocator, self.view, self._guard, policy.announce
        )
        self._statuses = Statuses(self.cluster, self.allocator, self._guard)

    @property
    def ready(self) -> bool:
        """Whether every list has been read, and none is being taken in: else nothing is decided."""
        return len(self.cluster.listed) == len(Kind) and not self._taking_in

    @property
    def idle(self) -> bool:
        """Whether a turn would find nothing to look at."""
        return not (
            self._dirty or self._pools_changed or self._namespaces_changed or self._reserved_changed
        )

    @property
    def due(self) -> float | None:
        """When a turn has to be taken though nothing happened; None: not at all."""
        moments = (self.view.due, self._guard.due) if self.ready else ()
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self.view.doubted

    @property
    def leading(self) -> bool:
        """Whether this instance assigns addresses and writes status."""
        return self._leading

    @property
    def kept(self) -> int:
        """How many entries are kept from turn to turn; what is gone leaves none behind."""
        parts = (self.view, self.allocator, self._routing, self._statuses)
        tables = (self.decisions, self._dirty, self._routed, self._nodes_to_check)
        return sum(part.kept for part in parts) + sum(len(table) for table in tables)

    def lead(self, leading: bool) -> None:
        """Takes or gives up the assigning; either way everything is looked at again."""
        if leading != self._leading:
            self.resync()
        self._leading = leading

    def node(self, name: str) -> Node | None:
        """The Node of this name as the cluster says it is; None where there is none."""
        return self.cluster.node(name)

    def reserve(
        self,
        host: Iterable[Address],
        peers: Iterable[Address],
        found: frozenset[Address] = frozenset(),
    ) -> None:
        """Sets the addresses of this host and of the peers, which are given to nobody; those of
        peers are no next hops either.  `found` are on this host and not its own: they stay with
        who has them on record."""
        self.allocator.set_found(found)
        of_host, of_peers = frozenset(host), frozenset(peers)
        if (of_host, of_peers) != (self._host, self._peers):
            self._peers_changed |= self._peers ^ of_peers
            self._host, self._peers = of_host, of_peers
            self._reserved_changed = True

    def resync(self) -> None:
        """Marks everything to be looked at again."""
        self._dirty.update(self.cluster.services)
        self._dirty.update(self.decisions)
        self._statuses.say_again()
        self._pools_changed = True

    def replace(
        self,
        kind: Kind,
        objects: Collection[Reading],
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes in a complete list of a kind.  `pause` is called for each object; no turn is taken
        between two of them."""
        self._taking_in += 1
        try:
            for key in self.cluster.keys(kind) - {obj.key for obj in objects}:
                pause()
                self.remove(kind, key)
            for obj in objects:
                pause()
                self.put(obj)
        finally:
            self._taking_in -= 1
        self.cluster.listed.add(kind)

    def put(self, obj: Reading) -> None:
        """Takes in one object, and marks what it touches."""
        before = self.cluster.nodes.get(obj.key) if isinstance(obj, Node) else None
        touched = self.cluster.put(obj)
        self._mark(obj.kind, obj.key, touched)
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
            if self.view.depends_on(key.name):
                self._dirty.update(self.decisions)
        elif kind is Kind.NAMESPACE:
            self._namespaces_changed = True
        elif kind is Kind.EIP:
            self._pools_changed = True

    def _touched_by(self, nodes: Iterable[str]) -> set[ObjectKey]:
        """The Services that depend on nodes which count otherwise now."""
        touched: set[ObjectKey] = set()
        for name in nodes:
            touched.update(self.cluster.services_on(name))
            if self.view.depends_on(name):
                touched.update(self.decisions)
        return touched

    def _taken(self, address: Address) -> Verdict[AddressReason] | None:
        """Whose an address is that a node reports, where it is no next hop for that."""
        if address in self._peers:
            return Verdict(False, AddressReason.PEER, f"{address} is a peer's")
        if self.allocator.is_held(address):
            return Verdict(False, AddressReason.EIP, f"{address} is an EIP that is held")
        return None

    def turn(self, pause: Callable[[], None], now: float) -> Turn:
        """Looks at everything marked.  `pause` is called for every piece of work, to let others
        run when that is due; what they report meanwhile is for the next turn.  `now` is of a
        monotonic clock, in seconds."""
        if not self.ready:
            return Turn()
        self._assigning = self._leading
        self._try_again(self._guard.begin(now))
        self._dirty |= self._touched_by(self.view.weigh(now))
        batch = self._take_batch()
        batch |= self._settle(batch, pause)
        batch |= self._touched_by(self.view.address_changed(self.allocator.turned()))
        touched = self._decide(batch, pause)
        routes = {}
        for address in touched:
            pause()
            route = self._routing.route(address)
            if route is not None:
                routes[address] = route
        statuses: list[tuple[WithStatus, ObjectStatus]] = []
        if self._assigning:
            statuses += self._statuses.of_services(batch, self.decisions, pause)
        statuses += self._statuses.of_eips(pause)
        oddities = (*self._oddities(batch, pause), *self._guard.end())
        return Turn(statuses, routes, oddities, self.doubted)

    def _try_again(self, failed: Iterable[ObjectId]) -> None:
        """Marks what failed a while ago."""
        for kind, key in failed:
            if kind is Kind.SERVICE:
                self._dirty.add(key)
            elif kind is Kind.NODE:
                self.view.changed(key.name)
                self._dirty |= self._touched_by([key.name])
            elif kind is Kind.EIP:
                self.allocator.read_pools_again()
                self._pools_changed = True

    def _take_batch(self) -> set[ObjectKey]:
        batch, self._dirty = self._dirty, set()
        if self._peers_changed:
            batch |= self._touched_by(self.view.address_changed(self._peers_changed))
            self._peers_changed = frozenset()
        if self._reserved_changed:
            self._reserved_changed = False
            reserved = self._host | self._peers | frozenset(self.view.addresses())
            batch |= self.allocator.set_reserved(reserved)
        if self._namespaces_changed:
            self._namespaces_changed = False
            namespaces = {n.name: n for n in self.cluster.namespaces.values()}
            unread = (n.key.name for n in self.cluster.never_read(Kind.NAMESPACE))
            batch |= self.allocator.set_namespaces(namespaces, unread)
        if self._pools_changed:
            self._pools_changed = False
            eips = {eip.name: eip for eip in self.cluster.eips.values()}
            why = {eip.key.name: eip.reason for eip in self.cluster.never_read(Kind.EIP)}
            batch |= self.allocator.set_pools(eips, why)
            batch.update(service.key for service in self.cluster.never_read(Kind.SERVICE))
        return batch

    def _settle(self, batch: set[ObjectKey], pause: Callable[[], None]) -> frozenset[ObjectKey]:
        """Adopts, keeps or releases for each key; returns the Services that can gain by it."""
        ours: list[Service] = []
        unread: dict[ObjectKey, tuple[Address, ...]] = {}
        for key in batch:
            pause()
            service = self.cluster.services.get(key)
            unreadable = self.cluster.unread(Kind.SERVICE, key)
            if service is not None and service.ours:
                ours.append(service)
            elif service is None and unreadable is not None:
                unread[key] = unreadable.record
            elif self.decisions.pop(key, None) is not None or self.allocator.form(key):
                self.allocator.release(key)
        return self.allocator.settle(ours, unread, not self._assigning, pause)

    def _decide(self, batch: set[ObjectKey], pause: Callable[[], None]) -> set[Address]:
        """Decides for each key, and for those of the others who have to know of it, which are
        added to the batch; returns the addresses whose routes this can change."""
        outcomes: dict[ObjectKey, Outcome] = {}
        touched: set[Address] = set()
        for service in self._ours_by_age(batch):
            pause()
            touched |= self._assign(service, outcomes)
        for key in batch - outcomes.keys():
            pause()
            touched |= self._without_outcome(key)
        self._routing.begin()
        for address in self._routing.turned(touched, pause):
            for key in self.allocator.holders(address):
                sharer = self.allocator.form(key)
                if key not in outcomes and sharer is not None and sharer.ours:
                    pause()
                    batch.add(key)
                    self._assign(sharer, outcomes)
        for key, outcome in outcomes.items():
            pause()
            self._conclude(key, outcome)
        return touched

    def _ours_by_age(self, batch: Iterable[ObjectKey]) -> list[Service]:
        """The Services of a batch as they were settled, whatever was told of them since."""
        known = (self.allocator.form(key) for key in batch)
        return sorted((s for s in known if s is not None and s.ours), key=lambda s: s.age)

    def _assign(self, service: Service, outcomes: dict[ObjectKey, Outcome]) -> frozenset[Address]:
        """Gives a Service what it lacks; returns the addresses that it holds, or held before."""
        key = service.key
        if self._guard.failed(Kind.SERVICE, key):
            return frozenset()
        with self._guard(Kind.SERVICE, key):
            self.view.note(key)
            allocator = self.allocator
            outcome = allocator.assign(service) if self._assigning else allocator.look(service)
            before = self._routed.get(key, ())
            held = self._routed[key] = tuple(entry.address for entry in outcome.held)
            outcomes[key] = outcome
            return frozenset(held + before)
        return frozenset()

    def _without_outcome(self, key: ObjectKey) -> frozenset[Address]:
        """Takes note of a Service that is gone, not ours, cannot be read or failed; returns the
        addresses that it has no more."""
        failed = self._guard.failed(Kind.SERVICE, key)
        unreadable = self.cluster.unread(Kind.SERVICE, key)
        form = self.allocator.form(key)
        if failed:
            with self._guard(Kind.SERVICE, key):
                if key not in self.decisions and form is not None:
                    self.decisions[key] = of_unread(form, self.allocator.held(key), failed)
            return frozenset()
        if unreadable is not None and form is not None and not form.ours:
            held = self.allocator.held(key)
            self.decisions[key] = of_unread(form, held, unreadable.reason)
        elif form is None:
            self.view.forget(key)
        return frozenset(self._routed.pop(key, ()))

    def _conclude(self, key: ObjectKey, outcome: Outcome) -> None:
        service = self.allocator.form(key)
        if service is None:
            return
        with self._guard(Kind.SERVICE, key):
            announced = self._routing.announced(service, outcome)
            unreadable = self.cluster.why_unreadable(Kind.SERVICE, key)
            self.decisions[key] = Decision(service, outcome, announced, unreadable)

    def _oddities(self, batch: Iterable[ObjectKey], pause: Callable[[], None]) -> Iterator[str]:
        """What is odd about the objects that changed."""
        names, self._nodes_to_check = self._nodes_to_check, set()
        for name in sorted(names):
            pause()
            with self._guard(Kind.NODE, ObjectKey("", name)):
                yield from self.view.oddities(name)
        for key in sorted(batch):
            pause()
            if key not in self.cluster.services:
                for piece in list(self.cluster.slices_of(key)):
                    owner = printable(str(key))
                    yield f"endpointslice {piece.key} is of Service {owner}, which is not there"
