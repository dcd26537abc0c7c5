"""Brings the store to what the files hold; a large file is parsed beside all else."""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory import files
from porter_ryu.kube.directory.parsing import Fault, Found
from porter_ryu.kube.directory.store import Store
from porter_ryu.kube.directory.watch import POLL, Changes, Watch
from porter_ryu.regular_file import Signature
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

# how long a start waits for large files; what is not read by then is told later
_LARGE_PATIENCE = 60.0
# a file that takes two minutes of a core to fail would else keep it busy for ever
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 300.0


@dataclass(frozen=True, slots=True)
class _Parsed:
    """What came of a file."""

    name: str
    results: list[Found | Fault]
    fault: str = ""
    gone: bool = False
    large: bool = False
    signature: Signature | None = None


@dataclass
class _Failing:
    """A large file that could not be parsed, as it was then, and when it is tried again."""

    signature: Signature | None
    reason: str
    due: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(_AGAIN_FIRST, _AGAIN_MOST))


class Intake:
    """Reads the files that are new or another.  Each method returns the objects concerned, and
    raises UnreadableDirectoryError where it looks at the whole directory."""

    def __init__(
        self,
        directory: str,
        store: Store,
        supervisor: Supervisor,
        patience: float = _LARGE_PATIENCE,
    ) -> None:
        self._directory = directory
        self._patience = patience
        self._store = store
        self._supervisor = supervisor
        self._watch = Watch(directory)
        self._large: collections.deque[str] = collections.deque()
        self._parsed: collections.deque[_Parsed] = collections.deque()
        self._parsing = ""
        self._failing: dict[str, _Failing] = {}

    @property
    def awaited(self) -> bool:
        """Whether it is not known yet what a large file holds; one that could not be parsed is
        tried again, and not waited for."""
        parsed = (parsed.name for parsed in self._parsed)
        return bool({*self._large, self._parsing, *parsed} - self._failing.keys() - {""})

    @property
    def due(self) -> bool:
        """Whether it is time to look at everything."""
        return self._watch.due

    def load(self, pause: Callable[[], None]) -> None:
        """Reads everything, large files too, for as long as a start may take."""
        changes = self._watch.look(pause, at_once=True)
        until = time.monotonic() + self._patience
        self._read(changes, pause)
        while self.awaited and time.monotonic() < until:
            hub.sleep(POLL)
            pause()
            self.parsed()
            self._apply(Changes())
        for name in filter(None, (*self._large, self._parsing)):
            self._store.unreadable(name, "is not read yet")

    def look(self, pause: Callable[[], None]) -> set[ObjectId]:
        """Looks at everything."""
        return self._read(self._watch.look(pause), pause)

    def settle(self, pause: Callable[[], None]) -> set[ObjectId]:
        """Looks at those alone that moved."""
        return self._read(self._watch.settle(), pause)

    def parsed(self) -> set[ObjectId]:
        """Takes in the large files that are parsed."""
        touched: set[ObjectId] = set()
        while self._parsed:
            touched |= self._take(self._parsed.popleft())
        return touched

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _read(self, changes: Changes, pause: Callable[[], None]) -> set[ObjectId]:
        touched: set[ObjectId] = set()
        for name in changes.read:
            pause()
            if not files.is_large(self._path(name)):
                touched |= self._take(self._parse(name, pause))
            elif self._is_to_wait(name):
                self._watch.failed(name, self._failing[name].reason)
            elif name not in self._large:
                self._large.append(name)
        return touched | self._apply(changes)

    def _is_to_wait(self, name: str) -> bool:
        """Whether a large file failed lately; one that is another since then is tried at once."""
        failing = self._failing.get(name)
        if failing is None:
            return False
        if failing.signature != _signature(self._path(name)):
            del self._failing[name]
            return False
        return time.monotonic() < failing.due

    def _apply(self, changes: Changes) -> set[ObjectId]:
        touched: set[ObjectId] = set()
        for name, reason in changes.unreadable.items():
            touched |= self._store.unreadable(name, reason)
        for name in changes.gone:
            touched |= self._store.drop(name)
            self._failing.pop(name, None)
        if self._large and not self._parsing:
            self._parsing = self._large.popleft()
            self._supervisor.spawn("manifests large", self._parse_large, self._parsing)
        return touched

    def _parse(self, name: str, pause: Callable[[], None]) -> _Parsed:
        try:
            return _Parsed(name, list(files.read(self._path(name), pause)))
        except files.NoFileError:
            return _Parsed(name, [], gone=True)
        except files.UnreadableFileError as error:
            return _Parsed(name, [], fault=str(error))

    def _parse_large(self, name: str) -> None:
        try:
            # before it is opened: should it become another meanwhile, it is tried at once
            signature = _signature(self._path(name))
            parsed = self._parse(name, TimeSlice())
            self._parsed.append(dataclasses.replace(parsed, large=True, signature=signature))
        finally:
            self._parsing = ""

    def _take(self, parsed: _Parsed) -> set[ObjectId]:
        if not self._watch.knows(parsed.name):
            return set()  # gone while it was parsed
        if parsed.fault and parsed.large:
            self._note_failure(parsed)
        else:
            self._failing.pop(parsed.name, None)
        if parsed.gone:
            self._watch.again(parsed.name)  # since the look; the next one says what became of it
            return set()
        if parsed.fault:
            self._watch.failed(parsed.name, parsed.fault)
            state = str(parsed.signature or "")
            return self._store.unreadable(parsed.name, parsed.fault, state)
        return self._store.take(parsed.name, parsed.results)

    def _note_failure(self, parsed: _Parsed) -> None:
        failing = self._failing.get(parsed.name)
        if failing is None or failing.signature != parsed.signature:
            failing = self._failing[parsed.name] = _Failing(parsed.signature, parsed.fault)
        failing.reason = parsed.fault
        failing.due = time.monotonic() + failing.backoff.next()


def _signature(path: str) -> Signature | None:
    try:
        return files.look(path).signature
    except files.NoFileError:
        return None
