"""Whether the status of an Eip confirms a record.

A tenant may be able to write `status.loadBalancer` of its Service; only this program can write
`used` in the status of an Eip.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.model import Address, EipStatus, ObjectKey

MAX_USED_ADDRESSES = 256  # the status of a larger pool does not say who holds what
_Used = Mapping[Address, frozenset[ObjectKey]]


class Records:
    """Reads `used` in the status of Eips, once for each form of a status."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._read: dict[str, tuple[EipStatus, AddressPool, _Used | None]] = {}
        # by Service what it holds of an Eip, while somebody asks for that
        self._holders: dict[ObjectKey, set[Address]] | None = None
        self._indexed: Mapping[str, EipStatus | None] | None = None

    def names_holder(self, pool: Pool | None, address: Address, key: ObjectKey) -> bool | None:
        """Whether `used` of the Eip names this Service as a holder of this address; None where the
        Eip has no complete `used`."""
        used = self._used(pool) if pool is not None else None
        return None if used is None else key in used.get(address, ())

    def names_holders(self, pool: Pool) -> bool:
        """Whether `used` of an Eip is complete."""
        return self._used(pool) is not None

    def named(self, key: ObjectKey) -> Collection[Address]:
        """The addresses for which `used` of an Eip names a Service, serving or not."""
        if self._holders is None:
            self._holders = {}
            for _, _, used in self._read.values():
                self._index(used, self._holders)
        if self._indexed is not self._pools.status:
            for pool in self._pools.by_name.values():
                self._used(pool)
            self._indexed = self._pools.status
        return self._holders.get(key, ())

    def forget_holders(self) -> None:
        """Frees what `named` keeps."""
        self._holders = self._indexed = None

    def lacks_status(self, pool: Pool) -> bool:
        """Whether no status of ours was written to an Eip yet."""
        return self._pools.status.get(pool.eip.name) is None

    def _used(self, pool: Pool) -> _Used | None:
        name = pool.eip.name
        status = self._pools.status.get(name)
        if status is None or pool.space is None:
            self._forget(name)
            return None
        cached = self._read.get(name)
        if cached is None or cached[0] is not status or cached[1] is not pool.space:
            used = _parse(status) if pool.space.size <= MAX_USED_ADDRESSES else None
            if self._holders is not None:
                self._drop(cached[2] if cached is not None else None, self._holders)
                self._index(used, self._holders)
            cached = self._read[name] = (status, pool.space, used)
        return cached[2]

    @staticmethod
    def _index(used: _Used | None, holders: dict[ObjectKey, set[Address]]) -> None:
        for address, keys in (used or {}).items():
            for key in keys:
                holders.setdefault(key, set()).add(address)

    @staticmethod
    def _drop(used: _Used | None, holders: dict[ObjectKey, set[Address]]) -> None:
        for address, keys in (used or {}).items():
            for key in keys:
                addresses = holders.get(key, set())
                addresses.discard(address)
                if not addresses:
                    holders.pop(key, None)

    def forget_gone(self) -> None:
        """Removes what was read of Eips that are gone."""
        for name in self._read.keys() - self._pools.by_name.keys():
            self._forget(name)

    def _forget(self, name: str) -> None:
        read = self._read.pop(name, None)
        if read is not None and self._holders is not None:
            self._drop(read[2], self._holders)


def _parse(status: EipStatus) -> _Used | None:
    """`used` by address; None where it is not valid or not complete."""
    used: dict[Address, frozenset[ObjectKey]] = {}
    for text, holders in status.used.items():
        try:
            address = ip_address(text)
        except ValueError:
            return None
        used[address] = frozenset(_keys(holders))
    return used if len(used) == status.usage else None


def holders(status: EipStatus) -> Iterator[ObjectKey]:
    """The Services that `used` names, complete or not."""
    for names in status.used.values():
        yield from _keys(names)


def _keys(holders: str) -> Iterator[ObjectKey]:
    for entry in holders.split(";"):
        namespace, _, name = entry.partition("/")
        yield ObjectKey(namespace, name)
