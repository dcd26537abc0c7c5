"""Whether the status of an Eip confirms a record.

A tenant may be able to write `status.loadBalancer` of its Service; only this program can write
`used` in the status of an Eip.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from porter_ryu.domain.addresses.address_pool import AddressPool, PoolError
from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.model import Address, EipStatus, ObjectKey

MAX_USED_ADDRESSES = 256  # the status of a larger pool does not say who holds what
_Used = Mapping[Address, frozenset[ObjectKey]]


class _Read(Struct, frozen=True, gc=False):
    """What was read of the status of an Eip, and for which addresses of the Eip.

    `used` is None where it is not complete.  `about` are the addresses that it speaks of: those
    that served when it was written.  None stands for all of the Eip: an earlier version wrote it.
    `whole`: it speaks of every address of the Eip.
    """

    status: EipStatus
    space: AddressPool
    used: _Used | None
    about: AddressPool | None
    whole: bool

    def speaks_of(self, address: Address) -> bool:
        """Whether the Eip served with an address when the status was written."""
        return self.about is None or self.about.contains(address)


class Records:
    """Reads `used` in the status of Eips, once for each form of a status."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._read: dict[str, _Read] = {}
        # by Service what it holds of which Eip, while somebody asks for that
        self._holders: dict[ObjectKey, set[tuple[Address, str]]] | None = None
        self._indexed: Mapping[str, EipStatus | None] | None = None

    def names_holder(self, pool: Pool | None, address: Address, key: ObjectKey) -> bool | None:
        """Whether `used` of the Eip names this Service as a holder of this address; None where
        `used` is not complete, or was written while the Eip did not serve with this address."""
        read = self._read_of(pool) if pool is not None else None
        if read is None or read.used is None:
            return None
        if key in read.used.get(address, ()):
            return True
        return False if read.speaks_of(address) else None

    def names_holders(self, pool: Pool) -> bool:
        """Whether `used` of an Eip is complete, for all its addresses."""
        read = self._read_of(pool)
        return read is not None and read.used is not None and read.whole

    def named(self, key: ObjectKey) -> Collection[Address]:
        """The addresses for which `used` of an Eip names a Service, serving or not."""
        if self._holders is None:
            self._holders = {}
            for name, read in self._read.items():
                self._index(name, read.used, self._holders)
        if self._indexed is not self._pools.status:
            for pool in self._pools.by_name.values():
                self._read_of(pool)
            self._indexed = self._pools.status
        return {address for address, _ in self._holders.get(key, ())}

    def forget_holders(self) -> None:
        """Frees what `named` keeps."""
        self._holders = self._indexed = None

    def lacks_status(self, pool: Pool, address: Address) -> bool:
        """Whether no status of ours was written to an Eip yet while it served with an address."""
        read = self._read_of(pool)
        return read is None or not read.speaks_of(address)

    def _read_of(self, pool: Pool) -> _Read | None:
        name = pool.eip.name
        status = self._pools.status.get(name)
        if status is None or pool.space is None:
            self._forget(name)
            return None
        cached = self._read.get(name)
        if cached is None or cached.status is not status or cached.space is not pool.space:
            read = _read(status, pool.space)
            if self._holders is not None:
                self._drop(name, cached.used if cached is not None else None, self._holders)
                self._index(name, read.used, self._holders)
            cached = self._read[name] = read
        return cached

    @staticmethod
    def _index(
        eip: str, used: _Used | None, holders: dict[ObjectKey, set[tuple[Address, str]]]
    ) -> None:
        for address, keys in (used or {}).items():
            for key in keys:
                holders.setdefault(key, set()).add((address, eip))

    @staticmethod
    def _drop(
        eip: str, used: _Used | None, holders: dict[ObjectKey, set[tuple[Address, str]]]
    ) -> None:
        for address, keys in (used or {}).items():
            for key in keys:
                addresses = holders.get(key, set())
                addresses.discard((address, eip))
                if not addresses:
                    holders.pop(key, None)

    def forget_gone(self) -> None:
        """Removes what was read of Eips that are gone."""
        for name in self._read.keys() - self._pools.by_name.keys():
            self._forget(name)

    def _forget(self, name: str) -> None:
        read = self._read.pop(name, None)
        if read is not None and self._holders is not None:
            self._drop(name, read.used, self._holders)


def _read(status: EipStatus, space: AddressPool) -> _Read:
    about = _about(status)
    names = max(space.size, status.pool_size) <= MAX_USED_ADDRESSES
    used = _parse(status) if names else None
    whole = about is None or (
        used is not None
        and all(about.contains(a) for f in space.families for a in space.from_number(f, 0))
    )
    return _Read(status, space, used, about, whole)


def _about(status: EipStatus) -> AddressPool | None:
    """The addresses with which an Eip served when its status was written; None for an earlier
    version's status of one that served, which does not say that."""
    form = status.serving
    if form is None:
        return None if status.ready else AddressPool(())
    try:
        return AddressPool.parse(form.address, form.avoid_buggy_ips)
    except PoolError:
        return AddressPool(())


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
