"""`porter-ryu history`: what a running instance changed, and why."""

from __future__ import annotations

import argparse

from porter_ryu.commands.arguments import CommandError, add_output, add_url
from porter_ryu.commands.printing import print_value
from porter_ryu.exit_status import ExitStatus
from porter_ryu.history.subject import FORMS, About
from porter_ryu.remote import Remote, segment, understood

HELP = "Show what a running instance changed, and why; the newest is last."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = f"{FORMS} (default: everything)"
    parser.add_argument("about", nargs="*", metavar="SUBJECT", help=text)
    add_url(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the changes."""
    from porter_ryu import report_changes

    query = ""
    if arguments.about:
        about = " ".join(arguments.about)
        try:
            About(about)
        except ValueError as error:
            raise CommandError(str(error)) from error
        query = f"?about={segment(about)}"
    with understood(arguments.url):
        entries = Remote(arguments.url).get(f"/v1/changes{query}", list)
        as_json, limit = arguments.output == "json", report_changes.MAX_TEXT_CHARACTERS + 100
        print_value(entries, report_changes.table, as_json, limit=limit)
    return ExitStatus.FINE
