"""`porter-ryu check`: what in the configuration, on this host or in the cluster would prevent
operation."""

from __future__ import annotations

import argparse

from porter_ryu.commands.arguments import CommandError, add_config_file, add_output
from porter_ryu.commands.printing import print_json
from porter_ryu.exit_status import ExitStatus

HELP = "Validate the configuration, and check this host, its peers and the cluster."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints one line for each finding; WRONG if there is one."""
    from porter_ryu.check.outcome import of_errors
    from porter_ryu.settings import read
    from porter_ryu.settings_file import BadConfigurationError

    as_json = arguments.output == "json"
    try:
        settings = read(arguments.config_file)
    except BadConfigurationError as error:
        if not as_json:
            raise CommandError(str(error)) from error
        print_json(of_errors(error.faults).json)
        return ExitStatus.UNABLE
    from porter_ryu.check.report import inspect  # not before: most of what a command can load

    found = inspect(settings)
    if as_json:
        print_json(found.json)
    else:
        print(found.text)
    return ExitStatus.WRONG if found.findings else ExitStatus.FINE
