"""What the loss or the drain of nodes would change, and what it has changed already.

The question is asked of copies of the parts that decide, so nothing of it reaches what runs, and
the same rules decide for the cluster as it is and for the supposed one.  What a node that is lost
or drained has changed already is the difference from a cluster in which it is not.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.consequences import Aggregate, Comparison, Consequence, View
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Endpoint, Family, Kind, Network, Node, ObjectKey
from porter_ryu.domain.node_uses import node_verdict
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.next_hops import OUT_OF_SERVICE_TAINT
from porter_ryu.domain.path_rules import path_rules
from porter_ryu.domain.paths import PathAssembly
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.routing import Routing
from porter_ryu.domain.text import listed, quoted
from porter_ryu.domain.verdict import NodeReason, Verdict

_MAX_NODES_LISTED = 20
_LOST = frozenset(
    {
        NodeReason.NOT_READY,
        NodeReason.DEAD,
        NodeReason.OUT_OF_SERVICE,
        NodeReason.NETWORK_UNAVAILABLE,
        NodeReason.BEING_DELETED,
    }
)


class Supposition(Struct, frozen=True):
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


class AskedNode(Struct, frozen=True):
    """A node in question as it is now: the verdict on it, and the Services with endpoints on it, in
    order of name."""

    name: str
    verdict: Verdict[NodeReason]
    services: tuple[ObjectKey, ...]


class WhatIf(Struct, frozen=True):
    """The answer: the nodes in question, what would change, and what has changed already and would
    not change further; Services in order of effect, then of name, and then aggregates."""

    nodes: tuple[AskedNode, ...]
    changes: tuple[Consequence, ...]
    already: tuple[Consequence, ...]
    aggregates: tuple[Consequence, ...]
    aggregates_already: tuple[Consequence, ...]


def unknown(planner: Planner, supposed: Supposition) -> str:
    """That a node in question is not known, and which are: there is no Node of this name, readable
    or not, and no endpoint on it; empty if all are."""
    for name in supposed.nodes:
        is_unreadable = planner.cluster.unreadable(Kind.NODE, ObjectKey("", name)) is not None
        if not (planner.node(name) or planner.cluster.services_on(name) or is_unreadable):
            there = listed(sorted(planner.nodes.names()), _MAX_NODES_LISTED)
            of = f" (there is {there})" if there else ""
            return f"there is no Node {quoted(name)}{of}"
    return ""


def what_if(
    planner: Planner,
    supposed: Supposition,
    now: float,
    give_way: Callable[[], None],
    single_path: Mapping[str, Set[Family]],
) -> WhatIf:
    """What a supposition would change, and has changed already; the planner stays as it is.

    `now` is of the clock of the turns, in seconds.  `give_way` is called for each Service; the
    planner may change meanwhile.  `single_path`: as for `Comparison`.
    """
    comparison = Comparison(planner, give_way, single_path)
    present = View(
        lambda decision: decision.state,
        planner.announcements,
        _aggregates(planner, _routing(planner, {}, _as_it_is, planner.drains), give_way),
    )
    nodes = tuple(_asked(planner, name, comparison, give_way) for name in supposed.nodes)
    then = _view(planner, _supposed(planner, supposed, now), give_way)
    changes = comparison.of_services(present, then, supposed.drained)
    aggregates = comparison.of_aggregates(present, then, supposed.drained)
    undone = _undone(planner, supposed)
    if undone is None:
        return WhatIf(nodes, changes, (), aggregates, ())
    before = _view(planner, undone, give_way)
    has_changed = comparison.of_services(before, present, supposed.drained)
    have_changed = comparison.of_aggregates(before, present, supposed.drained)
    return WhatIf(
        nodes,
        changes,
        _others(has_changed, changes),
        aggregates,
        _others(have_changed, aggregates),
    )


def _others(found: Sequence[Consequence], told: Sequence[Consequence]) -> tuple[Consequence, ...]:
    """Those that are about something else than what is told."""
    about = {change.about for change in told}
    return tuple(change for change in found if change.about not in about)


def _asked(
    planner: Planner, name: str, comparison: Comparison, give_way: Callable[[], None]
) -> AskedNode:
    """A node in question as it is now."""
    is_drained = planner.drains.of(name) is not None
    carried = _carried(planner, name, comparison, give_way) if is_drained else ()
    alone = sum(all(map(planner.nodes.is_drained, nodes)) for nodes in carried)
    verdict = node_verdict(planner, name, len(carried), alone)
    return AskedNode(name, verdict, tuple(sorted(planner.cluster.services_on(name))))


def _carried(
    planner: Planner, name: str, comparison: Comparison, give_way: Callable[[], None]
) -> Sequence[Set[str]]:
    """The nodes that carry each Service that a node carries, for a peer at least."""
    found = []
    for decision in list(planner.decisions.values()):
        give_way()
        announced = [planner.announcements(held.address) for held in decision.outcome.held]
        nodes = {node for one in map(comparison.nodes, announced) for node in one}
        if name in nodes:
            found.append(nodes)
    return found


def _view(planner: Planner, routing: Routing, give_way: Callable[[], None]) -> View:
    def state(decision: Decision) -> str:
        if decision.announced is None:  # without a verdict on its routes it stays
            return decision.state
        announced = routing.announced(decision.service, decision.outcome)
        return replace(decision, announced=announced).state

    return View(state, routing.wanted, _aggregates(planner, routing, give_way))


def _aggregates(
    planner: Planner, routing: Routing, give_way: Callable[[], None]
) -> Mapping[Network, Aggregate]:
    """The aggregates of a routing that knows none yet."""
    eips: dict[Network, set[str]] = collections.defaultdict(set)
    for address in planner.allocator.aggregated():
        give_way()
        for aggregate in routing.aggregates_wanted(address):
            eips[aggregate].add(planner.pool_of(address))
    announced = routing.changed_aggregates(give_way)
    return {
        aggregate: Aggregate(announced[aggregate], tuple(sorted(names)))
        for aggregate, names in eips.items()
        if aggregate in announced
    }


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


def _as_it_is(endpoint: Endpoint) -> Endpoint:
    return endpoint


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
