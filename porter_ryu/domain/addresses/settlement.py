"""Settles existing addresses before any is assigned: which Services keep what they hold, and whose
record is adopted.

A record in a Service alone does not entitle it to an address.  An address that could not be
assigned now (its Eip is disabled, a node reports it) is adopted only where the status of the Eip
names the Service, or, at the start of the process, where that status says nothing.  While no status
was ever written to an Eip that served with an address of a node, a peer or this host, that is not
adopted either.  A record that could not be read at the start counts as at the start when it can be
read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.records import Records
from porter_ryu.domain.addresses.rules import Rules
from porter_ryu.domain.addresses.unread_records import UnreadRecords
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey, Service
from porter_ryu.domain.objects import Unreadable
from porter_ryu.domain.verdict import ServiceVerdict

UnreadableRecords = Mapping[ObjectKey, Unreadable]
"""The Services that never were readable."""
_Rank = tuple[bool, tuple[bool, str, ObjectKey]]


class Settlement:
    """Applies the rules to the holdings.

    `lost` says why a Service lost an address, until the caller removes the entry.
    """

    def __init__(
        self,
        pools: Pools,
        holdings: Holdings,
        rules: Rules,
        records: Records,
        unread: UnreadRecords,
        guard: Guard,
    ) -> None:
        self.lost: dict[ObjectKey, ServiceVerdict] = {}
        self._pools = pools
        self._holdings = holdings
        self._rules = rules
        self._guard = guard
        self._records = records
        self._unread = unread
        self._newly_read: set[ObjectKey] = set()
        self._at_start = True
        self._follow = False
        self._followed: set[ObjectKey] = set()

    def settle(
        self,
        services: Iterable[Service],
        unreadable: UnreadableRecords,
        follow: bool,
        give_way: Callable[[], None],
    ) -> set[str]:
        """Stores the newest forms of Services of ours, releases addresses that they may not hold
        any more, and adopts records, also those of unreadable Services.

        Where records exclude each other, the Service stays that the status of the Eip names, then
        one that did not change, then one that requests the address, then the older, then the first
        by name.  With `follow`, on an instance that does not assign addresses, a Service holds
        nothing but its record.  Returns the namespaces of the Services whose sharing key or ports
        changed.
        """
        self._follow = follow
        every = list(services)
        self._records.forget_gone()
        changed: set[str] = set()
        if every or unreadable:  # in most turns only next hops change
            changed = self._settle(every, unreadable, give_way)
        self._at_start = follow
        if not follow:
            self._followed.clear()
        return changed

    def _settle(
        self,
        every: Sequence[Service],
        unreadable: UnreadableRecords,
        give_way: Callable[[], None],
    ) -> set[str]:
        """Does it for at least one Service."""
        for key, entry in unreadable.items():
            if entry.record_unread:
                self._unread.add(key)
            else:
                self._unread.discard(key)
        self._newly_read = {s.key for s in every if self._unread.discard(s.key)}
        self._unread.refresh()
        ranked = self._ranked(every, give_way)
        unchanged = self._update_services(ranked, give_way)
        for service in _release_order(ranked, unchanged):
            give_way()
            with self._guard(Kind.SERVICE, service.key):
                self._release_forbidden(service)
        self._adopt_all(ranked, unreadable, give_way)
        self._reserve_failed(every)
        if self._follow:
            self._followed.update(service.key for service in ranked)
        self._newly_read = set()
        return {service.key.namespace for service in ranked if service.key not in unchanged}

    def forget(self, key: ObjectKey) -> None:
        """Removes what is kept for a Service that is gone."""
        self.lost.pop(key, None)
        self._followed.discard(key)
        self._unread.discard(key)

    def _ranked(self, services: Iterable[Service], give_way: Callable[[], None]) -> list[Service]:
        """The Services in the order in which their records are adopted."""
        ranks: list[tuple[_Rank, Service]] = []
        for service in services:
            give_way()
            with self._guard(Kind.SERVICE, service.key):
                ranks.append((_rank(service), service))
        return [service for _, service in sorted(ranks, key=lambda entry: entry[0])]

    def _update_services(
        self, services: Iterable[Service], give_way: Callable[[], None]
    ) -> set[ObjectKey]:
        """Stores the Services; returns those whose sharing key and ports did not change."""
        unchanged = set()
        for service in services:
            give_way()
            with self._guard(Kind.SERVICE, service.key):
                before = self._holdings.services.get(service.key)
                self._holdings.update(service)
                if before is not None and _sharing(before) == _sharing(service):
                    unchanged.add(service.key)
        return unchanged

    def _release_forbidden(self, service: Service) -> None:
        """Releases the addresses that a Service may not hold any more."""
        for held in self._holdings.held(service.key):
            family = held.family
            if service.key in self._newly_read and self._is_another(service, held):
                self._holdings.release(service.key, family)
                continue
            if self._follow and held.address not in service.ingress:
                self._holdings.release(service.key, family)
                continue
            objection = self._rules.objection(service, held.address, held.eip, existing=True)
            if objection is None and service.key in self._followed and not self._follow:
                objection = self._adoption_objection(service, held.address, held.eip)
            if objection is not None:
                self._holdings.release(service.key, family)
                self.lost[service.key] = objection
                continue
            eip = self._rules.eip_of(service, held.address)
            if eip and eip != held.eip:
                self._holdings.move(service.key, family, eip)

    def _is_another(self, service: Service, held: Held) -> bool:
        """Whether a Service has another address on record than it holds, which it may hold."""
        return held.address not in service.ingress and any(
            address.version == held.address.version
            and self._rules.objection(service, address, existing=True) is None
            for address in service.ingress
        )

    def _adopt_all(
        self,
        services: Iterable[Service],
        unreadable: UnreadableRecords,
        give_way: Callable[[], None],
    ) -> None:
        """Adopts records: first those that the status of an Eip confirms, then those of unreadable
        Services, then the rest."""
        for service in services:
            give_way()
            with self._guard(Kind.SERVICE, service.key):
                self._adopt(service, confirmed_only=True)
        for key, entry in unreadable.items():
            give_way()
            with self._guard(Kind.SERVICE, key):
                self._reserve(key, entry.record)
        for service in services:
            give_way()
            with self._guard(Kind.SERVICE, service.key):
                self._adopt(service, confirmed_only=False)
                if not service.deleting and any(self._rules.request_refusals(service)):
                    self._release_all(service.key)

    def _adopt(self, service: Service, confirmed_only: bool) -> None:
        """Adopts the record of a Service where the rules allow it; `confirmed_only`: only
        addresses for which the status of the Eip names the Service."""
        for address in service.ingress:
            if self._holdings.has(service.key, Family(address.version)):
                continue
            pool = self._pools.pool_for(address)
            confirmed = self._records.names_holder(pool, address, service.key)
            if confirmed_only and not confirmed:
                continue
            existing = bool(confirmed) or self._follow or self._starts(service.key)
            if self._rules.objection_in(pool, service, address, existing=existing) is not None:
                continue
            objection = None
            if not (confirmed or self._follow):
                objection = self._unconfirmed_objection(service, address, pool, confirmed)
            if objection is None:
                eip = self._rules.eip_in(pool, service)
                self._holdings.assign(service, Held(address, eip))

    def _adoption_objection(
        self, service: Service, address: Address, eip: str = ""
    ) -> ServiceVerdict | None:
        """Why a record alone does not entitle a Service to an address."""
        pool = self._pools.pool_for(address)
        confirmed = self._records.names_holder(pool, address, service.key)
        if confirmed:
            return None
        return self._unconfirmed_objection(service, address, pool, confirmed, eip)

    def _unconfirmed_objection(
        self,
        service: Service,
        address: Address,
        pool: Pool | None,
        confirmed: bool | None,
        eip: str = "",
    ) -> ServiceVerdict | None:
        """The same for a record that the status of the Eip does not confirm; `confirmed` is None
        where that status says nothing."""
        starts = self._starts(service.key)
        if starts and self._rules.may_be_from_unreadable(service, eip):
            return None
        if starts and confirmed is None:
            if pool is not None and self._records.lacks_status(pool, address):
                return self._rules.reserved_objection(service, address)
            return None
        return self._rules.assignment_objection(service, address)

    def _starts(self, key: ObjectKey) -> bool:
        """Whether the record of a Service is read for the first time."""
        return self._at_start or key in self._newly_read

    def _reserve(self, key: ObjectKey, record: tuple[Address, ...]) -> None:
        """Reserves the record of a Service that cannot be read, and what an Eip says of it if its
        record cannot be read either."""
        if key in self._unread:
            record = self._unread.record(key, record)
        recorded: dict[Family, Address] = {}
        for address in sorted(record, key=lambda a: self._pools.pool_for(a) is None):
            recorded.setdefault(Family(address.version), address)
        substitute = Service(key, ours=False, ingress=tuple(recorded.values()))
        self._release_others(key, recorded)
        self._holdings.update(substitute, unreadable=True)
        for family, address in recorded.items():
            pool = self._pools.pool_for(address)
            if pool is None or self._holdings.has(key, family):
                continue
            admitted = self._pools.admits_namespace(pool, key.namespace, if_unreadable=True)
            if not admitted or self._adoption_objection(substitute, address) is not None:
                continue
            confirmed = self._records.names_holder(pool, address, key)
            others = self._holdings.holders(address)
            if confirmed or all(self._may_share(key, other) for other in others):
                self._holdings.assign(substitute, Held(address, pool.eip.name))
                if key in self._unread:
                    self._unread.guess(key, address)

    def _release_others(self, key: ObjectKey, recorded: Mapping[Family, Address]) -> None:
        """Releases what a Service that cannot be read holds, but for what is its record."""
        for held in self._holdings.held(key):
            pool = self._pools.pool_for(held.address)
            if recorded.get(held.family) != held.address or pool is None:
                self._holdings.release(key, held.family)
            elif pool.eip.name != held.eip:
                self._holdings.move(key, held.family, pool.eip.name)

    def _may_share(self, key: ObjectKey, other: ObjectKey) -> bool:
        """Whether an unreadable Service may share an address with another one."""
        if other.namespace != key.namespace:
            return False
        unreadable = other in self._holdings.unreadable
        return unreadable or self._holdings.services[other].share_key is not None

    def _reserve_failed(self, services: Iterable[Service]) -> None:
        """Reserves the records of Services that failed, like those of unreadable ones."""
        for service in services:
            key = service.key
            if self._guard.failed(Kind.SERVICE, key) and not self._holdings.held(key):
                with self._guard(Kind.SERVICE, key):
                    self._reserve(key, service.ingress)

    def _release_all(self, key: ObjectKey) -> None:
        for held in self._holdings.held(key):
            self._holdings.release(key, held.family)


def _rank(service: Service) -> _Rank:
    """Sorts a Service that requests an address of its record before others, then by age."""
    requested = service.request.addresses if service.request else ()
    return (set(requested).isdisjoint(service.ingress), service.age)


def _release_order(ranked: list[Service], unchanged: set[ObjectKey]) -> list[Service]:
    """The Services that changed before those that did not, and each the last ranked first: of two
    that exclude each other the first one releases its address."""
    last_first = ranked[::-1]
    changed = [service for service in last_first if service.key not in unchanged]
    others = [service for service in last_first if service.key in unchanged]
    return changed + others


def _sharing(service: Service) -> object:
    """What decides which Services it can share an address with."""
    return (service.share_key, service.ports)
