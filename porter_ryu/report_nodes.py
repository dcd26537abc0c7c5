"""The nodes as JSON: which of them can be next hops, and what leads to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from porter_ryu.domain.node_uses import Routes, node_uses
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import listed, shortened

Json = dict[str, Any]

_MAX_TEXT_CHARACTERS = 1_000


def nodes(planner: Planner, routes: Routes, give_way: Callable[[], None]) -> Iterator[Json]:
    """One entry for every node, in order of name."""
    for use in node_uses(planner, routes, give_way):
        yield {
            "node": use.name,
            "addresses": [str(address) for address in use.addresses],
            "usable": use.verdict.ok,
            "reason": use.verdict.reason.value,
            "why": shortened(use.verdict.message, _MAX_TEXT_CHARACTERS),
            "drained": use.drained,
            "dead": use.dead,
            "services": use.services,
            "share": round(use.share, 1),
        }


def notes(planner: Planner) -> Iterator[str]:
    """What should be known, and is no problem: the nodes that are drained."""
    for over, text in (False, "being drained"), (True, "drained"):
        names = [name for name, drain in planner.drains.all() if drain.over is over]
        if names:
            causes = listed(list(dict.fromkeys(map(planner.drains.cause, names))))
            subject = "node" if len(names) == 1 else "nodes"
            verb = "is" if len(names) == 1 else "are"
            yield f"{subject} {listed(names)} {verb} {text} ({causes})"
