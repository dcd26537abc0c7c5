"""What there is to tell of the whole: the Eips with their status, and every address of an EIP.

Read off the planner without changing it, so that who tells it does not know how it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

from porter_ryu.domain.model import Address, Eip, EipStatus
from porter_ryu.domain.planner import Planner


def eips(planner: Planner) -> Iterator[tuple[Eip, EipStatus]]:
    """Every Eip that a turn has looked at, in order of name; others may run in between."""
    for eip in sorted(planner.cluster.eips.values(), key=lambda eip: eip.name):
        try:
            status = planner.allocator.pool_status(eip.name)
        except KeyError:
            continue  # no turn has looked at it yet, or it is gone meanwhile
        yield eip, status


def is_held(planner: Planner, address: Address) -> bool:
    """Whether a Service holds an address."""
    return planner.allocator.is_held(address)


def recorded_addresses(planner: Planner) -> Iterator[Address]:
    """The addresses of pools that Services of ours have on record, held or not."""
    for service in planner.cluster.services.values():
        if service.ours:
            yield from (a for a in service.ingress if planner.allocator.pool_of(a) is not None)
