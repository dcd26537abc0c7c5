"""Decides whether an object that is in no file was deleted.

The object may be moving to another file, or it may be in a file that cannot be read.  A file that
became unreadable at about the time when the object disappeared may contain it, as after a rename
into an invalid file; so the object counts as hidden by that file, and not as deleted.  Files that
became unreadable long before hide nothing: deletions must take effect even if some file stays
invalid for weeks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from msgspec import Struct

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory.store import Store

# an object that disappeared may be moving to another file, or its file may be written again
_GRACE_SECONDS = 0.4
# how long before an object disappears a file may become unreadable and still hide it
_HIDING_SECONDS = 1.0


class Absence(Struct, frozen=True):
    """Whether an object was deleted; if not, `hidden_by` is the fault of the file that may contain
    it, '' while the object may be moving."""

    deleted: bool
    hidden_by: str = ""


_MOVING = Absence(deleted=False)
_DELETED = Absence(deleted=True)


class _Wait(Struct, frozen=True):
    hidden_since: float  # files that became unreadable at this time or later may hide the object
    due: float


class AbsentObjects:
    """Remembers since when each object has been in no file, and which files may hide it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waits: dict[ObjectId, _Wait] = {}
        self._hidden: dict[ObjectId, frozenset[str]] = {}
        self._repairs = 0
        self._previous_scan = self._scan = time.monotonic()

    def scan_begins(self) -> None:
        """Notes that a scan begins.  An object that it does not find was still there at the
        previous scan, however long that took."""
        self._previous_scan, self._scan = self._scan, time.monotonic()

    def due(self) -> Iterator[ObjectId]:
        """The objects to assess again: their time is up, or the files that hid them can be read."""
        now = time.monotonic()
        if self._repairs != self._store.repairs:
            self._repairs = self._store.repairs
            for object_id, files in self._hidden.items():
                if not self._fault_of_any(files):
                    yield object_id
        for object_id, wait in self._waits.items():  # in the order in which they are due
            if wait.due > now:
                return
            yield object_id

    def discard(self, object_id: ObjectId) -> None:
        """Notes that an object is in a file."""
        self._waits.pop(object_id, None)
        self._hidden.pop(object_id, None)

    def assess(self, object_id: ObjectId, now: float, parsing: bool) -> Absence:
        """Assesses an object that is in no file; `parsing`: a file is being parsed, and the object
        may have moved there."""
        fault = self._fault_of_any(self._hidden.get(object_id, frozenset()))
        if fault:
            return Absence(deleted=False, hidden_by=fault)
        self._hidden.pop(object_id, None)
        new = _Wait(self._previous_scan - _HIDING_SECONDS, now + _GRACE_SECONDS)
        wait = self._waits.setdefault(object_id, new)
        if now < wait.due:
            return _MOVING
        del self._waits[object_id]
        if parsing:
            self._waits[object_id] = _Wait(wait.hidden_since, now + _GRACE_SECONDS)
            return _MOVING
        files = self._store.unreadable_since(wait.hidden_since)
        if not files:
            return _DELETED
        self._hidden[object_id] = files
        return Absence(deleted=False, hidden_by=self._fault_of_any(files))

    def _fault_of_any(self, files: frozenset[str]) -> str:
        """The fault of the first by name of these files that is still unreadable, '' if none is."""
        unreadable = (name for name in files if self._store.fault_of(name))
        return self._store.fault_of(min(unreadable, default=""))
