"""What the files say, object by object; of what cannot be read now, what was last good in it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from porter_ryu.kube.directory.parsing import Fault, Found, Id
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
    places: dict[Id, Place] = field(default_factory=dict)
    hole: str = ""
    octets: int = 0


class Store:
    """Places of objects by file and by object.  Each change returns the objects that it may
    concern; `pause` is called often."""

    def __init__(self, pause: Callable[[], None]) -> None:
        self._pause = pause
        self._files: dict[str, _File] = {}
        self._places: dict[Id, dict[str, Place]] = {}
        self._holes: dict[str, str] = {}
        self._octets = 0

    def place(self, entry: Id) -> Place | None:
        """Where an object stands; of several files the first by name counts."""
        places = self._places.get(entry)
        return places[min(places)] if places else None

    def entries(self) -> Iterable[Id]:
        """All objects."""
        return self._places.keys()

    @property
    def files(self) -> Iterable[str]:
        """The files that are known."""
        return self._files.keys()

    @property
    def hole(self) -> str:
        """Some place of which nobody knows what stands there; empty where there is none."""
        return next(iter(self._holes.values()), "")

    def take(self, name: str, results: Iterable[Found | Fault]) -> set[Id]:
        """Takes what was read of a file; what is broken in it may be what stood there before."""
        places: dict[Id, Place] = {}
        hole = ""
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
            elif result.entry in places:
                _twice(name, result, "stands here twice, the first counts")
            else:
                places[result.entry] = Place(name, result.line, result.text)
        before = self._files.get(name, _File())
        if hole:
            kept = {e: p for e, p in before.places.items() if e not in places}
            places.update({e: dataclasses.replace(p, fault=hole) for e, p in kept.items()})
        after = _File(places, hole, sum(len(place.text) for place in places.values()))
        if self._octets - before.octets + after.octets > DIRECTORY_OCTETS:
            limit = f"more than {DIRECTORY_OCTETS // MIB} MiB of objects in the directory"
            return self.unreadable(name, limit)
        return self._put(name, after)

    def unreadable(self, name: str, reason: str) -> set[Id]:
        """A file is there and cannot be read: all in it stays as it was."""
        LOG.error("%s: %s; what was last good in it stays in force", name, reason)
        hole = f"{name}: {reason}"
        before = self._files.get(name, _File())
        places = {e: dataclasses.replace(p, fault=hole) for e, p in before.places.items()}
        return self._put(name, _File(places, hole, before.octets))

    def drop(self, name: str) -> set[Id]:
        """A file is gone."""
        touched = self._put(name, _File())
        del self._files[name]
        return touched

    def _put(self, name: str, file: _File) -> set[Id]:
        before = self._files.get(name, _File())
        self._files[name] = file
        self._holes.pop(name, None)
        if file.hole:
            self._holes[name] = file.hole
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

    @staticmethod
    def _report_others(entry: Id, places: dict[str, Place]) -> None:
        first, *others = sorted(places)
        for other in others:
            found = Found(places[other].line, entry, b"")
            _twice(other, found, f"is also in {first}, which counts")


def _twice(name: str, found: Found, why: str) -> None:
    LOG.error("%s:%d: %s %s %s", name, found.line, found.entry[0].value, found.entry[1], why)
