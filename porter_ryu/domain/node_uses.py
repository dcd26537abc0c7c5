"""What each node does: whether it can be a next hop, and how many Services and paths lead to it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from porter_ryu.domain.announcement import Announcements, in_use
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.verdict import NodeReason, Verdict

Routes = Mapping[Address | Network, Announcements]
"""What is announced of each address and aggregate."""

_ALL = 100.0


@dataclass(frozen=True, slots=True)
class NodeUse:
    """A node: the addresses that it reports, the verdict on it as a next hop, whether it is drained
    or dead by its probes, how many Services have it as a next hop, and its share of all paths in
    per cent."""

    name: str
    addresses: tuple[Address, ...]
    verdict: Verdict[NodeReason]
    drained: bool
    dead: bool
    services: int
    share: float


def node_uses(planner: Planner, routes: Routes, give_way: Callable[[], None]) -> Iterator[NodeUse]:
    """Every node in order of name.  `give_way` is called for each piece of work; the planner may
    change between two nodes."""
    services = _services(planner, routes, give_way)
    paths: collections.Counter[str] = collections.Counter()
    sets = collections.Counter(map(id, routes.values()))
    by_id = {id(announcements): announcements for announcements in routes.values()}
    for number, count in sets.items():
        give_way()
        for name in _nodes(by_id[number]):
            paths[name] += count
    total = paths.total()
    dead = planner.probed_nodes.dead
    for name in sorted(planner.nodes.names()):
        give_way()
        node = planner.nodes.node(name)
        if node is not None:
            yield NodeUse(
                name,
                tuple(entry.address for entry in node.addresses),
                node_verdict(planner, name),
                planner.nodes.is_drained(name),
                name in dead,
                services[name],
                _ALL * paths[name] / total if total else 0.0,
            )


def leads_to(planner: Planner, decision: Decision, node: str) -> bool:
    """Whether a Service has a node as a next hop."""
    return any(
        node in _nodes(planner.announcements(held.address)) for held in decision.outcome.held
    )


def node_verdict(planner: Planner, name: str) -> Verdict[NodeReason]:
    """Whether a node can be a next hop in one family at least, or why not; and whether it is
    drained."""
    verdicts = [planner.nodes.verdict(name, family).verdict for family in Family]
    usable = [verdict for verdict in verdicts if verdict.ok]
    # nearly every node has addresses of one family alone
    told = [verdict for verdict in verdicts if verdict.reason is not NodeReason.NO_ADDRESS]
    verdict = [*usable, *told, *verdicts][0]
    drain = planner.drains.of(name)
    if drain is None or not verdict.ok:
        return verdict
    reason = NodeReason.DRAINED if drain.over else NodeReason.DRAINING
    state = "drained" if drain.over else "being drained"
    return Verdict(True, reason, f"{state} {planner.drains.cause(name)}")


def _services(
    planner: Planner, routes: Routes, give_way: Callable[[], None]
) -> collections.Counter[str]:
    """How many Services have each node as a next hop."""
    alike: collections.Counter[frozenset[int]] = collections.Counter()
    sets: dict[int, Announcements] = {}
    for decision in list(planner.decisions.values()):
        give_way()
        found = {id(one): one for one in _announced(planner, decision, routes)}
        sets |= found
        alike[frozenset(found)] += 1
    services: collections.Counter[str] = collections.Counter()
    for numbers, count in alike.items():
        for name in {name for number in numbers for name in _nodes(sets[number])}:
            services[name] += count
    return services


def _announced(planner: Planner, decision: Decision, routes: Routes) -> Iterator[Announcements]:
    """What is announced of the addresses of a Service, or for aggregates in their place."""
    for held in decision.outcome.held:
        own = routes.get(held.address)
        if own:
            yield own
            continue
        for prefix in planner.aggregation.aggregates_of(held.address):
            if prefix in routes:
                yield routes[prefix]


def _nodes(announcements: Announcements) -> set[str]:
    return {path.next_hop.node for path in in_use(tuple(announcements))}
