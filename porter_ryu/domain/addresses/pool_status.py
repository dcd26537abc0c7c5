"""The wanted status of an Eip."""

from __future__ import annotations

from porter_ryu.domain.addresses.holdings import Holdings
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.addresses.records import MAX_USED_ADDRESSES
from porter_ryu.domain.model import EipStatus, Family
from porter_ryu.domain.text import MAX_MESSAGE_CHARACTERS, printable

_MAX_POOL_SIZE = (1 << 63) - 1


def wanted_status(pool: Pool, holdings: Holdings) -> EipStatus:
    """The status of a pool with these holdings.  It is also the record of who holds its addresses,
    which no tenant can write."""
    verdict = pool.verdict
    message = printable(verdict.message, MAX_MESSAGE_CHARACTERS)
    if pool.space is None:
        return EipStatus(verdict.ok, verdict.reason, message)
    held = holdings.in_pool(pool.eip.name)
    size = pool.space.size
    shown = sorted(held, key=lambda a: (a.version, int(a))) if size <= MAX_USED_ADDRESSES else ()
    used = {str(a): ";".join(map(str, sorted(holdings.holders(a)))) for a in shown}
    return EipStatus(
        ready=verdict.ok,
        reason=verdict.reason,
        message=message,
        occupied=len(held) >= size,
        usage=len(held),
        pool_size=min(size, _MAX_POOL_SIZE),
        first_ip=str(pool.space.first),
        last_ip=str(pool.space.last),
        v4=Family.IPV4 in pool.space.families,
        used=used,
        serving=pool.eip.spec_only() if pool.serves else None,
    )
