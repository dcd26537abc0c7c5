"""What the status of an Eip says."""

from __future__ import annotations

from porter_ryu.domain.addresses.holdings import Holdings
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.addresses.records import USED_SHOWN
from porter_ryu.domain.model import EipStatus, Family
from porter_ryu.domain.text import MESSAGE_MOST, printable

_SIZE_MOST = (1 << 63) - 1


def read_status(pool: Pool, book: Holdings) -> EipStatus:
    """The status of a pool, of which these addresses are held; it is also the record of who holds
    them, which no tenant can write."""
    verdict = pool.verdict
    message = printable(verdict.message, MESSAGE_MOST)
    if pool.space is None:
        return EipStatus(verdict.ok, verdict.reason, message)
    held = book.in_pool(pool.eip.name)
    size = pool.space.size
    shown = sorted(held, key=lambda a: (a.version, int(a))) if size <= USED_SHOWN else ()
    used = {str(a): ";".join(map(str, sorted(book.holders(a)))) for a in shown}
    return EipStatus(
        ready=verdict.ok,
        reason=verdict.reason,
        message=message,
        occupied=len(held) >= size,
        usage=len(held),
        pool_size=min(size, _SIZE_MOST),
        first_ip=str(pool.space.first),
        last_ip=str(pool.space.last),
        v4=Family.IPV4 in pool.space.families,
        used=used,
        serving=pool.eip.bare() if pool.serves else None,
    )
