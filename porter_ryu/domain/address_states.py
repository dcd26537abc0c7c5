"""Who has an address, whoever that is: a Service, a node, a peer, this host; or whether it is free.

The same facts decide what is assigned (`addresses.rules`); here they are put into a sentence.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from msgspec import Struct

from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.addresses.rules import closed, record_unknown
from porter_ryu.domain.claimants import claimants
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.special_purpose import never_in_a_pool
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import PoolReason, Verdict


class AddressState(enum.Enum):
    """What an address is; the texts are public API."""

    HELD = "Held"
    RECORDED = "Recorded"
    RESERVED = "Reserved"
    ON_HOST = "OnHost"
    FREE = "Free"
    ONLY_ON_REQUEST = "OnlyOnRequest"
    EXCLUDED = "Excluded"
    EIP_CLOSED = "EipClosed"
    RECORD_UNKNOWN = "RecordUnknown"
    EIP_NOT_SERVING = "EipNotServing"
    SPECIAL_PURPOSE = "SpecialPurpose"
    IN_NO_EIP = "InNoEip"


class AddressStanding(Struct, frozen=True):
    """What an address is.

    `verdict` is ok if it can be assigned to a Service that does not have it now.  `eip` is the
    serving Eip that it is in, empty if there is none.  `holders` are the Services that hold it,
    `recorded` those of ours that have it in their status and do not hold it, `foreign` those that
    are not ours and have it there.  `claimants` are the first of those that ask for it and do not
    get it.  `owners` are the others that have it, each as text: nodes, peers, this host.
    """

    address: Address
    verdict: Verdict[AddressState]
    eip: str
    holders: tuple[ObjectKey, ...]
    recorded: tuple[ObjectKey, ...]
    foreign: tuple[ObjectKey, ...]
    claimants: tuple[ObjectKey, ...]
    owners: tuple[str, ...]


def address_standing(
    planner: Planner, address: Address, give_way: Callable[[], None]
) -> AddressStanding:
    """What an address is now.  `give_way` is called for each Service; the planner may change
    meanwhile."""
    holders = planner.allocator.holders(address)
    recorded: list[ObjectKey] = []
    foreign: list[ObjectKey] = []
    for key, service in sorted(planner.cluster.services.items()):
        give_way()
        if address in service.ingress and key not in holders:
            (recorded if service.ours else foreign).append(key)
    unreadable = (
        key
        for key, decision in list(planner.decisions.items())
        if key not in planner.cluster.services and address in decision.service.ingress
    )
    recorded += [key for key in unreadable if key not in holders]
    owners = tuple(_owners(planner, address))
    verdict = _verdict(planner, address, holders, tuple(recorded), owners)
    if foreign:
        text = f"{verdict.message}; {_has(foreign)} it in its status, and is not served here"
        verdict = Verdict(verdict.ok, verdict.reason, text)
    eip = planner.pool_of(address)
    lists = (tuple(sorted(recorded)), tuple(foreign), claimants(planner, address))
    return AddressStanding(address, verdict, eip, holders, *lists, owners)


def is_holder_unknown(planner: Planner, address: Address) -> bool:
    """Whether a Service may have an address of which no Service has it as far as is known: on a
    record that cannot be read."""
    if not planner.allocator.unread_records:
        return False
    eip = planner.pool_of(address)
    if eip:
        return planner.allocator.holds_back(eip, Family(address.version))
    return bool(planner.cluster.never_read(Kind.EIP))


def _owners(planner: Planner, address: Address) -> Iterator[str]:
    """Those that have an address and are no Services."""
    for name in sorted(planner.nodes.with_address(address)):
        node = planner.nodes.node(name)
        kinds = [e.type for e in node.addresses if e.address == address] if node else []
        verdict = planner.nodes.verdict(name, Family(address.version))
        hop = verdict.next_hop is not None and verdict.next_hop.address == address
        yield f"node {name} ({', '.join([*kinds, *(['its next hop'] if hop else [])])})"
    yield from planner.owners.get(address, ())


def _verdict(
    planner: Planner,
    address: Address,
    holders: tuple[ObjectKey, ...],
    recorded: tuple[ObjectKey, ...],
    owners: tuple[str, ...],
) -> Verdict[AddressState]:
    also = f"; it is also the address of {listed(owners)}" if owners else ""
    if holders:
        shared = " share it" if len(holders) > 1 else " holds it"
        text = f"{listed([str(key) for key in holders])}{shared}{also}"
        return Verdict(False, AddressState.HELD, text)
    if recorded:
        text = f"{_has(recorded)} it on record, and does not hold it: porter-ryu explain says why"
        return Verdict(False, AddressState.RECORDED, f"{text}{also}")
    if planner.allocator.is_reserved(address):
        text = f"it belongs to {listed(owners) or 'this host'}: no Service gets it"
        return Verdict(False, AddressState.RESERVED, f"{text}{_in_eip(planner, address)}")
    if planner.allocator.is_unattributed(address):
        text = "it is on an interface of this host, bound by an earlier run or another program: "
        text += "only a Service that has it on record gets it"
        return Verdict(False, AddressState.ON_HOST, f"{text}{_in_eip(planner, address)}")
    verdict = _of_eips(planner, address)
    also = f"; it is also {listed(owners)}" if owners else ""
    return Verdict(verdict.ok, verdict.reason, f"{verdict.message}{also}")


def _has(keys: list[ObjectKey] | tuple[ObjectKey, ...]) -> str:
    return f"{listed([str(key) for key in keys])} {'has' if len(keys) == 1 else 'have'}"


def _in_eip(planner: Planner, address: Address) -> str:
    eip = planner.pool_of(address)
    return f", although it is in Eip {eip}" if eip else ""


def _of_eips(planner: Planner, address: Address) -> Verdict[AddressState]:
    """What an address is that nobody has."""
    containing = [p for p in planner.allocator.pools.values() if p.space and _in_space(p, address)]
    serving = [pool for pool in containing if pool.serves]
    others = [pool for pool in containing if not pool.serves]
    more = "".join(f"; it is also in Eip {pool.eip.name}, which {_why(pool)}" for pool in others)
    if serving:
        verdict = _of_serving(planner, serving[0], address)
        return Verdict(verdict.ok, verdict.reason, f"{verdict.message}{more}")
    if others:
        names = "; ".join(f"Eip {pool.eip.name}, which {_why(pool)}" for pool in others)
        return Verdict(False, AddressState.EIP_NOT_SERVING, f"it is in {names}")
    special = never_in_a_pool(address)
    if special:
        text = f"it is in no Eip: it is {special}, which no Eip may have"
        return Verdict(False, AddressState.SPECIAL_PURPOSE, text)
    if is_holder_unknown(planner, address):
        text = "the record of a Service cannot be read, and neither can an Eip: it may be on it"
        return Verdict(False, AddressState.RECORD_UNKNOWN, text)
    unread = sorted(entry.key.name for entry in planner.cluster.never_read(Kind.EIP))
    but = f" that can be read; what is in Eip {listed(unread)} is not known" if unread else ""
    return Verdict(False, AddressState.IN_NO_EIP, f"it is in no Eip{but}")


def _in_space(pool: Pool, address: Address) -> bool:
    """Whether a pool has an address, assignable or not."""
    space = pool.space
    return space is not None and any(
        interval.version == address.version and interval.first <= int(address) <= interval.last
        for interval in space.intervals
    )


def _why(pool: Pool) -> str:
    if pool.verdict.reason is PoolReason.OVERLAPS:
        return pool.verdict.message
    return f"does not serve: {pool.verdict.message}"


def _of_serving(planner: Planner, pool: Pool, address: Address) -> Verdict[AddressState]:
    eip, name = pool.eip, pool.eip.name
    if pool.space is not None and not pool.space.contains(address):
        text = f"avoidBuggyIPs of Eip {name} leaves it out"
        return Verdict(False, AddressState.EXCLUDED, text)
    if pool.closed:
        text = f"it is free, but {closed(pool).message}"
        return Verdict(False, AddressState.EIP_CLOSED, text)
    if planner.allocator.holds_back(name, Family(address.version)):
        text = f"no Service that can be read has it, but {record_unknown().message}"
        return Verdict(False, AddressState.RECORD_UNKNOWN, text)
    limits = []
    if eip.namespaces or eip.namespace_selector:
        limits.append("some namespaces")
    if eip.service_selector.requirements:
        limits.append("some labels")
    whom = f" of {' and '.join(limits)}" if limits else ""
    text = f"it is free in Eip {name}"
    if not eip.auto_assign:
        text += f", for Services{whom} that ask for it or for the Eip"
        return Verdict(True, AddressState.ONLY_ON_REQUEST, text)
    if whom:
        text += f", for Services{whom}"
    return Verdict(True, AddressState.FREE, text)
