"""Who hears of an address: the aggregates that stand for it, and the peers that get none of its
paths because no entry of spec.advertisements names them."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner


@dataclass(frozen=True, slots=True)
class Reach:
    """The aggregates of an address, the longest first, and the names of the peers that no entry
    names for any of its paths."""

    aggregates: tuple[Network, ...]
    unnamed: tuple[str, ...]


def reach(planner: Planner, address: Address) -> Reach:
    """Who hears of an address once it is announced."""
    eip = planner.allocator.eip_of(address)
    labels = [dict(path.next_hop.labels) for path in planner.announcements(address)]
    unnamed: tuple[str, ...] = ()
    if eip is not None and eip.advertisements and labels:
        applied = [e for e in eip.advertisements if any(map(e.selects, labels))]
        names = sorted(planner.eip_problems.peers)
        unnamed = tuple(n for n in names if not any(e.names(n) for e in applied))
    return Reach(planner.aggregation.aggregates_of(address), unnamed)
