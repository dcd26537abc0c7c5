"""Objects that are in no file any more: on their way to another, behind a hole, or gone.

A hole is a file or document of which nobody knows what stands in it.  An object that vanishes at
about the time at which a hole comes up may stand in it, as after a rename into a broken file, so
it is hidden by that hole, and not gone.  Older holes hide nothing: deletions have to act though
some file is broken for weeks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory.store import Store

# an object that is gone may be on its way to another file, or its file be written anew
_GRACE = 0.4
# how long before an object vanishes a hole may come up and hide it
_BEFORE = 1.0


@dataclass(frozen=True, slots=True)
class Absence:
    """Whether an object is gone for good; else the hole that hides it, none while it may be on
    its way."""

    gone: bool
    hole: str = ""


_ON_ITS_WAY = Absence(gone=False)
_GONE = Absence(gone=True)


@dataclass(frozen=True, slots=True)
class _Wait:
    oldest: float  # when a hole that may hide it came up at the earliest
    due: float


class Absent:
    """Remembers since when each object is in no file, and what hides it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waits: dict[ObjectId, _Wait] = {}
        self._hidden: dict[ObjectId, frozenset[str]] = {}
        self._mended = 0
        self._before = self._now = time.monotonic()

    def look_begins(self) -> None:
        """What vanishes from now on was there at the look before, however long that took."""
        self._before, self._now = self._now, time.monotonic()

    def due(self) -> Iterator[ObjectId]:
        """The objects to judge again: their time is up, or what hid them is mended."""
        now = time.monotonic()
        if self._mended != self._store.mended:
            self._mended = self._store.mended
            yield from (entry for entry, holes in self._hidden.items() if not self._any(holes))
        for entry, wait in self._waits.items():  # in the order in which they are due
            if wait.due > now:
                return
            yield entry

    def found(self, entry: ObjectId) -> None:
        """An object is in a file."""
        self._waits.pop(entry, None)
        self._hidden.pop(entry, None)

    def judge(self, entry: ObjectId, now: float, awaited: bool) -> Absence:
        """What it means that an object is in no file; `awaited`: some file is being parsed, and
        the object may have moved there."""
        hole = self._any(self._hidden.get(entry, frozenset()))
        if hole:
            return Absence(gone=False, hole=hole)
        self._hidden.pop(entry, None)
        wait = self._waits.setdefault(entry, _Wait(self._before - _BEFORE, now + _GRACE))
        if now < wait.due:
            return _ON_ITS_WAY
        del self._waits[entry]
        if awaited:
            self._waits[entry] = _Wait(wait.oldest, now + _GRACE)
            return _ON_ITS_WAY
        holes = self._store.holes_since(wait.oldest)
        if not holes:
            return _GONE
        self._hidden[entry] = holes
        return Absence(gone=False, hole=self._any(holes))

    def _any(self, names: frozenset[str]) -> str:
        """A hole that is there yet, the same one each time."""
        there = (name for name in names if self._store.hole_of(name))
        return self._store.hole_of(min(there, default=""))
