"""`porter-ryu plan`: a dry run over the cluster as it is, or what something would change."""

from __future__ import annotations

import argparse
import urllib.parse
from typing import Any

from porter_ryu.commands.arguments import (
    DEFAULT_URL,
    CommandError,
    add_config_file,
    add_output,
)
from porter_ryu.commands.printing import print_value
from porter_ryu.commands.reading import planned_cluster, read_planner
from porter_ryu.domain.verdict import NodeReason
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, understood

HELP = "Show what would be allocated, bound and announced, or what would change; change nothing."

Json = dict[str, Any]
_DRAINING = NodeReason.DRAINING.value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser, required=False)
    what = parser.add_mutually_exclusive_group()
    text = "show only the differences from a running instance"
    what.add_argument("--diff", action="store_true", help=text)
    text = "show what these manifests would change if they were applied"
    what.add_argument("--with", dest="manifests", metavar="FILE", help=text)
    text = "show what the drain of this node would change at a running instance"
    what.add_argument("--drain", metavar="NODE", help=text)
    text = "show what the loss of this node would change at a running instance"
    what.add_argument("--without", metavar="NODE", help=text)
    text = f"URL of the running instance (default {DEFAULT_URL})"
    parser.add_argument("--url", default=DEFAULT_URL, metavar="URL", help=text)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan; where it prints differences, WRONG if something would change."""
    if arguments.drain or arguments.without:
        return _what_if(arguments)
    if not arguments.config_file:
        raise CommandError("plan needs --config-file, unless it asks for --drain or --without")
    if arguments.manifests:
        return _with_manifests(arguments)
    return _plan(arguments)


def _plan(arguments: argparse.Namespace) -> int:
    from porter_ryu import report, report_text

    if not arguments.diff:
        entry = report.plan(read_planner(arguments.config_file))
        print_value(entry, report_text.plan, arguments.output == "json")
        return ExitStatus.FINE
    with understood(arguments.url):
        remote = Remote(arguments.url)
        nodes = remote.get("/v1/nodes", list)
        draining = [str(node["node"]) for node in nodes if node["reason"] == _DRAINING]
    planner = read_planner(arguments.config_file, draining)
    with understood(arguments.url):
        changes = report.difference(remote.get("/v1/plan", dict), report.plan(planner))
        return _print_changes(changes, arguments)


def _what_if(arguments: argparse.Namespace) -> int:
    question = "drain" if arguments.drain else "without"
    node = urllib.parse.quote(arguments.drain or arguments.without, safe="")
    with understood(arguments.url):
        found = Remote(arguments.url).get(f"/v1/plan?{question}={node}", list)
        return _print_changes(found, arguments)


def _print_changes(changes: list[Json], arguments: argparse.Namespace) -> int:
    from porter_ryu import report_text

    print_value(changes, report_text.difference, arguments.output == "json")
    return ExitStatus.WRONG if changes else ExitStatus.FINE


def _with_manifests(arguments: argparse.Namespace) -> int:
    from porter_ryu import report, report_text
    from porter_ryu.commands.staging import stage

    planner, codec = planned_cluster(arguments.config_file)
    before = report.plan(planner)
    staged = stage(planner, codec, arguments.manifests)
    planner.turn(lambda: None, now=0.0)
    after = report.plan(planner)
    names = {key.name for key in staged}
    found = {
        "services": report.difference(before, after),
        "eips": [eip for eip in after["eips"] if eip["name"] in names],
    }
    print_value(found, report_text.staged, arguments.output == "json")
    return ExitStatus.WRONG if found["services"] else ExitStatus.FINE
