"""Arguments that several commands have, with one name and one help text each."""

from __future__ import annotations

import argparse
from collections.abc import Callable

DEFAULT_URL = "http://127.0.0.1:8080"
_URL = f"URL of the HTTP interface of a running instance (default {DEFAULT_URL})"


class CommandError(Exception):
    """A command cannot be carried out; the message has a line for each reason."""


def filled(name: str) -> Callable[[str], str]:
    """The type of an argument of that name which must not be empty, as an unset variable of a
    shell is; raises CommandError."""

    def checked(text: str) -> str:
        if not text:
            raise CommandError(f"{name}: it is empty")
        return text

    return checked


def add_config_file(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds --config-file, which can be given several times."""
    text = "configuration file; can be given several times, a later file overrides earlier ones"
    parser.add_argument(
        "--config-file",
        type=filled("--config-file"),
        required=required,
        metavar="FILE",
        action="append",
        help=text,
    )


def add_url(parser: argparse.ArgumentParser) -> None:
    """Adds --url, with its default value."""
    parser.add_argument(
        "--url", type=filled("--url"), default=DEFAULT_URL, metavar="URL", help=_URL
    )


def add_optional_url(
    parser: argparse.ArgumentParser,
    without: str = "with --config-file and without --url, show what would be done",
) -> None:
    """Adds --url to a command that has another meaning without it, which `without` says."""
    text = f"{_URL}; {without}"
    parser.add_argument("--url", type=filled("--url"), metavar="URL", help=text)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Adds -o."""
    text = "text for people (default), or json, whose keys docs/cli.md lists"
    parser.add_argument("-o", dest="output", choices=["text", "json"], default="text", help=text)
