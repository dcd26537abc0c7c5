"""The state of an instance in one value: is all well, what hurts most, and what mends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from porter_ryu import report_losses, report_nodes, report_switches, rfc3339
from porter_ryu.bgp.peer_report import ESTABLISHED
from porter_ryu.domain import overview, problems
from porter_ryu.domain.kept_routes import KeptBy
from porter_ryu.domain.model import Kind
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import SourceState
from porter_ryu.domain.problems import Problem, ProblemReason
from porter_ryu.domain.reach import IsSent
from porter_ryu.domain.text import counted, shortened
from porter_ryu.domain.verdict import Reason
from porter_ryu.report_losses import Tally
from porter_ryu.report_nodes import Record
from porter_ryu.report_problems import (
    Health,
    of_files,
    of_objects,
    of_switches,
    of_the_process,
    of_the_stop,
)
from porter_ryu.report_sessions import of_sessions
from porter_ryu.report_unsent import UnsentServices
from porter_ryu.version import VERSION

Json = dict[str, Any]

# they change although nothing else does: a directory is looked at all the time
VOLATILE = ("now", "source.lastEvent", "source.lastList")
_MAX_TEXT_CHARACTERS = 1_000


def status(
    planner: Planner,
    peers: Sequence[Json],
    switches: Sequence[Json],
    is_sent: IsSent,
    kept_by: KeptBy,
    health: Health,
    record: Record,
    now: float,
    give_way: Callable[[], None],
) -> Json:
    """The whole state; `peers` are as `report_peers.peers` makes them, `switches` as
    `report_switches.switch`, `now` is Unix time.
    `give_way` is called for each piece of work, to let other greenthreads run."""
    unsent = UnsentServices(planner, peers, kept_by)
    reasons = health.source.unreadable_reasons
    tally = report_losses.tally(planner, unsent, is_sent, give_way, reasons)
    of_services = tally.problems(planner, unsent, time.monotonic())
    found = list(_problems(planner, peers, switches, health, tally, of_services))
    total, unreachable = tally.states.total(), tally.unreachable
    up = {peer["peer"] for peer in peers if peer["state"] == ESTABLISHED}
    sessions = sum(peer["state"] == ESTABLISHED for peer in peers)
    filled = sum(switch["state"] == report_switches.UP for switch in switches)
    well = _well(tally, len(up), filled, health.announces)
    if health.earlier:
        well = "no Service is announced yet"
    return {
        "version": VERSION,
        "startedAt": rfc3339.text(record.started_at),
        "recordedSince": rfc3339.text(record.complete_since),
        "now": rfc3339.text(now),
        "ready": not health.unready,
        "unready": shortened(health.unready, _MAX_TEXT_CHARACTERS),
        "faults": list(health.faults),
        "role": health.role.name.lower(),
        "source": _source(health.source),
        "summary": problems.summary(found, total, unreachable, well),
        "ok": not found,
        "problems": [_problem(entry) for entry in found],
        "services": {"total": total, "states": dict(sorted(tally.states.items()))},
        "notes": [
            *filter(None, [health.source.note]),
            *health.pending,
            *report_nodes.notes(planner),
        ],
        "peers": {"total": len({peer["peer"] for peer in peers}), "established": len(up)},
        "sessions": {"total": len(peers), "established": sessions},
        "switches": {"total": len(switches), "filled": filled},
        "eips": _eips(planner),
        "nodes": report_nodes.totals(planner, record, give_way),
    }


def _problems(
    planner: Planner,
    peers: Sequence[Json],
    switches: Sequence[Json],
    health: Health,
    tally: Tally,
    of_services: Iterable[Problem],
) -> Iterator[Problem]:
    """What is wrong, ranked.  Of an instance that was stopped nothing else follows from its
    parts."""
    unreadable = [
        *of_files(planner, health.source, tally.of(ProblemReason.FILE_UNREADABLE)),
        *of_objects(planner, health.source, tally.of(ProblemReason.OBJECT_UNREADABLE)),
    ]
    if health.stopped is not None:
        yield of_the_stop(health.stopped, tally.unsent, tally.at_risk)
        costing = [*of_services, *(found for found in unreadable if found.services)]
        others = [p for p in costing if p.reason is not ProblemReason.NOT_SENT]
    else:
        others = [
            *of_services,
            *of_sessions(peers, tally),
            *of_the_process(health),
            *unreadable,
            *of_switches(switches),
        ]
    yield from problems.ranked(others)


def _source(source: SourceState) -> Json:
    return {
        "what": source.what,
        "lastEvent": _times(source.last_event),
        "lastList": _times(source.last_list),
        "trouble": shortened(source.trouble, _MAX_TEXT_CHARACTERS),
    }


def _times(by_kind: Mapping[Kind, float]) -> dict[str, str | None]:
    return {kind.value: rfc3339.text(by_kind[kind]) if kind in by_kind else None for kind in Kind}


def _problem(entry: Problem) -> Json:
    return {
        "what": entry.what,
        "reason": entry.reason.value,
        "services": entry.services,
        "atRisk": entry.at_risk,
        "objects": list(entry.objects),
        "objectsTotal": entry.total,
        "mend": entry.mend,
    }


def _well(tally: Tally, established: int, filled: int, announces: bool) -> str:
    announced = tally.states[Reason.ANNOUNCED.value]
    if filled:
        peers = f"{counted(established, 'peer')} and " if announces else ""
        to = f"{filled:,} {'switch' if filled == 1 else 'switches'}"
        return f"{counted(announced, 'Service')} announced to {peers}{to}"
    if not announces:
        allocated = tally.states[Reason.ALLOCATED.value]
        return f"{counted(allocated, 'Service')} with an address; BGP is not enabled"
    return f"{counted(announced, 'Service')} announced to {counted(established, 'peer')}"


def _eips(planner: Planner) -> Json:
    statuses = [status for _, status in overview.eips(planner)]
    return {
        "total": len(planner.cluster.keys(Kind.EIP)),
        "ready": sum(status.ready for status in statuses),
        "size": sum(status.pool_size for status in statuses),
        "used": sum(status.usage for status in statuses),
    }
