"""Sessions, and what is announced in them, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from porter_ryu import rfc3339
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.peer_table import SentPath
from porter_ryu.bgp.session_history import LastDown
from porter_ryu.domain.communities import Communities

Json = dict[str, Any]

# they change with each second, and follow from other keys
VOLATILE = ("establishedSeconds", "dampedSeconds")


def peers(reports: Iterable[PeerReport]) -> list[Json]:
    """One entry for each session, in the order of the reports."""
    return [peer(report) for report in reports]


def peer(report: PeerReport) -> Json:
    """One session; docs/http.md explains each key."""
    return {
        "name": report.name,
        "peer": report.peer,
        "address": report.address,
        "localAddress": report.local_address,
        "remoteAs": report.remote_as,
        "state": report.state,
        "since": _time(report.since),
        "establishedSeconds": report.established_seconds,
        "holdTime": report.hold_time,
        "families": list(report.families),
        "addPath": list(report.add_path),
        "gracefulRestart": report.graceful_restart,
        "role": report.role,
        "peerRole": report.peer_role,
        "paths": dict(report.paths),
        "lastUp": _time(report.last_up),
        "lastUpdateSent": _time(report.last_update_sent),
        "lastError": report.last_error,
        "lastDown": _last_down(report.last_down),
        "routesKeptUntil": _time(report.kept_until),
        "pathsLeft": report.paths_left,
        "dampedSeconds": report.damped_seconds,
        "bfd": _bfd(report.bfd),
        "hint": report.hint,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339.text(seconds)


def _last_down(down: LastDown | None) -> Json | None:
    if down is None:
        return None
    return {
        "time": rfc3339.text(down.time),
        "reason": down.reason,
        "cause": down.cause.value,
        "by": down.by.value,
    }


def _bfd(report: BfdReport | None) -> Json | None:
    if report is None:
        return None
    return {
        "state": report.state,
        "since": _time(report.since),
        "reason": report.reason,
        "intervalMs": report.interval_ms,
        "multiplier": report.multiplier,
    }


def routes(session: str, paths: Iterable[SentPath]) -> Iterator[Json]:
    """One entry for each path that is announced in a session, or was last, in the same order."""
    for path in paths:
        said = path.said
        yield {
            "session": session,
            "prefix": str(path.prefix),
            "nextHop": str(said.next_hop),
            "node": path.node,
            "pathId": path.path_id,
            "communities": Communities(said.communities, said.large_communities).texts(),
            "med": said.med,
            "localPref": path.local_pref,
            "asPathPrepend": path.prepended,
            "weight": path.weight,
            "announced": path.since is not None,
            "since": _time(path.since),
        }
