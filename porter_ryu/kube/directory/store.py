"""What the files say, object by object; of what cannot be read now, what was last good in it."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory.parsing import Fault, Found
from porter_ryu.kube.limits import DIRECTORY_OCTETS, MIB

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """An object where it stands, as JSON; `fault`: why it may not stand there so any more."""

    file: str
    line: int
    text: bytes
    fault: str = ""


@dataclass
class _File:
    places: dict[ObjectId, Place] = field(default_factory=dict)
    hole: str = ""
    state: str = ""
    octets: int = 0


@dataclass(frozen=True, slots=True)
class _Hole:
    """Why nobody knows what stands in a file, in which state of it, and since when."""

    reason: str
    state: str
    since: float


class Store:
    """Places of objects by file and by object.  Each change returns the objects that it may
    concern; `pause` is called often."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._files: dict[str, _File] = {}
        self._places: dict[ObjectId, dict[str, Place]] = {}
        self._holes: dict[str, _Hole] = {}  # the oldest first
        self._mended = 0
        self._octets = 0

    def place(self, entry: ObjectId) -> Place | None:
        """Where an object stands; of several files the first by name counts."""
        places = self._places.get(entry)
        return places[min(places)] if places else None

    def entries(self) -> Iterable[ObjectId]:
        """All objects."""
        return self._places.keys()

    @property
    def files(self) -> Iterable[str]:
        """The files that are known."""
        return self._files.keys()

    @property
    def hole(self) -> str:
        """Some place of which nobody knows what stands there; empty where there is none."""
        return next((hole.reason for hole in self._holes.values()), "")

    @property
    def mended(self) -> int:
        """How many holes there were that are there no more."""
        return self._mended

    def hole_of(self, name: str) -> str:
        """Why nobody knows what stands in a file; empty where that is known."""
        hole = self._holes.get(name)
        return hole.reason if hole is not None else ""

    def holes_since(self, moment: float) -> frozenset[str]:
        """The files that have a hole which came up at a moment or later."""
        newest = reversed(self._holes.items())
        recent = itertools.takewhile(lambda item: item[1].since >= moment, newest)
        return frozenset(name for name, _ in recent)

    def take(self, name: str, results: Iterable[Found | Fault]) -> set[ObjectId]:
        """Takes what was read of a file; what is broken in it may be what stood there before."""
        places: dict[ObjectId, Place] = {}
        hole = state = ""
        for result in results:
            self._pause()
            if isinstance(result, Fault):
                LOG.error(
                    "%s:%d: %s; what was last good in it stays in force",
                    name,
                    result.line,
                    result.reason,
                )
                hole = hole or f"{name}:{result.line}: {result.reason}"
                state = result.content
            elif result.entry in places:
                _twice(name, result, "stands here twice, the first counts")
            else:
                places[result.entry] = Place(name, result.line, result.text)
        before = self._files.get(name, _File())
        if hole:
            kept = {e: p for e, p in before.places.items() if e not in places}
            places.update({e: dataclasses.replace(p, fault=hole) for e, p in kept.items()})
        after = _File(places, hole, state, sum(len(place.text) for place in places.values()))
        if self._octets - before.octets + after.octets > DIRECTORY_OCTETS:
            limit = f"more than {DIRECTORY_OCTETS // MIB} MiB of objects in the directory"
            return self.unreadable(name, limit)
        return self._put(name, after)

    def unreadable(self, name: str, reason: str, state: str = "") -> set[ObjectId]:
        """A file is there and cannot be read: all in it stays as it was.  `state`: what tells it
        from another one that cannot be read for the same reason."""
        LOG.error("%s: %s; what was last good in it stays in force", name, reason)
        hole = f"{name}: {reason}"
        before = self._files.get(name, _File())
        places = {e: dataclasses.replace(p, fault=hole) for e, p in before.places.items()}
        return self._put(name, _File(places, hole, state or reason, before.octets))

    def drop(self, name: str) -> set[ObjectId]:
        """A file is gone."""
        touched = self._put(name, _File())
        del self._files[name]
        return touched

    def _put(self, name: str, file: _File) -> set[ObjectId]:
        before = self._files.get(name, _File())
        self._files[name] = file
        self._note_hole(name, file)
        self._octets += file.octets - before.octets
        touched = set()
        for entry in before.places.keys() - file.places.keys():
            self._pause()
            touched.add(entry)
            del self._places[entry][name]
            if not self._places[entry]:
                del self._places[entry]
        for entry, place in file.places.items():
            self._pause()
            if before.places.get(entry) == place:
                continue
            touched.add(entry)
            places = self._places.setdefault(entry, {})
            places[name] = place
            if len(places) > 1:
                self._report_others(entry, places)
        return touched

    def _note_hole(self, name: str, file: _File) -> None:
        known = self._holes.get(name)
        if not file.hole:
            self._mended += self._holes.pop(name, None) is not None
        elif known is not None and known.state == file.state:
            self._holes[name] = _Hole(file.hole, file.state, known.since)
        else:
            self._holes.pop(name, None)  # so that it becomes the last
            self._holes[name] = _Hole(file.hole, file.state, time.monotonic())

    @staticmethod
    def _report_others(entry: ObjectId, places: dict[str, Place]) -> None:
        first, *others = sorted(places)
        for other in others:
            found = Found(places[other].line, entry, b"")
            _twice(other, found, f"is also in {first}, which counts")


def _twice(name: str, found: Found, why: str) -> None:
    LOG.error("%s:%d: %s %s %s", name, found.line, found.entry[0].value, found.entry[1], why)
