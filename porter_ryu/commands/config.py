"""`porter-ryu config`: the effective settings, each with where it comes from; without secrets."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from porter_ryu.commands.arguments import CommandError, add_config_file, add_output
from porter_ryu.commands.printing import (
    FAINT,
    print_json,
    show,
    styled,
    table,
)
from porter_ryu.exit_status import ExitStatus
from porter_ryu.report_text import printable_json

if TYPE_CHECKING:
    from porter_ryu.settings_origins import Origin

HELP = "Show the effective settings and where each comes from; without secrets."

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser)
    text = "leave out what is at its default"
    parser.add_argument("--changed", action="store_true", help=text)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the settings."""
    entries = settings_json(arguments.config_file)
    if arguments.changed:
        entries = [entry for entry in entries if entry["source"] != "default"]
    if arguments.output == "json":
        print_json(entries)
    else:
        show(*_tables(printable_json(entries)))
    return ExitStatus.FINE


def settings_json(files: Sequence[str]) -> list[Json]:
    """The effective settings as JSON; raises CommandError with one line for each error."""
    from porter_ryu.settings_file import BadConfigurationError
    from porter_ryu.settings_origins import origins

    try:
        return [_json(origin) for origin in origins(files)]
    except BadConfigurationError as error:
        raise CommandError(str(error)) from error


def _json(origin: Origin) -> Json:
    return {
        "group": origin.group,
        "key": origin.key,
        "value": origin.value,
        "means": origin.means,
        "source": origin.source,
        "where": origin.where,
        "needsRestart": origin.needs_restart,
    }


def _tables(entries: list[Json]) -> Iterator[Any]:
    """The groups one after the other; files are named once, because their paths are long."""
    files = list(dict.fromkeys(_file(entry) for entry in entries if entry["source"] == "file"))
    names = {file: f"[{number}] " if len(files) > 1 else "" for number, file in enumerate(files, 1)}
    for file in files:
        yield styled(f"{names[file]}{file}", FAINT)
    for group in dict.fromkeys(entry["group"] for entry in entries):
        yield styled(f"[{group}]")
        rows = (_row(entry, names) for entry in entries if entry["group"] == group)
        yield table(("", "", ""), rows, headed=False)


def _file(entry: Json) -> str:
    file: str = entry["where"].rpartition(":")[0]
    return file


def _row(entry: Json, names: Mapping[str, str]) -> tuple[str | tuple[str, str], ...]:
    value = _text(entry["value"])
    means = f"({entry['means']})" if entry["means"] else ""
    shown = " ".join(filter(None, (value, means)))
    where: str | tuple[str, str] = entry["where"]
    if entry["source"] == "file":
        line = entry["where"].rpartition(":")[2]
        where = f"{names[_file(entry)]}line {line}"
    elif entry["source"] == "default":
        where = "default", FAINT
    return f"  {entry['key']} =", shown, where


def _text(value: Any) -> str:
    """A value as in a configuration file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
