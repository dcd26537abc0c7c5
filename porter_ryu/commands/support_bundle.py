"""`porter-ryu support-bundle`: one archive for whoever helps.

It works while the instance is down, and then says what is missing.  The archive is readable for its
owner alone, and its index says what is in it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from porter_ryu import atomic_file, rfc3339
from porter_ryu.commands.arguments import (
    DEFAULT_URL,
    CommandError,
    add_config_file,
    add_optional_url,
    add_output,
    filled,
)
from porter_ryu.commands.config import settings_json, url_in
from porter_ryu.commands.printing import print_json, print_lines
from porter_ryu.domain.text import one_line
from porter_ryu.exit_status import ExitStatus
from porter_ryu.remote import shown
from porter_ryu.version import VERSION

if TYPE_CHECKING:
    from porter_ryu.commands.bundle_parts import Part

HELP = "Write one archive (.tar.gz) for whoever helps; without secrets."

_CONFIG_FILE = "/etc/porter-ryu/porter_ryu.conf"
_CONFIG_PATH = "/v1/config"
_STDOUT = "-"
_MODE = 0o600

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    text = "the archive; - for standard output (default porter-ryu-support-TIME.tar.gz)"
    parser.add_argument("file", nargs="?", type=filled("FILE"), metavar="FILE", help=text)
    add_config_file(parser, required=False)
    text = "log file of the instance, of which the end is included (default: [DEFAULT] log_file)"
    parser.add_argument("--log-file", type=filled("--log-file"), metavar="FILE", help=text)
    add_optional_url(parser, "if a configuration file is known, where the instance of it listens")
    add_output(parser)


def run(arguments: argparse.Namespace) -> int:
    """Writes the archive; WRONG if a part is missing."""
    from porter_ryu.commands import bundle_parts

    now = time.time()
    name = arguments.file or time.strftime(
        "porter-ryu-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime(now)
    )
    files = arguments.config_file or ([_CONFIG_FILE] if os.path.exists(_CONFIG_FILE) else [])
    of_files, settings = (
        bundle_parts.of_settings(lambda: settings_json(files)) if files else (None, [])
    )
    url = arguments.url or (url_in(settings) if settings else DEFAULT_URL)
    parts = _parts(of_files, settings, url, arguments.log_file)
    if name == _STDOUT:
        if sys.stdout.isatty():
            raise CommandError(
                "an archive is not for a terminal: redirect the output, or name FILE"
            )
        index = _write(sys.stdout.buffer, parts, now, url)
        for part in _missing(index):
            print(one_line(part), file=sys.stderr)
    else:
        _require_replaceable(name)
        with _opened_folder(name) as folder, atomic_file.Draft(name, folder, private=True) as draft:
            index = _write(_Appending(draft), parts, now, url)  # type: ignore[arg-type]
            draft.publish(durable=False)
        _report(index | {"file": name}, arguments.output == "json")
    return ExitStatus.WRONG if _missing(index) else ExitStatus.FINE


def _parts(
    of_files: Part | None, settings: list[Json], url: str, log_file: str | None
) -> Iterator[Part]:
    """All parts; `of_files` has the `settings` of the configuration files, if any are known."""
    from porter_ryu.commands import bundle_parts

    yield bundle_parts.of_versions()
    if of_files is not None:
        yield of_files
    told = False
    for part in bundle_parts.of_instance(url):
        told = told or (part.what == _CONFIG_PATH and not part.missing)
        yield part
    if of_files is None and not told:  # the instance tells its settings as well
        text = "name the --config-file"
        yield bundle_parts.Part("settings.json", "settings", missing=text)
    yield from bundle_parts.of_host()
    folder = bundle_parts.state_dir_of(settings)
    if folder:
        yield from bundle_parts.of_state_dir(folder)
    manifests = bundle_parts.manifests_of(settings)
    if manifests:
        yield from bundle_parts.of_records(manifests)
    log = log_file or bundle_parts.log_file_of(settings)
    if log:
        yield bundle_parts.of_log(log)
    else:
        text = "no log file is known: name the --log-file, or add the output of journalctl"
        yield bundle_parts.Part("log.txt", "log", missing=text)


def _require_replaceable(path: str) -> None:
    """Raises CommandError for a path that is there and no file: a device must not be replaced."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
    if not stat.S_ISREG(mode):
        kind = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
        raise CommandError(f"{path}: {kind}")


@contextlib.contextmanager
def _opened_folder(path: str) -> Iterator[int]:
    """The folder of a path, which must exist."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield folder
    finally:
        os.close(folder)


class _Appending:
    """A draft as tarfile wants it."""

    def __init__(self, draft: atomic_file.Draft) -> None:
        self._draft = draft

    def write(self, data: bytes) -> int:
        """Appends."""
        self._draft.append(data)
        return len(data)


def _write(file: IO[bytes], parts: Iterator[Part], now: float, url: str) -> Json:
    """Writes the archive part by part, the index last; returns the index."""
    import tarfile

    folder = "porter-ryu-support"
    entries: list[Json] = []

    def add(name: str, data: bytes) -> None:
        member = tarfile.TarInfo(f"{folder}/{name}")
        member.size, member.mtime, member.mode = len(data), int(now), _MODE
        archive.addfile(member, io.BytesIO(data))

    with tarfile.open(fileobj=file, mode="w|gz") as archive:
        for part in parts:
            entries.append(
                {
                    "file": part.file,
                    "what": part.what,
                    "octets": len(part.data),
                    "cut": part.is_cut,
                    "missing": part.missing,
                }
            )
            if not part.missing:
                add(part.file, part.data)
        index = {"version": VERSION, "time": rfc3339.text(now), "url": shown(url), "parts": entries}
        add("index.json", json.dumps(index, indent=2).encode() + b"\n")
    return index


def _missing(index: Json) -> list[str]:
    return [f"missing: {e['what']}: {e['missing']}" for e in index["parts"] if e["missing"]]


def _report(index: Json, as_json: bool) -> None:
    if as_json:
        print_json(index)
        return
    there = [entry for entry in index["parts"] if not entry["missing"]]
    cut = [f"cut: {entry['what']}: only a part is included" for entry in there if entry["cut"]]
    written = f"written: {index['file']} ({len(there)} parts)"
    print_lines([written, *cut, *_missing(index)])
