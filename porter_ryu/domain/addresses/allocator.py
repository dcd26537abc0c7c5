"""Who holds which address.

Two steps, always in this order: `settle` adopts what is recorded and keeps or releases what is
held; only then `assign` gives what is missing.  That order, over all Services before the first
new one is served, is why nobody's address is ever given away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.rules import Rules, closed
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

__all__ = ["Allocator", "Held", "Outcome", "PoolVerdict"]

_USED_SHOWN = 256
_SIZE_MOST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a Service holds, why not all that it should, and why it lost what it held before this
    decision."""

    held: tuple[Held, ...]
    refusal: Refusal | None
    lost: Refusal | None = None


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
        self._rules = Rules(self._pools, self._book)
        self._lost: dict[ObjectKey, Refusal] = {}
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

    def set_found(self, addresses: frozenset[Address]) -> None:
        """Takes, before anything else, the addresses that are bound on this host by who knows
        whom: they stay with who has them on record, and are not given to anybody."""
        self._book.found = addresses

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

    def settle(
        self, services: Iterable[Service], follow: bool, tick: Callable[[], None]
    ) -> frozenset[ObjectKey]:
        """Takes in the newest forms of Services of ours: releases what they may hold no longer,
        then adopts what is recorded and admissible.  Gives nothing new.

        Of records that exclude each other the one that changed leaves; where that does not tell,
        who asks for the address stays, then the older, then the first by name.  With `follow`,
        on an instance that does not assign, what is not recorded is not held either.  `tick` is
        called for each.  Returns the Services that can gain by what was released.
        """
        ranked = sorted(services, key=_rank)
        before = {service.key: self._book.services.get(service.key) for service in ranked}
        for service in ranked:
            self._book.note(service)
        for service in sorted(reversed(ranked), key=lambda s: _shares_alike(before[s.key], s)):
            tick()
            self._keep(service, follow)
        for service in ranked:
            tick()
            self._adopt(service)
            if any(self._rules.request_refusals(service)):
                self._release_all(service.key)
        changed = {s.key.namespace for s in ranked if not _shares_alike(before[s.key], s)}
        return self._gained() | {key for key in self._waiting if key.namespace in changed}

    def _keep(self, service: Service, follow: bool) -> None:
        """Releases what a Service holds and may hold no longer."""
        for family, held in list(self._book.held(service.key).items()):
            if follow and held.address not in service.ingress:
                self._book.take(service.key, family)
                continue
            objection = self._rules.objection(service, held.address)
            if objection is not None:
                self._book.take(service.key, family)
                self._lost[service.key] = objection
                continue
            pool = self._pools.holding(held.address)
            if pool is not None and pool.eip.name != held.eip:
                self._book.move(service.key, family, pool.eip.name)
                self._status.clear()

    def _adopt(self, service: Service) -> None:
        """Takes over what is recorded for a Service, where the rules allow it."""
        for address in service.ingress:
            if Family(address.version) in self._book.held(service.key):
                continue
            pool = self._pools.holding(address)
            if pool is not None and self._rules.objection(service, address) is None:
                self._give(service, Held(address, pool.eip.name))

    def _release_all(self, key: ObjectKey) -> None:
        for family in list(self._book.held(key)):
            self._book.take(key, family)

    def release(self, key: ObjectKey) -> frozenset[ObjectKey]:
        """Forgets a Service that is gone or not ours; returns who can gain by it."""
        self._waiting.discard(key)
        self._lost.pop(key, None)
        self._book.drop(key)
        return self._gained()

    def assign(self, service: Service) -> Outcome:
        """Gives a settled Service what it still lacks, or says why not."""
        picks, refusal = self._pick(service)
        for held in picks:
            self._give(service, held)
        lacking = set(self._rules.families(service)) - self._book.held(service.key).keys()
        (self._waiting.add if lacking else self._waiting.discard)(service.key)
        return Outcome(self.held(service.key), refusal, self._lost.pop(service.key, None))

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

    # -- giving -----------------------------------------------------------------------------------

    def _give(self, service: Service, held: Held) -> None:
        self._book.give(service, held)
        self._status.pop(held.eip, None)

    def _pick(self, service: Service) -> tuple[list[Held], Refusal | None]:
        """What would be given to a settled Service: all that it must have, or nothing."""
        refusal = next(
            iter(self._rules.request_refusals(service)), None
        ) or self._rules.named_refusal(service)
        if refusal is not None:
            return [], refusal
        asked, mine = self._rules.asked(service), self._book.held(service.key)
        picks: list[Held] = []
        refusals: list[Refusal] = []
        families = self._rules.families(service)
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
        usable = [p for p in self._pools.in_order if self._rules.why_closed(p, service) is None]
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
            if self._rules.sharing_objection(service, address) is None:
                return address
        return None

    def _why_not(self, pool: Pool, service: Service) -> str | None:
        why = self._rules.why_closed(pool, service)
        if why is None and pool.closed:
            return closed(pool).message
        families = pool.space.families if pool.space is not None else ()
        if why is None and all(self._lowest(pool, family) is None for family in families):
            return "it is full"
        return why

    def _gained(self) -> frozenset[ObjectKey]:
        """Those who wait, where something was freed."""
        freed, self._book.freed = self._book.freed, set()
        for name, _, _ in freed:
            self._status.pop(name, None)
        return frozenset(self._waiting) if freed else frozenset()

    def _read_status(self, pool: Pool) -> EipStatus:
        if pool.space is None:
            return EipStatus(False, pool.reason, pool.message)
        serving = pool.eip.bare() if pool.serves else None
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
            serving=serving,
        )


def _rank(service: Service) -> tuple[bool, tuple[bool, str, ObjectKey]]:
    """Sorts who asks for the address that it has before who does not, then by age."""
    asked = service.request.addresses if service.request else ()
    return (not set(asked) & set(service.ingress), service.age)


def _shares_alike(before: Service | None, service: Service) -> bool:
    """Whether what decides about sharing is as it was."""
    return before is not None and (before.share_key, before.ports) == (
        service.share_key,
        service.ports,
    )


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
        return closed(of_family[0])
    names = ", ".join(pool.eip.name for pool in opened)
    text = f"every Eip that it may use is full ({names}): enlarge one, or free an address"
    return Refusal(Reason.POOL_EXHAUSTED, text)
