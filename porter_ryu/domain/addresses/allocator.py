"""Which Service holds which address.

There are two steps, always in this order: `settle` adopts records and releases what is no longer
allowed; `assign` then assigns what is missing.  Because all Services are settled before the first
one is assigned an address, no recorded address is assigned to another Service.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from porter_ryu.domain.addresses.chooser import Chooser
from porter_ryu.domain.addresses.holdings import Held, Holdings
from porter_ryu.domain.addresses.outcome import Outcome, PoolVerdict, allocated
from porter_ryu.domain.addresses.pool_status import wanted_status
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.addresses.records import Records
from porter_ryu.domain.addresses.rules import Rules
from porter_ryu.domain.addresses.settlement import Settlement, UnreadableRecords
from porter_ryu.domain.addresses.unread_records import UnreadRecords
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Family,
    Namespace,
    Network,
    ObjectKey,
    Service,
)
from porter_ryu.domain.text import printable
from porter_ryu.domain.verdict import DrawReason, Reason, Verdict


class Allocator:
    """Holds the pools and the holdings; results depend only on the calls made and their order."""

    def __init__(self, guard: Guard) -> None:
        self._pools = Pools(guard)
        self._holdings = Holdings()
        records = Records(self._pools)
        self._unread = UnreadRecords(self._pools, records)
        self._rules = Rules(self._pools, self._holdings, self._unread)
        self._chooser = Chooser(self._pools, self._holdings, self._rules, self._unread)
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
        self._unread.refresh()
        released = self._unread.pop_released()
        if released:
            self._holdings.freed = True
            self._restated |= released
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
        choices, refusal = self._chooser.choose(service)
        for choice in choices:
            self._holdings.assign(service, choice)
        self._note_waiting(service)
        lost = self._settlement.lost.pop(service.key, None)
        held = self.held(service.key)
        return Outcome(held, refusal or allocated(service, held), lost)

    def preview(self, service: Service) -> Outcome:
        """The outcome for a Service on an instance that does not assign addresses."""
        choices, refusal = self._chooser.choose(service)
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

    @property
    def reserved(self) -> Collection[Address]:
        """The addresses of nodes, peers and this host, which no Service gets."""
        return self._holdings.reserved.keys()

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
            verdicts.append(
                PoolVerdict(name, self._chooser.may_draw(pool, service, self.held(service.key)))
            )
        for name, reason in sorted(self._pools.unreadable.items()):
            text = f"it cannot be read: {printable(reason)}"
            verdicts.append(PoolVerdict(name, Verdict(False, DrawReason.UNREADABLE, text)))
        return tuple(verdicts)

    def pool_verdict(self, name: str, service: Service) -> Verdict[DrawReason]:
        """Whether a Service could draw an address from a readable Eip."""
        return self._chooser.may_draw(self._pools.by_name[name], service, self.held(service.key))

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

    def _waiting_if_freed(self) -> frozenset[ObjectKey]:
        """The Services that lack an address, if an address was freed since the last call."""
        freed, self._holdings.freed = self._holdings.freed, False
        return frozenset(self._waiting) if freed else frozenset()
