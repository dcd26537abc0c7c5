"""Explains one Service completely, as a value that `explain`, `plan` and the HTTP API show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import PoolVerdict
from porter_ryu.domain.announcement import Announcement, NextHop, in_use
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Eip, Family, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.backends import EndpointStates, endpoint_states
from porter_ryu.domain.nodes.drained_paths import drained_verdict
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.shares import shares
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import NodeReason, Verdict


@dataclass(frozen=True, slots=True)
class AddressExplanation:
    """One address: its Eip, whether it is recorded in status, its other holders, the verdict on
    every node, each path with its share of the traffic in per cent (`shares`), in order of node,
    and where its endpoints are."""

    address: Address
    eip: str
    recorded: bool
    sharers: tuple[ObjectKey, ...]
    nodes: tuple[NodeVerdict, ...]
    paths: tuple[tuple[Announcement, float | None], ...]
    endpoints: tuple[EndpointStates, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`service` is None if there is none of that name, `decision` is None if it is not ours.
    `unreadable` says why the Service cannot be read now; then all else is about its last good form,
    or, if there is none, about its record."""

    key: ObjectKey
    service: Service | None
    decision: Decision | None
    addresses: tuple[AddressExplanation, ...]
    pools: tuple[PoolVerdict, ...]
    unreadable: str = ""


def explain(planner: Planner, key: ObjectKey, now: float) -> Explanation:
    """Explains one Service from the state of the planner, without changing it.  `now` is of the
    clock of the turns, in seconds."""
    service = planner.cluster.services.get(key)
    decision = planner.decisions.get(key)
    unreadable = planner.cluster.why_unreadable(Kind.SERVICE, key)
    if decision is None:
        return Explanation(key, service, None, (), (), unreadable)
    if service is None:
        return Explanation(key, decision.service, decision, (), (), unreadable)
    addresses = tuple(_address(planner, service, held, now) for held in decision.outcome.held)
    pools = planner.allocator.pool_verdicts(service)
    return Explanation(key, service, decision, addresses, pools, unreadable)


def _address(planner: Planner, service: Service, held: Held, now: float) -> AddressExplanation:
    paths = sorted(planner.announcements(held.address), key=lambda path: path.next_hop.node)
    used = in_use(paths)
    return AddressExplanation(
        held.address,
        held.eip,
        held.address in service.ingress,
        tuple(k for k in planner.allocator.holders(held.address) if k != service.key),
        tuple(_nodes(planner, service, held.address, paths, used, now)),
        tuple(shares(used).items()),
        endpoint_states(planner.cluster.slices_of(service.key), Family(held.address.version)),
    )


def _nodes(
    planner: Planner,
    service: Service,
    address: Address,
    paths: Sequence[Announcement],
    used: Sequence[Announcement],
    now: float,
) -> Iterator[NodeVerdict]:
    """For every node, whether it is a next hop of an address, in order of name; of the `paths` of
    the address some are `used`."""
    announced = {path.next_hop.node: path for path in paths}
    last = all(path.drain is not None for path in paths)
    eip, peers = planner.allocator.eip_of(address), planner.eip_problems.peers
    for verdict in planner.resolver.verdicts(service, Family(address.version)):
        path = announced.get(verdict.node)
        why = "" if path is not None else _why_not_selected(eip, verdict.next_hop, peers)
        if why:
            not_selected = Verdict(False, NodeReason.NOT_SELECTED, why)
            yield NodeVerdict(verdict.node, None, not_selected)
        elif path is None or path.drain is None or verdict.next_hop is None:
            yield verdict
        else:
            cause = planner.drains.cause(verdict.node)
            yield drained_verdict(verdict, path.drain, path in used, last, cause, now)


def _why_not_selected(eip: Eip | None, hop: NextHop | None, peers: frozenset[str]) -> str:
    """Why the advertisements of an Eip make a node no next hop; empty where they do not, and where
    it would be none anyway.  `peers` are those that are configured."""
    if eip is None or hop is None or not eip.advertisements:
        return ""
    entries = [entry for entry in eip.advertisements if entry.selects(dict(hop.labels))]
    if not entries:
        return f"no entry of spec.advertisements of Eip {eip.name} selects it"
    if any(entry.is_heard(peers) for entry in entries):
        return ""
    names = listed(sorted({name for entry in entries for name in entry.peers}))
    return (
        f"the entries of spec.advertisements of Eip {eip.name} that select it are only for peers "
        f"that are not configured: {names}"
    )
