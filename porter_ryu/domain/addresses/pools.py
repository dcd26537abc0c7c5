"""The Eips as pools: which of them serve, which Services may draw from them, and which one contains
an address.

Of two Eips that overlap the older serves.  An Eip whose spec becomes invalid serves on in its last
good form, which its status keeps over a restart.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.addresses.address_pool import AddressPool, Interval, PoolError, merged
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import (
    Address,
    Eip,
    EipStatus,
    Kind,
    Namespace,
    Network,
    ObjectKey,
    Service,
)
from porter_ryu.domain.text import listed, printable, quoted
from porter_ryu.domain.verdict import PoolReason, Verdict

_ABOVE_ALL = 1 << 128
_PROTOCOLS = ("", "bgp")


class Pool(Struct, frozen=True, gc=False):
    """An Eip, its addresses, and whether it serves.

    `eip` is its last good form while the verdict's reason is INVALID_ADDRESS or FILE_UNREADABLE.
    `space` is None if no form of it was ever good.  `problem` is a part of the verdict's message:
    what is wrong although the Eip serves.
    """

    eip: Eip
    space: AddressPool | None
    verdict: Verdict[PoolReason]
    problem: str = ""

    @property
    def ready(self) -> bool:
        """Whether it serves as its spec says."""
        return self.verdict.ok

    @property
    def serves(self) -> bool:
        """Whether its addresses may be held."""
        return self.space is not None and self.verdict.reason in (
            PoolReason.VALID,
            PoolReason.INVALID_ADDRESS,
            PoolReason.FILE_UNREADABLE,
        )

    @property
    def order(self) -> tuple[int, str]:
        """The order in which pools are drawn from: by priority, then by name."""
        return (self.eip.priority, self.eip.name)

    @property
    def aggregates(self) -> bool:
        """Whether prefixes are announced for its addresses."""
        return any(
            entry.aggregation_length or entry.aggregation_length_v6
            for entry in self.eip.advertisements
        )

    @property
    def closed(self) -> bool:
        """Whether no new address is assigned from it."""
        return self.eip.disable or self.eip.deleting


class Pools:
    """All Eips.

    `by_name` are all readable ones, `in_order` those that serve, `status` their present status.
    `advertising`: one of those has advertisements; `aggregating` are the names of those that
    aggregate addresses.  `namespaces` are matched by their selectors.  `unreadable` are the Eips
    that never were readable, with the reason, `unreadable_namespaces` such Namespaces: what these
    allow is not known.
    """

    def __init__(self, guard: Guard) -> None:
        self.by_name: dict[str, Pool] = {}
        self.in_order: list[Pool] = []
        self.namespaces: dict[str, Namespace] = {}
        self.unreadable: dict[str, str] = {}
        self.unreadable_namespaces: frozenset[str] = frozenset()
        self.status: dict[str, EipStatus | None] = {}
        self.advertising = False
        self.aggregating: list[str] = []
        self._guard = guard
        self._specs: dict[str, Eip] = {}
        self._intervals: list[tuple[Interval, AddressPool, Pool]] = []
        self._ours = AddressPool(())
        self._starts: list[tuple[int, int]] = []
        self._of_any_namespace: list[Pool] = []
        self._of_namespace: dict[str, list[Pool]] = {}

    def set(self, eips: Mapping[str, Eip], unreadable: Mapping[str, str]) -> set[str]:
        """Sets all Eips; returns the names of those whose pools changed."""
        specs = {n: replace(e, status=None, resource_version="") for n, e in eips.items()}
        self.status = {name: eip.status for name, eip in eips.items()}
        changed_unreadable = unreadable.keys() ^ self.unreadable.keys()
        self.unreadable = dict(unreadable)
        if specs == self._specs:
            return changed_unreadable
        pools = {name: self._judge(eip, self.status[name]) for name, eip in specs.items()}
        self._specs = specs
        before, self.by_name = self.by_name, self._without_overlaps(pools)
        spaces = [pool.space for pool in self.by_name.values() if pool.space and pool.serves]
        self._ours = AddressPool(merged([i for space in spaces for i in space.intervals]))
        self.by_name = {n: self._with_aggregates(pool) for n, pool in self.by_name.items()}
        serving = [pool for pool in self.by_name.values() if pool.serves]
        self.in_order = sorted(serving, key=lambda pool: pool.order)
        self._intervals = sorted(
            ((i, pool.space, pool) for pool in serving if pool.space for i in pool.space.intervals),
            key=lambda entry: entry[0],
        )
        self._starts = [(interval.version, interval.first) for interval, *_ in self._intervals]
        self._index_namespaces()
        self.advertising = any(pool.eip.advertisements for pool in serving)
        self.aggregating = [pool.eip.name for pool in serving if pool.aggregates]
        names = before.keys() | self.by_name.keys()
        return changed_unreadable | {
            name for name in names if before.get(name) != self.by_name.get(name)
        }

    def invalidate(self) -> None:
        """Makes the next `set` read every Eip, changed or not."""
        self._specs = {}

    @property
    def none(self) -> str:
        """`no Eip`, as far as that is known: some cannot be read, and none of their names is for
        every owner of a Service."""
        return "no Eip that can be read" if self.unreadable else "no Eip"

    def pool_for(self, address: Address) -> Pool | None:
        """The serving pool that contains an address; None where there is none."""
        version, number = address.version, int(address)
        index = bisect_right(self._starts, (version, number)) - 1
        if index < 0:
            return None
        interval, space, pool = self._intervals[index]
        inside = interval.version == version and number <= interval.last
        return pool if inside and not space.is_buggy(version, number) else None

    def candidates(self, service: Service) -> Iterable[Pool]:
        """The serving pools that a Service may draw from, as far as their names, their autoAssign
        and their lists of namespaces decide, in their order."""
        if service.pool is not None:
            named = self.by_name.get(service.pool)
            return [named] if named is not None and named.serves else []
        own = self._of_namespace.get(service.key.namespace, ())
        return heapq.merge(self._of_any_namespace, own, key=lambda pool: pool.order)

    def _index_namespaces(self) -> None:
        """Notes which pools a Service that names none may draw from, by its namespace."""
        self._of_any_namespace, self._of_namespace = [], {}
        for pool in self.in_order:
            if not pool.eip.auto_assign:
                continue
            if pool.eip.namespace_selector or not pool.eip.namespaces:
                self._of_any_namespace.append(pool)
                continue
            with self._guard(Kind.EIP, pool.eip.key):
                for namespace in dict.fromkeys(pool.eip.namespaces):
                    self._of_namespace.setdefault(namespace, []).append(pool)

    def has_all_of(self, network: Network) -> bool:
        """Whether every address of a network is in a serving pool, assignable or not."""
        return self._ours.has_all_of(network)

    def _with_aggregates(self, pool: Pool) -> Pool:
        """A pool whose verdict names the aggregates that it asks for and that have addresses which
        are in no pool."""
        if not pool.serves or pool.space is None or not pool.aggregates:
            return pool
        foreign = {
            aggregate
            for entry in pool.eip.advertisements
            for interval in pool.space.intervals
            for aggregate in _outermost(interval, entry.aggregation_of(interval.version))
            if not self.has_all_of(aggregate)
        }
        if not foreign:
            return pool
        names = listed([str(network) for network in sorted(foreign, key=_by_address)])
        problem = (
            f"not announced as aggregates, because they have addresses that are in no Eip: {names}"
        )
        message = f"{pool.verdict.message}; {problem}"
        verdict = replace(pool.verdict, message=message)
        return replace(pool, verdict=verdict, problem=problem)

    def admits(self, pool: Pool, service: Service, if_unreadable: bool = False) -> bool:
        """Whether a pool admits a Service, however it requests an address.

        `namespaces` or `namespaceSelector` must match, as in OpenELB, and `serviceSelector` too.
        `if_unreadable` is the result where the Namespace decides and cannot be read.
        """
        return self.admits_namespace(
            pool, service.key.namespace, if_unreadable
        ) and pool.eip.service_selector.matches(service.labels)

    def admits_namespace(self, pool: Pool, namespace: str, if_unreadable: bool) -> bool:
        """Whether a pool admits Services of a namespace, their labels aside."""
        eip = pool.eip
        if namespace in eip.namespaces or not (eip.namespaces or eip.namespace_selector):
            return True
        if not eip.namespace_selector:
            return False
        if namespace in self.unreadable_namespaces:
            return if_unreadable
        labels = self.namespaces[namespace].labels if namespace in self.namespaces else {}
        return all(labels.get(key) == value for key, value in eip.namespace_selector.items())

    def _judge(self, eip: Eip, status: EipStatus | None) -> Pool:
        """Reads an Eip; after an unexpected error its pool stays as it was."""
        key = ObjectKey("", eip.name)
        with self._guard(Kind.EIP, key):
            return self._pool(eip, status)
        message = f"it cannot be judged: {self._guard.why(Kind.EIP, key)}"
        known = self.by_name.get(eip.name)
        return known or Pool(eip, None, Verdict(False, PoolReason.INVALID_ADDRESS, message))

    def _pool(self, eip: Eip, status: EipStatus | None) -> Pool:
        problem = eip.invalid
        if problem is None:
            try:
                space = AddressPool.parse(eip.address, eip.avoid_buggy_ips)
            except PoolError as error:
                problem = str(error)
            else:
                if eip.protocol not in _PROTOCOLS:
                    message = f"protocol {quoted(eip.protocol)} is not supported, only bgp"
                    verdict = Verdict(False, PoolReason.UNSUPPORTED_PROTOCOL, message)
                    return Pool(eip, space, verdict)
                return Pool(eip, space, Verdict(True, PoolReason.VALID, f"{space.size} addresses"))
        reason = PoolReason.FILE_UNREADABLE if eip.unreadable else PoolReason.INVALID_ADDRESS
        good = self._last_good(eip, status)
        if good is None:
            return Pool(eip, None, Verdict(False, reason, problem))
        message = f"{problem}; its last good form, {printable(good.address)}, stays in force"
        space = AddressPool.parse(good.address, good.avoid_buggy_ips)
        return Pool(good, space, Verdict(False, reason, message))

    def _last_good(self, eip: Eip, status: EipStatus | None) -> Eip | None:
        """The last form of an Eip that served: the one that this process read, otherwise the one
        in its status if it is valid."""
        known = self.by_name.get(eip.name)
        if known is not None and known.eip.uid == eip.uid:
            good = known.eip if known.serves else None
        else:
            good = status.serving if status is not None else None
        if good is None or good.invalid or good.protocol not in _PROTOCOLS:
            return None
        try:
            AddressPool.parse(good.address, good.avoid_buggy_ips)
        except PoolError:
            return None
        return replace(good, uid=eip.uid, created=eip.created, deleting=eip.deleting, status=None)

    @staticmethod
    def _without_overlaps(pools: Mapping[str, Pool]) -> dict[str, Pool]:
        """Marks each pool that overlaps with an older one that serves."""
        marked: dict[str, Pool] = {}
        owned: list[tuple[Interval, str]] = []
        for name, pool in sorted(pools.items(), key=lambda entry: entry[1].eip.age):
            marked[name] = pool
            if not pool.serves or pool.space is None:
                continue
            other = _first_overlap(owned, pool.space.intervals)
            if other is not None:
                text = f"overlaps with Eip {other}, which comes first (by age, then by name)"
                overlaps = Verdict(False, PoolReason.OVERLAPS, text)
                marked[name] = replace(pool, verdict=overlaps)
            else:
                for interval in pool.space.intervals:
                    insort(owned, (interval, name))
        return marked


def _outermost(interval: Interval, length: int | None) -> tuple[Network, ...]:
    """The first and the last network of this length with addresses of an interval: those between
    them are inside it."""
    if length is None:
        return ()
    ends = (interval.address(interval.first), interval.address(interval.last))
    return tuple(ip_network((end, length), strict=False) for end in ends)


def _by_address(network: Network) -> tuple[int, int, int]:
    return (network.version, int(network.network_address), network.prefixlen)


def _first_overlap(owned: list[tuple[Interval, str]], intervals: Iterable[Interval]) -> str | None:
    """The owner of the first owned interval that overlaps with one of these; None where none
    does."""
    for interval in intervals:
        last = Interval(interval.version, interval.last, _ABOVE_ALL)
        index = bisect_right(owned, (last, "")) - 1
        if index < 0:
            continue
        nearest, owner = owned[index]
        if nearest.version == interval.version and nearest.last >= interval.first:
            return owner
    return None
