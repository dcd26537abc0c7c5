"""What the loss or the drain of a node would change.

The question is asked of copies of the parts that decide, so nothing of it reaches what runs, and
the same rules decide for the cluster as it is and for the supposed one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from porter_ryu.domain.announcement import Announcement
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, ObjectKey
from porter_ryu.domain.path_rules import path_rules
from porter_ryu.domain.paths import PathAssembly
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.routing import Routing
from porter_ryu.domain.shares import shares_in_use


@dataclass(frozen=True, slots=True)
class Supposition:
    """A node that is lost, with all endpoints on it, or whose drain is over."""

    node: str
    drained: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What a Service has: its state, and by address the paths in use, in order of node, each with
    its share of the traffic in per cent (None: not known)."""

    state: str
    paths: tuple[tuple[Address, tuple[tuple[Announcement, float | None], ...]], ...]


@dataclass(frozen=True, slots=True)
class Consequence:
    """A Service for which something changes."""

    service: ObjectKey
    was: Standing
    becomes: Standing


def consequences(
    planner: Planner, supposed: Supposition, now: float, give_way: Callable[[], None]
) -> Iterator[Consequence]:
    """Every Service of ours for which something changes, in order of name; the planner stays as it
    is.

    `now` is of the clock of the turns, in seconds.  `give_way` is called for each Service; the
    planner may change between two entries.
    """
    routing = _routing(planner, supposed, now)
    for key in sorted(planner.decisions):
        give_way()
        decision = planner.decisions.get(key)
        if decision is None or not decision.outcome.held:
            continue
        after = _after(decision, routing)
        addresses = [held.address for held in decision.outcome.held]
        was = {address: planner.announcements(address) for address in addresses}
        becomes = {address: routing.wanted(address) for address in addresses}
        if (decision.state, was) == (after.state, becomes):
            continue
        standings = [
            Standing(state, tuple((address, shares_in_use(paths)) for address, paths in of.items()))
            for state, of in ((decision.state, was), (after.state, becomes))
        ]
        if standings[0] != standings[1]:
            yield Consequence(key, *standings)


def _after(decision: Decision, routing: Routing) -> Decision:
    """The decision as it would be; one without a verdict on its routes stays."""
    if decision.announced is None:
        return decision
    return replace(decision, announced=routing.announced(decision.service, decision.outcome))


def _routing(planner: Planner, supposed: Supposition, now: float) -> Routing:
    """The routes of the supposed cluster."""
    cluster, nodes, drains = planner.cluster, planner.nodes, planner.drains
    if supposed.drained:
        drains = drains.supposing(supposed.node, now)
    else:
        cluster, nodes = cluster.without_endpoints_on(supposed.node), nodes.without(supposed.node)
    resolver = planner.resolver.supposing(cluster, nodes)
    if not supposed.drained:
        for key in list(planner.cluster.services_on(supposed.node)):
            resolver.update_backends(key)
    policy, allocator = planner.policy, planner.allocator
    paths = PathAssembly(path_rules(policy, allocator, nodes, resolver, drains))
    routing = Routing(cluster, allocator, resolver, paths, Guard(), policy.announce, policy.by_port)
    routing.peers = planner.eip_problems.peers
    return routing
