"""`porter-ryu history`: what a running instance changed, and why."""

from __future__ import annotations

import argparse
import re
import time
from datetime import datetime, timezone
from ipaddress import ip_network
from typing import Any, NamedTuple

from porter_ryu.commands.arguments import CommandError, add_output, add_url
from porter_ryu.commands.printing import print_json, print_text, printable_json, width
from porter_ryu.domain.text import listed, quoted
from porter_ryu.exit_status import ExitStatus
from porter_ryu.history.subject import FORMS, RESTART, About
from porter_ryu.remote import Remote, segment, understood

HELP = "Show what a running instance changed, and why; the newest is last."

_UNREADABLE = "Unreadable"  # the reason of an Eip that never was readable
_MAX_LISTED, _MAX_DIGITS = 20, 9
_DURATION = re.compile("".join(f"(?:([0-9]{{1,9}}){unit})?" for unit in "dhms"))
Json = dict[str, Any]
_KINDS = {
    "peer": ("session", "reload"),
    "node": ("node", "route", "restart"),
    "eip": ("pool",),
    RESTART: ("restart",),
}
_KINDS_OF_SERVICES = ("address", "route", "binding", "restart")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = f"{FORMS} (default: everything)"
    parser.add_argument("about", nargs="*", metavar="SUBJECT", help=text)
    text = "only what changed since then: how long ago, as 90s, 10m, 2h, 1d, or a time as printed"
    parser.add_argument("--since", metavar="TIME", help=text)
    text = "only the newest N entries"
    parser.add_argument("--limit", metavar="N", help=text)
    text = "show each change by itself; otherwise many with one cause are one entry"
    parser.add_argument("--all", action="store_true", help=text)
    add_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the changes, or how far back the record goes and whether the subject exists."""
    words = " ".join(arguments.about).split()
    query = []
    if arguments.about:
        about = " ".join(arguments.about)
        try:
            About(about)
        except ValueError as error:
            raise CommandError(str(error)) from error
        query.append(f"about={segment(about)}")
    since = None if arguments.since is None else _since(arguments.since)
    limit = 0 if arguments.limit is None else _limit(arguments.limit)
    if since is not None and since.seconds:
        query.append(f"seconds={since.seconds}")
    with understood(arguments.url):
        remote = Remote(arguments.url)
        entries: list[Json] = remote.get(
            f"/v1/changes{'?' if query else ''}{'&'.join(query)}", list
        )
        if since is not None and since.time:
            entries = [entry for entry in entries if _time(entry["time"]) >= since.time]
        if arguments.output == "json":
            print_json(entries[-limit:])
        elif entries:
            every_one = arguments.all or _is_one(words)
            version = remote.get("/v1/version", dict)
            for line in _missing_before(version, words, since):
                print_text(line)
            _print(entries, every_one, limit)
        else:
            _print_none(remote, words, "" if since is None else f" since {since.text}")
    return ExitStatus.FINE


class _Since(NamedTuple):
    """How long ago, in seconds, or a Unix time (0: the other), and how it was written."""

    text: str
    seconds: int
    time: float


def _since(text: str) -> _Since:
    """The value of --since; raises CommandError."""
    found = _DURATION.fullmatch(text)
    if found is not None and text:
        numbers = (int(part or 0) for part in found.groups())
        seconds = sum(n * unit for n, unit in zip(numbers, (86_400, 3600, 60, 1), strict=True))
        if seconds:
            return _Since(text, seconds, 0.0)
    try:
        return _Since(text, 0, _time(text))
    except ValueError:
        what = "90s, 10m, 2h, 1d or 2026-03-01T08:31:02Z"
        raise CommandError(f"--since: {quoted(text)} is not a time such as {what}") from None


def _time(text: str) -> float:
    """The Unix time of a text by RFC 3339, without a zone in UTC; raises ValueError."""
    at = datetime.fromisoformat(text.upper().replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()


def _limit(text: str) -> int:
    """The value of --limit; raises CommandError."""
    if not (text.isascii() and text.isdecimal() and int(text[:_MAX_DIGITS]) > 0):
        raise CommandError(f"--limit: {quoted(text)} is not a number, 1 at least")
    return int(text[:_MAX_DIGITS])


def _is_one(words: list[str]) -> bool:
    """Whether one Service or address is asked about: then every change is told by itself."""
    return len(words) == 1 and words != [RESTART]


def _missing_before(version: Json, words: list[str], since: _Since | None) -> list[str]:
    """What is not on record although it was asked for: what was before the process, and what a
    storm pushed out."""
    began = 0.0
    if since is not None:
        # only lines that are true are printed, also if the clocks differ
        began = since.time or time.time() - since.seconds
    told, started = [], version["startedAt"]
    if _time(started) > began and words != [RESTART]:
        told.append(f"the record goes back to {printable_json(started)}, when the process started")
    kinds = _KINDS.get(words[0] if words else "", _KINDS_OF_SERVICES)
    for kind, at in version["incompleteBefore"].items():
        if _time(at) > began and (not words or kind in kinds):
            text = printable_json(f"of kind {kind} not all changes before {at} are on record")
            told.append(str(text))
    return told


def _print(entries: list[Json], every_one: bool, limit: int) -> None:
    from porter_ryu import report_changes, report_storms

    printable = printable_json(entries, limit=report_changes.MAX_TEXT_CHARACTERS + 100)
    if every_one:
        told = [list(report_changes.lines(entry, width())) for entry in printable]
    else:
        told = list(report_storms.entries(printable, width()))
    for entry_lines in told[-limit:]:
        print("\n".join(entry_lines))


def _print_none(remote: Remote, words: list[str], since: str) -> None:
    """There is no change: how far back the record goes, and whether the subject exists."""
    version = remote.get("/v1/version", dict)
    recorded = printable_json(version["recordedSince"])
    started = ", when the process started" if recorded == version["startedAt"] else ""
    of = f" of {quoted(' '.join(words), 300)}" if words else ""
    unknown = _unknown(remote, words) if words else ""
    concerned = not words or words[0] not in ("peer", "eip", RESTART)
    restart = started and not since and concerned
    gone = restart and unknown and words[0] != "node"
    lines = (
        unknown,
        f"no change{of} is on record{since}",
        f"the record goes back to {recorded}{started}",
        "this process knows nothing of an earlier Service of that name" if gone else "",
        "what the restart changed: porter-ryu history restart" if restart else "",
        "what became of its address: porter-ryu history ADDRESS" if gone else "",
    )
    print_text("\n".join(filter(None, lines)))


def _unknown(remote: Remote, words: list[str]) -> str:
    """A sentence if nothing has the name of the subject; empty if something has, and for an
    address."""
    kind, name = words[0], words[-1]
    if kind == RESTART:
        return "the restart is on record once all lists are read"
    if kind == "peer":
        peers = remote.get("/v1/peers", list)
        return _missing(kind, name, [n for peer in peers for n in (peer["peer"], peer["name"])])
    if kind == "node":
        return _missing("Node", name, [node["node"] for node in remote.get("/v1/nodes", list)])
    if kind == "eip":
        eips = {eip["name"]: eip for eip in remote.get("/v1/eips", list)}
        unread = name in eips and eips[name]["reason"] == _UNREADABLE
        text = f"Eip {quoted(name)}: {eips[name]['message']}" if unread else ""
        return text or _missing("Eip", name, list(eips))
    namespace, _, service = kind.partition("/")
    if not service or _is_prefix(kind):
        return ""
    path = f"/v1/services/{segment(namespace)}/{segment(service)}"
    return "" if remote.get(path, dict)["found"] else f"there is no Service {quoted(kind)}"


def _is_prefix(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _missing(kind: str, name: str, names: list[str]) -> str:
    if name in names:
        return ""
    there = listed(sorted({quoted(each) for each in names}), _MAX_LISTED) or "none"
    return f"there is no {kind} {quoted(name)}; there is {there}"
