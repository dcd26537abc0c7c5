"""The nodes as JSON: which of them can be next hops, and what leads to each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from porter_ryu import report_last_good, rfc3339
from porter_ryu.domain import last_good, service_mending
from porter_ryu.domain.model import Kind
from porter_ryu.domain.node_dependents import NodeDependents, Unserved, node_dependents
from porter_ryu.domain.node_traffic import Routes
from porter_ryu.domain.node_uses import NodeUse, is_drained, node_uses, node_verdict
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import listed, shortened

Json = dict[str, Any]

_MAX_TEXT_CHARACTERS = 1_000
_MAX_NODES = 100  # that are named with what is wrong with them


class Record(Struct, frozen=True):
    """What the record of this process says; Unix times.

    `complete_since`: from then on all changes are known.  `changed_at`: when something else was
    said of a node last; a node that is not in it is as it was at `complete_since`.
    """

    started_at: float
    complete_since: float
    changed_at: Mapping[str, float] = field(default_factory=dict)

    def since(self, node: str) -> str | None:
        """Since when a node is as it is; None: since before `complete_since`."""
        return rfc3339.text(self.changed_at[node]) if node in self.changed_at else None


def totals(planner: Planner, record: Record, give_way: Callable[[], None]) -> Json:
    """How many nodes there are, how many are usable, and how many of these are drained; which are
    not usable, and why."""
    unread = {entry.key.name for entry in planner.cluster.never_read(Kind.NODE)}
    names = sorted(planner.nodes.names() | unread)
    unusable = []
    for name in names:
        give_way()
        verdict = node_verdict(planner, name)
        if not verdict.ok:
            unusable.append((name, verdict))
    out = {name for name, _ in unusable}
    drains = [is_drained(planner, name) for name, _ in planner.drains.all() if name not in out]
    return {
        "total": len(names),
        "usable": len(names) - len(unusable),
        "draining": drains.count(False),
        "drained": drains.count(True),
        "unusable": [
            {
                "node": name,
                "reason": verdict.reason.value,
                "why": shortened(verdict.message, _MAX_TEXT_CHARACTERS),
                "since": record.since(name),
            }
            for name, verdict in unusable[:_MAX_NODES]
        ],
    }


def nodes(planner: Planner, routes: Routes, give_way: Callable[[], None]) -> Iterator[Json]:
    """One entry for every node, in order of name."""
    for use in node_uses(planner, routes, give_way):
        yield _node(planner, use)


def node(
    planner: Planner,
    routes: Routes,
    name: str,
    record: Record | None,
    give_way: Callable[[], None],
) -> Json:
    """One node, and the Services that depend on it.  `found` says whether there is a Node of this
    name: Services may have endpoints on one that is gone.  `record` is None for a dry run."""
    entry: Json = {"node": name, "found": False, "usable": False}
    for use in node_uses(planner, routes, give_way, only=name):
        entry = {"found": True, **_node(planner, use)}
    if not entry["found"]:
        verdict = node_verdict(planner, name)
        entry |= {"reason": verdict.reason.value, "why": verdict.message}
    depending = node_dependents(planner, routes, name, time.monotonic(), give_way)
    entry["lastGood"] = report_last_good.entries(last_good.of_node(planner, name))
    entry["since"] = None if record is None else record.since(name)
    entry["recordedSince"] = None if record is None else rfc3339.text(record.complete_since)
    return entry | _dependents(depending)


def _node(planner: Planner, use: NodeUse) -> Json:
    verdict = NodeVerdict(use.name, None, use.verdict)
    return {
        "node": use.name,
        "addresses": [str(address) for address in use.addresses],
        "usable": use.verdict.ok,
        "reason": use.verdict.reason.value,
        "why": shortened(use.verdict.message, _MAX_TEXT_CHARACTERS),
        "mend": "" if use.verdict.ok else service_mending.of_node(planner, verdict, ""),
        "draining": use.draining,
        "drained": use.drained,
        "dead": use.dead,
        "services": use.services,
        "alone": use.alone,
        "waiting": use.waiting,
        "waitingAlone": use.waiting_alone,
        "share": round(use.share, 1),
    }


def _dependents(depending: NodeDependents) -> Json:
    return {
        "dependents": [str(key) for key in depending.services],
        "dependentsAlone": [str(key) for key in depending.alone],
        "dependentsOthersDrained": [str(key) for key in depending.others_drained],
        "unserved": [_unserved(group) for group in depending.unserved],
    }


def _unserved(group: Unserved) -> Json:
    return {
        "reason": group.verdict.reason.value,
        "why": shortened(group.verdict.message, _MAX_TEXT_CHARACTERS),
        "services": [str(key) for key in group.services],
        "alone": [str(key) for key in group.alone],
    }


def notes(planner: Planner) -> Iterator[str]:
    """What should be known, and is no problem: the nodes that are drained."""
    finished = {name: is_drained(planner, name) for name, _ in planner.drains.all()}
    for over, text in (False, "being drained"), (True, "drained"):
        names = [name for name, is_finished in finished.items() if is_finished is over]
        if names:
            causes = listed(list(dict.fromkeys(map(planner.drains.cause, names))))
            subject = "node" if len(names) == 1 else "nodes"
            verb = "is" if len(names) == 1 else "are"
            yield f"{subject} {listed(names)} {verb} {text} ({causes})"
