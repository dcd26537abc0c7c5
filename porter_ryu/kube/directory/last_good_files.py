"""Keeps on disk the last good form of what cannot be read now.

It stays in force, and it has to after a restart, too: the file is no better then.  For as long as a
file, or an object in it, cannot be read, `DIR/.status/last-good/FILE.json` has what was good in it:
{"file": FILE, "objects": [{"line": N, "object": {...}}]}.  What cannot be written there, as on a
full disk, is tried again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping

from eventlet import tpool
from msgspec import DecodeError, Raw, Struct, json

from porter_ryu import atomic_file, regular_file
from porter_ryu.backoff import Backoff
from porter_ryu.domain.editing import STATUS_FOLDER
from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.codec import identity, kind_of
from porter_ryu.kube.directory import folders
from porter_ryu.kube.directory.store import Definition
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.limits import FILE_OCTETS, MIB
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog

LOG = logging.getLogger(__name__)

_PATH = (STATUS_FOLDER, "last-good")
_SUFFIX = ".json"
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 1.0, 300.0

Definitions = Mapping[ObjectId, Definition]


class _Entry(Struct, frozen=True):
    line: int
    object: Raw


class _Form(Struct, frozen=True):
    file: str
    objects: tuple[_Entry, ...]


_DECODER = json.Decoder(_Form)


class LastGoodFiles:
    """The last good forms of the files of a directory.  `writes`: this instance keeps them; others
    only read them."""

    def __init__(
        self, directory: str, writes: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._writes = writes
        self._clock = clock
        self._wanted: Mapping[str, Definitions] = {}
        # what is on disk; None: something that an earlier run has kept
        self._written: dict[str, Definitions | None] | None = None
        self._backoff = Backoff(_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS)
        self._due: float | None = None
        self._too_large: set[str] = set()
        self._earlier: dict[str, dict[ObjectId, Definition]] = {}  # until something is kept
        self._problems = ProblemLog(
            LOG,
            "%(problem)s: after a restart nothing of the file is in force",
            "%(subject)s can be kept again",
        )

    def read(self, name: str) -> dict[ObjectId, Definition]:
        """What was last good in a file, by object; empty where that is not known."""
        if name not in self._earlier:
            self._earlier[name] = self._read(name)
        return self._earlier[name]

    def _read(self, name: str) -> dict[ObjectId, Definition]:
        try:
            with folders.opened(self._directory, _PATH) as folder:
                path = f"{name}{_SUFFIX}"
                octets, _ = regular_file.read(path, FILE_OCTETS, folder=folder)
            form = _DECODER.decode(octets)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, DecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else error
            LOG.error("%s cannot be read: %s", _shown(name), reason)
            return {}
        found: dict[ObjectId, Definition] = {}
        for entry in form.objects:
            try:
                text = bytes(entry.object)
                kind = kind_of(text)
                if kind is not None:
                    key = identity(kind, text).key
                    found[kind, key] = Definition(name, entry.line, text)
            except CodecError as error:
                LOG.error("%s: %s", _shown(name), error)
        return found

    def keep(self, of_files: Mapping[str, Definitions], of_objects: Definitions) -> None:
        """Keeps the objects of files that cannot be read, or not all of them, and the last valid
        definitions of objects whose present ones are not; and nothing else."""
        self._earlier = {}
        if not self._writes:
            return
        kept = {name: dict(objects) for name, objects in of_files.items() if objects}
        for object_id, definition in of_objects.items():
            kept.setdefault(definition.file, {})[object_id] = definition
        self._wanted = kept
        self._bring_to_disk()

    def try_again(self) -> None:
        """Keeps what could not be kept before, if it is time for that."""
        if self._due is not None and self._clock() >= self._due:
            self._bring_to_disk()

    def _bring_to_disk(self) -> None:
        if self._written is None:
            self._written = self._on_disk()
        faults = dict(self._failures(self._written))
        self._due = self._clock() + self._backoff.next() if faults else None
        if not faults:
            self._backoff.reset()
        self._too_large &= self._wanted.keys()
        for name in self._too_large:
            faults[name] = f"it is larger than {FILE_OCTETS // MIB} MiB"
        self._problems.update_all(
            {_shown(name): f"{_shown(name)} cannot be written: {f}" for name, f in faults.items()}
        )

    def _failures(self, written: dict[str, Definitions | None]) -> Iterator[tuple[str, str]]:
        """Writes and removes what differs from what is `written`; yields what fails, and why."""
        for name, objects in self._wanted.items():
            if written.get(name) == objects:
                continue
            try:
                self._write(name, objects)
            except OSError as error:
                yield name, reason_of(error)
            except UnicodeEncodeError:
                yield name, "its name is not UTF-8"
            else:
                written[name] = objects
        for name in written.keys() - self._wanted.keys():
            try:
                self._remove(name)
            except OSError as error:
                yield name, reason_of(error)
            else:
                del written[name]

    def _on_disk(self) -> dict[str, Definitions | None]:
        """The files of which an earlier run has kept something."""
        try:
            with folders.opened(self._directory, _PATH) as folder:
                names = [name for name in os.listdir(folder) if name.endswith(_SUFFIX)]
        except OSError:
            return {}  # nothing was kept, or to keep something will say why it cannot be
        return {name.removesuffix(_SUFFIX): None for name in names}

    def _write(self, name: str, objects: Definitions) -> None:
        entries = tuple(_Entry(each.line, Raw(each.text)) for each in objects.values())
        octets = json.encode(_Form(name, entries))
        self._too_large.discard(name)
        if len(octets) > FILE_OCTETS:
            self._too_large.add(name)  # and it stays so until it changes
            return
        # in a thread: a disk may be slow
        tpool.execute(_write, self._directory, f"{name}{_SUFFIX}", octets)

    def _remove(self, name: str) -> None:
        with (
            contextlib.suppress(FileNotFoundError),
            folders.opened(self._directory, _PATH) as folder,
        ):
            folders.remove(folder, f"{name}{_SUFFIX}")


def _write(directory: str, file: str, octets: bytes) -> None:
    with folders.opened(directory, _PATH, create=True) as folder:
        atomic_file.write(file, octets, folder)


def _shown(name: str) -> str:
    return os.path.join(*_PATH, f"{name}{_SUFFIX}")
