"""`porter-ryu run`: ryu-manager with this application, also from an editable install."""

from __future__ import annotations

import argparse

from porter_ryu.commands.arguments import add_config_file
from porter_ryu.commands.reading import read_settings

HELP = "Run the program."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until the program ends; returns its exit status."""
    # must come first: it patches threading before any other module creates a lock
    from ryu.cmd.manager import main as ryu_manager

    # ryu-manager prints a traceback for a file that it cannot read
    read_settings(arguments.config_file)
    files = [f"--config-file={path}" for path in arguments.config_file]
    status = ryu_manager(args=[*files, "porter_ryu.app"], prog="porter-ryu")
    return int(status or 0)
