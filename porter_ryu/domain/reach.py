"""Who hears of an address: the aggregates that stand for it, and the peers that get none of its
paths because of spec.advertisements; and who has heard of a Service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Eip, Network
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.prefix import host_prefix
from porter_ryu.domain.text import listed

IsSent = Callable[[Network], bool]
"""Whether any peer was sent next hops for a prefix."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The aggregates of an address, the longest first, and the peers that the entries of
    spec.advertisements leave out, by name, each with the reason."""

    aggregates: tuple[Network, ...]
    left_out: Mapping[str, str]


def reach(planner: Planner, address: Address) -> Reach:
    """Who hears of an address once it is announced."""
    eip = planner.allocator.eip_of(address)
    labels = [dict(path.next_hop.labels) for path in planner.announcements(address)]
    left_out: dict[str, str] = {}
    if eip is not None and eip.advertisements and labels:
        for name in sorted(planner.eip_problems.peers):
            why = _why_left_out(planner, eip, name, labels)
            if why:
                left_out[name] = why
    return Reach(planner.aggregation.aggregates_of(address), left_out)


def _why_left_out(
    planner: Planner, eip: Eip, peer: str, labels: Sequence[Mapping[str, str]]
) -> str:
    """Why a peer gets no path to nodes with these labels; empty if it gets one."""
    entries = [(i, entry) for i, entry in enumerate(eip.advertisements) if entry.names(peer)]
    if not entries:
        return f"no entry of spec.advertisements of Eip {eip.name} names it"
    if any(any(map(entry.selects, labels)) for _, entry in entries):
        return ""
    places = listed([f"spec.advertisements[{i}].nodeSelector" for i, _ in entries])
    text = f"{places} of Eip {eip.name} selects"
    if any(planner.eip_problems.selects_a_node(entry.nodes) for _, entry in entries):
        return f"{text} none of its next hops"
    return f"{text} no node of the cluster"


def is_recorded(decision: Decision) -> bool:
    """Whether the addresses of a Service are in its status."""
    recorded = decision.service.ingress
    return all(held.address in recorded for held in decision.outcome.held)


def was_sent(planner: Planner, decision: Decision, is_sent: IsSent) -> bool:
    """Whether an address of a Service was sent to a peer, itself or as part of an aggregate."""
    return any(
        is_sent(host_prefix(held.address))
        or any(map(is_sent, planner.aggregation.aggregates_of(held.address)))
        for held in decision.outcome.held
    )
