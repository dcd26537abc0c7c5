"""`porter-ryu plan`: a dry run over the cluster as it is, or its difference from an instance."""

from __future__ import annotations

import argparse

from porter_ryu.commands.arguments import DEFAULT_URL, add_config_file, add_output
from porter_ryu.commands.printing import print_value
from porter_ryu.commands.reading import read_planner
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, understood

HELP = "Show what would be allocated, bound and announced; change nothing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser)
    text = "show only the differences from a running instance"
    parser.add_argument("--diff", action="store_true", help=text)
    text = f"URL of that instance (default {DEFAULT_URL})"
    parser.add_argument("--url", default=DEFAULT_URL, metavar="URL", help=text)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the plan; with --diff WRONG if something would change."""
    from porter_ryu import report, report_text

    remote = Remote(arguments.url) if arguments.diff else None
    entry = report.plan(read_planner(arguments.config_file))
    as_json = arguments.output == "json"
    if remote is None:
        print_value(entry, report_text.plan, as_json)
        return ExitStatus.FINE
    with understood(arguments.url):
        changes = report.difference(remote.get("/v1/plan", dict), entry)
        print_value(changes, report_text.difference, as_json)
    return ExitStatus.WRONG if changes else ExitStatus.FINE
