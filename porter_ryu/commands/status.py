"""`porter-ryu status`: the state of a running instance as tables, what is wrong first."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from porter_ryu.commands.arguments import add_output, add_url
from porter_ryu.commands.printing import (
    BAD,
    BFD_UP,
    FAINT,
    GOOD,
    TIME,
    WARNING,
    print_json,
    printable_json,
    seconds,
    show,
    styled,
    table,
)
from porter_ryu.domain.text import counted, listed
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, understood
from porter_ryu.report_switches import status_lines

HELP = "Show the problems, sessions, pools and Services of a running instance."

Json = dict[str, Any]
Cell = str | tuple[str, str]

_UNREADABLE = "Unreadable"  # the reason of an Eip that never was readable
_PARTS = {"status": dict, "peers": list, "eips": list}
_UP = "Established"
_NEARLY_FULL_PERCENT = 90
_MAX_POOLS = 50
_MINUTES_OF_AN_HOUR = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the state; WRONG if a session is down, or if a Service should be announced and is
    not, or if anything else is wrong that the instance knows of."""
    with understood(arguments.url):
        remote = Remote(arguments.url)
        found = {part: remote.get(f"/v1/{part}", shape) for part, shape in _PARTS.items()}
        if found["status"]["switches"]["total"]:
            found["switches"] = remote.get("/v1/switches", list)
        up = all(peer["state"] == _UP for peer in found["peers"])
        fine = bool(found["status"]["ok"]) and up
        if arguments.output == "json":
            print_json(found)
        else:
            show(*_parts(printable_json(found), fine))
    return ExitStatus.FINE if fine else ExitStatus.WRONG


def _parts(found: Json, fine: bool) -> Iterator[Any]:
    status = found["status"]
    yield styled(status["summary"], GOOD if fine else BAD)
    yield styled("")
    yield table(("", ""), _facts(status), headed=False)
    for problem in status["problems"]:
        yield from _problem(problem)
    if found["peers"]:
        yield styled("")
        yield table(("PEER", "ADDRESS", "AS", "STATE", TIME, "PATHS"), _peers(found["peers"]))
        yield from _notes(found["peers"])
        if any(peer["bfd"] for peer in found["peers"]):
            yield styled("")
            yield table(("BFD", "STATE", TIME, ""), _bfd(found["peers"]))
    for line in status_lines(found.get("switches", [])):
        yield styled(line)
    if found["eips"]:
        yield styled("")
        pools = _eips(found["eips"], status["now"])
        yield table(("POOL", "ADDRESSES", "STATE", "USED", "OF", ""), pools)
        if len(found["eips"]) > _MAX_POOLS:
            yield styled(f"and {len(found['eips']) - _MAX_POOLS} more pools (-o json has all)")
    states = status["services"]["states"]
    if states:
        yield styled("")
        rows = sorted(states.items(), key=lambda entry: -entry[1])
        yield table(("SERVICES", "STATE"), ((str(count), _state(state)) for state, count in rows))


def _facts(status: Json) -> Iterator[tuple[Cell, Cell]]:
    yield "version", f"{status['version']}, running since {seconds(status['startedAt'])}"
    ready: Cell = "yes" if status["ready"] else (f"no: {status['unready']}", BAD)
    yield "ready", ready
    yield "role", status["role"]
    source = status["source"]
    yield "source", source["what"]
    if source["trouble"]:
        yield "", (source["trouble"], BAD)
    yield "last heard", _heard(source)
    nodes, peers, sessions = status["nodes"], status["peers"], status["sessions"]
    yield "peers", _share(peers["established"], peers["total"], "with a session")
    if sessions != peers:
        yield "sessions", _share(sessions["established"], sessions["total"], "Established")
    yield "nodes", _nodes(nodes)
    for line in _unusable(nodes, status["recordedSince"]):
        yield "", (line, WARNING)
    services = status["services"]
    announced = services["states"].get("Announced", 0)
    yield "Services", _share(announced, services["total"], "announced")
    for note in status["notes"]:
        yield "note", (note, WARNING)
    for fault in status["faults"]:
        yield "fault", (fault, BAD)


def _heard(source: Json) -> str:
    """When all was read last, and when a change: a source that is listed is heard, whether
    something changes or not."""
    lists = [time for time in source["lastList"].values() if time]
    events = sorted(time for time in source["lastEvent"].values() if time)
    listed_at = f"listed {seconds(min(lists))}" if lists else "not listed yet"
    changed = f"last event {seconds(events[-1])}" if events else "no event since the start"
    return f"{listed_at}, {changed}"


def _nodes(nodes: Json) -> Cell:
    """How many nodes are usable, and how many of them carry nothing, or soon will."""
    drains = [
        f"{nodes[key]} {word}"
        for key, word in (("drained", "drained"), ("draining", "being drained"))
        if nodes[key]
    ]
    if not drains:
        return _share(nodes["usable"], nodes["total"], "usable")
    usable = f"{nodes['usable']:,} of {nodes['total']:,} usable"
    return f"{usable}, of these {', '.join(drains)}", WARNING


def _unusable(nodes: Json, recorded_since: str) -> Iterator[str]:
    """The nodes that are not usable, those with the same reason in one line, with since when each
    of them is."""
    alike: dict[str, list[Json]] = {}
    for node in nodes["unusable"]:
        alike.setdefault(node["why"], []).append(node)
    for why, found in alike.items():
        # at the time from which on all is recorded it was so already
        began = [f"since {seconds(node['since'] or f'before {recorded_since}')}" for node in found]
        if len(set(began)) == 1:
            yield f"{listed([node['node'] for node in found])}: {why} ({began[0]})"
        else:
            each = [f"{node['node']} ({when})" for node, when in zip(found, began, strict=True)]
            yield f"{listed(each)}: {why}"
    more = nodes["total"] - nodes["usable"] - len(nodes["unusable"])
    if more:
        yield f"and {more} more (/v1/nodes has all)"


def _share(count: int, total: int, what: str) -> Cell:
    text = f"{count:,} of {total:,} {what}"
    return text if count == total else (text, WARNING)


def _problem(problem: Json) -> Iterator[Any]:
    yield styled("")
    what, services = problem["what"], counted(problem["services"], "Service")
    if problem["services"] and not what.startswith(services):
        what = f"{what} (it costs {services})"
    if problem["atRisk"] and not what.startswith(counted(problem["atRisk"], "Service")):
        what = f"{what} (and {problem['atRisk']:,} more when routers remove the routes they keep)"
    yield styled(what, BAD)
    if problem["objects"]:
        yield styled(f"  about: {listed(problem['objects'], total=problem['objectsTotal'])}")
    yield styled(f"  what mends it: {problem['mend']}")


def _peers(peers: list[Json]) -> Iterator[tuple[Cell, ...]]:
    for peer in peers:
        state = peer["state"], GOOD if peer["state"] == _UP else BAD
        paths = ", ".join(f"{count} {family}" for family, count in peer["paths"].items())
        since = seconds(peer["since"] or "-")
        yield peer["name"], peer["address"], str(peer["remoteAs"]), state, since, paths or "-"


def _bfd(peers: list[Json]) -> Iterator[tuple[Cell, ...]]:
    for peer in peers:
        bfd = peer["bfd"]
        if bfd:
            state = bfd["state"], GOOD if bfd["state"] == BFD_UP else BAD
            yield peer["name"], state, seconds(bfd["since"]), bfd["reason"]


def _notes(peers: list[Json]) -> Iterator[Any]:
    """What a session that is up lacks, and who ended the last one of a peer that is down; why it
    is down is a problem."""
    for peer in peers:
        down = peer["lastDown"]
        if peer["state"] == _UP and peer["hint"]:
            yield styled(f"  {peer['name']}: {peer['hint']}", WARNING)
        elif peer["state"] != _UP and down is None:
            if peer["since"]:
                yield styled(f"  {peer['name']}: no session yet in this process", FAINT)
        elif peer["state"] != _UP:
            ended = f"last ended at {seconds(down['time'])} by {down['by']}: {down['reason']}"
            yield styled(f"  {peer['name']}: {ended}", FAINT)
            if peer["routesKeptUntil"]:
                until = seconds(peer["routesKeptUntil"])
                text = f"keeps the routes ({peer['pathsLeft']:,} paths) until about {until}"
                yield styled(f"  {peer['name']}: {text}", WARNING)


def _eips(eips: list[Json], now: str) -> Iterator[tuple[Cell, ...]]:
    for eip in eips[:_MAX_POOLS]:
        if eip["reason"] == _UNREADABLE:
            yield eip["name"], "", (eip["reason"], BAD), "", "", eip["message"]
            continue
        used, size = eip["usage"], eip["poolSize"]
        full = size and 100 * used >= _NEARLY_FULL_PERCENT * size
        state = eip["reason"], GOOD if eip["ready"] else BAD
        count: Cell = (str(used), WARNING) if full else str(used)
        share = f"{100 * used / size:.0f} %" if size else ""
        when = _full_in(eip["growth"], now)
        disabled = "disabled: no new address" if eip["disabled"] else ""
        note = "; ".join(filter(None, (share, disabled, when, eip["problem"])))
        yield eip["name"], eip["address"], state, count, str(size), note


def _full_in(growth: Json | None, now: str) -> str:
    """When an Eip is full if it goes on filling so; empty if it does not fill."""
    if growth is None:
        return ""
    minutes = round(growth["seconds"] / 60)
    of = "hour" if minutes == _MINUTES_OF_AN_HOUR else f"{minutes} minutes"
    left = _time(growth["fullAt"]) - _time(now)
    return f"at the rate of the last {of} full in {_span(left.total_seconds())}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _span(seconds: float) -> str:
    """A span of time in its largest unit that there are two of."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return "less than 2 minutes"


def _state(state: str) -> Cell:
    return state, GOOD if state == "Announced" else WARNING
