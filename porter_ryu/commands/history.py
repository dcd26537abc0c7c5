"""`porter-ryu history`: what a running instance changed, and why."""

from __future__ import annotations

import argparse
from ipaddress import ip_network
from typing import Any

from porter_ryu.commands.arguments import CommandError, add_output, add_url
from porter_ryu.commands.printing import print_json, print_text, printable_json, width
from porter_ryu.domain.text import listed, quoted
from porter_ryu.exit_status import ExitStatus
from porter_ryu.history.subject import FORMS, About
from porter_ryu.remote import Remote, segment, understood

HELP = "Show what a running instance changed, and why; the newest is last."

_MAX_LISTED = 20
Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = f"{FORMS} (default: everything)"
    parser.add_argument("about", nargs="*", metavar="SUBJECT", help=text)
    add_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the changes, or how far back the record goes and whether the subject exists."""
    query, words = "", " ".join(arguments.about).split()
    if arguments.about:
        about = " ".join(arguments.about)
        try:
            About(about)
        except ValueError as error:
            raise CommandError(str(error)) from error
        query = f"?about={segment(about)}"
    with understood(arguments.url):
        remote = Remote(arguments.url)
        entries: list[Json] = remote.get(f"/v1/changes{query}", list)
        if arguments.output == "json":
            print_json(entries)
        else:
            unknown = "" if entries or not words else _unknown(remote, words)
            _print(entries, remote.get("/v1/version", dict), words, unknown)
    return ExitStatus.FINE


def _print(entries: list[Json], version: Json, words: list[str], unknown: str) -> None:
    from porter_ryu import report_changes

    began, since = version["startedAt"], printable_json(version["recordedSince"])
    if not entries:
        started = ", when the process started" if since == began else ""
        of = f" of {quoted(' '.join(words), 300)}" if words else ""
        none = [f"no change{of} is on record", f"the record goes back to {since}{started}"]
        print_text("\n".join([unknown, *none] if unknown else none))
        return
    if since != began:
        print_text(f"changes before {since} are not on record any more")
    for entry in printable_json(entries, limit=report_changes.MAX_TEXT_CHARACTERS + 100):
        print("\n".join(report_changes.lines(entry, width())))


def _unknown(remote: Remote, words: list[str]) -> str:
    """A sentence if nothing has the name of the subject; empty if something has, and for an
    address."""
    kind, name = words[0], words[-1]
    if kind == "peer":
        peers = remote.get("/v1/peers", list)
        return _missing(kind, name, [n for peer in peers for n in (peer["peer"], peer["name"])])
    if kind == "node":
        return _missing("Node", name, [node["node"] for node in remote.get("/v1/nodes", list)])
    if kind == "eip":
        return _missing("Eip", name, [eip["name"] for eip in remote.get("/v1/eips", list)])
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
