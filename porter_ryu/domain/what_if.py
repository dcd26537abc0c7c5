"""What the loss or the drain of nodes would change, and what it has changed already.

The question is asked of copies of the parts that decide, so nothing of it reaches what runs, and
the same rules decide for the cluster as it is and for the supposed one.  What a node that is lost
or drained has changed already is the difference from a cluster in which it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from msgspec.structs import replace

from porter_ryu.domain.announcement import Announcement, Announcements, in_use
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.effect import Effect, NodesByAddress, effect_of
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Endpoint, Kind, Node, ObjectKey
from porter_ryu.domain.node_uses import node_verdict
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.next_hops import OUT_OF_SERVICE_TAINT
from porter_ryu.domain.path_rules import path_rules
from porter_ryu.domain.paths import PathAssembly
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.routing import Routing
from porter_ryu.domain.sending import PeerTerms
from porter_ryu.domain.shares import shares_in_use
from porter_ryu.domain.text import quoted
from porter_ryu.domain.verdict import NodeReason, Verdict

_LOST = frozenset(
    {
        NodeReason.NOT_READY,
        NodeReason.DEAD,
        NodeReason.OUT_OF_SERVICE,
        NodeReason.NETWORK_UNAVAILABLE,
        NodeReason.BEING_DELETED,
    }
)
_WHATEVER_THE_PEERS = (Effect.NOT_ANNOUNCED, Effect.ADDRESS_NOT_ANNOUNCED, Effect.ANNOUNCED)


@dataclass(frozen=True, slots=True)
class Supposition:
    """Nodes that are lost, with all endpoints on them, and nodes whose drain is over; raises
    ValueError for a node that is both."""

    lost: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name in sorted(self.lost & self.drained):
            raise ValueError(f"a node is either lost or drained: {quoted(name)}")

    @property
    def nodes(self) -> list[str]:
        """The nodes in question, in order of name."""
        return sorted(self.lost | self.drained)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a Service has: its state, and by address the paths in use, in order of node, each with
    its share of the traffic in per cent (None: not known)."""

    state: str
    paths: tuple[tuple[Address, tuple[tuple[Announcement, float | None], ...]], ...]

    @property
    def nodes(self) -> NodesByAddress:
        """The nodes that each address leads to."""
        return {address: {p.next_hop.node for p, _ in paths} for address, paths in self.paths}


@dataclass(frozen=True, slots=True)
class Consequence:
    """A Service for which something changes.  `peers` are those that the effect is about, where
    it is not about all; `eips` are those that its addresses are from."""

    service: ObjectKey
    effect: Effect
    peers: tuple[str, ...]
    eips: tuple[str, ...]
    was: Standing
    becomes: Standing


@dataclass(frozen=True, slots=True)
class AskedNode:
    """A node in question as it is now: the verdict on it, and the Services with endpoints on it, in
    order of name."""

    name: str
    verdict: Verdict[NodeReason]
    services: tuple[ObjectKey, ...]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer: the nodes in question, what would change, and what has changed already and would
    not change further; Services in order of effect, then of name."""

    nodes: tuple[AskedNode, ...]
    changes: tuple[Consequence, ...]
    already: tuple[Consequence, ...]


def unknown(planner: Planner, supposed: Supposition) -> str:
    """That a node in question is not known: there is no Node of this name, readable or not, and no
    endpoint on it; empty if all are."""
    for name in supposed.nodes:
        is_unreadable = planner.cluster.unreadable(Kind.NODE, ObjectKey("", name)) is not None
        if not (planner.node(name) or planner.cluster.services_on(name) or is_unreadable):
            return f"there is no Node {quoted(name)}"
    return ""


def what_if(
    planner: Planner, supposed: Supposition, now: float, give_way: Callable[[], None]
) -> WhatIf:
    """What a supposition would change, and has changed already; the planner stays as it is.

    `now` is of the clock of the turns, in seconds.  `give_way` is called for each Service; the
    planner may change meanwhile.
    """
    comparison = _Comparison(planner, give_way)
    present = _View(lambda decision: decision.state, planner.announcements)
    nodes = tuple(map(comparison.asked, supposed.nodes))
    then = _view(_supposed(planner, supposed, now))
    changes = comparison.between(present, then, supposed.drained)
    before = _undone(planner, supposed)
    if before is None:
        return WhatIf(nodes, changes, ())
    told = {change.service for change in changes}
    has_changed = comparison.between(_view(before), present, supposed.drained)
    return WhatIf(nodes, changes, tuple(c for c in has_changed if c.service not in told))


@dataclass(frozen=True, slots=True)
class _View:
    """One of the clusters that are compared: the state of a Service, and what is announced of an
    address."""

    state: Callable[[Decision], str]
    announcements: Callable[[Address], Announcements]


def _view(routing: Routing) -> _View:
    def state(decision: Decision) -> str:
        if decision.announced is None:  # without a verdict on its routes it stays
            return decision.state
        announced = routing.announced(decision.service, decision.outcome)
        return replace(decision, announced=announced).state

    return _View(state, routing.wanted)


@dataclass(frozen=True, slots=True)
class _Used:
    """What is used of the announcements of an address: the paths with their shares, and by peer the
    nodes that its paths lead to."""

    paths: tuple[tuple[Announcement, float | None], ...]
    peers: Mapping[str, Set[str]]

    @property
    def nodes(self) -> Set[str]:
        """The nodes that are used, for a peer at least."""
        own = {path.next_hop.node for path, _ in self.paths}
        return own.union(*self.peers.values())


class _Comparison:
    """Finds the Services that differ between two views, as a peer or a user would notice it."""

    def __init__(self, planner: Planner, give_way: Callable[[], None]) -> None:
        self._planner = planner
        self._give_way = give_way
        self._known: dict[Announcements, _Used] = {}

    def between(self, was: _View, becomes: _View, drained: Set[str]) -> tuple[Consequence, ...]:
        """The Services that differ, in order of effect, then of name; `drained` are the nodes that
        are drained in the second view."""
        found = list(self._differences(was, becomes, drained))
        return tuple(sorted(found, key=lambda entry: (entry.effect.rank, entry.service)))

    def asked(self, name: str) -> AskedNode:
        """A node in question as it is now."""
        planner = self._planner
        carried = self._carried(name) if planner.drains.of(name) is not None else ()
        alone = sum(all(map(planner.nodes.is_drained, nodes)) for nodes in carried)
        verdict = node_verdict(planner, name, len(carried), alone)
        return AskedNode(name, verdict, tuple(sorted(planner.cluster.services_on(name))))

    def _carried(self, name: str) -> Sequence[Set[str]]:
        """The nodes that carry each Service that a node carries, for a peer at least."""
        found = []
        for decision in list(self._planner.decisions.values()):
            self._give_way()
            announced = [self._planner.announcements(h.address) for h in decision.outcome.held]
            nodes = {node for one in map(self._used, announced) for node in one.nodes}
            if name in nodes:
                found.append(nodes)
        return found

    def _differences(self, was: _View, becomes: _View, drained: Set[str]) -> Iterator[Consequence]:
        for key in list(self._planner.decisions):
            self._give_way()
            decision = self._planner.decisions.get(key)
            if decision is None or not decision.outcome.held:
                continue
            addresses = [held.address for held in decision.outcome.held]
            sides = [
                (v.state(decision), list(map(v.announcements, addresses))) for v in (was, becomes)
            ]
            if sides[0] == sides[1]:
                continue
            used = [list(map(self._used, announced)) for _, announced in sides]
            first, second = (
                Standing(state, tuple((a, u.paths) for a, u in zip(addresses, of, strict=True)))
                for (state, _), of in zip(sides, used, strict=True)
            )
            if (first, used[0]) == (second, used[1]):
                continue
            effect, peers = _effect(first, second, used[0], used[1], drained)
            eips = tuple(dict.fromkeys(held.eip for held in decision.outcome.held))
            yield Consequence(key, effect, peers, eips, first, second)

    def _used(self, announcements: Announcements) -> _Used:
        known = self._known.get(announcements)
        if known is None:
            # when a drain began is nothing that a peer is told
            paths = ((replace(p, drain=None), s) for p, s in shares_in_use(announcements))
            terms = self._planner.sending.terms
            peers = {t.name: _nodes_of(t, announcements) for t in terms}
            known = self._known[announcements] = _Used(tuple(paths), peers)
        return known


def _nodes_of(terms: PeerTerms, announcements: Announcements) -> Set[str]:
    """The nodes that the paths of a peer lead to."""
    candidates = [path for path in announcements if terms.sent(path) is not None]
    return {path.next_hop.node for path in in_use(candidates)}


def _effect(
    was: Standing,
    becomes: Standing,
    used: list[_Used],
    used_then: list[_Used],
    drained: Set[str],
) -> tuple[Effect, tuple[str, ...]]:
    """The effect of a change, and the peers that it is about, where it is not about all."""
    effect = effect_of(was.state, becomes.state, was.nodes, becomes.nodes)
    if effect in _WHATEVER_THE_PEERS:
        return effect, ()
    if any(nodes & drained for nodes in becomes.nodes.values()):
        return Effect.LAST_NEXT_HOP, ()
    pairs = list(zip(used, used_then, strict=True))
    stays = {p for _, then in pairs for p, nodes in then.peers.items() if nodes & drained}
    if stays:
        return Effect.LAST_NEXT_HOP, tuple(sorted(stays))
    # without any path here it is another instance that announces it
    lose = {p for now, then in pairs if then.paths for p in now.peers if _loses(p, now, then)}
    return (Effect.NOT_TO_EVERY_PEER, tuple(sorted(lose))) if lose else (effect, ())


def _loses(peer: str, used: _Used, used_then: _Used) -> bool:
    return bool(used.peers.get(peer)) and not used_then.peers.get(peer)


def _supposed(planner: Planner, supposed: Supposition, now: float) -> Routing:
    """The routes once the supposition has come true."""
    drains = planner.drains.supposing(supposed.drained, now)
    return _routing(planner, dict.fromkeys(supposed.lost), lambda _: None, drains)


def _undone(planner: Planner, supposed: Supposition) -> Routing | None:
    """The routes without the losses and drains in question that there are already; None if there
    are none of them.  The endpoints on a lost node count as ready."""
    drained = {name for name in supposed.drained if planner.drains.of(name) is not None}
    nodes: dict[str, Node | None] = {}
    for name in supposed.lost:
        node = planner.nodes.node(name)
        if node is not None and node_verdict(planner, name).reason in _LOST:
            nodes[name] = _well(node)
    if not drained and not nodes:
        return None
    return _routing(planner, nodes, _ready, planner.drains.without(drained))


def _well(node: Node) -> Node:
    return replace(
        node,
        ready=True,
        silent=False,
        network_unavailable=False,
        deleting=False,
        taints=node.taints - {OUT_OF_SERVICE_TAINT},
    )


def _ready(endpoint: Endpoint) -> Endpoint:
    return endpoint if endpoint.terminating else replace(endpoint, ready=True, serving=True)


def _routing(
    planner: Planner,
    supposed: Mapping[str, Node | None],
    suppose: Callable[[Endpoint], Endpoint | None],
    drains: NodeDrains,
) -> Routing:
    """The routes if these nodes were otherwise (None: gone), and the endpoints on them what
    `suppose` makes of them."""
    cluster: Cluster = planner.cluster.supposing(supposed.keys(), suppose)
    nodes = planner.nodes.supposing(supposed)
    resolver = planner.resolver.supposing(cluster, nodes)
    for name in supposed:
        for key in list(planner.cluster.services_on(name)):
            resolver.update_backends(key)
    policy, allocator = planner.policy, planner.allocator
    paths = PathAssembly(path_rules(policy, allocator, nodes, resolver, drains))
    routing = Routing(cluster, allocator, resolver, paths, Guard(), policy.announce, policy.by_port)
    routing.peers = planner.eip_problems.peers
    return routing
