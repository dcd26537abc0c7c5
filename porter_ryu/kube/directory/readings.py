"""Makes a Reading for the domain from the definition of an object in a file and its status."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from eventlet import tpool
from msgspec import structs

from porter_ryu.domain.model import UNKNOWN_USAGE, Eip, Kind, ObjectId, Service
from porter_ryu.domain.objects import Object, Reading, Unreadable
from porter_ryu.kube import eip_codec, service_codec
from porter_ryu.kube.codec import Codec, status_of
from porter_ryu.kube.directory.store import Definition, Store
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import ANY, decoded
from porter_ryu.kube.limits import OBJECT_ENTRIES
from porter_ryu.kube.status_files import Status, StatusFiles, file_of

LOG = logging.getLogger(__name__)

_NO_FIELDS, _NO_STATUS = b"{}", b"null"
_LARGE_OCTETS = 1 << 16  # larger objects are decoded in a thread: they take more than a slice


class Readings:
    """Decodes objects, and decides for each whether it is valid, unreadable or deleted.

    `earlier` has what an earlier run kept of a file, by object.  `revision` counts the changes of
    `kept`.
    """

    def __init__(
        self,
        codec: Codec,
        store: Store,
        status: StatusFiles,
        earlier: Callable[[str], Mapping[ObjectId, Definition]] = lambda _name: {},
    ) -> None:
        self.revision = 0
        self._earlier = earlier
        self._codec = codec
        self._store = store
        self._status = status
        self._cache: dict[ObjectId, tuple[Definition, Status, Reading]] = {}
        self._kept: dict[ObjectId, Definition] = {}
        self._seen: set[ObjectId] = set()  # objects that were in a file since the start

    def get(self, object_id: ObjectId) -> Reading | None:
        """The reading of an object; None if it is in no file."""
        while True:
            definition, status = self._store.definition(object_id), self._status.get(*object_id)
            if definition is None:
                return self._without_definition(object_id, status)
            self._seen.add(object_id)
            cached = self._cache.get(object_id)
            if cached is not None and cached[:2] == (definition, status):
                return cached[2]
            # other greenthreads run while a large object is decoded, so it may have changed by then
            reading = self._reading(object_id, definition, status)
            self._cache[object_id] = (definition, status, reading)

    @property
    def kept(self) -> Mapping[ObjectId, Definition]:
        """The last valid definitions of the objects whose present ones are not."""
        return self._kept

    def last_good(self, object_id: ObjectId) -> Object | None:
        """The last good form of an object that cannot be read now; None if it has none, or if its
        status cannot be read."""
        definition = self._store.definition(object_id)
        if definition is not None and not definition.fault:
            definition = self._kept.get(object_id)
        status = self._status.get(*object_id) if definition is not None else None
        if definition is None or status is None or status.fault:
            return None
        found = self._decode(object_id, definition.text, status.value)
        if isinstance(found, str):
            return None
        damaged = found.kind is Kind.SERVICE and _status_fault(found.kind, status)
        return None if damaged else found

    def hidden(self, object_id: ObjectId, fault: str) -> Reading:
        """The reading of an object that is in no file, but may be in an unreadable one."""
        status, cached = self._status.get(*object_id), self._cache.get(object_id)
        text = cached[0].text if cached is not None else _NO_FIELDS
        return self._unreadable(object_id, _hidden_reason(fault), _file_of(fault), text, status)

    def status_fault(self, object_id: ObjectId) -> str:
        """Why the status in the file of an object is not a valid one; empty if it is, or if there
        is none."""
        reading = self.get(object_id)
        if isinstance(reading, Unreadable) and reading.file == file_of(*object_id):
            return reading.reason
        return ""

    def forget(self, object_id: ObjectId) -> None:
        """Forgets a deleted object."""
        self._cache.pop(object_id, None)
        self._keep(object_id, None)
        if object_id[0] is not Kind.NODE and self._status.get(*object_id) == Status():
            self._seen.discard(object_id)

    def _without_definition(self, object_id: ObjectId, status: Status) -> Reading | None:
        """An object that has a status, or a node, that was in no file since the start may be in an
        unreadable file, as long as there is one."""
        fault = self._store.fault
        is_there = status != Status() or object_id[0] is Kind.NODE
        if not fault or object_id in self._seen or not is_there:
            return None
        file = _file_of(fault) if self._store.unreadable_files == 1 else ""  # which is not known
        return self._unreadable(object_id, _hidden_reason(fault), file, _NO_FIELDS, status)

    def _reading(self, object_id: ObjectId, definition: Definition, status: Status) -> Reading:
        decode = functools.partial(self._decode, object_id, definition.text, status.value)
        large = len(definition.text) > _LARGE_OCTETS
        found = tpool.execute(decode) if large else decode()
        alone = found
        if isinstance(found, str) and status.value is not None:
            alone = self._decode(object_id, definition.text, _NO_STATUS)
        self._keep(object_id, self._last_valid(object_id) if isinstance(alone, str) else None)
        fault, file = _fault(object_id, definition, status, found, alone)
        if not fault and not isinstance(found, str):
            return found
        if not definition.fault and isinstance(alone, Service) and not alone.ours:
            status = structs.replace(status, unread=False)  # it has no record in `.status`
        return self._unreadable(object_id, fault, file, definition.text, status)

    def _unreadable(
        self, object_id: ObjectId, reason: str, file: str, text: bytes, status: Status
    ) -> Reading:
        """The reading of an object of which only the status may be valid; it is the one in `text`
        if there is no other.  `file` is the one to be corrected."""
        kind, key = object_id
        if file == file_of(kind, key) or _status_fault(kind, status):
            self._status.watch(kind, key)
        value = status_of(text) if status.value is None else status.value
        if kind is Kind.EIP:
            found = eip_codec.decode_status(key.name, value)
            if found is not None and found.serving is not None:
                # its status records the last valid spec, which stays in force
                if status.unread:
                    found = structs.replace(found, usage=UNKNOWN_USAGE)
                return Eip(key.name, "", invalid=reason, unreadable=True, status=found)
        if kind is not Kind.SERVICE:
            return Unreadable(kind, key, reason, file=file)
        record = service_codec.record(value)
        unread = status.unread or record.damaged
        return Unreadable(kind, key, reason, record.addresses, file, unread)

    def _last_valid(self, object_id: ObjectId) -> Definition | None:
        """The last valid definition of an object whose present one is not."""
        if object_id in self._kept:
            return self._kept[object_id]
        cached, definition = self._cache.get(object_id), self._store.definition(object_id)
        if cached is not None:
            return None if isinstance(cached[2], Unreadable) else cached[0]
        return self._earlier(definition.file).get(object_id) if definition is not None else None

    def _keep(self, object_id: ObjectId, definition: Definition | None) -> None:
        if self._kept.get(object_id) is definition:
            return
        self.revision += 1
        if definition is None:
            del self._kept[object_id]
        else:
            self._kept[object_id] = definition

    def _decode(self, object_id: ObjectId, text: bytes, status: bytes | None) -> Object | str:
        """The value of an object, or why it cannot be decoded."""
        try:
            if len(text) > _LARGE_OCTETS and _longest_list(decoded(ANY, text)) > OBJECT_ENTRIES:
                return f"one of its lists has more than {OBJECT_ENTRIES} entries"
            return self._codec.decode(*object_id, text, status)
        except CodecError as error:
            return str(error)


def _fault(
    object_id: ObjectId,
    definition: Definition,
    status: Status,
    found: Object | str,
    alone: Object | str,
) -> tuple[str, str]:
    """Why an object cannot be read, and the file to be corrected; empty if it can.  `found` is its
    value or why there is none, `alone` the same without its status."""
    if definition.fault or status.fault:
        return definition.fault or status.fault, _file_of(definition.fault) or status.file
    kind, key = object_id
    if isinstance(found, str):
        fault, file = found, definition.file
        where = f"{file}:{definition.line}: {kind.value} {key}"
        if not isinstance(alone, str):
            file = where = file_of(kind, key)
    else:
        if isinstance(found, Service) and not found.ours:
            return "", ""
        fault = _status_fault(kind, status)
        if not fault:
            return "", ""
        file = where = file_of(kind, key)
    fault = f"{where}: {fault}"
    LOG.error("%s", fault)
    return fault, file


def _status_fault(kind: Kind, status: Status) -> str:
    """Why the status in a file is not a valid one of an object of its kind; empty if it is."""
    if status.value is None:
        return ""
    if kind is Kind.EIP:
        return eip_codec.status_fault(status.value)
    if kind is Kind.SERVICE and service_codec.record(status.value).damaged:
        return "status.loadBalancer.ingress has an entry that is no address"
    return ""


def _longest_list(value: Any) -> int:
    longest, level = 0, [value]
    while level:
        longest = max([longest, *(len(node) for node in level if isinstance(node, list))])
        below = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for nodes in below for child in nodes if isinstance(child, dict | list)]
    return longest


def reasons_of(faults: Iterable[str]) -> Iterator[str]:
    """Why an object cannot be read that is in a file with one of these faults, or may be."""
    for fault in faults:
        yield fault
        yield _hidden_reason(fault)


def _hidden_reason(fault: str) -> str:
    return f"it is in no file that can be read, and {fault}"


def _file_of(fault: str) -> str:
    """The name of the file that a fault begins with."""
    return fault.partition(":")[0]
