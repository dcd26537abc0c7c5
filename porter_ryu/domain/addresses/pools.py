"""The Eips as pools: which of them serve, who may draw from which, and which one has an address.

Of two that overlap the older serves; one that is edited to be broken goes on in its last good
form, which its status keeps over a restart.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass

from porter_ryu.domain.addresses.address_pool import AddressPool, Interval, PoolError
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Eip, EipStatus, Kind, Namespace, ObjectKey, Service
from porter_ryu.domain.text import printable, quoted
from porter_ryu.domain.verdict import PoolReason, Verdict

_ABOVE_ALL = 1 << 128
_PROTOCOLS = ("", "bgp")


@dataclass(frozen=True, slots=True)
class Pool:
    """An Eip and whether it serves: `space` is None where it never had a usable form.

    `eip` is the form that serves, which is the last good one while the verdict's reason is
    INVALID_ADDRESS.
    """

    eip: Eip
    space: AddressPool | None
    verdict: Verdict[PoolReason]

    @property
    def serves(self) -> bool:
        """Whether addresses of it may be held."""
        return self.space is not None and self.verdict.reason in (
            PoolReason.VALID,
            PoolReason.INVALID_ADDRESS,
        )

    @property
    def order(self) -> tuple[int, str]:
        """Pools are drawn from by priority, then by name."""
        return (self.eip.priority, self.eip.name)

    @property
    def closed(self) -> bool:
        """Whether nothing new is given from it."""
        return self.eip.disable or self.eip.deleting


class Pools:
    """All Eips.

    `namespaces` is what their selectors see.  `unread` and `unread_namespaces` are those that are
    there and were never understood: what they would say of an address is not known.
    """

    def __init__(self, guard: Guard) -> None:
        self.by_name: dict[str, Pool] = {}
        self.in_order: list[Pool] = []
        self.namespaces: dict[str, Namespace] = {}
        self.unread: dict[str, str] = {}
        self.unread_namespaces: frozenset[str] = frozenset()
        self.status: dict[str, EipStatus | None] = {}
        self._guard = guard
        self._seen: dict[str, Eip] = {}
        self._intervals: list[tuple[Interval, AddressPool, Pool]] = []
        self._starts: list[tuple[int, int]] = []

    def set(self, eips: Mapping[str, Eip], unread: Mapping[str, str]) -> set[str]:
        """Takes the complete set of Eips; returns the names of those that serve otherwise now."""
        specs = {
            n: dataclasses.replace(e, status=None, resource_version="") for n, e in eips.items()
        }
        self.status = {name: eip.status for name, eip in eips.items()}
        of_unread = unread.keys() ^ self.unread.keys()
        self.unread = dict(unread)
        if specs == self._seen:
            return of_unread
        pools = {name: self._judge(eip, self.status[name]) for name, eip in specs.items()}
        self._seen = specs
        before, self.by_name = self.by_name, self._without_overlaps(pools)
        serving = [pool for pool in self.by_name.values() if pool.serves]
        self.in_order = sorted(serving, key=lambda pool: pool.order)
        self._intervals = sorted(
            ((i, pool.space, pool) for pool in serving if pool.space for i in pool.space.intervals),
            key=lambda entry: entry[0],
        )
        self._starts = [(interval.version, interval.first) for interval, *_ in self._intervals]
        names = before.keys() | self.by_name.keys()
        return of_unread | {name for name in names if before.get(name) != self.by_name.get(name)}

    def look_again(self) -> None:
        """Makes the next `set` read every Eip, changed or not."""
        self._seen = {}

    def holding(self, address: Address) -> Pool | None:
        """The pool that serves an address."""
        version, number = address.version, int(address)
        index = bisect_right(self._starts, (version, number)) - 1
        if index < 0:
            return None
        interval, space, pool = self._intervals[index]
        inside = interval.version == version and number <= interval.last
        return pool if inside and not space.is_buggy(version, number) else None

    def admits(self, pool: Pool, service: Service, doubt: bool = False) -> bool:
        """Whether a Service may draw from a pool, however it asks.

        With `namespaces` and `namespaceSelector` either is enough, as in OpenELB; the
        `serviceSelector` must match besides.  `doubt` stands for the answer of a Namespace that
        cannot be read.
        """
        return self.admits_namespace(
            pool, service.key.namespace, doubt
        ) and pool.eip.service_selector.matches(service.labels)

    def admits_namespace(self, pool: Pool, namespace: str, doubt: bool) -> bool:
        """Whether Services of a namespace may draw from a pool, their labels aside."""
        eip = pool.eip
        if namespace in eip.namespaces or not (eip.namespaces or eip.namespace_selector):
            return True
        if not eip.namespace_selector:
            return False
        if namespace in self.unread_namespaces:
            return doubt
        labels = self.namespaces[namespace].labels if namespace in self.namespaces else {}
        return all(labels.get(key) == value for key, value in eip.namespace_selector.items())

    def _judge(self, eip: Eip, status: EipStatus | None) -> Pool:
        """Reads an Eip; one that no rule foresaw stays what it was."""
        key = ObjectKey("", eip.name)
        with self._guard(Kind.EIP, key):
            return self._read(eip, status)
        message = f"it cannot be judged: {self._guard.why(Kind.EIP, key)}"
        known = self.by_name.get(eip.name)
        return known or Pool(eip, None, Verdict(False, PoolReason.INVALID_ADDRESS, message))

    def _read(self, eip: Eip, status: EipStatus | None) -> Pool:
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
        good = self._last_good(eip, status)
        if good is None:
            return Pool(eip, None, Verdict(False, PoolReason.INVALID_ADDRESS, problem))
        message = f"{problem}; its last good form, {printable(good.address)}, stays in force"
        space = AddressPool.parse(good.address, good.avoid_buggy_ips)
        return Pool(good, space, Verdict(False, PoolReason.INVALID_ADDRESS, message))

    def _last_good(self, eip: Eip, status: EipStatus | None) -> Eip | None:
        """The last form of an Eip that served: as this process saw it, else as is recorded, where
        that can be understood."""
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
        return dataclasses.replace(
            good, uid=eip.uid, created=eip.created, deleting=eip.deleting, status=None
        )

    @staticmethod
    def _without_overlaps(pools: Mapping[str, Pool]) -> dict[str, Pool]:
        """Marks each pool that shares an address with one that serves and comes before it."""
        marked: dict[str, Pool] = {}
        taken: list[tuple[Interval, str]] = []
        for name, pool in sorted(pools.items(), key=lambda entry: entry[1].eip.age):
            marked[name] = pool
            if not pool.serves or pool.space is None:
                continue
            other = next(filter(None, (_overlap(taken, i) for i in pool.space.intervals)), None)
            if other is not None:
                text = f"overlaps with Eip {other}, which comes first (by age, then by name)"
                overlaps = Verdict(False, PoolReason.OVERLAPS, text)
                marked[name] = dataclasses.replace(pool, verdict=overlaps)
            else:
                for interval in pool.space.intervals:
                    insort(taken, (interval, name))
        return marked


def _overlap(taken: list[tuple[Interval, str]], interval: Interval) -> str | None:
    """The owner of a taken interval that shares a number with this one."""
    index = bisect_right(taken, (Interval(interval.version, interval.last, _ABOVE_ALL), "")) - 1
    if index < 0:
        return None
    nearest, owner = taken[index]
    shares = nearest.version == interval.version and nearest.last >= interval.first
    return owner if shares else None
