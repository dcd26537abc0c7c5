"""Finds out, by scanning the directory repeatedly, which files are new, changed or gone.

A file counts as changed once it was the same in two scans in a row.  A scan of many files takes
time, so large directories are scanned less often: scanning takes at most a tenth of the time.

A directory that lost its files is not read before they are back: as soon as it is another one with
files, as after a mount, or once none was added or changed for some seconds, as after a copy.  A
file that is written again and again delays that for a minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from msgspec import Struct, field

from porter_ryu.domain.editing import STATUS_FOLDER
from porter_ryu.kube.directory import files
from porter_ryu.kube.limits import DIRECTORY_FILES
from porter_ryu.log import reason_of

SCAN_SECONDS = 0.05
_INTERVAL_SECONDS_PER_FILE = 6e-5  # ten times what it takes to check one
_MAX_SCAN_SECONDS = 0.5
_SUFFIXES = (".yaml", ".yml", ".json")
# without a new or changed file, and without a new one: then all files count as put back
_PUT_BACK_SECONDS, _REWRITTEN_SECONDS = 5, 60

_DirectoryId = tuple[int, int]  # device and inode
_TOO_MANY = files.FileState(None, f"is one more than the {DIRECTORY_FILES} files that are read")


class UnreadableDirectoryError(Exception):
    """The directory itself cannot be read, so nothing is known about its content.  `mend`: what to
    do about it."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


class Changes(Struct):
    """The result of a scan: files to read, unreadable files with the reason, and deleted files."""

    read: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)


class _Emptied(Struct):
    """A directory that lost its files, those that it has again, and since when these stay the same,
    and their names do."""

    directory_id: _DirectoryId
    back: dict[str, files.FileState | None] = field(default_factory=dict)
    since: float = 0.0
    names_since: float = 0.0


class Scanner:
    """Remembers the state of each file when it was last read.

    `expects_files`: whether an empty directory at the start is another one than before.
    """

    def __init__(
        self,
        directory: str,
        expects_files: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._expects_files = expects_files
        self._clock = clock
        self._emptied: _Emptied | None = None
        self._known: dict[str, files.FileState] = {}
        self._unstable: dict[str, files.FileState] = {}
        self._directory_id: _DirectoryId | None = None
        self._next_scan = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for the next scan."""
        return self._clock() >= self._next_scan

    def scan(self, give_way: Callable[[], None], at_once: bool = False) -> Changes:
        """Checks all files; with `at_once`, files that are just being changed count as well.

        Raises UnreadableDirectoryError.
        """
        names = self._names(give_way)
        changes = Changes()
        found: set[str] = set()
        for name in names:
            give_way()
            state = self._state(name) if len(found) < DIRECTORY_FILES else _TOO_MANY
            if state is not None:
                found.add(name)
                self._compare(name, state, changes, at_once)
        for name in self._known.keys() - found:
            changes.deleted.append(name)
            del self._known[name]
        for name in self._unstable.keys() - found:
            del self._unstable[name]
        self._next_scan = self._clock() + _interval(len(names))
        return changes

    def scan_unstable(self) -> Changes:
        """Checks only the files that changed at the last check."""
        changes = Changes()
        for name in list(self._unstable):
            state = self._state(name)
            if state is not None:
                self._compare(name, state, changes, at_once=False)
        return changes

    def knows(self, name: str) -> bool:
        """Whether the last scan found a file."""
        return name in self._known

    def forget(self, name: str) -> None:
        """Makes the next scan report a file again, because it was not read after all."""
        self._known.pop(name, None)

    def retry(self, name: str, reason: str) -> None:
        """Makes each scan report a file again, because it could not be read."""
        self._known[name] = files.FileState(None, reason)

    def _compare(self, name: str, state: files.FileState, changes: Changes, at_once: bool) -> None:
        if self._known.get(name) == state:
            self._unstable.pop(name, None)
            return
        if not at_once and self._unstable.get(name) != state:
            self._unstable[name] = state
            return
        self._unstable.pop(name, None)
        self._known[name] = state
        if state.fault:
            changes.unreadable[name] = state.fault
        else:
            changes.read.append(name)

    def _state(self, name: str) -> files.FileState | None:
        try:
            return files.state_of(os.path.join(self._directory, name))
        except files.NoFileError:
            return None

    def _names(self, give_way: Callable[[], None]) -> list[str]:
        try:
            directory_id, names = self._listed(give_way)
        except OSError as error:
            text = f"{self._directory} cannot be read: {reason_of(error)}"
            raise UnreadableDirectoryError(text, f"ls -la {self._directory}") from error
        if self._directory_id not in (None, directory_id) and self._known and not names:
            self._emptied = _Emptied(directory_id)
            text = f"{self._directory} is now another directory, which is empty: is it unmounted?"
            raise UnreadableDirectoryError(text, self._put_back)
        if self._directory_id is None and not names and (self._emptied or self._is_another()):
            self._emptied = _Emptied(directory_id)
            text = f"{self._directory} is empty, but an earlier run announced or bound addresses"
            raise UnreadableDirectoryError(f"{text}: is it unmounted?", self._put_back)
        if self._emptied is not None and self._emptied.directory_id == directory_id:
            self._await_the_others(self._emptied, names)
        self._emptied = None
        self._directory_id = directory_id
        # if there are too many files, known ones go first
        return sorted(names, key=lambda name: (name not in self._known, name))

    def _await_the_others(self, emptied: _Emptied, names: list[str]) -> None:
        """Raises UnreadableDirectoryError while files are still being put back."""
        now = self._clock()
        back = {name: self._state(name) for name in names[:DIRECTORY_FILES]}
        if back.keys() != emptied.back.keys():
            emptied.names_since = now
        if back != emptied.back:
            emptied.back, emptied.since = back, now
        until = min(emptied.since + _PUT_BACK_SECONDS, emptied.names_since + _REWRITTEN_SECONDS)
        if now < until:
            self._next_scan = now + _interval(len(names))
            text = (
                f"{self._directory} was empty and has files again: it is read once none was added "
                f"or changed for {_PUT_BACK_SECONDS} s, or none added for {_REWRITTEN_SECONDS} s, "
                "and what is still missing then is deleted"
            )
            raise UnreadableDirectoryError(text, self._put_back)

    @property
    def _put_back(self) -> str:
        """What to do about a directory whose files are gone: without the records the addresses are
        lost."""
        return f"mount {self._directory}, or put everything back, with {STATUS_FOLDER}"

    def _is_another(self) -> bool:
        """Whether a directory that has no files at the start is not the one that had them.  If it
        has records, it is the same, and the files were removed."""
        has_records = os.path.lexists(os.path.join(self._directory, STATUS_FOLDER))
        return not has_records and self._expects_files()

    def _listed(self, give_way: Callable[[], None]) -> tuple[_DirectoryId, list[str]]:
        """Which directory it is, and the names of its files."""
        names = []
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    give_way()
                    if entry.name.endswith(_SUFFIXES) and not entry.name.startswith("."):
                        names.append(entry.name)
        finally:
            os.close(descriptor)
        return (status.st_dev, status.st_ino), names


def _interval(count: int) -> float:
    """How long after a scan of so many files the next one is due."""
    return min(SCAN_SECONDS + count * _INTERVAL_SECONDS_PER_FILE, _MAX_SCAN_SECONDS)
