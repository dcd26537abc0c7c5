"""Which Services ask for an address and do not get it, so that a quarrel is seen from either side:
the one who waits is told who holds the address, the holder who else wants it."""

from __future__ import annotations

import heapq

from porter_ryu.domain.model import Address, ObjectKey
from porter_ryu.domain.planner import Planner

MAX_CLAIMANTS = 100


def claimants(planner: Planner, address: Address) -> tuple[ObjectKey, ...]:
    """The Services of ours that request an address and do not hold it, the first `MAX_CLAIMANTS` in
    order of name."""
    holders = planner.allocator.holders(address)
    asking = (
        key
        for key in planner.cluster.requesting(address)
        if key not in holders and planner.cluster.services[key].ours
    )
    return tuple(heapq.nsmallest(MAX_CLAIMANTS, asking))
