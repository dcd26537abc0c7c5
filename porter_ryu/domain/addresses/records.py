"""What a record is worth: `status.loadBalancer` of a Service may be written by its tenant, `used`
in the status of an Eip by nobody but us.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from porter_ryu.domain.addresses.pools import Pool, Pools
from porter_ryu.domain.model import Address, EipStatus, ObjectKey

USED_SHOWN = 256  # pools of more addresses do not say in their status who holds which
_Used = Mapping[Address, frozenset[ObjectKey]]


class Records:
    """Reads the records that Eips keep, once for each form of a status."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._read: dict[str, tuple[EipStatus, _Used | None]] = {}

    def names(self, pool: Pool | None, address: Address, key: ObjectKey) -> bool | None:
        """Whether the Eip says that this Service holds this address; None where it says nothing
        of any."""
        used = self._used(pool) if pool is not None else None
        return None if used is None else key in used.get(address, ())

    def fresh(self, pool: Pool) -> bool:
        """Whether an Eip has no status of ours."""
        return self._pools.status.get(pool.eip.name) is None

    def _used(self, pool: Pool) -> _Used | None:
        name = pool.eip.name
        status = self._pools.status.get(name)
        if status is None or pool.space is None or pool.space.size > USED_SHOWN:
            return None
        known = self._read.get(name)
        if known is None or known[0] is not status:
            known = self._read[name] = (status, _parse(status))
        return known[1]

    def forget_gone(self) -> None:
        """Lets go of what was read of Eips that are no more."""
        for name in self._read.keys() - self._pools.by_name.keys():
            del self._read[name]


def _parse(status: EipStatus) -> _Used | None:
    """`used` by address; None where it cannot be all."""
    used: dict[Address, frozenset[ObjectKey]] = {}
    for text, holders in status.used.items():
        try:
            address = ip_address(text)
        except ValueError:
            return None
        names = (name.partition("/") for name in holders.split(";"))
        used[address] = frozenset(ObjectKey(namespace, name) for namespace, _, name in names)
    return used if len(used) == status.usage else None
