"""Decides Services: assigns their addresses, and says of each what becomes of it and why.

A part of a turn.  First `settle` lets the allocator adopt what is on record and release what is not
wanted any more.  Then `move` and `decide` find the addresses whose routes may have changed, and
store a Decision for each Service whose verdict may have changed.  Of very many Services that are
settled together, `next_part` leaves some to the turns that follow, so that the routes of the first
ones are sent while the others are decided.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Set

from porter_ryu.domain.address_changes import AddressChanges
from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.changes import Moved
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision, unreadable_decision
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.objects import Unreadable
from porter_ryu.domain.routing import Routing


class Deciding:
    """Holds the decisions.

    `assigning` says whether addresses are assigned in this turn; otherwise it is only said which
    ones would be.  `address_changes` are those of this turn.  `most`: how many Services a turn
    decides at most, as far as they can wait; None: all.
    """

    def __init__(
        self,
        cluster: Cluster,
        allocator: Allocator,
        resolver: NextHopResolver,
        routing: Routing,
        guard: Guard,
        decisions: dict[ObjectKey, Decision],
        most: int | None,
    ) -> None:
        self.assigning = False
        self.address_changes = AddressChanges(allocator.pool_of)
        self.decisions = decisions
        self._cluster = cluster
        self._allocator = allocator
        self._resolver = resolver
        self._routing = routing
        self._guard = guard
        self._most = most
        self._held_by: dict[ObjectKey, tuple[Held, ...]] = {}
        self._left: dict[ObjectKey, None] = {}  # settled and not decided, in their order

    @property
    def cached_entries(self) -> int:
        """How many entries are kept from turn to turn."""
        return len(self.decisions) + len(self._held_by) + len(self._left)

    @property
    def unfinished(self) -> bool:
        """Whether Services are settled and not decided yet."""
        return bool(self._left)

    def settle(self, batch: Set[ObjectKey], give_way: Callable[[], None]) -> frozenset[ObjectKey]:
        """Adopts records, keeps or releases addresses for the batch; returns the Services that
        may now get an address."""
        ours: list[Service] = []
        records: dict[ObjectKey, Unreadable] = {}
        for key in batch:
            give_way()
            service = self._cluster.services.get(key)
            unreadable = self._cluster.unreadable(Kind.SERVICE, key)
            if service is not None and service.ours:
                ours.append(service)
            elif service is None and unreadable is not None:
                records[key] = unreadable
            elif (gone := self.decisions.pop(key, None)) or self._allocator.settled(key):
                not_ours = "" if service is None else service.not_ours
                self.address_changes.note(key, gone, None, not_ours)
                self._allocator.forget(key)
        may_have_more = self._allocator.settle(ours, records, not self.assigning, give_way)
        if self.assigning:
            return may_have_more
        # what another holder released may be on record for these
        followers = [self._cluster.services.get(key) for key in may_have_more - batch]
        readable = [service for service in followers if service is not None and service.ours]
        if readable:
            self._allocator.settle(readable, {}, True, give_way)
        return may_have_more

    @property
    def known(self) -> Set[ObjectKey]:
        """The Services whose addresses may have routes, and those that are not decided yet."""
        return self._held_by.keys() | self._left.keys()

    def move(
        self,
        moved: Moved,
        batch: set[ObjectKey],
        touched: dict[Address, None],
        give_way: Callable[[], None],
    ) -> None:
        """Adds the addresses of Services whose next hops may have changed with a node or an
        EndpointSlice to `touched`, in their order.  Those that are not announced are added to the
        batch, because the reason may be another now, and those whose verdict depends on more than
        whether there is a next hop."""
        by_port = self._routing.by_port
        for key in moved.services:
            give_way()
            decision = self.decisions.get(key)
            if decision is None or not decision.verdict.ok or self._guard.failed(Kind.SERVICE, key):
                batch.add(key)
                continue
            addresses = _addresses(self._held_by.get(key, ()))
            if by_port and any(map(self._routing.verdict_depends_on_nodes, addresses)):
                batch.add(key)
                continue
            with self._guard(Kind.SERVICE, key):
                if key in moved.relocated:
                    self._resolver.update_backends(key)
                else:
                    self._resolver.update_lost_nodes(key)
                touched.update(dict.fromkeys(addresses))

    def next_part(self, batch: set[ObjectKey]) -> set[ObjectKey]:
        """What this turn decides of the batch and of what earlier turns left: the first that were
        settled, and of those the oldest.  What failed, is gone or not ours does not wait."""
        if self._most is None or (not self._left and len(batch) <= self._most):
            return batch
        waiting = [s.key for s in self._ours_by_age(batch)]
        waiting = [key for key in waiting if not self._guard.failed(Kind.SERVICE, key)]
        part = batch.difference(waiting)
        for key in part:
            self._left.pop(key, None)
        self._left.update(dict.fromkeys(waiting))
        first = list(itertools.islice(self._left, self._most))
        for key in first:
            del self._left[key]
        part.update(first)
        return part

    def decide(
        self, batch: set[ObjectKey], touched: dict[Address, None], give_way: Callable[[], None]
    ) -> None:
        """Decides for the batch, and for the Services that hold an address which gained its first
        or lost its last next hop, or is shared and not announced; these are added to the batch.
        `touched` are the addresses whose routes may change; those of the batch are added."""
        outcomes: dict[ObjectKey, Outcome] = {}
        of_batch: dict[Address, None] = {}  # in this order: Services of an age are near in memory
        try:
            for service in self._ours_by_age(batch):
                give_way()
                of_batch.update(dict.fromkeys(self._assign(service, outcomes)))
            for key in batch - outcomes.keys():
                give_way()
                of_batch.update(dict.fromkeys(self._without_outcome(key)))
        finally:
            touched.update(of_batch)
        self.locate_left(touched)
        self._routing.begin_turn()
        again, shared = self._routing.reach(touched, give_way)
        if self._routing.by_port:
            again.update(of_batch)  # it matters to a holder which ports the others have
        for address in again | shared:
            for sharer in self._sharers(address, decided=address not in again):
                if sharer.key not in outcomes:
                    give_way()
                    batch.add(sharer.key)
                    self._assign(sharer, outcomes)
        for key, outcome in outcomes.items():
            give_way()
            self._store_decision(key, outcome)

    def locate_left(self, addresses: Iterable[Address]) -> None:
        """Reads where the Services run that hold one of these addresses and are left to later
        turns: the routes of the address depend on all its holders, and on each until it is
        decided, even if it is released before."""
        if not self._left:
            return
        for address in addresses:
            for key in self._allocator.holders(address):
                if key in self._left:
                    with self._guard(Kind.SERVICE, key):
                        self._resolver.update_backends(key)
                    held = (*self._held_by.get(key, ()), *self._allocator.held(key))
                    self._held_by[key] = tuple(dict.fromkeys(held))

    def _sharers(self, address: Address, decided: bool) -> Iterator[Service]:
        """The holders of an address, but for those that are left to later turns; of those that are
        `decided` the ones that share it and are not announced, because the reason depends on the
        others."""
        for key in self._allocator.holders(address):
            service = self._allocator.settled(key)
            if service is None or not service.ours or key in self._left:
                continue
            decision = self.decisions.get(key)
            if not decided or decision is None or not decision.verdict.ok:
                yield service

    def _ours_by_age(self, batch: Iterable[ObjectKey]) -> list[Service]:
        """The Services of a batch as they were settled, even if they changed since."""
        settled = (self._allocator.settled(key) for key in batch)
        return sorted((s for s in settled if s is not None and s.ours), key=lambda s: s.age)

    def _assign(self, service: Service, outcomes: dict[ObjectKey, Outcome]) -> list[Address]:
        """Assigns to a Service what it lacks; returns the addresses that it holds, and held."""
        key = service.key
        if self._guard.failed(Kind.SERVICE, key):
            return []
        with self._guard(Kind.SERVICE, key):
            self._resolver.update_backends(key)
            if self.assigning:
                outcome = self._allocator.assign(service)
            else:
                outcome = self._allocator.preview(service)
            before = self._held_by.get(key, ())
            self._held_by[key] = outcome.held
            outcomes[key] = outcome
            return _addresses(outcome.held if before == outcome.held else outcome.held + before)
        return []

    def _without_outcome(self, key: ObjectKey) -> list[Address]:
        """Handles a Service that is gone, not ours, unreadable or failed; returns the addresses
        that it held before."""
        failed = self._guard.failed(Kind.SERVICE, key)
        unreadable = self._cluster.unreadable(Kind.SERVICE, key)
        service = self._allocator.settled(key)
        if failed:
            with self._guard(Kind.SERVICE, key):
                if key not in self.decisions and service is not None:
                    held = self._allocator.held(key)
                    self.decisions[key] = unreadable_decision(service, held, failed)
                self._resolver.update_backends(key)  # for those that share its addresses
            return []
        if unreadable is not None and service is not None and not service.ours:
            held = self._allocator.held(key)
            self.decisions[key] = unreadable_decision(
                service, held, unreadable.reason, unreadable.record_unread
            )
        elif service is None:
            self._resolver.forget(key)
        return _addresses(self._held_by.pop(key, ()))

    def _store_decision(self, key: ObjectKey, outcome: Outcome) -> None:
        service = self._allocator.settled(key)
        if service is None:
            return
        with self._guard(Kind.SERVICE, key):
            announced = self._routing.announced(service, outcome)
            unreadable = self._cluster.why_unreadable(Kind.SERVICE, key)
            refused = self._routing.refused_communities(service, outcome)
            decision = Decision(service, outcome, announced, unreadable, refused)
            self.address_changes.note(key, self.decisions.get(key), decision)
            self.decisions[key] = decision


def _addresses(held: Iterable[Held]) -> list[Address]:
    return [entry.address for entry in held]
