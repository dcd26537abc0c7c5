"""`porter-ryu config`: the effective settings, each with where it comes from; without secrets.

With --config-file it shows what the files say, and what a running instance of these files does not
run with; without, what the instance runs with.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from porter_ryu.commands.arguments import (
    DEFAULT_URL,
    CommandError,
    add_config_file,
    add_optional_url,
    add_output,
)
from porter_ryu.commands.printing import (
    BAD,
    FAINT,
    WARNING,
    print_json,
    printable_json,
    show,
    styled,
    table,
)
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import Remote, RemoteError, shown, understood

HELP = "Show the effective settings and where each comes from; without secrets."

Json = dict[str, Any]
Key = tuple[str, str]
Lines = list[tuple[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    add_config_file(parser, required=False)
    text = "leave out what is at its default"
    parser.add_argument("--changed", action="store_true", help=text)
    text = "compare with this instance (default with --config-file: the one of these files)"
    add_optional_url(parser, text)
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints the settings, and how those in force differ from those of the files."""
    if arguments.config_file:
        entries, told = _of_files(arguments.config_file, arguments.url)
    else:
        entries, told = _of_instance(arguments.url or DEFAULT_URL)
    if arguments.changed:
        entries = [entry for entry in entries if entry["source"] != "default"]
    if arguments.output == "json":
        print_json(entries)
    else:
        show(*(styled(*line) for line in printable_json(told)), *_tables(printable_json(entries)))
    return ExitStatus.FINE


def settings_json(files: Sequence[str]) -> list[Json]:
    """The effective settings as JSON; raises CommandError with one line for each error."""

    from porter_ryu.settings_file import BadConfigurationError
    from porter_ryu.settings_origins import as_json, origins

    try:
        return [as_json(origin) for origin in origins(files)]
    except BadConfigurationError as error:
        raise CommandError(str(error)) from error


def _of_instance(url: str) -> tuple[list[Json], Lines]:
    """What a running instance runs with, and what its files say otherwise."""
    with understood(url):
        found = Remote(url).get("/v1/config", dict)
        told = [(f"{shown(url)} runs with these settings", FAINT)]
        told += [(f"not loaded: {text}", BAD) for text in found["notLoaded"]]
        told += [(text, WARNING) for text in found["pending"]]
        return list(found["settings"]), told


def _of_files(files: Sequence[str], url: str | None) -> tuple[list[Json], Lines]:
    """What files say, and how the instance at the URL differs; without one, the instance that would
    listen where the files say, if it has these files."""
    entries = settings_json(files)
    place = url or url_in(entries)
    alone = [{**entry, "running": None, "differs": None} for entry in entries]
    try:
        with understood(place):
            found = Remote(place).get("/v1/config", dict)
            if url is None and found["files"] != list(map(os.path.abspath, files)):
                text = f"the instance at {place} has other files: {', '.join(found['files'])}"
                return alone, [(f"{text}; this is what {_these(files)}", FAINT)]
            return _compared(entries, found, place)
    except RemoteError:
        if url is not None:
            raise
        return alone, [(f"no instance answers at {place}; this is what {_these(files)}", FAINT)]


def _these(files: Sequence[str]) -> str:
    return "the file says" if len(files) == 1 else "the files say"


def url_in(entries: list[Json]) -> str:
    """Where an instance with these settings listens."""
    ours = {entry["key"]: entry["value"] for entry in entries if entry["group"] == "DEFAULT"}
    host, port = ours["wsapi_host"], ours["wsapi_port"]
    try:
        address = ip_address(host or "0.0.0.0")  # noqa: S104 - it is asked by loopback
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ip_address("127.0.0.1" if address.version == 4 else "::1")  # noqa: PLR2004
    return f"http://{address if address.version == 4 else f'[{address}]'}:{port}"  # noqa: PLR2004


def _compared(entries: list[Json], found: Json, url: str) -> tuple[list[Json], Lines]:
    """The settings of files, each with what an instance runs with, and a line for each that
    differs."""
    runs = {(entry["group"], entry["key"]): entry["value"] for entry in found["settings"]}
    made = []
    for entry in entries:
        key = entry["group"], entry["key"]
        differs = key not in runs or runs[key] != entry["value"]
        made.append({**entry, "running": runs.get(key), "differs": differs})
    lines = [(text, WARNING) for text in _differences(made, set(runs))]
    refused = [(f"not loaded: {text}", BAD) for text in found["notLoaded"]]
    if lines or refused:
        return made, [(f"{shown(url)} runs with other settings:", WARNING), *refused, *lines]
    return made, [(f"{shown(url)} runs with these settings", FAINT)]


def _differences(entries: list[Json], runs: set[Key]) -> Iterator[str]:
    """A line for each setting that differs; for a group that only one side has, one line."""
    from porter_ryu.settings_pending import difference

    theirs = {group for group, _ in runs}
    ours = {entry["group"] for entry in entries}
    for group in dict.fromkeys(e["group"] for e in entries if e["group"] not in theirs):
        yield f"[{group}]: runs without it, the file has it: not loaded"
    for entry in entries:
        if entry["differs"] and entry["group"] in theirs:
            what = "needs a restart" if entry["needsRestart"] else "not loaded"
            text = difference(entry["running"], entry["value"])
            yield f"[{entry['group']}] {entry['key']}: {text}: {what}"
    for group in sorted(theirs - ours):
        yield f"[{group}]: runs with it, the file does not have it: not loaded"


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
    from porter_ryu.settings_pending import value_text

    value = value_text(entry["value"])
    means = f"({entry['means']})" if entry["means"] else ""
    told = " ".join(filter(None, (value, means)))
    where: str | tuple[str, str] = entry["where"]
    if entry["source"] == "file":
        line = entry["where"].rpartition(":")[2]
        where = f"{names[_file(entry)]}line {line}"
    elif entry["source"] == "default":
        where = "default", FAINT
    return f"  {entry['key']} =", told, where
