"""Which Services depend on a node: those that it carries, and those that would use it, with the
reason why they do not."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.explanation import verdict_on
from porter_ryu.domain.model import Family, ObjectKey
from porter_ryu.domain.node_traffic import NodeTraffic, Routes
from porter_ryu.domain.node_uses import unserved
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.verdict import NodeReason, Verdict


class Unserved(Struct, frozen=True):
    """Services that would use a node, or have endpoints on it, and do not use it for one reason, in
    order of name; `alone` are those of them that have no next hop at all."""

    verdict: Verdict[NodeReason]
    services: tuple[ObjectKey, ...]
    alone: tuple[ObjectKey, ...]


class NodeDependents(Struct, frozen=True):
    """The Services that have a node as a next hop, in order of name, those of them that have no
    other, and those that have others, of which each is drained; and the others that depend on it,
    most of them first."""

    services: tuple[ObjectKey, ...]
    alone: tuple[ObjectKey, ...]
    others_drained: tuple[ObjectKey, ...]
    unserved: tuple[Unserved, ...]


def node_dependents(
    planner: Planner, routes: Routes, node: str, now: float, give_way: Callable[[], None]
) -> NodeDependents:
    """What depends on a node, whether there is a Node of this name or not.

    `now` is of the clock of the turns, in seconds.  `give_way` is called for each Service; the
    planner may change meanwhile."""
    traffic = NodeTraffic(planner, routes)
    services, alone, others_drained = [], [], []
    drained = {name for name, _ in planner.drains.all()}
    for key in sorted(planner.decisions):
        give_way()
        decision = planner.decisions.get(key)
        nodes = traffic.nodes(decision) if decision is not None else frozenset()
        if node in nodes:
            services.append(key)
            if len(nodes) == 1:
                alone.append(key)
            elif nodes - {node} <= drained:
                others_drained.append(key)
    found: dict[Verdict[NodeReason], list[tuple[ObjectKey, bool]]] = {}
    for decision, nodes in unserved(planner, traffic, node, give_way):
        verdict = _why_not(planner, decision, node, now)
        found.setdefault(verdict, []).append((decision.service.key, not nodes))
    groups = (
        Unserved(
            verdict,
            tuple(key for key, _ in entries),
            tuple(key for key, is_alone in entries if is_alone),
        )
        for verdict, entries in found.items()
    )
    most_first = sorted(groups, key=lambda group: -len(group.services))
    lists = (tuple(services), tuple(alone), tuple(others_drained))
    return NodeDependents(*lists, tuple(most_first))


def _why_not(planner: Planner, decision: Decision, node: str, now: float) -> Verdict[NodeReason]:
    """Why a node carries no traffic of a Service."""
    held = decision.outcome.held
    families = {Family(one.address.version) for one in held}
    general = [planner.nodes.verdict(node, family).verdict for family in sorted(families)]
    if not any(verdict.ok for verdict in general):
        return general[0]  # of a node that cannot be used nothing else needs to be said
    for one in held:
        verdict = verdict_on(planner, decision.service, one.address, node, now).verdict
        if not verdict.ok:
            return verdict
    told = decision.verdict
    text = told.message if not told.ok else "its address is not announced yet"
    return Verdict(False, NodeReason.NEXT_HOP, text)
