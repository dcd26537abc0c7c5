"""Who holds which address.

Two steps, always in this order: `settle` adopts what is recorded and keeps or releases what is
held; only then `assign` gives what is missing.  That order, over all Services before the first
new one is served, is why nobody's address is ever given away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.outcome import Outcome, PoolVerdict, allocated, nothing_free
from porter_ryu.domain.addresses.pool_status import read_status
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.rules import Rules, closed, terminating
from porter_ryu.domain.addresses.settlement import Settlement, Unread
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Family,
    FamilyPolicy,
    Namespace,
    ObjectKey,
    Service,
)
from porter_ryu.domain.text import printable
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict


class Allocator:
    """Holds the pools and the book; every answer is a function of what it was told, in order."""

    def __init__(self, guard: Guard) -> None:
        self._pools = Pools(guard)
        self._book = Holdings()
        self._rules = Rules(self._pools, self._book)
        self._settlement = Settlement(self._pools, self._book, self._rules, guard)
        self._waiting: set[ObjectKey] = set()
        self._status: dict[str, EipStatus] = {}

    # -- what it is told --------------------------------------------------------------------------

    def set_pools(self, eips: Mapping[str, Eip], unread: Mapping[str, str]) -> frozenset[ObjectKey]:
        """Takes the complete set of Eips, and why others cannot be read and never could; returns
        the Services to look at again."""
        changed = self._pools.set(eips, unread)
        if not changed:
            return frozenset()
        self._book.forget_free(changed)
        self._status.clear()
        holders = {
            key
            for name in (*changed, "")
            for address in self._book.in_pool(name)
            for key in self._book.holders(address)
        }
        return frozenset(holders | self._waiting)

    def read_pools_again(self) -> None:
        """Makes `set_pools` judge every Eip, changed or not."""
        self._pools.look_again()

    def set_namespaces(
        self, namespaces: Mapping[str, Namespace], unread: Iterable[str]
    ) -> frozenset[ObjectKey]:
        """Takes all Namespaces, and those that cannot be read and never could; returns the
        Services of those that changed, to look at again."""
        before, after = self._pools.namespaces, dict(namespaces)
        of_unread, self._pools.unread_namespaces = (
            self._pools.unread_namespaces,
            frozenset(unread),
        )
        self._pools.namespaces = after
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        changed |= of_unread ^ self._pools.unread_namespaces
        if not changed or not any(p.eip.namespace_selector for p in self._pools.in_order):
            return frozenset()
        return frozenset(key for key in self._book.services if key.namespace in changed)

    def set_found(self, addresses: frozenset[Address]) -> None:
        """Takes, before anything else, the addresses that are bound on this host by who knows
        whom: they stay with who has them on record, and are not given to anybody."""
        self._book.found = addresses

    def set_reserved(self, addresses: frozenset[Address]) -> frozenset[ObjectKey]:
        """Takes the addresses of nodes, peers and this host, which are given to nobody and taken
        from nobody; returns the Services that can gain by the change."""
        before, self._book.reserved = self._book.reserved, addresses
        if before <= addresses:
            return frozenset()
        self._book.forget_free()
        return frozenset(self._waiting)

    # -- deciding ---------------------------------------------------------------------------------

    def settle(
        self, services: Iterable[Service], unread: Unread, follow: bool, tick: Callable[[], None]
    ) -> frozenset[ObjectKey]:
        """Takes in the newest forms of Services of ours, and the records of those that cannot be
        read: releases what may not be held any more, adopts what is recorded and admissible, and
        gives nothing new (`Settlement.settle`).  `tick` is called for each.  Returns the Services
        that can gain by what was released."""
        changed = self._settlement.settle(services, unread, follow, tick)
        return self._gained() | {key for key in self._waiting if key.namespace in changed}

    def release(self, key: ObjectKey) -> None:
        """Forgets a Service that is gone or not ours; who can gain by it the next `settle` says."""
        self._waiting.discard(key)
        self._settlement.forget(key)
        self._book.drop(key)

    def turned(self) -> set[Address]:
        """The addresses that became held or free since this was asked last."""
        turned, self._book.turned = self._book.turned, set()
        return turned

    def assign(self, service: Service) -> Outcome:
        """Gives a settled Service what it still lacks, or says why not."""
        picks, refusal = self._pick(service)
        for pick in picks:
            self._book.give(service, pick)
        lacking = set(self._rules.families(service)) - self._book.held(service.key).keys()
        waits = bool(lacking) and not service.deleting
        if waits:
            self._waiting.add(service.key)
        else:
            self._waiting.discard(service.key)
        lost = self._settlement.lost.pop(service.key, None)
        held = self.held(service.key)
        return Outcome(held, refusal or allocated(service, held), lost)

    def look(self, service: Service) -> Outcome:
        """What `assign` would leave a Service with, on an instance that does not assign."""
        picks, refusal = self._pick(service)
        if picks and refusal is None:
            message = "no address is recorded yet: the instance that allocates has to give one"
            refusal = Verdict(False, Reason.NO_POOL, message)
        self._settlement.lost.pop(service.key, None)
        held = self.held(service.key)
        return Outcome(held, refusal or allocated(service, held))

    # -- what it knows -----------------------------------------------------------------------------

    def held(self, key: ObjectKey) -> tuple[Held, ...]:
        """What a Service holds, in the order of its families."""
        by_family = self._book.held(key)
        if len(by_family) <= 1:
            return tuple(by_family.values())
        service = self._book.services.get(key)
        order = list(service.families) if service is not None else []
        rank = {family: order.index(family) if family in order else family for family in by_family}
        return tuple(by_family[family] for family in sorted(by_family, key=lambda f: rank[f]))

    def holders(self, address: Address) -> tuple[ObjectKey, ...]:
        """Who holds an address, in order of name."""
        holders = self._book.holders(address)
        return tuple(sorted(holders)) if len(holders) > 1 else tuple(holders)

    def is_held(self, address: Address) -> bool:
        """Whether anybody holds an address."""
        return bool(self._book.holders(address))

    def knows_pool(self, name: str) -> bool:
        """Whether an Eip was taken in."""
        return name in self._pools.by_name

    def pool_of(self, address: Address) -> str | None:
        """The Eip that has an address."""
        pool = self._pools.holding(address)
        return pool.eip.name if pool is not None else None

    def form(self, key: ObjectKey) -> Service | None:
        """A Service in the form in which it was settled."""
        return self._book.services.get(key)

    def pool_status(self, name: str) -> EipStatus:
        """The status of an Eip; raises KeyError for one that no turn has looked at."""
        changed, self._book.changed_pools = self._book.changed_pools, set()
        for other in changed:
            self._status.pop(other, None)
        known = self._status.get(name)
        if known is None:
            known = self._status[name] = read_status(self._pools.by_name[name], self._book)
        return known

    @property
    def kept(self) -> int:
        """How many entries are kept of Services and addresses."""
        return self._book.kept + len(self._waiting) + len(self._settlement.lost)

    def candidates(self, service: Service) -> tuple[PoolVerdict, ...]:
        """What there is to say of each Eip to a Service that draws one."""
        verdicts = []
        for name, pool in sorted(self._pools.by_name.items()):
            verdicts.append(PoolVerdict(name, self._may_draw(pool, service)))
        for name, reason in sorted(self._pools.unread.items()):
            text = f"it cannot be read: {printable(reason)}"
            verdicts.append(PoolVerdict(name, Verdict(False, DrawReason.UNREADABLE, text)))
        return tuple(verdicts)

    # -- giving -----------------------------------------------------------------------------------

    def _pick(self, service: Service) -> tuple[list[Held], ServiceVerdict | None]:
        """What would be given to a settled Service: all that it must have, or nothing."""
        asked, mine = self._rules.asked(service), self._book.held(service.key)
        if service.deleting:
            return [], None if mine else terminating()
        refusal = next(iter(self._rules.request_refusals(service)), None)
        families = self._rules.families(service)
        lacking = [family for family in families if family not in mine]
        if refusal is None and lacking:
            refusal = self._rules.named_refusal(service)
        if refusal is not None:
            return [], refusal
        picks: list[Held] = []
        refusals: list[ServiceVerdict] = []
        for family in lacking:
            found = self._find(service, family, asked.get(family))
            if isinstance(found, Held):
                picks.append(found)
            else:
                refusals.append(found)
        if not refusals:
            return picks, None
        optional = service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and len(families) > 1
        if optional and (picks or mine):
            return picks, None
        return [], refusals[0]

    def _find(
        self, service: Service, family: Family, asked: Address | None
    ) -> Held | ServiceVerdict:
        if asked is not None:
            pool = self._pools.holding(asked)
            if pool is None:
                return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, f"{asked} is in no Eip")
            return Held(asked, pool.eip.name)
        usable = [p for p in self._pools.in_order if self._rules.draw_objection(p, service) is None]
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
        return nothing_free(service, family, usable, of_family, opened)

    def _lowest(self, pool: Pool, family: Family) -> Address | None:
        if pool.space is None:
            return None
        return self._book.lowest_free(pool.eip.name, pool.space, family)

    def _joinable(self, service: Service, family: Family, pool: Pool) -> Address | None:
        """The lowest address of a pool that the Service can share by its key."""
        if not service.share_key:
            return None
        for address in self._book.shared(service.key.namespace, service.share_key, family):
            if self.pool_of(address) != pool.eip.name:
                continue
            admitted = self._book.admits(service, address)
            if admitted and self._rules.gift_objection(service, address) is None:
                return address
        return None

    def _may_draw(self, pool: Pool, service: Service) -> Verdict[DrawReason]:
        if service.deleting:
            return Verdict(False, DrawReason.SERVICE_DELETED, terminating().message)
        objection = self._rules.draw_objection(pool, service)
        if objection is not None:
            return objection
        if pool.closed:
            return Verdict(False, DrawReason.DISABLED, closed(pool).message)
        families = pool.space.families if pool.space is not None else ()
        if all(self._lowest(pool, family) is None for family in families):
            return Verdict(False, DrawReason.EXHAUSTED, "it is full")
        return Verdict(True, DrawReason.AVAILABLE, "it may be drawn from")

    def _gained(self) -> frozenset[ObjectKey]:
        """Those who wait, where something was freed."""
        freed, self._book.freed = self._book.freed, False
        return frozenset(self._waiting) if freed else frozenset()
