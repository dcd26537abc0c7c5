"""`porter-ryu import`: the manifests of another load balancer, converted to ours."""

from __future__ import annotations

import argparse

from porter_ryu.commands.arguments import CommandError, add_output, filled
from porter_ryu.commands.printing import print_json, print_lines
from porter_ryu.exit_status import ExitStatus

HELP = "Convert the manifests of another load balancer."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("origin", choices=["openelb", "metallb"], help="whose manifests they are")
    text = "directory with the output of kubectl get -o yaml"
    parser.add_argument("directory", type=filled("DIR"), metavar="DIR", help=text)
    text = "directory to write to (default porter-ryu-import)"
    parser.add_argument(
        "--output",
        type=filled("--output"),
        metavar="OUT",
        dest="target",
        default="porter-ryu-import",
        help=text,
    )
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the files, and prints their paths and what has no counterpart; WRONG if there is
    such."""
    from porter_ryu.importers import acceptance, metallb, openelb, reading, writing

    convert = {"metallb": metallb.convert, "openelb": openelb.convert}[arguments.origin]
    try:
        found = convert(reading.read(arguments.directory))
        acceptance.remove_invalid_settings(found)
        paths = writing.write(found, arguments.target)
    except reading.ImportingError as error:
        raise CommandError(str(error)) from error
    if arguments.output == "json":
        print_json({"written": [str(path) for path in paths], "lost": list(found.lost)})
    else:
        print_lines([*(f"written: {path}" for path in paths), *found.lost])
    return ExitStatus.WRONG if found.lost else ExitStatus.FINE
