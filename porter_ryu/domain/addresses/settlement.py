"""Settles, before anybody is given anything: who keeps what it holds, and whose record is adopted.

A record alone is no gift: an address that could not be given (its Eip is disabled, a node has it)
is adopted where the Eip itself names the Service, or where, at a start, nothing but the record can
tell.  Of an Eip that nobody wrote a status to yet, nobody of ours gave a node's address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.pools import Pools
from porter_ryu.domain.addresses.records import Records
from porter_ryu.domain.addresses.rules import Rules
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey, Service
from porter_ryu.domain.verdict import ServiceVerdict

Unread = Mapping[ObjectKey, tuple[Address, ...]]
_Rank = tuple[bool, tuple[bool, str, ObjectKey]]


class Settlement:
    """Applies the rules to the book; `lost` says, until it was told, why a Service lost what."""

    def __init__(self, pools: Pools, book: Holdings, rules: Rules, guard: Guard) -> None:
        self.lost: dict[ObjectKey, ServiceVerdict] = {}
        self._pools = pools
        self._book = book
        self._rules = rules
        self._guard = guard
        self._records = Records(pools)
        self._at_start = True
        self._follow = False
        self._followed: set[ObjectKey] = set()

    def settle(
        self, services: Iterable[Service], unread: Unread, follow: bool, tick: Callable[[], None]
    ) -> set[str]:
        """Takes in the newest forms of Services of ours, and the records of those that cannot be
        read and never could; releases what may be held no longer, then adopts what is recorded
        and admissible.  Returns the namespaces in which Services share otherwise than before.

        Of records that exclude each other the one that the Eip names stays, then the one that did
        not change, then who asks for the address, then the older, then the first by name.  With
        `follow`, on an instance that does not assign, what is not recorded is not held either.
        """
        self._follow = follow
        every = list(services)
        ranked = self._ranked(every, tick)
        alike = self._note(ranked, tick)
        for service in sorted(reversed(ranked), key=lambda s: s.key in alike):
            tick()
            with self._guard(Kind.SERVICE, service.key):
                self._keep(service)
        self._adopt(ranked, unread, tick)
        self._keep_what_failed(every)
        self._at_start = follow
        if follow:
            self._followed.update(service.key for service in ranked)
        else:
            self._followed.clear()
        self._records.forget_gone()
        return {service.key.namespace for service in ranked if service.key not in alike}

    def forget(self, key: ObjectKey) -> None:
        """The Service is gone."""
        self.lost.pop(key, None)
        self._followed.discard(key)

    def _ranked(self, services: Iterable[Service], tick: Callable[[], None]) -> list[Service]:
        """In the order in which records are adopted."""
        ranks: list[tuple[_Rank, Service]] = []
        for service in services:
            tick()
            with self._guard(Kind.SERVICE, service.key):
                ranks.append((_rank(service), service))
        return [service for _, service in sorted(ranks, key=lambda entry: entry[0])]

    def _note(self, services: Iterable[Service], tick: Callable[[], None]) -> set[ObjectKey]:
        """Takes in the forms; returns those that share as they did."""
        alike = set()
        for service in services:
            tick()
            with self._guard(Kind.SERVICE, service.key):
                before = self._book.services.get(service.key)
                self._book.note(service)
                if before is not None and _sharing(before) == _sharing(service):
                    alike.add(service.key)
        return alike

    def _keep(self, service: Service) -> None:
        """Releases what a Service holds and may hold no longer."""
        for family, held in list(self._book.held(service.key).items()):
            if self._follow and held.address not in service.ingress:
                self._book.take(service.key, family)
                continue
            objection = self._rules.objection(service, held.address, held.eip, has=True)
            if objection is None and service.key in self._followed and not self._follow:
                objection = self._claim_objection(service, held.address, held.eip)
            if objection is not None:
                self._book.take(service.key, family)
                self.lost[service.key] = objection
                continue
            eip = self._rules.eip_of(service, held.address)
            if eip and eip != held.eip:
                self._book.move(service.key, family, eip)

    def _adopt(self, services: Iterable[Service], unread: Unread, tick: Callable[[], None]) -> None:
        """Takes over what is recorded: first what an Eip names, then what is recorded of those
        that cannot be read, then the rest."""
        for service in services:
            tick()
            with self._guard(Kind.SERVICE, service.key):
                self._take_over(service, named=True)
        for key, record in unread.items():
            tick()
            with self._guard(Kind.SERVICE, key):
                self._reserve(key, record)
        for service in services:
            tick()
            with self._guard(Kind.SERVICE, service.key):
                self._take_over(service, named=False)
                if not service.deleting and any(self._rules.request_refusals(service)):
                    self._release_all(service.key)

    def _take_over(self, service: Service, named: bool) -> None:
        for address in service.ingress:
            if Family(address.version) in self._book.held(service.key):
                continue
            pool = self._pools.holding(address)
            by_eip = self._records.names(pool, address, service.key)
            if named and not by_eip:
                continue
            has = bool(by_eip) or self._follow or self._at_start
            if self._rules.objection(service, address, has=has) is not None:
                continue
            if self._follow or self._claim_objection(service, address) is None:
                self._book.give(service, Held(address, self._rules.eip_of(service, address)))

    def _claim_objection(
        self, service: Service, address: Address, eip: str = ""
    ) -> ServiceVerdict | None:
        """What stands against holding an address because a record says so."""
        pool = self._pools.holding(address)
        named = self._records.names(pool, address, service.key)
        if named:
            return None
        if self._at_start and self._rules.in_doubt(service, eip):
            return None
        if self._at_start and named is None:
            fresh = pool is not None and self._records.fresh(pool)
            return self._rules.reserved_objection(service, address) if fresh else None
        return self._rules.gift_objection(service, address)

    def _reserve(self, key: ObjectKey, record: Iterable[Address]) -> None:
        """Keeps the record of a Service that cannot be read from everybody else."""
        recorded: dict[Family, Address] = {}
        for address in sorted(record, key=lambda a: self._pools.holding(a) is None):
            recorded.setdefault(Family(address.version), address)
        form = Service(key, ours=False, ingress=tuple(recorded.values()))
        for family, held in list(self._book.held(key).items()):
            if recorded.get(family) != held.address or self._pools.holding(held.address) is None:
                self._book.take(key, family)
        self._book.note(form, unread=True)
        for family, address in recorded.items():
            pool = self._pools.holding(address)
            if pool is None or family in self._book.held(key):
                continue
            admitted = self._pools.admits_namespace(pool, key.namespace, doubt=True)
            if not admitted or self._claim_objection(form, address) is not None:
                continue
            named = self._records.names(pool, address, key)
            others = self._book.holders(address)
            if named or all(self._may_share(key, other) for other in others):
                self._book.give(form, Held(address, pool.eip.name))

    def _may_share(self, key: ObjectKey, other: ObjectKey) -> bool:
        """Whether one that cannot be read may well share with another."""
        form = self._book.services[other]
        readable = other not in self._book.unread
        return other.namespace == key.namespace and (not readable or form.share_key is not None)

    def _keep_what_failed(self, services: Iterable[Service]) -> None:
        """What could not be settled has its record kept, like what cannot be read."""
        for service in services:
            if self._guard.failed(Kind.SERVICE, service.key) and not self._book.held(service.key):
                with self._guard(Kind.SERVICE, service.key):
                    self._reserve(service.key, service.ingress)

    def _release_all(self, key: ObjectKey) -> None:
        for family in list(self._book.held(key)):
            self._book.take(key, family)


def _rank(service: Service) -> _Rank:
    """Sorts who asks for the address that it has before who does not, then by age."""
    asked = service.request.addresses if service.request else ()
    return (not set(asked) & set(service.ingress), service.age)


def _sharing(service: Service) -> object:
    """What decides about sharing."""
    return (service.share_key, service.ports)
