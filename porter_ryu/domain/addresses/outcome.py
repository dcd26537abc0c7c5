"""What was decided about the addresses of a Service, and about each Eip for a Service."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.addresses.rules import closed
from porter_ryu.domain.model import Family, Service
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import DrawReason, Reason, ServiceVerdict, Verdict


class Outcome(Struct, frozen=True, gc=False):
    """The addresses that a Service holds, whether they are all that it should have, and why it lost
    an address in this turn (None: it lost none)."""

    held: tuple[Held, ...]
    verdict: ServiceVerdict
    lost: ServiceVerdict | None = None


class PoolVerdict(Struct, frozen=True, gc=False):
    """Whether a Service could draw an address from an Eip without requesting one."""

    eip: str
    verdict: Verdict[DrawReason]


def allocated(service: Service, held: Sequence[Held]) -> ServiceVerdict:
    """The verdict on a Service that has all addresses that it should have."""
    text = ", ".join(map(_origin, held))
    if service.deleting:
        text += "; it is being deleted: it keeps this until it is gone, and gets no new address"
    # as it stands on record, so that the text is once in memory
    recorded = (entry.message for entry in service.conditions if entry.message == text)
    return Verdict(True, Reason.ALLOCATED, next(recorded, text))


def nothing_free(
    service: Service,
    family: Family,
    usable: Sequence[Pool],
    of_family: Sequence[Pool],
    opened: Sequence[Pool],
    none: str,
) -> ServiceVerdict:
    """Why no address of a family can be drawn.

    `usable` are the pools that the Service may draw from, `of_family` those of them that have the
    family, `opened` those of these that are not closed; `none` is `Pools.none`.
    """
    if not usable:
        text = f"it may draw from {none}: create one, or request one by name or address"
        return Verdict(False, Reason.NO_POOL, text)
    if not of_family:
        where = f"Eip {printable(service.pool)}" if service.pool else "every Eip that it may use"
        text = f"{where} is without IPv{family.value} addresses"
        return Verdict(False, Reason.FAMILY_UNAVAILABLE, text)
    if not opened:
        return closed(of_family[0])
    names = listed([pool.eip.name for pool in opened])
    text = f"every Eip that it may use is full ({names}): enlarge one, or free an address"
    return Verdict(False, Reason.POOL_EXHAUSTED, text)


def _origin(held: Held) -> str:
    if held.eip:
        return f"{held.address} from Eip {held.eip}"
    return f"{held.address}, kept because an Eip cannot be read"
