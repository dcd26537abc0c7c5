"""The content of the files, object by object.

If a file or a part of it cannot be read, the last valid definitions from it are kept, at a start
those of the earlier run.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable

from msgspec import Struct, field
from msgspec.structs import replace

from porter_ryu.domain.model import ObjectId
from porter_ryu.kube.directory.parsing import Fault, Found
from porter_ryu.kube.limits import DIRECTORY_OCTETS, MIB

LOG = logging.getLogger(__name__)

_KEPT = "its last valid objects stay in force"


class Definition(Struct, frozen=True):
    """An object as JSON and its location.  `fault`, if not empty, says why the file may have
    changed it since: a part of the file cannot be read."""

    file: str
    line: int
    text: bytes
    fault: str = ""


class _File(Struct):
    """`fault`: why the file, or a part of it, cannot be read; `fault_content`: a text that differs
    if the unreadable content does."""

    definitions: dict[ObjectId, Definition] = field(default_factory=dict)
    fault: str = ""
    fault_content: str = ""
    octets: int = 0

    @staticmethod
    def of(definitions: dict[ObjectId, Definition], fault: str, content: str) -> _File:
        """With the octets of the definitions counted."""
        octets = sum(len(definition.text) for definition in definitions.values())
        return _File(definitions, fault, content, octets)


class _Unreadable(Struct, frozen=True):
    """Why a file is unreadable, for which content, and since when."""

    fault: str
    content: str
    since: float


class Store:
    """Definitions by file and by object.  Each change returns the objects that it may affect;
    `give_way` is called often.  `earlier` has what was last good in a file, for one that cannot be
    read at the start.  `revision` counts the changes of files that cannot be read."""

    def __init__(
        self,
        give_way: Callable[[], None],
        earlier: Callable[[str], dict[ObjectId, Definition]] = lambda _name: {},
    ) -> None:
        self.revision = 0
        self._give_way = give_way
        self._earlier = earlier
        self._files: dict[str, _File] = {}
        self._definitions: dict[ObjectId, dict[str, Definition]] = {}
        self._unreadable: dict[str, _Unreadable] = {}  # the oldest first
        self._repairs = 0
        self._octets = 0

    def definition(self, object_id: ObjectId) -> Definition | None:
        """The definition of an object; if several files have one, that of the first file by
        name."""
        definitions = self._definitions.get(object_id)
        return definitions[min(definitions)] if definitions else None

    def object_ids(self) -> Iterable[ObjectId]:
        """All objects."""
        return self._definitions.keys()

    @property
    def files(self) -> Iterable[str]:
        """The names of all files."""
        return self._files.keys()

    @property
    def fault(self) -> str:
        """The fault of one of the unreadable files; '' if there is none."""
        return next((file.fault for file in self._unreadable.values()), "")

    @property
    def unreadable_files(self) -> int:
        """How many files are unreadable, or a part of them."""
        return len(self._unreadable)

    @property
    def faults(self) -> dict[str, str]:
        """Why each unreadable file, or a part of it, cannot be read, by name."""
        return {name: file.fault for name, file in self._unreadable.items()}

    @property
    def repairs(self) -> int:
        """How often an unreadable file became readable or was removed."""
        return self._repairs

    def fault_of(self, name: str) -> str:
        """Why a file, or a part of it, cannot be read; '' if all of it can."""
        unreadable = self._unreadable.get(name)
        return unreadable.fault if unreadable is not None else ""

    def unreadable_since(self, moment: float) -> frozenset[str]:
        """The files that became unreadable at this time or later."""
        newest = reversed(self._unreadable.items())
        recent = itertools.takewhile(lambda item: item[1].since >= moment, newest)
        return frozenset(name for name, _ in recent)

    def put_file(self, name: str, results: Iterable[Found | Fault]) -> set[ObjectId]:
        """Sets the content of a file.  If a part of it is invalid, the objects that are missing now
        are kept, because the invalid part may contain them."""
        definitions: dict[ObjectId, Definition] = {}
        fault = content = ""
        for result in results:
            self._give_way()
            if isinstance(result, Fault):
                LOG.error("%s:%d: %s%s", name, result.line, result.reason, self._kept(name))
                fault = fault or f"{name}:{result.line}: {result.reason}"
                content = result.content
            elif result.object_id in definitions:
                _log_duplicate(name, result, "is defined twice, the first definition is used")
            else:
                definitions[result.object_id] = Definition(name, result.line, result.text)
        before = self._files.get(name, _File())
        if fault:
            for object_id, definition in self._last_good(name).items():
                if object_id not in definitions:
                    definitions[object_id] = replace(definition, fault=fault)
        file = _File.of(definitions, fault, content)
        if self._octets - before.octets + file.octets > DIRECTORY_OCTETS:
            limit = f"more than {DIRECTORY_OCTETS // MIB} MiB of objects in the directory"
            return self.mark_unreadable(name, limit)
        return self._put(name, file)

    def mark_unreadable(self, name: str, reason: str, content: str = "") -> set[ObjectId]:
        """Notes that a file exists and cannot be read; its objects are kept.  `content` differs if
        the file changed and cannot be read for the same reason."""
        LOG.error("%s: %s%s", name, reason, self._kept(name))
        fault = f"{name}: {reason}"
        definitions = {
            object_id: replace(definition, fault=fault)
            for object_id, definition in self._last_good(name).items()
        }
        return self._put(name, _File.of(definitions, fault, content or reason))

    @property
    def kept(self) -> dict[str, dict[ObjectId, Definition]]:
        """The objects of the files that cannot be read, or not all of them, by file."""
        return {name: self._files[name].definitions for name in self._unreadable}

    def _last_good(self, name: str) -> dict[ObjectId, Definition]:
        file = self._files.get(name)
        return self._earlier(name) if file is None else file.definitions

    def remove_file(self, name: str) -> set[ObjectId]:
        """Removes a file with its objects."""
        touched = self._put(name, _File())
        del self._files[name]
        return touched

    def _kept(self, name: str) -> str:
        """What is said of the objects of a file that were valid before; empty if there are none."""
        return f"; {_KEPT}" if self._last_good(name) else ""

    def _put(self, name: str, file: _File) -> set[ObjectId]:
        before = self._files.get(name, _File())
        self._files[name] = file
        self._note_fault(name, file)
        self._octets += file.octets - before.octets
        touched = set()
        for object_id in before.definitions.keys() - file.definitions.keys():
            self._give_way()
            touched.add(object_id)
            del self._definitions[object_id][name]
            if not self._definitions[object_id]:
                del self._definitions[object_id]
        for object_id, definition in file.definitions.items():
            self._give_way()
            if before.definitions.get(object_id) == definition:
                continue
            touched.add(object_id)
            definitions = self._definitions.setdefault(object_id, {})
            definitions[name] = definition
            if len(definitions) > 1:
                self._report_others(object_id, definitions)
        return touched

    def _note_fault(self, name: str, file: _File) -> None:
        before = self._unreadable.get(name)
        if before is not None or file.fault:
            self.revision += 1
        if not file.fault:
            if before is not None:
                del self._unreadable[name]
                self._repairs += 1
        elif before is not None and before.content == file.fault_content:
            self._unreadable[name] = _Unreadable(file.fault, file.fault_content, before.since)
        else:
            self._unreadable.pop(name, None)  # so that it becomes the newest
            self._unreadable[name] = _Unreadable(file.fault, file.fault_content, time.monotonic())

    @staticmethod
    def _report_others(object_id: ObjectId, definitions: dict[str, Definition]) -> None:
        first, *others = sorted(definitions)
        for other in others:
            found = Found(definitions[other].line, object_id, b"")
            _log_duplicate(other, found, f"is also in {first}, whose definition is used")


def _log_duplicate(name: str, found: Found, message: str) -> None:
    kind, key = found.object_id
    LOG.error("%s:%d: %s %s %s", name, found.line, kind.value, key, message)
