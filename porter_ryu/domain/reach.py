"""Who hears of an address: the aggregates that stand for it, and the peers that get none of its
paths because of spec.advertisements; and who has heard of a Service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.left_out import selects_one_of, why_not_peer
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.prefix import host_prefix

IsSent = Callable[[Network], bool]
"""Whether any peer was sent next hops for a prefix."""


class Reach(Struct, frozen=True):
    """The aggregates of an address, the longest first, and the peers that the entries of
    spec.advertisements leave out, by name, each with the reason."""

    aggregates: tuple[Network, ...]
    left_out: Mapping[str, str]


def reach(planner: Planner, address: Address) -> Reach:
    """Who hears of an address once it is announced."""
    eip = planner.allocator.eip_of(address)
    hops = [path.next_hop for path in planner.announcements(address)]
    aggregates = planner.aggregation.aggregates_of(address)
    if eip is None or not hops:
        return Reach(aggregates, {})
    left_out: dict[str, str] = {}
    for terms in planner.sending.terms:
        # the entries count for the nodes that it may have by its node_selector
        admitted = [hop for hop in hops if terms.selector.matches(dict(hop.labels))]
        selects = selects_one_of(admitted or hops)
        why = why_not_peer(eip, terms.name, selects, planner.eip_problems.selects_a_node)
        if why:
            left_out[terms.name] = why
    return Reach(aggregates, left_out)


def is_recorded(decision: Decision) -> bool:
    """Whether the addresses of a Service are in its status."""
    recorded = decision.service.ingress
    return all(held.address in recorded for held in decision.outcome.held)


def was_sent(planner: Planner, decision: Decision, is_sent: IsSent) -> bool:
    """Whether an address of a Service was sent to a peer, itself or as part of an aggregate."""
    held = decision.outcome.held
    return any(is_sent(prefix) for one in held for prefix in prefixes_of(planner, one.address))


def prefixes_of(planner: Planner, address: Address) -> Iterator[Network]:
    """The prefixes that may lead to an address, the longest first: its own, and its aggregates."""
    yield host_prefix(address)
    yield from planner.aggregation.aggregates_of(address)
