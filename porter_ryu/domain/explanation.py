"""Explains one Service completely, as a value that `explain`, `plan` and the HTTP API show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from porter_ryu.domain.addresses.holdings import Held
from porter_ryu.domain.addresses.outcome import PoolVerdict
from porter_ryu.domain.announcement import Announcement, in_use
from porter_ryu.domain.claimants import claimants
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.last_good import LastGood, of_service
from porter_ryu.domain.left_out import why_not_node
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.backends import EndpointStates, endpoint_states
from porter_ryu.domain.nodes.drained_paths import drained_verdict
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.shares import shares
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import NodeReason, Verdict

NO_CANDIDATE = (NodeReason.NO_ENDPOINT, NodeReason.NOT_THIS_NODE)
"""Why a node is none of those that could be next hops of a Service."""


class AddressExplanation(Struct, frozen=True):
    """One address: its Eip, whether it is recorded in status, its other holders, the Services that
    ask for it and do not get it, the verdict on every node, each path with its share of the traffic
    in per cent (`shares`), in order of node, and where its endpoints are."""

    address: Address
    eip: str
    recorded: bool
    sharers: tuple[ObjectKey, ...]
    claimants: tuple[ObjectKey, ...]
    nodes: tuple[NodeVerdict, ...]
    paths: tuple[tuple[Announcement, float | None], ...]
    endpoints: tuple[EndpointStates, ...]


class Explanation(Struct, frozen=True):
    """`service` is None if there is none of that name, `decision` is None if it is not ours.
    `unreadable` says why the Service cannot be read now; then all else is about its last good form,
    or, if there is none, about its record.  `last_good` are the objects behind all this that count
    in their last good form."""

    key: ObjectKey
    service: Service | None
    decision: Decision | None
    addresses: tuple[AddressExplanation, ...]
    pools: tuple[PoolVerdict, ...]
    unreadable: str = ""
    last_good: tuple[LastGood, ...] = ()


def explain(planner: Planner, key: ObjectKey, now: float) -> Explanation:
    """Explains one Service from the state of the planner, without changing it.  `now` is of the
    clock of the turns, in seconds."""
    service = planner.cluster.services.get(key)
    decision = planner.decisions.get(key)
    unreadable = planner.cluster.why_unreadable(Kind.SERVICE, key)
    if decision is None:
        last_good = of_service(planner, key, (), ())
        return Explanation(key, service, None, (), (), unreadable, last_good)
    if service is None:
        return Explanation(key, decision.service, decision, (), (), unreadable)
    addresses = tuple(_address(planner, service, held, now) for held in decision.outcome.held)
    pools = planner.allocator.pool_verdicts(service)
    last_good = of_service(planner, key, _eips(addresses, pools), _nodes(planner, key, addresses))
    return Explanation(key, service, decision, addresses, pools, unreadable, last_good)


def _eips(addresses: Sequence[AddressExplanation], pools: Sequence[PoolVerdict]) -> Iterator[str]:
    """The Eips that decide about a Service: those of its addresses, or, if it has none, each."""
    if addresses:
        return (address.eip for address in addresses)
    return (pool.eip for pool in pools)


def _nodes(
    planner: Planner, key: ObjectKey, addresses: Sequence[AddressExplanation]
) -> Iterator[str]:
    """The nodes that decide about a Service: those with an endpoint, or that could be next hops."""
    for piece in planner.cluster.slices_of(key):
        yield from (endpoint.node for endpoint in piece.endpoints if endpoint.node)
    for address in addresses:
        yield from (n.node for n in address.nodes if n.verdict.reason not in NO_CANDIDATE)


def _address(planner: Planner, service: Service, held: Held, now: float) -> AddressExplanation:
    paths, family = _Paths.of(planner, held.address), Family(held.address.version)
    verdicts = planner.resolver.verdicts(service, family)
    return AddressExplanation(
        held.address,
        held.eip,
        held.address in service.ingress,
        tuple(k for k in planner.allocator.holders(held.address) if k != service.key),
        claimants(planner, held.address),
        tuple(_judged(planner, service, held.address, paths, v, now) for v in verdicts),
        tuple(shares(paths.used).items()),
        endpoint_states(planner.cluster.slices_of(service.key), family),
    )


def verdict_on(
    planner: Planner, service: Service, address: Address, node: str, now: float
) -> NodeVerdict:
    """Whether one node is a next hop of an address of a Service; the arguments are those of
    `explain`."""
    verdict = planner.resolver.verdict(node, service, Family(address.version))
    return _judged(planner, service, address, _Paths.of(planner, address), verdict, now)


class _Paths(Struct, frozen=True):
    """The paths of an address by node, those of them that are in use, in order of node, and whether
    every node is drained."""

    by_node: Mapping[str, Announcement]
    used: Sequence[Announcement]
    last: bool

    @classmethod
    def of(cls, planner: Planner, address: Address) -> _Paths:
        paths = sorted(planner.announcements(address), key=lambda path: path.next_hop.node)
        last = all(path.drain is not None for path in paths)
        # of all, and of those that a peer may be sent
        found = {*in_use(paths), *planner.sending.in_use(paths, planner.policy.by_port)}
        used = [path for path in paths if path in found]
        return cls({path.next_hop.node: path for path in paths}, used, last)


def _judged(
    planner: Planner,
    service: Service,
    address: Address,
    paths: _Paths,
    verdict: NodeVerdict,
    now: float,
) -> NodeVerdict:
    """The verdict on a node as a next hop of an address, from that on it as one of a Service."""
    eip, peers = planner.allocator.eip_of(address), planner.eip_problems.peers
    path, hop = paths.by_node.get(verdict.node), verdict.next_hop
    why = "" if path or eip is None or hop is None else why_not_node(eip, hop, peers)
    if why:
        not_selected = Verdict(False, NodeReason.NOT_SELECTED, why)
        return NodeVerdict(verdict.node, None, not_selected)
    if (path is None) != (hop is None):
        verdict = _of_all_holders(planner, service, address, path, verdict)
    if path is None or path.drain is None or verdict.next_hop is None:
        return verdict
    used, cause = path in paths.used, planner.drains.cause(verdict.node)
    last = paths.last or path.drain.over  # of every peer, or of one
    return drained_verdict(verdict, path.drain, used, last, cause, now)


def _of_all_holders(
    planner: Planner,
    service: Service,
    address: Address,
    path: Announcement | None,
    verdict: NodeVerdict,
) -> NodeVerdict:
    """The verdict on a node that is a next hop either of a Service or of its address: what other
    holders of the address make of it.  A switch tells them apart by their ports."""
    others = [
        other
        for key in sorted(planner.allocator.holders(address))
        if key != service.key and (other := planner.cluster.services.get(key)) is not None
    ]
    family, node, by_port = Family(address.version), verdict.node, planner.policy.by_port
    have = [o for o in others if any(h.node == node for h in planner.resolver.next_hops(o, family))]
    if path is not None and have:
        text = f"of {_sharing(have, address)}{', for routers alone' if by_port else ''}"
        return NodeVerdict(node, path.next_hop, Verdict(True, NodeReason.NEXT_HOP, text))
    lack = [other for other in others if other.local_traffic and other not in have]
    if path is not None or not lack:
        return verdict
    has = "has" if len(lack) == 1 else "have"
    text = f"it is no next hop of {_sharing(lack, address)} and {has} externalTrafficPolicy Local"
    if by_port:
        alone = Verdict(True, NodeReason.NEXT_HOP, f"for switches alone: {text}")
        return NodeVerdict(node, verdict.next_hop, alone)
    return NodeVerdict(node, None, Verdict(False, NodeReason.NOT_SHARED, text))


def _sharing(holders: Sequence[Service], address: Address) -> str:
    share = "shares" if len(holders) == 1 else "share"
    return f"{listed([str(holder.key) for holder in holders])}, which {share} {address}"
