"""Which files of the directory are new, another or gone, by looking at it again and again.

A file counts once it stood still for one look.  A look at many files takes its time, so it is
taken less often where they are many: at most a tenth of the time is spent looking.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from porter_ryu.kube.directory import files
from porter_ryu.kube.limits import DIRECTORY_FILES
from porter_ryu.log import reason_of

POLL = 0.05
_SECONDS_A_FILE = 6e-5  # ten times what a look at one takes
_POLL_MOST = 0.5
_ENDINGS = (".yaml", ".yml", ".json")


_BEYOND = files.Entry(None, f"is one more than the {DIRECTORY_FILES} files that are read")


class UnreadableDirectoryError(Exception):
    """The directory itself cannot be read: nothing is known of what is in it."""


@dataclass
class Changes:
    """What a look found: files to read, files that cannot be read and why, files that are gone."""

    read: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


class Watch:
    """Remembers what each file looked like when it was last read."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._seen: dict[str, files.Entry] = {}
        self._restless: dict[str, files.Entry] = {}
        self._device: int | None = None
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to look at everything."""
        return time.monotonic() >= self._next

    def look(self, pause: Callable[[], None], at_once: bool = False) -> Changes:
        """Looks at everything; `at_once`: what moves counts, too.

        Raises UnreadableDirectoryError.
        """
        names = self._names(pause)
        changes = Changes()
        found: set[str] = set()
        for name in names:
            pause()
            entry = self._entry(name) if len(found) < DIRECTORY_FILES else _BEYOND
            if entry is not None:
                found.add(name)
                self._judge(name, entry, changes, at_once)
        for name in self._seen.keys() - found:
            changes.gone.append(name)
            del self._seen[name]
        for name in self._restless.keys() - found:
            del self._restless[name]
        every = min(POLL + len(names) * _SECONDS_A_FILE, _POLL_MOST)
        self._next = time.monotonic() + every
        return changes

    def settle(self) -> Changes:
        """Looks at those alone that moved when they were last looked at."""
        changes = Changes()
        for name in list(self._restless):
            entry = self._entry(name)
            if entry is not None:
                self._judge(name, entry, changes, at_once=False)
        return changes

    def knows(self, name: str) -> bool:
        """Whether a file was there at the last look."""
        return name in self._seen

    def again(self, name: str) -> None:
        """A file was not read after all: it is found anew by the next look."""
        self._seen.pop(name, None)

    def failed(self, name: str, reason: str) -> None:
        """A file cannot be read although it can be looked at: it is tried again at each look."""
        self._seen[name] = files.Entry(None, reason)

    def _judge(self, name: str, entry: files.Entry, changes: Changes, at_once: bool) -> None:
        if self._seen.get(name) == entry:
            self._restless.pop(name, None)
            return
        if not at_once and self._restless.get(name) != entry:
            self._restless[name] = entry
            return
        self._restless.pop(name, None)
        self._seen[name] = entry
        if entry.fault:
            changes.unreadable[name] = entry.fault
        else:
            changes.read.append(name)

    def _entry(self, name: str) -> files.Entry | None:
        try:
            return files.look(os.path.join(self._directory, name))
        except files.NoFileError:
            return None

    def _names(self, pause: Callable[[], None]) -> list[str]:
        names = []
        try:
            device = os.stat(self._directory).st_dev
            with os.scandir(self._directory) as entries:
                for entry in entries:
                    pause()
                    if entry.name.endswith(_ENDINGS) and not entry.name.startswith("."):
                        names.append(entry.name)
        except OSError as error:
            text = f"{self._directory} cannot be read: {reason_of(error)}"
            raise UnreadableDirectoryError(text) from error
        if self._device not in (None, device) and self._seen and not names:
            text = f"{self._directory} is another file system, and an empty one: is it unmounted?"
            raise UnreadableDirectoryError(text)
        self._device = device
        # of too many, those that are known already go first
        return sorted(names, key=lambda name: (name not in self._seen, name))
