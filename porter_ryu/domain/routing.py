"""What follows from who holds an address: its route, and what is said of it to each holder.

The next hops of an address are worked out once a turn, however many Services share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.announcement import WITHDRAWN, Announcement, Announcements, NextHop, Route
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, Service
from porter_ryu.domain.nodes.next_hops import combine
from porter_ryu.domain.nodes.view import NodeView
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict


class Routing:
    """Routes of a Cluster; `announce` is [bgp] enabled."""

    def __init__(
        self,
        cluster: Cluster,
        allocator: Allocator,
        view: NodeView,
        guard: Guard,
        announce: bool,
    ) -> None:
        self._cluster = cluster
        self._allocator = allocator
        self._view = view
        self._guard = guard
        self._announce = announce
        self._hops: dict[Address, frozenset[NextHop]] = {}
        self._announcements: dict[frozenset[NextHop], Announcements] = {}
        self._led_somewhere: dict[Address, bool] = {}

    @property
    def kept(self) -> int:
        """How many entries are kept between turns."""
        return len(self._hops) + len(self._announcements) + len(self._led_somewhere)

    def begin(self) -> None:
        """What holders and next hops were may have changed."""
        self._hops.clear()
        self._announcements.clear()

    def turned(self, addresses: Iterable[Address], pause: Callable[[], None]) -> set[Address]:
        """Those of the addresses that lead somewhere now and did not before, or the other way
        round: all that one holder of an address has to know of the others."""
        turned: set[Address] = set()
        for address in addresses if self._announce else ():
            pause()
            leads = bool(self._hops_of(address))
            if self._led_somewhere.get(address, False) != leads:
                turned.add(address)
                if leads:
                    self._led_somewhere[address] = True
                else:
                    del self._led_somewhere[address]
        return turned

    def route(self, address: Address) -> Route | None:
        """What is wanted of one address, where only holders whose record says so count; None:
        what was wanted before, because one of them cannot be judged."""
        recorded = []
        holders = self._holders(address)
        for service in holders:
            with self._guard(Kind.SERVICE, service.key):
                if address in service.ingress:
                    recorded.append(service)
            if self._guard.failed(Kind.SERVICE, service.key):
                return None
        if not self._announce:
            return Route(address, bool(recorded), WITHDRAWN)
        every = len(recorded) == len(holders)
        hops = self._hops_of(address) if every else self._combined(address, recorded)
        return Route(address, bool(recorded), self._paths_by(hops))

    def _paths_by(self, hops: frozenset[NextHop]) -> Announcements:
        """The same object for the same next hops."""
        known = self._announcements.get(hops)
        if known is None:
            known = self._announcements[hops] = frozenset(map(Announcement, hops))
        return known

    def announced(self, service: Service, outcome: Outcome) -> ServiceVerdict | None:
        """Whether an address of a Service has, or will have once it is recorded, a route."""
        if not self._announce:
            return None
        if not outcome.held:
            return Verdict(False, Reason.NO_ADDRESS, "it has no address to announce")
        refused = []
        for held in outcome.held:
            verdict = self._announced_by(service, held)
            if verdict.ok:
                return verdict
            refused.append(verdict)
        return refused[0]

    def _announced_by(self, service: Service, held: Held) -> ServiceVerdict:
        """Whether one address of a Service has a route."""
        family = Family(held.address.version)
        if self._hops_of(held.address):
            text = "announced to every router whose session is up"
            return Verdict(True, Reason.ANNOUNCED, text)
        if self._view.next_hops(service, family):
            text = f"no node has endpoints of every Local Service that shares {held.address}"
            return Verdict(False, Reason.NO_USABLE_NODE, text)
        return self._view.why_none(service, family)

    def _hops_of(self, address: Address) -> frozenset[NextHop]:
        """By all holders, recorded or not yet."""
        known = self._hops.get(address)
        if known is None:
            known = self._hops[address] = self._combined(address, self._holders(address))
        return known

    def _combined(self, address: Address, holders: Iterable[Service]) -> frozenset[NextHop]:
        family = Family(address.version)
        return combine((s.local_traffic, self._view.next_hops(s, family)) for s in holders)

    def _holders(self, address: Address) -> list[Service]:
        services = (self._cluster.services.get(k) for k in self._allocator.holders(address))
        return [service for service in services if service is not None]
