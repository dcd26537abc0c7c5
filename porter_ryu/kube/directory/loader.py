"""Loads changed files into the store; large files are parsed in the background."""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace
from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory import files
from porter_ryu.kube.directory.parsing import Fault, Found
from porter_ryu.kube.directory.scanner import SCAN_SECONDS, Changes, Scanner
from porter_ryu.kube.directory.store import Store
from porter_ryu.regular_file import Signature
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

# how long a start waits for large files; the rest is reported later
_LARGE_FILES_SECONDS = 60.0
# without a backoff, a file that fails after two minutes of CPU time would occupy a core forever
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 1.0, 300.0


class _Parsed(Struct, frozen=True):
    """The result of reading a file."""

    name: str
    results: list[Found | Fault]
    fault: str = ""
    deleted: bool = False
    large: bool = False
    signature: Signature | None = None


class _Failed(Struct):
    """A large file that could not be parsed, its signature then, and when it is tried again."""

    signature: Signature | None
    reason: str
    due: float = 0.0
    backoff: Backoff = field(
        default_factory=lambda: Backoff(_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS)
    )


class Loader:
    """Reads new and changed files.  Each method returns the objects that may be affected; the
    methods that scan the directory raise UnreadableDirectoryError.  `expects_files` as for
    Scanner."""

    def __init__(
        self,
        directory: str,
        store: Store,
        supervisor: Supervisor,
        large_files_seconds: float = _LARGE_FILES_SECONDS,
        expects_files: Callable[[], bool] = lambda: False,
    ) -> None:
        self._directory = directory
        self._large_files_seconds = large_files_seconds
        self._store = store
        self._supervisor = supervisor
        self._scanner = Scanner(directory, expects_files)
        self._large: collections.deque[str] = collections.deque()
        self._parsed: collections.deque[_Parsed] = collections.deque()
        self._parsing = ""
        self._failed: dict[str, _Failed] = {}

    @property
    def parsing(self) -> bool:
        """Whether the content of a large file is not known yet.  A file that failed before does not
        count: it is tried again, but nothing waits for it."""
        parsed = (parsed.name for parsed in self._parsed)
        return bool({*self._large, self._parsing, *parsed} - self._failed.keys() - {""})

    @property
    def due(self) -> bool:
        """Whether it is time for the next scan."""
        return self._scanner.due

    def load_all(self, give_way: Callable[[], None]) -> None:
        """Reads all files at a start; waits for large files, but not longer than a limit."""
        changes = self._scanner.scan(give_way, at_once=True)
        deadline = time.monotonic() + self._large_files_seconds
        self._read(changes, give_way)
        while self.parsing and time.monotonic() < deadline:
            hub.sleep(SCAN_SECONDS)
            give_way()
            self.store_parsed()
            self._apply(Changes())
        for name in filter(None, (*self._large, self._parsing)):
            self._store.mark_unreadable(name, "is not parsed yet")

    def scan(self, give_way: Callable[[], None]) -> set[ObjectId]:
        """Checks all files and reads those that changed."""
        return self._read(self._scanner.scan(give_way), give_way)

    def scan_unstable(self, give_way: Callable[[], None]) -> set[ObjectId]:
        """Checks only the files that changed at the last check."""
        return self._read(self._scanner.scan_unstable(), give_way)

    def store_parsed(self) -> set[ObjectId]:
        """Puts large files that were parsed in the background into the store."""
        touched: set[ObjectId] = set()
        while self._parsed:
            touched |= self._store_file(self._parsed.popleft())
        return touched

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _read(self, changes: Changes, give_way: Callable[[], None]) -> set[ObjectId]:
        touched: set[ObjectId] = set()
        for name in changes.read:
            give_way()
            if not files.is_large(self._path(name)):
                touched |= self._store_file(self._parse(name, give_way))
            elif self._must_wait(name):
                self._scanner.retry(name, self._failed[name].reason)
            elif name not in self._large:
                self._large.append(name)
        return touched | self._apply(changes)

    def _must_wait(self, name: str) -> bool:
        """Whether a large file failed recently and did not change since."""
        failed = self._failed.get(name)
        if failed is None:
            return False
        if failed.signature != _signature(self._path(name)):
            del self._failed[name]
            return False
        return time.monotonic() < failed.due

    def _apply(self, changes: Changes) -> set[ObjectId]:
        touched: set[ObjectId] = set()
        for name, reason in changes.unreadable.items():
            touched |= self._store.mark_unreadable(name, reason)
        for name in changes.deleted:
            touched |= self._store.remove_file(name)
            self._failed.pop(name, None)
        if self._large and not self._parsing:
            self._parsing = self._large.popleft()
            self._supervisor.spawn("manifests large", self._parse_large, self._parsing)
        return touched

    def _parse(self, name: str, give_way: Callable[[], None]) -> _Parsed:
        try:
            return _Parsed(name, list(files.read(self._path(name), give_way)))
        except files.NoFileError:
            return _Parsed(name, [], deleted=True)
        except files.UnreadableFileError as error:
            return _Parsed(name, [], fault=str(error))

    def _parse_large(self, name: str) -> None:
        try:
            # taken before the file is opened: if it changes meanwhile, it is tried again at once
            signature = _signature(self._path(name))
            parsed = self._parse(name, TimeSlice())
            self._parsed.append(replace(parsed, large=True, signature=signature))
        finally:
            self._parsing = ""

    def _store_file(self, parsed: _Parsed) -> set[ObjectId]:
        if not self._scanner.knows(parsed.name):
            return set()  # deleted while it was parsed
        if parsed.fault and parsed.large:
            self._note_failure(parsed)
        else:
            self._failed.pop(parsed.name, None)
        if parsed.deleted:
            self._scanner.forget(parsed.name)  # deleted after the scan; the next scan decides
            return set()
        if parsed.fault:
            self._scanner.retry(parsed.name, parsed.fault)
            content = str(parsed.signature or "")
            return self._store.mark_unreadable(parsed.name, parsed.fault, content)
        return self._store.put_file(parsed.name, parsed.results)

    def _note_failure(self, parsed: _Parsed) -> None:
        failed = self._failed.get(parsed.name)
        if failed is None or failed.signature != parsed.signature:
            failed = self._failed[parsed.name] = _Failed(parsed.signature, parsed.fault)
        failed.reason = parsed.fault
        failed.due = time.monotonic() + failed.backoff.next()


def _signature(path: str) -> Signature | None:
    try:
        return files.state_of(path).signature
    except files.NoFileError:
        return None
