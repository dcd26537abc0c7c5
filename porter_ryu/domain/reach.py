"""Who hears of an address: the aggregates that stand for it, and the peers that get none of its
paths because no entry of spec.advertisements names them; and who has heard of a Service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_network

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner

IsSent = Callable[[Network], bool]
"""Whether any peer was sent next hops for a prefix."""


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


def is_recorded(decision: Decision) -> bool:
    """Whether the addresses of a Service are in its status."""
    recorded = decision.service.ingress
    return all(held.address in recorded for held in decision.outcome.held)


def was_sent(planner: Planner, decision: Decision, is_sent: IsSent) -> bool:
    """Whether an address of a Service was sent to a peer, itself or as part of an aggregate."""
    return any(
        # by its octets, not by its text: a third of the time
        is_sent(ip_network(held.address.packed))
        or any(map(is_sent, planner.aggregation.aggregates_of(held.address)))
        for held in decision.outcome.held
    )
