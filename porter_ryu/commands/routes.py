"""`porter-ryu routes`: what a peer is announced now, or was sent last in a session that is over,
with the attributes of each path."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from porter_ryu.commands.arguments import CommandError, add_output, add_url, filled
from porter_ryu.commands.printing import (
    BAD,
    BFD_UP,
    GOOD,
    TIME,
    WARNING,
    print_columns,
    print_json,
    printable_json,
    seconds,
    show,
    styled,
    table,
)
from porter_ryu.domain.text import listed, quoted
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, segment, understood

HELP = "Show what a peer is announced now, or was sent last, with the attributes of each path."

Json = dict[str, Any]
_HEADINGS = ("PREFIX", "NEXT HOP", "NODE", "ATTRIBUTES", TIME)
_UP = "Established"
_MAX_FOLDED = 500  # rows of a table of which long cells are folded: that takes a millisecond each


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = "name of the peer, as in [peer:NAME]"
    parser.add_argument("peer", type=filled("PEER"), metavar="PEER", help=text)
    text = "an address or a prefix (default: all)"
    parser.add_argument("prefix", nargs="?", type=filled("PREFIX"), metavar="PREFIX", help=text)
    add_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the paths of each session with the peer, of one that is down those that were sent
    last; WRONG if none is announced."""
    prefix = None if arguments.prefix is None else _prefix(arguments.prefix)
    with understood(arguments.url):
        remote = Remote(arguments.url)
        sessions = _sessions(remote, arguments.peer)
        found = {session["name"]: _routes(remote, session, prefix) for session in sessions}
        if arguments.output == "json":
            print_json([{"session": name, **r} for name, routes in found.items() for r in routes])
        else:
            shown = printable_json(found)
            for session in printable_json(sessions):
                _print(session, shown[session["name"]], prefix, len(sessions) > 1)
    announced = any(route["announced"] for routes in found.values() for route in routes)
    return ExitStatus.FINE if announced else ExitStatus.WRONG


def _prefix(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise CommandError(f"{quoted(text)} is not an address or a prefix") from None


def _sessions(remote: Remote, name: str) -> list[Json]:
    """The sessions of this name, or with the peer of this name; raises CommandError if there is
    none."""
    peers: list[Json] = remote.get("/v1/peers", list)
    sessions = [peer for peer in peers if name in (peer["name"], peer["peer"])]
    if not sessions:
        names = listed(list(dict.fromkeys(str(peer["peer"]) for peer in peers)), 20)
        there = f"the peers are {names}" if peers else "there are no peers"
        raise CommandError(f"there is no peer {quoted(name)}; {there}")
    return sessions


def _routes(remote: Remote, session: Json, prefix: str | None) -> list[Json]:
    chosen = [] if prefix is None else [f"prefix={segment(prefix)}"]
    if session["state"] != _UP:
        chosen.append("last=true")
    query = f"?{'&'.join(chosen)}" if chosen else ""
    path = f"/v1/peers/{segment(session['name'])}/routes{query}"
    routes: list[Json] = remote.get(path, list)
    return routes


def _print(session: Json, routes: list[Json], prefix: str | None, several: bool) -> None:
    up = session["state"] == _UP
    if not routes or not up:
        show(styled(_nothing(session, prefix), BAD))
    if not up:
        show(styled(_last(session, routes, prefix), WARNING))
    if not routes:
        return
    if several:
        show(styled(f"{session['name']}:"))
    if session["bfd"]:
        show(_bfd(session["bfd"]))
    rows = list(_rows(routes))
    if len(rows) > _MAX_FOLDED:
        print_columns(_HEADINGS, rows)
    else:
        show(table(_HEADINGS, rows))


def _bfd(bfd: Json) -> Any:
    """Whether BFD watches the path to the peer."""
    why = f": {bfd['reason']}" if bfd["reason"] else ""
    text = f"BFD is {bfd['state']} since {seconds(bfd['since'])}{why}"
    return styled(text, GOOD if bfd["state"] == BFD_UP else BAD)


def _nothing(peer: Json, prefix: str | None) -> str:
    of = "" if prefix is None else f" of {prefix}"
    since = f" since {seconds(peer['since'])}" if peer["since"] else ""
    why = "" if peer["state"] == _UP else f": its session is {peer['state']}, down{since}"
    error = f": {peer['lastError']}" if why and peer["lastError"] else ""
    return f"{peer['name']} is announced nothing{of}{why}{error}"


def _last(peer: Json, routes: list[Json], prefix: str | None) -> str:
    """What was sent last in a session that is down, and whether the peer keeps it."""
    of = "" if prefix is None else f" of {prefix}"
    if not routes:
        return f"nothing{of} is known that it was sent last"
    if peer["routesKeptUntil"]:
        return f"it keeps what it was sent last{of}, until about {seconds(peer['routesKeptUntil'])}"
    return f"what it was sent last{of}, which it may have removed:"


def _rows(routes: list[Json]) -> Iterator[tuple[str, ...]]:
    before = None
    for route in routes:
        same, before = route["prefix"] == before, route["prefix"]
        prefix = "" if same else route["prefix"]
        said = ", ".join(_attributes(route)) or "-"
        since = seconds(route["since"]) if route["since"] else "-"
        yield prefix, route["nextHop"], route["node"] or "-", said, since


def _attributes(route: Json) -> Iterator[str]:
    if route["communities"]:
        yield f"communities {' '.join(route['communities'])}"
    if route["localPref"] is not None:
        yield f"local-pref {route['localPref']}"
    if route["med"] is not None:
        yield f"MED {route['med']}"
    if route["asPathPrepend"]:
        yield f"prepended {route['asPathPrepend']} times"
    if route["weight"]:
        yield f"weight {route['weight']}"
