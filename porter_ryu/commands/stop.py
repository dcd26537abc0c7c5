"""`porter-ryu stop`: ends a running instance for good."""

from __future__ import annotations

import argparse

from porter_ryu import control_token
from porter_ryu.commands.arguments import CommandError, add_output, add_url, filled
from porter_ryu.commands.printing import print_json
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote

HELP = "Stop a running instance permanently."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_url(parser)
    text = f"control.token in the state_dir of the instance (default {control_token.DEFAULT})"
    parser.add_argument(
        "--token-file",
        type=filled("--token-file"),
        default=control_token.DEFAULT,
        metavar="FILE",
        help=text,
    )
    text = "withdraw all routes and unbind all addresses; required (SIGTERM stops without that)"
    parser.add_argument("--withdraw", action="store_true", required=True, help=text)
    text = "keep the process idle until SIGTERM, so that a supervisor does not restart it"
    parser.add_argument("--stay", action="store_true", help=text)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Asks the instance to stop."""
    try:
        token = control_token.read(arguments.token_file)
    except (OSError, ValueError) as error:
        from porter_ryu.log import reason_of

        reason = reason_of(error)
        text = f"{arguments.token_file}: {reason} (name the token with --token-file)"
        raise CommandError(text) from error
    stay = "&stay=true" if arguments.stay else ""
    Remote(arguments.url).post(f"/v1/stop?withdraw=true{stay}", token)
    text = "the instance is stopping; its log and exit status tell whether all was withdrawn"
    if arguments.output == "json":
        print_json({"stopping": True, "message": text})
    else:
        print(text)
    return ExitStatus.FINE
