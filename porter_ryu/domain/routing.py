"""The route of each address, and for each holder of the address whether it is announced.

The next hops of an address are computed once a turn, however many Services share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import Outcome
from porter_ryu.domain.advertising import Advertising, refused_communities
from porter_ryu.domain.aggregation import Aggregation
from porter_ryu.domain.announcement import (
    WITHDRAWN,
    Announcements,
    NextHop,
    PortPaths,
    Route,
)
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.communities import NO_REQUEST
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Eip, Family, Kind, Network, ObjectKey, Service
from porter_ryu.domain.nodes.next_hops import combine
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.paths import PathAssembly
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict


class _Reached(Struct, frozen=True, gc=False):
    """Which Services hold an address, and its next hops for all of them, recorded or not yet."""

    holders: Sequence[Service]
    hops: frozenset[NextHop]


class Routing:
    """The routes of a Cluster; `announce`: there are routers or switches.  `by_port`: there are
    targets that tell the ports of an address apart."""

    def __init__(
        self,
        cluster: Cluster,
        allocator: Allocator,
        resolver: NextHopResolver,
        paths: PathAssembly,
        guard: Guard,
        announce: bool,
        by_port: bool = False,
    ) -> None:
        self._cluster = cluster
        self._allocator = allocator
        self._resolver = resolver
        self._paths = paths
        self._guard = guard
        self._announce = announce
        self.by_port = by_port
        self._advertising = Advertising(peers_alone=not by_port)
        self.aggregation = Aggregation(allocator, self._advertising, self._paths_of_aggregate)
        self._of_aggregates: dict[Family, Announcements] = {}
        self._reached: dict[Address, _Reached] = {}
        self._reachable: set[Address] = set()
        self._aggregates: set[Network] = set()

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns."""
        parts = (self._paths, self._advertising, self.aggregation)
        own = len(self._reached) + len(self._reachable) + len(self._of_aggregates)
        return sum(part.cached_entries for part in parts) + own

    @property
    def peers(self) -> frozenset[str]:
        """The names of all configured peers."""
        return self._advertising.peers

    @peers.setter
    def peers(self, names: frozenset[str]) -> None:
        self._advertising.peers = names

    def begin_turn(self) -> None:
        """Clears the cache: holders and next hops may have changed."""
        self._reached.clear()
        self._of_aggregates.clear()
        self._paths.begin_turn()
        self._advertising.begin_turn()
        self.aggregation.begin_turn()

    def end_turn(self) -> None:
        """Frees what was found of each address: there may be very many."""
        self._reached.clear()

    def recover(self) -> None:
        """What `changed_aggregates` returned was not applied."""
        self.aggregation.touch(self._aggregates)

    def reach(
        self, addresses: Iterable[Address], give_way: Callable[[], None]
    ) -> tuple[set[Address], set[Address]]:
        """Finds the next hops of these addresses, for this turn.  Returns those that gained their
        first or lost their last next hop, because no other change of one holder concerns the other
        holders of an address; and those that several Services hold."""
        changed: set[Address] = set()
        shared: set[Address] = set()
        for address in addresses:
            give_way()
            holders = self._allocator.holders(address)
            if len(holders) > 1:
                shared.add(address)
            if not self._announce:
                continue
            reached = self._reached[address] = self._reach(address, holders)
            reachable = bool(reached.hops)
            if reachable == (address in self._reachable):
                continue
            changed.add(address)
            if reachable:
                self._reachable.add(address)
            else:
                self._reachable.discard(address)
        return changed, shared

    def verdict_depends_on_nodes(self, address: Address) -> bool:
        """Whether it matters for the verdict on a holder of an address by which nodes it is
        reached, and not only whether there is one, if there are targets that tell ports apart."""
        return (
            len(self._allocator.holders(address)) > 1 or self._advertising_eip(address) is not None
        )

    def route(self, address: Address) -> Route | None:
        """The wanted route of an address, for the holders that have it on record.  None: the
        route stays as it is, because something failed for one of the holders."""
        recorded = []
        reached = self._reached_now(address)
        for service in reached.holders:
            with self._guard(Kind.SERVICE, service.key):
                if address in service.ingress:
                    recorded.append(service)
            if self._guard.failed(Kind.SERVICE, service.key):
                return None
        if not self._announce or not recorded:
            self.aggregation.note(address)
            return Route(address, bool(recorded), WITHDRAWN)
        if len(recorded) == len(reached.holders):
            hops = reached.hops
        else:
            hops = self._selected(address, self._combine(address, recorded))
        with self._guard(Kind.SERVICE, recorded[0].key):
            return self._announced_route(address, hops, recorded)
        return None

    def wanted(self, address: Address) -> Announcements:
        """The announcements of an address once all its holders have it on record; also those that
        an aggregate makes needless."""
        hops = self._next_hops_of(address)
        if not hops:
            return WITHDRAWN
        paths = self._paths.announcements(address, hops, self._holders(address))
        eip = self._advertising_eip(address)
        if eip is None:
            return paths
        return self._advertising.advertised(paths, self._advertising.entries(eip))

    def aggregates_wanted(self, address: Address) -> tuple[Network, ...]:
        """The aggregates of an address once all its holders have it on record; they are noted, for
        `changed_aggregates`."""
        holders = self._holders(address)
        if not self._announce or not holders:
            return ()
        return self._announced_route(address, self._next_hops_of(address), holders).aggregates

    def _announced_route(
        self, address: Address, hops: frozenset[NextHop], recorded: Sequence[Service]
    ) -> Route:
        """The route of an address by its next hops, limited by the advertisements of its Eip."""
        paths = self._paths.announcements(address, hops, recorded)
        ports = self._port_paths(address, hops, recorded) if self.by_port else ()
        eip = self._advertising_eip(address)
        if eip is None:
            self.aggregation.note(address)
            return Route(address, True, paths, paths=paths, ports=ports)
        elsewhere = self._advertising.selected(eip, self._elsewhere(address, recorded))
        everywhere = hops | elsewhere if elsewhere else hops  # a set hashes itself once
        entries = self._advertising.entries(eip)
        announcements = self.aggregation.announcements(
            address, entries, paths, everywhere, recorded
        )
        aggregates = self.aggregation.aggregates_of(address)
        return Route(address, True, announcements, aggregates, paths, ports)

    def _port_paths(
        self, address: Address, hops: frozenset[NextHop], recorded: Sequence[Service]
    ) -> PortPaths:
        """The paths of each port of an address; none if all Services that share it have the next
        hops of the address."""
        if len(recorded) == 1:
            return ()
        own = [(service, self._own_next_hops(address, service)) for service in recorded]
        if all(of_service == hops for _, of_service in own):
            return ()
        paths = {
            port: self._paths.announcements(address, of_service, [service])
            for service, of_service in own
            for port in service.ports
        }
        return tuple(sorted(paths.items()))

    def _own_next_hops(self, address: Address, service: Service) -> frozenset[NextHop]:
        """The next hops of an address for one Service alone."""
        hops = self._resolver.next_hops(service, Family(address.version))
        return self._selected(address, hops)

    def changed_aggregates(self, give_way: Callable[[], None]) -> dict[Network, Announcements]:
        """What is announced for each aggregate of an address whose route was computed since the
        last call (nothing: it is withdrawn)."""
        changed = {}
        self._aggregates = self.aggregation.pop_touched()
        for aggregate in self._aggregates:
            give_way()
            with self._guard(Kind.EIP, ObjectKey("", str(aggregate))):
                changed[aggregate] = self.aggregation.announced(aggregate)
        return changed

    def announced(self, service: Service, outcome: Outcome) -> ServiceVerdict | None:
        """Whether one of a Service's addresses has a route, or will have one once it is recorded;
        None without BGP."""
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

    def refused_communities(self, service: Service, outcome: Outcome) -> str:
        """What is left out of the communities that a Service asks for, and why; empty where nothing
        is, or where it has no address yet."""
        if service.communities == NO_REQUEST or not (outcome.held and self._announce):
            return ""
        eips = (self._allocator.eip_of(held.address) for held in outcome.held)
        return refused_communities(service, [eip for eip in eips if eip is not None])

    def _announced_by(self, service: Service, held: Held) -> ServiceVerdict:
        """Whether one address of a Service has a route."""
        if self._next_hops_of(held.address):
            return _announced(self._to_whom(held))
        family = Family(held.address.version)
        if self.by_port and self._own_next_hops(held.address, service):
            text = "announced to every switch by its ports, and to no router: other Services that"
            text += f" share {held.address} have no node in common with it"
            return _announced(text)
        if self._resolver.next_hops(service, family):
            unheard = self._why_unheard(held.address)
            if unheard is not None:
                return unheard
            text = f"no node has endpoints of every Local Service that shares {held.address}"
            return Verdict(False, Reason.NO_USABLE_NODE, text)
        return self._resolver.why_none(service, family)

    def _to_whom(self, held: Held) -> str:
        """To whom an address that has next hops is announced."""
        unheard = self._why_unheard(held.address) if self.by_port else None
        if unheard is not None:
            return f"announced to every switch, and to no router: {unheard.message}"
        text = "announced to every router whose session is up"
        if self._advertising_eip(held.address) is not None:
            text += f", and for which an entry of spec.advertisements of Eip {held.eip} is"
        return text + (", and to every switch" if self.by_port else "")

    def _why_unheard(self, address: Address) -> ServiceVerdict | None:
        """Why the advertisements of its Eip announce an address with next hops to no peer; None if
        it has none, and where they do not prevent it."""
        eip = self._advertising_eip(address)
        hops = self._combine(address, self._holders(address))
        return self._advertising.why_unheard(eip, hops) if eip is not None and hops else None

    def _next_hops_of(self, address: Address) -> frozenset[NextHop]:
        """The next hops of an address for all its holders, recorded or not yet."""
        return self._reached_now(address).hops

    def _reached_now(self, address: Address) -> _Reached:
        """How an address is reached in this turn."""
        known = self._reached.get(address)
        if known is None:
            holders = self._allocator.holders(address)
            known = self._reached[address] = self._reach(address, holders)
        return known

    def _reach(self, address: Address, keys: Iterable[ObjectKey]) -> _Reached:
        """How an address is reached that these Services hold."""
        holders = self._services(keys)
        return _Reached(holders, self._selected(address, self._combine(address, holders)))

    def _selected(self, address: Address, hops: frozenset[NextHop]) -> frozenset[NextHop]:
        """The next hops that the advertisements of its Eip allow."""
        eip = self._advertising_eip(address)
        return hops if eip is None else self._advertising.selected(eip, hops)

    def _advertising_eip(self, address: Address) -> Eip | None:
        """The Eip of an address, if it has advertisements."""
        eip = self._allocator.eip_of(address) if self._allocator.advertising else None
        return eip if eip is not None and eip.advertisements else None

    def _paths_of_aggregate(self, aggregate: Network) -> Announcements:
        """The paths of an aggregate by every usable node: the same for all of a family."""
        family = Family(aggregate.version)
        known = self._of_aggregates.get(family)
        if known is None:
            hops = self._resolver.next_hops_of_aggregate(family)
            known = self._paths.announcements(aggregate.network_address, hops, ())
            self._of_aggregates[family] = known
        return known

    def _combine(self, address: Address, holders: Sequence[Service]) -> frozenset[NextHop]:
        family = Family(address.version)
        if len(holders) == 1:  # as nearly always
            return self._resolver.next_hops(holders[0], family)
        return combine((s.local_traffic, self._resolver.next_hops(s, family)) for s in holders)

    def _elsewhere(self, address: Address, holders: Iterable[Service]) -> frozenset[NextHop]:
        """The next hops of an address that other instances announce, each its own node."""
        family, resolver = Family(address.version), self._resolver
        return combine((s.local_traffic, resolver.next_hops_elsewhere(s, family)) for s in holders)

    def _holders(self, address: Address) -> list[Service]:
        return self._services(self._allocator.holders(address))

    def _services(self, keys: Iterable[ObjectKey]) -> list[Service]:
        services = self._cluster.services
        return [services[key] for key in keys if key in services]


@lru_cache(64)
def _announced(text: str) -> ServiceVerdict:
    """One object for each text: nearly all Services have the same."""
    return Verdict(True, Reason.ANNOUNCED, text)
