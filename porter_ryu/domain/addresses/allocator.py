"""Which Service holds which address.

There are two steps, always in this order: `settle` adopts records and releases what is no longer
allowed; `assign` then assigns what is missing.  Because all Services are settled before the first
one is assigned an address, no recorded address is assigned to another Service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.outcome import Outcome, PoolVerdict, allocated, nothing_free
from porter_ryu.domain.addresses.pool_status import wanted_status
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.records import Records
from porter_ryu.domain.addresses.rules import Rules, closed, record_unknown, terminating
from porter_ryu.domain.addresses.settlement import Settlement, UnreadableRecords
from porter_ryu.domain.addresses.unread_records import UnreadRecords
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Family,
    FamilyPolicy,
    Namespace,
    Network,
    ObjectKey,
    Service,
)
from porter_ryu.domain.text import printable
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict


class Allocator:
    """Holds the pools and the holdings; results depend only on the calls made and their order."""

    def __init__(self, guard: Guard) -> None:
        self._pools = Pools(guard)
        self._holdings = Holdings()
        records = Records(self._pools)
        self._unread = UnreadRecords(self._pools, records)
        self._rules = Rules(self._pools, self._holdings, self._unread)
        self._settlement = Settlement(
            self._pools, self._holdings, self._rules, records, self._unread, guard
        )
        self._waiting: set[ObjectKey] = set()
        self._status: dict[str, EipStatus] = {}
        self._restated: set[str] = set()

    # -- inputs -----------------------------------------------------------------------------------

    def set_pools(
        self, eips: Mapping[str, Eip], unreadable: Mapping[str, str]
    ) -> frozenset[ObjectKey]:
        """Sets all Eips, and by name why an Eip cannot be read that never was readable.  Returns
        the Services to decide again."""
        self._restated.update(self._pools.by_name)
        changed = self._pools.set(eips, unreadable)
        self._restated.update(self._pools.by_name)
        if not changed:
            return frozenset()
        self._holdings.reset_free(changed)
        self._status.clear()
        # an aggregate depends on the addresses of all Eips
        holders = self._holders_in([*changed, "", *self._pools.aggregating])
        return frozenset(holders | self._waiting)

    def reread_pools(self) -> None:
        """Makes the next `set_pools` read every Eip, changed or not."""
        self._pools.invalidate()

    def set_namespaces(
        self, namespaces: Mapping[str, Namespace], unreadable: Iterable[str]
    ) -> frozenset[ObjectKey]:
        """Sets all Namespaces, and those that never were readable.  Returns the Services in the
        Namespaces that changed, to decide again."""
        before, after = self._pools.namespaces, dict(namespaces)
        unreadable_before = self._pools.unreadable_namespaces
        self._pools.namespaces = after
        self._pools.unreadable_namespaces = frozenset(unreadable)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        changed |= unreadable_before ^ self._pools.unreadable_namespaces
        if not changed or not any(p.eip.namespace_selector for p in self._pools.in_order):
            return frozenset()
        return frozenset(key for key in self._holdings.services if key.namespace in changed)

    def set_unattributed(self, addresses: frozenset[Address]) -> None:
        """Sets the addresses on this host that may belong to a Service, bound by another program or
        an earlier run: a Service that has one on record keeps it, and none is newly assigned.  Has
        to be called first."""
        self._holdings.unattributed = addresses

    def set_reserved(self, addresses: Mapping[Address, str]) -> frozenset[ObjectKey]:
        """Sets the addresses of nodes, peers and this host, each with the kind of its owner
        (`holdings.A_NODE`, ...).  They are not newly assigned; a Service that holds one keeps it.
        Returns the Services that may now get an address, or lack one for another reason."""
        before, self._holdings.reserved = self._holdings.reserved, addresses
        if before == addresses:
            return frozenset()
        if not before.keys() <= addresses.keys():
            self._holdings.reset_free()
        return frozenset(self._waiting)

    # -- decisions --------------------------------------------------------------------------------

    def settle(
        self,
        services: Iterable[Service],
        records: UnreadableRecords,
        follow: bool,
        give_way: Callable[[], None],
    ) -> frozenset[ObjectKey]:
        """Stores the newest forms of Services of ours and the records of unreadable ones, releases
        addresses that are not allowed any more, and adopts records that are (`Settlement.settle`).
        Nothing new is assigned.  `give_way` is called for each Service.  Returns the Services that
        may now get an address."""
        changed = self._settlement.settle(services, records, follow, give_way)
        before = self._unread.held_back
        if self._unread.refresh():
            self._holdings.freed = True
            self._restated |= before - self._unread.held_back
        return self._waiting_if_freed() | {key for key in self._waiting if key.namespace in changed}

    def forget(self, key: ObjectKey) -> None:
        """Releases all addresses of a Service that is gone or not ours.  The next `settle` returns
        the Services that may now get them."""
        self._waiting.discard(key)
        self._settlement.forget(key)
        self._holdings.forget(key)

    def pop_occupancy_changes(self) -> set[Address]:
        """The addresses that became held or free since the last call."""
        changes, self._holdings.occupancy_changes = self._holdings.occupancy_changes, set()
        return changes

    def pop_restated_pools(self) -> set[str]:
        """The names of the Eips whose status has to be looked at, since the last call: the Eips
        were set, this one among them or before, or other Services hold its addresses."""
        self._drop_statuses()
        restated, self._restated = self._restated, set()
        return restated

    def assign(self, service: Service) -> Outcome:
        """Assigns to a settled Service what it lacks, or says why it cannot."""
        choices, refusal = self._choose(service)
        for choice in choices:
            self._holdings.assign(service, choice)
        self._note_waiting(service)
        lost = self._settlement.lost.pop(service.key, None)
        held = self.held(service.key)
        return Outcome(held, refusal or allocated(service, held), lost)

    def preview(self, service: Service) -> Outcome:
        """The outcome for a Service on an instance that does not assign addresses."""
        choices, refusal = self._choose(service)
        if choices and refusal is None:
            message = "no address is recorded yet: the leading instance has to assign one"
            refusal = Verdict(False, Reason.NO_POOL, message)
        self._note_waiting(service)
        self._settlement.lost.pop(service.key, None)
        held = self.held(service.key)
        return Outcome(held, refusal or allocated(service, held))

    def _note_waiting(self, service: Service) -> None:
        """Notes whether a Service lacks an address."""
        has = self._holdings.has
        lacking = not all(has(service.key, family) for family in self._rules.families(service))
        if lacking and not service.deleting:
            self._waiting.add(service.key)
        else:
            self._waiting.discard(service.key)

    # -- queries ----------------------------------------------------------------------------------

    def held(self, key: ObjectKey) -> tuple[Held, ...]:
        """The addresses that a Service holds, in the order of its families."""
        every = self._holdings.held(key)
        if len(every) <= 1:
            return every
        service = self._holdings.services.get(key)
        order = list(service.families) if service is not None else []
        families = (held.family for held in every)
        rank = {family: order.index(family) if family in order else family for family in families}
        return tuple(sorted(every, key=lambda held: rank[held.family]))

    def holders(self, address: Address) -> tuple[ObjectKey, ...]:
        """The Services that hold an address, in order of name."""
        holders = self._holdings.holders(address)
        return tuple(sorted(holders)) if len(holders) > 1 else tuple(holders)

    def is_held(self, address: Address) -> bool:
        """Whether a Service holds an address."""
        return bool(self._holdings.holders(address))

    def is_reserved(self, address: Address) -> bool:
        """Whether an address is one of a node, a peer or this host, which no Service gets."""
        return address in self._holdings.reserved

    def is_unattributed(self, address: Address) -> bool:
        """Whether an address is on this host and may belong to a Service."""
        return address in self._holdings.unattributed

    def knows_pool(self, name: str) -> bool:
        """Whether `set_pools` was given an Eip of this name."""
        return name in self._pools.by_name

    def pool_of(self, address: Address) -> str | None:
        """The name of the serving Eip that contains an address; None where there is none."""
        pool = self._pools.pool_for(address)
        return pool.eip.name if pool is not None else None

    def eip_of(self, address: Address) -> Eip | None:
        """The serving Eip that contains an address, in the form that serves."""
        pool = self._pools.pool_for(address)
        return pool.eip if pool is not None else None

    @property
    def unread_records(self) -> Collection[ObjectKey]:
        """The Services whose record cannot be read."""
        return self._unread

    @property
    def held_back(self) -> frozenset[str]:
        """The names of the Eips from which nothing is assigned because of these."""
        return self._unread.held_back

    def holds_back(self, name: str, family: Family) -> bool:
        """Whether nothing of a family is assigned from an Eip because of these."""
        return self._unread.hold_back(name, family)

    def keeps_status(self, name: str) -> bool:
        """Whether the status of an Eip must stay as it is, because of these."""
        return self._unread.keeps_status(name)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """All Eips by name; another mapping when one of them changes."""
        return self._pools.by_name

    @property
    def advertising(self) -> bool:
        """Whether a serving Eip has advertisements."""
        return self._pools.advertising

    def aggregated(self) -> set[Address]:
        """The held addresses of Eips that aggregate them."""
        pools = self._pools.aggregating
        return {address for name in pools for address in self._holdings.in_pool(name)}

    def has_all_of(self, network: Network) -> bool:
        """Whether every address of a network is in a serving Eip."""
        return self._pools.has_all_of(network)

    def settled(self, key: ObjectKey) -> Service | None:
        """A Service as it was when it was settled; None where it never was."""
        return self._holdings.services.get(key)

    def pool_status(self, name: str) -> EipStatus:
        """The wanted status of an Eip; raises KeyError if no `set_pools` had it."""
        self._drop_statuses()
        known = self._status.get(name)
        if known is None:
            known = self._status[name] = wanted_status(self._pools.by_name[name], self._holdings)
        return known

    @property
    def cached_entries(self) -> int:
        """How many entries are kept for Services and addresses."""
        marks = len(self._waiting) + len(self._settlement.lost) + len(self._restated)
        marks += len(self._unread)
        return self._holdings.cached_entries + marks

    def pool_verdicts(self, service: Service) -> tuple[PoolVerdict, ...]:
        """For each Eip, whether a Service could draw an address from it, in order of name."""
        verdicts = []
        for name, pool in sorted(self._pools.by_name.items()):
            verdicts.append(PoolVerdict(name, self._may_draw(pool, service)))
        for name, reason in sorted(self._pools.unreadable.items()):
            text = f"it cannot be read: {printable(reason)}"
            verdicts.append(PoolVerdict(name, Verdict(False, DrawReason.UNREADABLE, text)))
        return tuple(verdicts)

    def pool_verdict(self, name: str, service: Service) -> Verdict[DrawReason]:
        """Whether a Service could draw an address from a readable Eip."""
        return self._may_draw(self._pools.by_name[name], service)

    def _drop_statuses(self) -> None:
        """Forgets the status of the Eips that have other holders than it says."""
        changed, self._holdings.changed_pools = self._holdings.changed_pools, set()
        for name in changed:
            self._status.pop(name, None)
        self._restated |= changed

    def _holders_in(self, pools: Iterable[str]) -> set[ObjectKey]:
        return {
            key
            for name in pools
            for address in self._holdings.in_pool(name)
            for key in self._holdings.holders(address)
        }

    # -- choosing addresses -----------------------------------------------------------------------

    def _choose(self, service: Service) -> tuple[list[Held], ServiceVerdict | None]:
        """Chooses the addresses that a settled Service lacks: all that it must have, or none."""
        requested, held = self._rules.requested(service), self._holdings.held(service.key)
        if service.deleting:
            return [], None if held else terminating()
        refusal = next(iter(self._rules.request_refusals(service)), None)
        families = self._rules.families(service)
        lacking = [family for family in families if not self._holdings.has(service.key, family)]
        if refusal is None and lacking:
            refusal = self._rules.named_pool_refusal(service)
        if refusal is not None:
            return [], refusal
        choices: list[Held] = []
        refusals: list[ServiceVerdict] = []
        for family in lacking:
            choice = self._choose_one(service, family, requested.get(family))
            if isinstance(choice, Held):
                choices.append(choice)
            else:
                refusals.append(choice)
        if not refusals:
            return choices, None
        optional = service.family_policy is FamilyPolicy.PREFER_DUAL_STACK and len(families) > 1
        if optional and (choices or held):
            return choices, None
        return [], refusals[0]

    def _choose_one(
        self, service: Service, family: Family, requested: Address | None
    ) -> Held | ServiceVerdict:
        """Chooses the address of one family, or says why there is none."""
        if requested is not None:
            pool = self._pools.pool_for(requested)
            if pool is None:
                text = f"{requested} is in {self._pools.none}"
                return Verdict(False, Reason.ADDRESS_NOT_IN_POOL, text)
            return Held(requested, pool.eip.name)
        if service.share_key:
            for pool in self._opened(self._rules.drawable(service), family):
                shared = self._lowest_shareable(service, family, pool)
                if shared is not None:
                    return Held(shared, pool.eip.name)
        for pool in self._opened(self._rules.drawable(service), family):
            address = self._lowest_free(pool, family)
            if address is not None:
                return Held(address, pool.eip.name)
        usable = list(self._rules.drawable(service))
        of_family = [p for p in usable if p.space and family in p.space.families]
        opened = list(self._opened(usable, family))
        held_back = (p for p in of_family if self._unread.hold_back(p.eip.name, family))
        if any(not p.closed and self._lowest_free(p, family) is not None for p in held_back):
            return record_unknown()
        return nothing_free(service, family, usable, of_family, opened, self._pools.none)

    def _opened(self, pools: Iterable[Pool], family: Family) -> Iterator[Pool]:
        """Those of some pools from which new addresses of a family are assigned."""
        return (
            pool
            for pool in pools
            if pool.space
            and family in pool.space.families
            and not pool.closed
            and not self._unread.hold_back(pool.eip.name, family)
        )

    def _lowest_free(self, pool: Pool, family: Family) -> Address | None:
        if pool.space is None:
            return None
        return self._holdings.lowest_free(pool.eip.name, pool.space, family)

    def _lowest_shareable(self, service: Service, family: Family, pool: Pool) -> Address | None:
        """The lowest address of a pool that a Service can share by its sharing key."""
        if not service.share_key:
            return None
        for address in self._holdings.shared(service.key.namespace, service.share_key, family):
            if self.pool_of(address) != pool.eip.name:
                continue
            admitted = self._holdings.admits(service, address)
            if admitted and self._rules.assignment_objection(service, address) is None:
                return address
        return None

    def _may_draw(self, pool: Pool, service: Service) -> Verdict[DrawReason]:
        if service.deleting:
            return Verdict(False, DrawReason.SERVICE_DELETED, terminating().message)
        held = self.held(service.key)
        own = [str(entry.address) for entry in held if entry.eip == pool.eip.name]
        lacking = set(self._rules.families(service)).difference(entry.family for entry in held)
        if own and not lacking:
            return Verdict(True, DrawReason.AVAILABLE, f"it has {', '.join(own)} from it")
        objection = self._rules.draw_objection(pool, service)
        if objection is not None and objection.reason is not DrawReason.ONLY_ON_REQUEST:
            return objection
        requested = self._rules.requested(service)
        wanted = [requested[family] for family in sorted(lacking) if family in requested]
        if wanted:
            return self._may_request(pool, service, wanted)
        if objection is not None:
            return objection
        if pool.closed:
            return Verdict(False, DrawReason.DISABLED, closed(pool).message)
        families = pool.space.families if pool.space is not None else frozenset()
        if any(self._unread.hold_back(pool.eip.name, family) for family in families & lacking):
            return Verdict(False, DrawReason.RECORD_UNKNOWN, record_unknown().message)
        if all(self._lowest_free(pool, family) is None for family in families):
            return Verdict(False, DrawReason.EXHAUSTED, "it is full")
        return Verdict(True, DrawReason.AVAILABLE, "an address may be drawn from it")

    def _may_request(
        self, pool: Pool, service: Service, wanted: Sequence[Address]
    ) -> Verdict[DrawReason]:
        """Whether a Service can get from a pool the addresses that it asks for and does not
        hold."""
        inside = [a for a in wanted if pool.space is not None and pool.space.contains(a)]
        if not inside:
            text = f"it asks for {', '.join(map(str, wanted))}, which is not in it"
            return Verdict(False, DrawReason.ANOTHER_NAMED, text)
        for address in inside:
            objection = self._rules.objection(service, address)
            objection = objection or self._rules.assignment_objection(service, address)
            if objection is not None:
                text = f"it asks for {address} of it: {objection.message}"
                return Verdict(False, DrawReason.NOT_ALLOWED, text)
        text = f"it asks for {', '.join(map(str, inside))}, which is in it"
        return Verdict(True, DrawReason.AVAILABLE, text)

    def _waiting_if_freed(self) -> frozenset[ObjectKey]:
        """The Services that lack an address, if an address was freed since the last call."""
        freed, self._holdings.freed = self._holdings.freed, False
        return frozenset(self._waiting) if freed else frozenset()
