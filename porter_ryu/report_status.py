"""The state of an instance in one value: is all well, what hurts most, and what mends it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from porter_ryu import report_nodes, report_switches, rfc3339
from porter_ryu.domain import overview, problems
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Kind, ObjectKey
from porter_ryu.domain.node_uses import node_verdict
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.ports import Role, SourceState
from porter_ryu.domain.problems import Problem, ProblemReason, problem
from porter_ryu.domain.reach import IsSent, is_recorded, was_sent
from porter_ryu.domain.text import listed, shortened
from porter_ryu.domain.verdict import Reason
from porter_ryu.version import VERSION

Json = dict[str, Any]

VOLATILE = ("now",)
_MAX_TEXT_CHARACTERS = 1_000
_CHECK = "porter-ryu check --config-file FILE"
_UP = "Established"


@dataclass(frozen=True, slots=True)
class Health:
    """What the parts say of themselves; a text is empty if there is nothing to say.

    `unready`: why the instance is not ready.  `faults`: a sentence for each unhealthy task.
    `not_loaded`: what is wrong with the configuration that was read last.  `not_bound`: why
    addresses could not be bound.  `announces`: [bgp] enabled.
    """

    unready: str
    faults: tuple[str, ...]
    role: Role
    source: SourceState
    not_loaded: tuple[str, ...] = ()
    not_bound: str = ""
    state_dir_writable: bool = True
    probes_doubted: bool = False
    announces: bool = True


@dataclass(slots=True)
class _Tally:
    """Services by their state, and those that cannot be reached by the reason, each with the first
    names."""

    states: collections.Counter[str] = field(default_factory=collections.Counter)
    lost: collections.Counter[Reason | ProblemReason] = field(default_factory=collections.Counter)
    first: dict[Reason | ProblemReason, list[ObjectKey]] = field(default_factory=dict)

    def lose(self, reason: Reason | ProblemReason, key: ObjectKey) -> None:
        """A Service cannot be reached."""
        self.lost[reason] += 1
        names = self.first.setdefault(reason, [])
        if len(names) < problems.MAX_OBJECTS:
            names.append(key)


def status(
    planner: Planner,
    peers: Sequence[Json],
    switches: Sequence[Json],
    is_sent: IsSent,
    health: Health,
    started_at: float,
    now: float,
    give_way: Callable[[], None],
) -> Json:
    """The whole state; `peers` are as `report_peers.peers` makes them, `switches` as
    `report_switches.switch`, times are Unix times.
    `give_way` is called for each piece of work, to let other greenthreads run."""
    tally = _tally(planner, is_sent, give_way)
    found = problems.ranked([*_problems(planner, peers, health, tally), *_of_switches(switches)])
    total, unreachable = tally.states.total(), tally.lost.total()
    up = {peer["peer"] for peer in peers if peer["state"] == _UP}
    sessions = sum(peer["state"] == _UP for peer in peers)
    filled = sum(switch["state"] == report_switches.UP for switch in switches)
    well = _well(tally, len(up), filled, health.announces)
    return {
        "version": VERSION,
        "startedAt": rfc3339.text(started_at),
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
        "notes": list(report_nodes.notes(planner)),
        "peers": {"total": len({peer["peer"] for peer in peers}), "established": len(up)},
        "sessions": {"total": len(peers), "established": sessions},
        "switches": {"total": len(switches), "filled": filled},
        "eips": _eips(planner),
        "nodes": _nodes(planner, give_way),
    }


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
        "objects": list(entry.objects),
        "mend": entry.mend,
    }


def _well(tally: _Tally, established: int, filled: int, announces: bool) -> str:
    announced = tally.states[Reason.ANNOUNCED.value]
    if filled:
        peers = f"{_count(established, 'peer')} and " if announces else ""
        to = f"{filled:,} {'switch' if filled == 1 else 'switches'}"
        return f"{_count(announced, 'Service')} announced to {peers}{to}"
    if not announces:
        allocated = tally.states[Reason.ALLOCATED.value]
        return f"{_count(allocated, 'Service')} with an address; BGP is not enabled"
    return f"{_count(announced, 'Service')} announced to {_count(established, 'peer')}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _eips(planner: Planner) -> Json:
    statuses = [status for _, status in overview.eips(planner)]
    return {
        "total": len(planner.cluster.eips),
        "ready": sum(status.ready for status in statuses),
        "size": sum(status.pool_size for status in statuses),
        "used": sum(status.usage for status in statuses),
    }


def _nodes(planner: Planner, give_way: Callable[[], None]) -> Json:
    names = list(planner.nodes.names())
    usable = 0
    for name in names:
        give_way()
        usable += node_verdict(planner, name).ok
    return {"total": len(names), "usable": usable}


# -- Services -------------------------------------------------------------------------------------


def _tally(planner: Planner, is_sent: IsSent, give_way: Callable[[], None]) -> _Tally:
    tally = _Tally()
    for key in sorted(planner.decisions):
        give_way()
        decision = planner.decisions.get(key)
        if decision is None:
            continue
        lost = _why_lost(planner, decision, is_sent)
        if lost is not None:
            tally.lose(lost, key)
        hidden = lost in (ProblemReason.NOT_SENT, ProblemReason.NOT_RECORDED)
        tally.states[Reason.ALLOCATED.value if hidden else decision.state] += 1
    return tally


def _why_lost(
    planner: Planner, decision: Decision, is_sent: IsSent
) -> Reason | ProblemReason | None:
    """Why a Service cannot be reached; None if it can, as far as this program knows."""
    verdict = decision.verdict
    if not verdict.ok:
        return verdict.reason
    if not is_recorded(decision):
        return ProblemReason.NOT_RECORDED
    if decision.announced is None or was_sent(planner, decision, is_sent):
        return None
    return ProblemReason.NOT_SENT


# -- problems -------------------------------------------------------------------------------------


def _problems(
    planner: Planner, peers: Sequence[Json], health: Health, tally: _Tally
) -> Iterator[Problem]:
    down = [peer for peer in peers if peer["state"] != _UP]
    for reason, count in tally.lost.items():
        if reason is not ProblemReason.NOT_SENT or not down:
            yield problems.of_services(reason, count, tally.first[reason], planner.policy.editing)
    for peer in down:
        yield _session_down(peer, tally.lost[ProblemReason.NOT_SENT])
    yield from _of_the_process(health)
    yield from _of_objects(planner)


def _session_down(peer: Json, services: int) -> Problem:
    since = f" since {peer['since']}" if peer["since"] else ""
    why = peer["lastError"] or "not connected yet"
    what = f"the session with {peer['name']} ({peer['address']}) is down{since}: {why}"
    mend = peer["hint"] or f"porter-ryu history peer {problems.quoted(peer['peer'])}"
    return problem(ProblemReason.SESSION_DOWN, what, mend, [peer["name"]], services)


def _of_switches(switches: Sequence[Json]) -> Iterator[Problem]:
    for switch in switches:
        name, refused = f"switch {switch['datapath']}", switch["refused"]
        if refused:
            what = f"{name} refuses {len(refused)} or more flows and groups: {refused[0]}"
            mend = "make room in its tables; what is refused is tried again every 10 s"
            yield problem(ProblemReason.SWITCH_NOT_FILLED, what, mend, [name])
        elif switch["state"] != report_switches.UP:
            what = f"{name} has not all of its flows yet: it is {switch['state']}"
            yield problem(ProblemReason.SWITCH_NOT_FILLED, what, "look at the log", [name])
        if switch["nodesDoubted"]:
            what = f"so many nodes stopped answering {name} at once that it is not believed"
            mend = "look at the links of the switch; [kubernetes] panic_percent"
            yield problem(ProblemReason.PROBES_DOUBTED, what, mend, [name])
        silent = [node["node"] for node in switch["nodes"] if not node["answers"]]
        if silent and switch["state"] == report_switches.UP:
            what = f"{name} gets no answer from {listed(silent)}, and sends nothing there"
            mend = "look at the node, and at its link to the switch"
            yield problem(ProblemReason.NODE_DEAD, what, mend, silent)


def _of_the_process(health: Health) -> Iterator[Problem]:
    if health.source.trouble:
        what = f"{health.source.what}: {health.source.trouble}; what is announced stays as it was"
        yield problem(ProblemReason.SOURCE_UNREADABLE, what, _CHECK)
    if health.source.unreadable:
        yield _of_files(health.source)
    if health.unready and not health.source.trouble:
        yield problem(ProblemReason.NOT_READY, health.unready, "look at the log")
    for fault in health.faults:
        yield problem(
            ProblemReason.TASK_FAULT, fault, "look at the log; if it lasts, restart the process"
        )
    if health.probes_doubted:
        what = "so many nodes stopped answering probes at once that it is not believed"
        mend = "look at the network of this host; [kubernetes] panic_percent"
        yield problem(ProblemReason.PROBES_DOUBTED, what, mend)
    if health.role is Role.UNKNOWN and not health.unready:
        what = "this instance cannot renew the Lease: no address is assigned, no status written"
        mend = "kubectl get lease -A; porter-ryu check --config-file FILE"
        yield problem(ProblemReason.LEADER_UNKNOWN, what, mend)
    if health.not_bound:
        what = f"addresses cannot be bound: {health.not_bound}"
        yield problem(ProblemReason.NOT_BOUND, what, _CHECK)
    if health.not_loaded:
        what = f"the configuration is not in force, the one before is: {health.not_loaded[0]}"
        yield problem(ProblemReason.CONFIGURATION_NOT_LOADED, what, _CHECK, health.not_loaded)
    if not health.state_dir_writable:
        what = "the journal of announced paths cannot be written: a restart may lose routes"
        yield problem(ProblemReason.STATE_DIR_UNWRITABLE, what, "df STATE_DIR; ls -ld STATE_DIR")


def _of_files(source: SourceState) -> Problem:
    first = source.unreadable_first
    what = (
        f"{_count(source.unreadable, 'file')} cannot be read, or not all of it, the last good "
        f"objects count: {first[0]}"
    )
    mend = "correct the file; the log has each of its errors"
    files = [fault.partition(":")[0] for fault in first]
    return problem(ProblemReason.FILE_UNREADABLE, what, mend, files)


def _of_objects(planner: Planner) -> Iterator[Problem]:
    editing = planner.policy.editing
    if planner.doubted:
        what = "so many nodes were lost at once that it is not believed: they count as before"
        mend = "porter-ryu history; if it is true, raise [kubernetes] panic_percent"
        yield problem(ProblemReason.NODES_DOUBTED, what, mend)
    for eip, eip_status in overview.eips(planner):
        if not eip_status.ready:
            serves = eip_status.serving is not None  # in its last good form
            does_not = "is not as its spec says" if serves else "does not serve"
            what = f"Eip {eip.name} {does_not}: {eip_status.message}"
            name = problems.quoted(eip.name)
            mend = editing.mend(f"kubectl describe eip {name}", f"Eip {name}")
            reason = ProblemReason.EIP_PROBLEM if serves else ProblemReason.EIP_NOT_SERVING
            yield problem(reason, what, mend, [eip.name])
    for name, text in sorted(planner.eip_problems.found().items()):
        word = problems.quoted(name)
        mend = editing.mend(f"kubectl edit eip {word}", f"Eip {word}")
        yield problem(ProblemReason.EIP_PROBLEM, f"Eip {name}: {text}", mend, [name])
    dead = sorted(planner.probed_nodes.dead)
    if dead:
        what = f"{listed(dead)} does not answer its probes, and is no next hop"
        mend = f"porter-ryu explain --node {problems.quoted(dead[0])}"
        yield problem(ProblemReason.NODE_DEAD, what, mend, dead)
    for kind in Kind:
        unreadable = sorted(planner.cluster.all_unreadable(kind), key=lambda entry: entry.key)
        if unreadable:
            first = unreadable[0]
            what = (
                f"{_count(len(unreadable), kind.singular)} cannot be read, their last good form "
                f"counts: {first.key}: {first.reason}"
            )
            mend = editing.mend(
                f"kubectl get {kind.value} -A -o yaml; the log has each one",
                f"{kind.singular} {problems.quoted(str(first.key))}",
            )
            names = [str(entry.key) for entry in unreadable]
            yield problem(ProblemReason.OBJECT_UNREADABLE, what, mend, names)
