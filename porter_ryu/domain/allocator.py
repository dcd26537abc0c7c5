"""Who holds which address.

Two steps, always in this order: `settle` adopts what is recorded and keeps or releases what is
held; only then `assign` gives what is missing.  That order, over all Services before the first
new one is served, is why nobody's address is ever given away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from porter_ryu.domain.holdings import Held, Holdings
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Family,
    FamilyPolicy,
    Namespace,
    ObjectKey,
    PoolReason,
    Reason,
    Refusal,
    Service,
)
from porter_ryu.domain.pools import Pool, Pools

__all__ = ["Allocator", "Held", "Outcome", "PoolVerdict"]

_USED_SHOWN = 256
_SIZE_MOST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a Service holds, and why not all that it should."""

    held: tuple[Held, ...]
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class PoolVerdict:
    """Whether a Service could draw from an Eip by itself, and why (not)."""

    eip: str
    usable: bool
    why: str


class Allocator:
    """Holds the pools and the book; every answer is a function of what it was told, in order."""

    def __init__(self) -> None:
        self._pools = Pools()
        self._book = Holdings()
        self._waiting: set[ObjectKey] = set()
        self._status: dict[str, EipStatus] = {}

    # -- what it is told --------------------------------------------------------------------------

    def set_pools(self, eips: Mapping[str, Eip]) -> frozenset[ObjectKey]:
        """Takes the complete set of Eips; returns the Services to look at again."""
        changed = self._pools.set(eips)
        if not changed:
            return frozenset()
        self._book.forget_free(changed)
        self._status.clear()
        holders = {
            key
            for name in changed
            for address in self._book.in_pool(name)
            for key in self._book.holders(address)
        }
        return frozenset(holders | self._waiting)

    def set_namespaces(self, namespaces: Mapping[str, Namespace]) -> frozenset[ObjectKey]:
        """Takes all Namespaces; returns the Services of those that changed, to look at again."""
        before, after = self._pools.namespaces, dict(namespaces)
        self._pools.namespaces = after
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        if not changed or not any(p.eip.namespace_selector for p in self._pools.in_order):
            return frozenset()
        return frozenset(key for key in self._book.services if key.namespace in changed)

    def set_reserved(self, addresses: frozenset[Address]) -> frozenset[ObjectKey]:
        """Takes the addresses of nodes, peers and this host; returns Services to look at again."""
        if addresses == self._book.reserved:
            return frozenset()
        lost = {key for address in addresses for key in self._book.holders(address)}
        waiting = self._waiting if self._book.reserved - addresses else set()
        self._book.reserved = addresses
        self._book.forget_free()
        return frozenset(lost | waiting)

    # -- deciding ---------------------------------------------------------------------------------

    @staticmethod
    def settle_order(services: Iterable[Service]) -> list[Service]:
        """The order of the first settling, by which conflicting records are resolved: who asks
        for the address before who does not, then the older, then by name."""

        def rank(service: Service) -> tuple[bool, tuple[bool, str, ObjectKey]]:
            asked = service.request.addresses if service.request else ()
            return (not set(asked) & set(service.ingress), service.age)

        return sorted(services, key=rank)

    def settle(self, service: Service) -> frozenset[ObjectKey]:
        """Takes in the newest form of a Service of ours: releases what it may hold no longer,
        adopts what is recorded and admissible.  Gives nothing new.  Returns the Services that
        can gain by what was released."""
        book = self._book
        before = book.services.get(service.key)
        book.note(service)
        for family, held in list(book.held(service.key).items()):
            if self._objection(service, held.address) is not None:
                book.take(service.key, family)
                continue
            pool = self._pools.holding(held.address)
            if pool is not None and pool.eip.name != held.eip:
                book.move(service.key, family, pool.eip.name)
                self._status.clear()
        for address in service.ingress:
            family = Family(address.version)
            if family in book.held(service.key) or self._objection(service, address):
                continue
            pool = self._pools.holding(address)
            if pool is not None:
                self._give(service, Held(address, pool.eip.name))
        if any(self._request_refusals(service)):
            for family in list(book.held(service.key)):
                book.take(service.key, family)
        return self._gained(service.key) | self._may_share(before, service)

    def _may_share(self, before: Service | None, service: Service) -> frozenset[ObjectKey]:
        """Who waits beside a holder that shares otherwise than before."""
        if before is None or (before.share_key, before.ports) == (service.share_key, service.ports):
            return frozenset()
        return frozenset(k for k in self._waiting if k.namespace == service.key.namespace)

    def release(self, key: ObjectKey) -> frozenset[ObjectKey]:
        """Forgets a Service that is gone or not ours; returns who can gain by it."""
        self._waiting.discard(key)
        self._book.drop(key)
        return self._gained(key)

    def assign(self, service: Service) -> Outcome:
        """Gives a settled Service what it still lacks, or says why not."""
        picks, refusal = self._pick(service)
        for held in picks:
            self._give(service, held)
        lacking = set(self._families(service)) - self._book.held(service.key).keys()
        (self._waiting.add if lacking else self._waiting.discard)(service.key)
        return Outcome(self.held(service.key), refusal)

    def look(self, service: Service) -> Outcome:
        """What `assign` would leave a Service with, on an instance that does not assign."""
        picks, refusal = self._pick(service)
        if picks and refusal is None:
            message = "no address is recorded yet: the instance that allocates has to give one"
            refusal = Refusal(Reason.NO_POOL, message)
        return Outcome(self.held(service.key), refusal)

    # -- what it knows -----------------------------------------------------------------------------

    def held(self, key: ObjectKey) -> tuple[Held, ...]:
        """What a Service holds, in the order of its families."""
        by_family = self._book.held(key)
        service = self._book.services.get(key)
        order = list(service.families) if service is not None else []
        rank = {family: order.index(family) if family in order else family for family in by_family}
        return tuple(by_family[family] for family in sorted(by_family, key=lambda f: rank[f]))

    def holders(self, address: Address) -> tuple[ObjectKey, ...]:
        """Who holds an address, in order of name."""
        return tuple(sorted(self._book.holders(address)))

    def pool_of(self, address: Address) -> str | None:
        """The Eip that has an address."""
        pool = self._pools.holding(address)
        return pool.eip.name if pool is not None else None

    def pool_status(self, name: str) -> EipStatus:
        """The status of an Eip that exists."""
        known = self._status.get(name)
        if known is None:
            known = self._status[name] = self._read_status(self._pools.by_name[name])
        return known

    def candidates(self, service: Service) -> tuple[PoolVerdict, ...]:
        """What there is to say of each Eip to a Service that draws one."""
        verdicts = []
        for name, pool in sorted(self._pools.by_name.items()):
            why = self._why_not(pool, service)
            verdicts.append(PoolVerdict(name, why is None, why or "it may be drawn from"))
        return tuple(verdicts)

    # -- rules ------------------------------------------------------------------------------------

    def _objection(self, service: Service, address: Address) -> Refusal | None:
        """Why a Service may not (go on to) hold an address; disable and autoAssign are about
        new ones only."""
        family = Family(address.version)
        pool = self._pools.holding(address)
        if pool is None:
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, f"{address} is in no Eip")
        if service.pool is not None and service.pool != pool.eip.name:
            text = f"{address} is not in the Eip {service.pool} that the Service names"
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, text)
        if not self._pools.admits(pool, service):
            text = f"Eip {pool.eip.name}, which has {address}, does not admit this Service"
            return Refusal(Reason.NOT_ALLOWED, text)
        if address in self._book.reserved:
            text = f"{address} belongs to a node, a peer or this host"
            return Refusal(Reason.ADDRESS_IN_USE, text)
        if family not in self._families(service):
            text = f"{address}: the Service has no IPv{family.value} among its ipFamilies"
            return Refusal(Reason.FAMILY_UNAVAILABLE, text)
        asked = self._asked(service)
        if family in asked and asked[family] != address:
            return Refusal(Reason.ADDRESS_NOT_IN_POOL, f"it asks for {asked[family]}")
        return self._sharing_objection(service, address)

    def _sharing_objection(self, service: Service, address: Address) -> Refusal | None:
        for key in sorted(self._book.holders(address)):
            if key == service.key:
                continue
            other = self._book.services[key]
            near = key.namespace == service.key.namespace
            name = str(key) if near else "another Service"
            if not near or not service.share_key or service.share_key != other.share_key:
                return Refusal(Reason.ADDRESS_IN_USE, f"{address} is held by {name}")
            common = service.ports & other.ports
            if common:
                ports = ", ".join(f"{p.protocol} {p.port}" for p in sorted(common))
                text = f"{address} is shared by {name}, which has {ports} as well"
                return Refusal(Reason.ADDRESS_IN_USE, text)
        return None

    def _request_refusals(self, service: Service) -> Iterable[Refusal]:
        """What stands against what a Service asks for by address."""
        request = service.request
        if request is None:
            return
        if request.error is not None:
            yield Refusal(Reason.INVALID_REQUEST, f"{request.source}: {request.error}")
            return
        named = self._named_refusal(service)
        if named is not None:
            yield named
            return
        mine = {held.address for held in self._book.held(service.key).values()}
        for address in request.addresses:
            if address in mine:
                continue
            objection = self._objection(service, address)
            if objection is not None:
                yield objection
                continue
            pool = self._pools.holding(address)
            if pool is not None and pool.closed:
                yield _closed(pool)

    def _named_refusal(self, service: Service) -> Refusal | None:
        """What stands against the pool that a Service names."""
        if service.pool is None:
            return None
        pool = self._pools.by_name.get(service.pool)
        if pool is None:
            text = f"there is no Eip {service.pool}, which the Service names"
            return Refusal(Reason.NO_POOL, text)
        if not pool.serves:
            text = f"Eip {service.pool}, which the Service names, does not serve: {pool.message}"
            return Refusal(Reason.NO_POOL, text)
        if not self._pools.admits(pool, service):
            text = f"Eip {service.pool} does not admit this Service"
            return Refusal(Reason.NOT_ALLOWED, text)
        return None

    def _asked(self, service: Service) -> dict[Family, Address]:
        request = service.request
        if request is None:
            return {}
        return {Family(address.version): address for address in request.addresses}

    def _families(self, service: Service) -> tuple[Family, ...]:
        """The families that a Service should have addresses of, in order."""
        listed = service.families
        if service.family_policy is FamilyPolicy.SINGLE_STACK:
            return listed[:1] or (self._open_family(service),)
        if service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and listed:
            return listed
        return tuple(dict.fromkeys((*listed, *Family)))

    def _open_family(self, service: Service) -> Family:
        """The one family of a Service that says nothing of it: that of what it holds, has
        recorded or asks for, else IPv4 unless only IPv6 is to be had."""
        request = service.request.addresses if service.request is not None else ()
        held = (entry.address for entry in self._book.held(service.key).values())
        for address in (*request, *held, *service.ingress):
            return Family(address.version)
        admitted = [p for p in self._pools.in_order if self._why_closed(p, service) is None]
        families = {family for p in admitted if p.space for family in p.space.families}
        return Family.IPV6 if families == {Family.IPV6} else Family.IPV4

    # -- giving -----------------------------------------------------------------------------------

    def _give(self, service: Service, held: Held) -> None:
        self._book.give(service, held)
        self._status.pop(held.eip, None)

    def _pick(self, service: Service) -> tuple[list[Held], Refusal | None]:
        """What would be given to a settled Service: all that it must have, or nothing."""
        refusal = next(iter(self._request_refusals(service)), None) or self._named_refusal(service)
        if refusal is not None:
            return [], refusal
        asked, mine = self._asked(service), self._book.held(service.key)
        picks: list[Held] = []
        refusals: list[Refusal] = []
        families = self._families(service)
        for family in families:
            if family in mine:
                continue
            found = self._find(service, family, asked.get(family))
            (picks if isinstance(found, Held) else refusals).append(found)  # type: ignore[arg-type]
        if not refusals:
            return picks, None
        optional = service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and len(families) > 1
        if optional and (picks or mine):
            return picks, None
        return [], refusals[0]

    def _find(self, service: Service, family: Family, asked: Address | None) -> Held | Refusal:
        if asked is not None:
            pool = self._pools.holding(asked)
            if pool is None:
                return Refusal(Reason.ADDRESS_NOT_IN_POOL, f"{asked} is in no Eip")
            return Held(asked, pool.eip.name)
        usable = [p for p in self._pools.in_order if self._why_closed(p, service) is None]
        of_family = [p for p in usable if p.space and family in p.space.families]
        opened = [p for p in of_family if not p.closed]
        for pool in opened:
            shared = self._joinable(service, family, pool)
            if shared is not None:
                return Held(shared, pool.eip.name)
        for pool in opened:
            address = self._lowest(pool, family)
            if address is not None:
                return Held(address, pool.eip.name)
        return _nothing(service, family, usable, of_family, opened)

    def _lowest(self, pool: Pool, family: Family) -> Address | None:
        if pool.space is None:
            return None
        return self._book.lowest_free(pool.eip.name, pool.space, family)

    def _joinable(self, service: Service, family: Family, pool: Pool) -> Address | None:
        """The lowest address of a pool that the Service can share by its key."""
        if not service.share_key:
            return None
        for address in self._book.shared(service.key.namespace, service.share_key):
            if address.version != family or self.pool_of(address) != pool.eip.name:
                continue
            if self._sharing_objection(service, address) is None:
                return address
        return None

    def _why_closed(self, pool: Pool, service: Service) -> str | None:
        """Why a Service may not draw from a pool, whether or not something is free in it."""
        if not pool.serves:
            return f"it does not serve: {pool.message}"
        if service.pool is not None and service.pool != pool.eip.name:
            return f"the Service names Eip {service.pool}"
        if not self._pools.admits(pool, service):
            return "its namespaces, namespaceSelector or serviceSelector exclude the Service"
        if not pool.eip.auto_assign and service.pool is None:
            return "autoAssign is false: it has to be asked for by name or address"
        return None

    def _why_not(self, pool: Pool, service: Service) -> str | None:
        why = self._why_closed(pool, service)
        if why is None and pool.closed:
            return _closed(pool).message
        families = pool.space.families if pool.space is not None else ()
        if why is None and all(self._lowest(pool, family) is None for family in families):
            return "it is full"
        return why

    def _gained(self, by: ObjectKey) -> frozenset[ObjectKey]:
        """Those who wait, where something was freed."""
        freed, self._book.freed = self._book.freed, set()
        for name, _, _ in freed:
            self._status.pop(name, None)
        return frozenset(self._waiting - {by}) if freed else frozenset()

    def _read_status(self, pool: Pool) -> EipStatus:
        if pool.space is None:
            return EipStatus(False, pool.reason, pool.message)
        held = self._book.in_pool(pool.eip.name)
        size = pool.space.size
        shown = sorted(held, key=lambda a: (a.version, int(a))) if size <= _USED_SHOWN else ()
        used = tuple((str(a), ";".join(map(str, self.holders(a)))) for a in shown)
        return EipStatus(
            ready=pool.reason is PoolReason.VALID,
            reason=pool.reason,
            message=pool.message,
            occupied=len(held) >= size,
            usage=len(held),
            pool_size=min(size, _SIZE_MOST),
            first_ip=str(pool.space.first),
            last_ip=str(pool.space.last),
            v4=Family.IPV4 in pool.space.families,
            used=used,
        )


def _closed(pool: Pool) -> Refusal:
    what = "is being deleted" if pool.eip.deleting else "is disabled"
    return Refusal(Reason.POOL_DISABLED, f"Eip {pool.eip.name} {what}")


def _nothing(
    service: Service, family: Family, usable: list[Pool], of_family: list[Pool], opened: list[Pool]
) -> Refusal:
    """Why there is no address of a family to be drawn."""
    if not usable:
        text = "no Eip may be drawn from: create one, or ask for one by name or address"
        return Refusal(Reason.NO_POOL, text)
    if not of_family:
        where = f"Eip {service.pool}" if service.pool else "every Eip that it may use"
        text = f"{where} is without IPv{family.value} addresses"
        return Refusal(Reason.FAMILY_UNAVAILABLE, text)
    if not opened:
        return _closed(of_family[0])
    names = ", ".join(pool.eip.name for pool in opened)
    text = f"every Eip that it may use is full ({names}): enlarge one, or free an address"
    return Refusal(Reason.POOL_EXHAUSTED, text)
