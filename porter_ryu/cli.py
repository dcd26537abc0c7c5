"""The `porter-ryu` command: runs the program, or prints what it does or would do.

`commands` has a module for each command.  No input of a user ends in a traceback: each error is one
line, and the exit status is 2.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

import porter_ryu_compat
from porter_ryu.domain.text import one_line
from porter_ryu.exit_status import ExitStatus

porter_ryu_compat.install()

from porter_ryu.commands import (  # noqa: E402
    check,
    completion,
    config,
    explain,
    history,
    importing,
    plan,
    routes,
    run,
    status,
    stop,
    support_bundle,
)
from porter_ryu.commands.arguments import CommandError  # noqa: E402
from porter_ryu.remote import RemoteError  # noqa: E402
from porter_ryu.version import VERSION  # noqa: E402

_EXIT_STATUSES = (
    "Exit status: 0: success. 1: the command found a problem and printed it. 2: the command could "
    "not be carried out; the reason is printed. 130: interrupted. 141: the reader of the output "
    "closed the pipe."
)


class Command(Protocol):
    """What a module of `commands` has."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Adds the arguments of the command."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Carries the command out; returns the exit status."""


COMMANDS: Mapping[str, Command] = {
    "run": run,
    "check": check,
    "plan": plan,
    "explain": explain,
    "status": status,
    "routes": routes,
    "history": history,
    "config": config,
    "support-bundle": support_bundle,
    "import": importing,
    "stop": stop,
    "completion": completion,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status (docs/cli.md lists them)."""
    _open_streams()
    try:
        arguments = _parsed(argv)
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(str(error))
    except RemoteError as error:
        return _fail(one_line(str(error)))
    except BrokenPipeError:
        _discard(sys.stdout)  # whoever reads the pipe has seen enough
        return ExitStatus.PIPE_CLOSED
    except OSError as error:
        from porter_ryu.log import reason_of

        _discard(sys.stdout)
        return _fail(": ".join(str(e) for e in (error.filename, reason_of(error)) if e))
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    finally:
        _flush_errors()
    return status


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; raises SystemExit after --help, --version and an error, or OSError if what
    was asked for cannot be printed."""
    try:
        return parser().parse_args(argv)
    except SystemExit:
        sys.stdout.flush()
        raise


def _open_streams() -> None:
    """Makes both output streams usable: a closed one discards, and text that the terminal cannot
    show is escaped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    made = _Parser(
        prog="porter-ryu",
        description="Runs Porter-Ryu, or shows what it does or would do.",
        epilog=_EXIT_STATUSES,
    )
    made.add_argument("--version", action=_Version, help="show the version and exit")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.HELP, description=command.HELP)
        sub.set_defaults(run=command.run, program=made)
        command.add_arguments(sub)
    return made


class _Parser(argparse.ArgumentParser):
    """A parser whose help fails if it cannot be written: argparse would ignore that."""

    def print_help(self, file: Any = None) -> None:
        """Prints the help (argparse.ArgumentParser)."""
        print(self.format_help(), end="", file=file)


class _Version(argparse.Action):
    """Prints the version."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Prints and ends (argparse.Action)."""
        print(f"porter-ryu {VERSION}")
        parser.exit()


def _discard(stream: TextIO) -> None:
    """Discards what a stream has buffered, so that flushing it at exit cannot fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _flush_errors() -> None:
    """Python would end with another status if what was printed of an error cannot be written."""
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _fail(text: str) -> int:
    """Prints each line of an error and returns the exit status."""
    with contextlib.suppress(OSError):
        for line in text.splitlines():
            print(one_line(line), file=sys.stderr)
    return ExitStatus.UNABLE
