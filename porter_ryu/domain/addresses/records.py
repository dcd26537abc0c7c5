"""Whether the status of an Eip confirms a record.

A tenant may be able to write `status.loadBalancer` of its Service; only this program can write
`used` in the status of an Eip.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    def names_holder(self, pool: Pool | None, address: Address, key: ObjectKey) -> bool | None:
        """Whether `used` of the Eip names this Service as a holder of this address; None where the
        Eip has no complete `used`."""
        used = self._used(pool) if pool is not None else None
        return None if used is None else key in used.get(address, ())

    def lacks_status(self, pool: Pool) -> bool:
        """Whether no status of ours was written to an Eip yet."""
        return self._pools.status.get(pool.eip.name) is None

    def _used(self, pool: Pool) -> _Used | None:
        name = pool.eip.name
        status = self._pools.status.get(name)
        if status is None or pool.space is None:
            return None
        cached = self._read.get(name)
        if cached is None or cached[0] is not status or cached[1] is not pool.space:
            used = _parse(status) if pool.space.size <= MAX_USED_ADDRESSES else None
            cached = self._read[name] = (status, pool.space, used)
        return cached[2]

    def forget_gone(self) -> None:
        """Removes what was read of Eips that are gone."""
        for name in self._read.keys() - self._pools.by_name.keys():
            del self._read[name]


def _parse(status: EipStatus) -> _Used | None:
    """`used` by address; None where it is not valid or not complete."""
    used: dict[Address, frozenset[ObjectKey]] = {}
    for text, holders in status.used.items():
        try:
            address = ip_address(text)
        except ValueError:
            return None
        names = (name.partition("/") for name in holders.split(";"))
        used[address] = frozenset(ObjectKey(namespace, name) for namespace, _, name in names)
    return used if len(used) == status.usage else None
