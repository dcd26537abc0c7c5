"""What the endpoints need from the running parts, and what all requests share."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from msgspec import Struct

from porter_ryu import report, report_nodes, report_status
from porter_ryu.bgp.peer_table import LastTable, PeerTable
from porter_ryu.domain.kept_routes import KeptBy
from porter_ryu.domain.node_traffic import Routes
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.reach import IsSent
from porter_ryu.history.change import ChangeKind
from porter_ryu.history.record import History
from porter_ryu.http import page
from porter_ryu.http.exposition import Exposition
from porter_ryu.http.feed import ChangeFeed
from porter_ryu.http.gauge_values import ProcessState
from porter_ryu.http.responses import ConcurrencyLimit
from porter_ryu.http.shared_result import SharedResult
from porter_ryu.report_problems import Health
from porter_ryu.time_slice import TimeSlice

NAME = "porter_ryu"
MAX_STREAMS = 32
_MAX_LONG_RESPONSES = 3


def _no_growth(_eip: str) -> report.Json:
    return {"growth": None, "growthReason": ""}


class Context(Struct, frozen=True):
    """The running parts.

    `faults` returns a sentence for each unhealthy task.  `unready` returns why the instance is not
    ready, '' if it is.  `peer_table` returns what is announced in a session, `last_table` what was
    sent last in one that is down; None if there is no session of that name.  `routes` returns what
    is announced of each prefix.  `is_sent` says whether a peer was sent a prefix, `kept_by` which
    next hops of it peers keep without a session.  `stop` takes (withdraw, stay) and ends the
    instance; the process ends as well unless `stay` is true.  `token` is the control token that a
    stop request must carry.  `started_at` is Unix time.  `switches` returns the OpenFlow switches,
    `config` the settings in force, and `growth` how the Eip of a name fills, or why there is
    nothing to say.
    """

    planner: Planner
    faults: Callable[[], tuple[str, ...]]
    unready: Callable[[], str]
    health: Callable[[], Health]
    peers: report.Peers
    peer_table: Callable[[str], PeerTable | None]
    last_table: Callable[[str], LastTable | None]
    routes: Callable[[], Routes]
    sent: report.Sent
    unsent: report.Unsent
    is_sent: IsSent
    kept_by: KeptBy
    process: ProcessState
    stop: Callable[[bool, bool], None]
    token: str
    history: History
    started_at: float
    switches: Callable[[], list[report.Json]] = list
    config: Callable[[], report.Json] = dict
    growth: Callable[[str], report.Json] = _no_growth


class Shared:
    """The context, and what is made for several requests at once or limited for all of them."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.exposition = Exposition(context.planner, context.process)
        self.long_responses = ConcurrencyLimit(_MAX_LONG_RESPONSES)
        self.page = page.read()
        self.streams = ConcurrencyLimit(MAX_STREAMS)
        self.feed = ChangeFeed(context.history)
        self.status = SharedResult(functools.partial(_status, context))
        self.nodes = SharedResult(functools.partial(_nodes, context))


def record(context: Context) -> report_nodes.Record:
    """What the record of this process says of the nodes."""
    history = context.history
    return report_nodes.Record(
        context.started_at,
        history.complete_since(context.started_at),
        history.last_changes(ChangeKind.NODE, TimeSlice()),
    )


def _status(context: Context) -> report.Json:
    return report_status.status(
        context.planner,
        context.peers(),
        context.switches(),
        context.is_sent,
        context.kept_by,
        context.health(),
        record(context),
        time.time(),
        TimeSlice(),
    )


def _nodes(context: Context) -> list[report.Json]:
    return list(report_nodes.nodes(context.planner, context.routes(), TimeSlice()))
