"""What follows from who holds an address: its route, and what is said of it to each holder.

The next hops of an address are worked out once a turn, however many Services share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from porter_ryu.domain.addresses.allocator import Allocator, Held, Outcome
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Family,
    Kind,
    NextHop,
    Reason,
    Refusal,
    Route,
    Service,
)
from porter_ryu.domain.nodes.next_hops import combine
from porter_ryu.domain.nodes.view import NodeView


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
        self._led_somewhere: dict[Address, bool] = {}

    @property
    def kept(self) -> int:
        """How many entries are kept between turns."""
        return len(self._hops) + len(self._led_somewhere)

    def begin(self) -> None:
        """What holders and next hops were may have changed."""
        self._hops.clear()

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
        for service in self._holders(address):
            with self._guard(Kind.SERVICE, service.key):
                if address in service.ingress:
                    recorded.append(service)
            if self._guard.failed(Kind.SERVICE, service.key):
                return None
        hops = self._combined(address, recorded) if self._announce else frozenset()
        return Route(address, bool(recorded), hops, tuple(s.key for s in recorded))

    def announced(self, service: Service, outcome: Outcome) -> Refusal | None:
        """Whether an address of a Service has, or will have once it is recorded, a route."""
        if not self._announce:
            return None
        if not outcome.held:
            return Refusal(Reason.NO_ADDRESS, "it has no address to announce")
        refusals = []
        for held in outcome.held:
            refusal = self._not_announced(service, held)
            if refusal is None:
                return Refusal(Reason.ANNOUNCED, "announced to every router whose session is up")
            refusals.append(refusal)
        return refusals[0]

    def _not_announced(self, service: Service, held: Held) -> Refusal | None:
        family = Family(held.address.version)
        if self._hops_of(held.address):
            return None
        if self._view.next_hops(service, family):
            return Refusal(
                Reason.NO_USABLE_NODE,
                f"no node has endpoints of every Local Service that shares {held.address}",
            )
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
