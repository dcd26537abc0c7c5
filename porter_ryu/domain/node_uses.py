"""What each node does: whether it can be a next hop, how many Services and paths lead to it, and
how many Services would use it if they could."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Set

from msgspec import Struct

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey
from porter_ryu.domain.node_traffic import NodeTraffic, Routes
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.shares import shares
from porter_ryu.domain.text import counted
from porter_ryu.domain.verdict import NodeReason, Verdict

_ALL = 100.0


class NodeUse(Struct, frozen=True):
    """A node: the addresses that it reports, the verdict on it as a next hop, whether it is dead by
    its probes, how many Services have it as a next hop, and its share in per cent of all paths that
    get traffic.

    `draining`: it is drained, and traffic may still come to it; `drained`: none does any more.
    `alone`: how many of the Services have no other next hop.  `waiting`: how many Services would
    use it, if it were usable and not drained; `waiting_alone`: how many of these have no next hop.
    """

    name: str
    addresses: tuple[Address, ...]
    verdict: Verdict[NodeReason]
    draining: bool
    drained: bool
    dead: bool
    services: int
    alone: int
    waiting: int
    waiting_alone: int
    share: float


class _Counts(Struct, frozen=True):
    """By name of a node, how many Services have it as a next hop, have no other next hop, and have
    none that is not drained."""

    services: collections.Counter[str]
    alone: collections.Counter[str]
    drained_alone: collections.Counter[str]


def node_uses(
    planner: Planner, routes: Routes, give_way: Callable[[], None], only: str = ""
) -> Iterator[NodeUse]:
    """Every node in order of name, or `only` the one of this name; also one that could never be
    read.  `give_way` is called for each piece of work; the planner may change between two nodes."""
    traffic = NodeTraffic(planner, routes)
    counts = _count(planner, traffic, give_way)
    paths = _paths(planner, routes, give_way)
    total = paths.total()
    dead = planner.probed_nodes.dead
    unread = {entry.key.name for entry in planner.cluster.never_read(Kind.NODE)}
    for name in sorted(planner.nodes.names() | unread):
        give_way()
        node = planner.nodes.node(name)
        if (node is None and name not in unread) or only not in ("", name):
            continue
        verdict = node_verdict(planner, name, counts.services[name], counts.drained_alone[name])
        waiting = waiting_alone = 0
        if not verdict.ok or planner.nodes.is_drained(name):
            for _, nodes in unserved(planner, traffic, name, give_way):
                waiting += 1
                waiting_alone += not nodes
        yield NodeUse(
            name,
            tuple(entry.address for entry in node.addresses) if node is not None else (),
            verdict,
            verdict.reason is NodeReason.DRAINING,
            verdict.reason is NodeReason.DRAINED,
            name in dead,
            counts.services[name],
            counts.alone[name],
            waiting,
            waiting_alone,
            _ALL * paths[name] / total if total else 0.0,
        )


def unserved(
    planner: Planner, traffic: NodeTraffic, node: str, give_way: Callable[[], None]
) -> Iterator[tuple[Decision, frozenset[str]]]:
    """The Services, in order of name, that have endpoints on a node, or would use it for another
    reason, and do not; each with the nodes that carry its traffic.

    There need not be a Node of this name."""
    for key in sorted(_concerned(planner, node)):
        give_way()
        decision = planner.decisions.get(key)
        if decision is None or not decision.outcome.held:
            continue
        nodes = traffic.nodes(decision)
        if node not in nodes and _would_use(planner, decision, node):
            yield decision, nodes


def is_drained(planner: Planner, node: str) -> bool:
    """Whether the drain of a node is finished: its time is over, and it is to carry the traffic of
    no Service any more."""
    drain = planner.drains.of(node)
    if drain is None or not drain.over:
        return False
    decisions = [planner.decisions.get(key) for key in _concerned(planner, node)]
    known = [decision for decision in decisions if decision is not None]
    addresses = {held.address for decision in known for held in decision.outcome.held}
    traffic = NodeTraffic(planner, {a: planner.announcements(a) for a in addresses})
    return not any(node in traffic.nodes(decision) for decision in known)


def node_verdict(
    planner: Planner, name: str, services: int = 0, drained_alone: int = 0
) -> Verdict[NodeReason]:
    """Whether a node can be a next hop in one family at least, or why not; and whether it is
    drained.

    `services` have it as a next hop; `drained_alone` of them have no next hop that is not drained.
    While there is one, the drain of the node is not finished.
    """
    verdicts = [planner.nodes.verdict(name, family).verdict for family in Family]
    usable = [verdict for verdict in verdicts if verdict.ok]
    # nearly every node has addresses of one family alone
    told = [verdict for verdict in verdicts if verdict.reason is not NodeReason.NO_ADDRESS]
    verdict = [*usable, *told, *verdicts][0]
    drain = planner.drains.of(name)
    if drain is None or not verdict.ok:
        return verdict
    cause = planner.drains.cause(name)
    if drain.over and not services:
        return Verdict(True, NodeReason.DRAINED, f"drained {cause}")
    text = f"being drained {cause}"
    if drain.over:
        text += f", which is not finished: it still carries {counted(services, 'Service')}"
        verb = "has" if services == 1 else "have"
        if drained_alone == services:
            text += f", which {verb} no next hop that is not drained"
        else:
            text += f", which {verb} no other next hop that every peer may have"
    elif drained_alone:
        verb = "Service has" if drained_alone == 1 else "Services have"
        text += f"; {drained_alone:,} {verb} no next hop that is not drained, and will stay on it"
    return Verdict(True, NodeReason.DRAINING, text)


def _count(planner: Planner, traffic: NodeTraffic, give_way: Callable[[], None]) -> _Counts:
    alike: collections.Counter[frozenset[str]] = collections.Counter()
    for decision in list(planner.decisions.values()):
        give_way()
        alike[traffic.nodes(decision)] += 1
    counts = _Counts(collections.Counter(), collections.Counter(), collections.Counter())
    drained = {name for name, _ in planner.drains.all()}
    for nodes, count in alike.items():
        alone, drained_alone = len(nodes) == 1, nodes <= drained
        for name in nodes:
            counts.services[name] += count
            counts.alone[name] += count if alone else 0
            counts.drained_alone[name] += count if drained_alone else 0
    return counts


def _paths(
    planner: Planner, routes: Routes, give_way: Callable[[], None]
) -> collections.Counter[str]:
    """How many paths that get traffic lead to each node."""
    paths: collections.Counter[str] = collections.Counter()
    sets = collections.Counter(map(id, routes.values()))
    by_id = {id(announcements): announcements for announcements in routes.values()}
    for number, count in sets.items():
        give_way()
        for name in _with_traffic(planner, by_id[number]):
            paths[name] += count
    return paths


def _with_traffic(planner: Planner, announcements: Announcements) -> Set[str]:
    used = planner.sending.in_use(tuple(announcements), planner.policy.by_port)
    return {path.next_hop.node for path, share in shares(tuple(used)).items() if share != 0}


def _concerned(planner: Planner, node: str) -> Iterable[ObjectKey]:
    """The Services that may be among those that would use a node."""
    found = set(planner.cluster.services_on(node))
    if planner.resolver.depends_on(node):
        found.update(planner.decisions)
    return found


def _would_use(planner: Planner, decision: Decision, node: str) -> bool:
    """Whether a Service has endpoints on a node, ready or not, or would use it for another
    reason."""
    key = decision.service.key
    families = {Family(held.address.version) for held in decision.outcome.held}
    endpoints = (
        endpoint.node == node
        for piece in planner.cluster.slices_of(key)
        if piece.family in families
        for endpoint in piece.endpoints
    )
    return any(endpoints) or any(
        planner.resolver.is_candidate(node, decision.service, family) for family in families
    )
