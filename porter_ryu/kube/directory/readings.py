"""From an object as it stands in files, and its status, to what the domain is told of it."""

from __future__ import annotations

import functools
import json
import logging
from typing import Any

from eventlet import tpool

from porter_ryu.domain.model import Address, Eip, Kind, Object, ObjectId, Reading, Unreadable
from porter_ryu.kube import eip_codec, service_codec
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.directory.store import Place, Store
from porter_ryu.kube.fields import CodecError, Json
from porter_ryu.kube.limits import OBJECT_ENTRIES
from porter_ryu.kube.status_files import Status, StatusFiles

LOG = logging.getLogger(__name__)

_LARGE = 1 << 16  # octets; what is decoded in a thread, for it takes more than a slice of time


class Readings:
    """Decodes, and says of each object whether it is good, unreadable or gone."""

    def __init__(self, codec: Codec, store: Store, status: StatusFiles) -> None:
        self._codec = codec
        self._store = store
        self._status = status
        self._read: dict[ObjectId, tuple[Place, Status, Reading]] = {}
        self._found: set[ObjectId] = set()

    def of(self, entry: ObjectId) -> Reading | None:
        """What an object is now; None where it is gone."""
        while True:
            place, status = self._store.place(entry), self._status.get(*entry)
            if place is None:
                return self._without_place(entry, status)
            self._found.add(entry)
            known = self._read.get(entry)
            if known is not None and known[:2] == (place, status):
                return known[2]
            # others run while a large object is decoded: it may be another one by then
            self._read[entry] = (place, status, self._reading(entry, place, status))

    def behind(self, entry: ObjectId, hole: str) -> Reading:
        """What an object is that is in no file, and may stand where nothing can be read."""
        status, known = self._status.get(*entry), self._read.get(entry)
        text = known[0].text if known is not None else b"{}"
        document = tpool.execute(json.loads, text) if len(text) > _LARGE else json.loads(text)
        return _unreadable(entry, _hidden(hole), document, status)

    def forget(self, entry: ObjectId) -> None:
        """An object is gone."""
        self._read.pop(entry, None)
        if self._status.get(*entry) == Status():
            self._found.discard(entry)

    def _without_place(self, entry: ObjectId, status: Status) -> Reading | None:
        """An object that has a status and was in no file since the start: while there is a file
        that cannot be read, it may be in that."""
        hole = self._store.hole
        if not hole or entry in self._found or status == Status():
            return None
        return _unreadable(entry, _hidden(hole), {}, status)

    def _reading(self, entry: ObjectId, place: Place, status: Status) -> Reading:
        kind, key = entry
        large = len(place.text) > _LARGE
        decode = functools.partial(self._decoded, kind, place.text, status.value)
        found, document = tpool.execute(decode) if large else decode()
        fault = place.fault or status.fault
        if not fault and not isinstance(found, str):
            return found
        if not fault:
            fault = f"{place.file}:{place.line}: {kind.value} {key}: {found}"
            LOG.error("%s", fault)
        return _unreadable(entry, fault, document, status)

    def _decoded(self, kind: Kind, text: bytes, status: Any) -> tuple[Object | str, Json]:
        """The value of an object, or why it has none; and the object."""
        document: Json = json.loads(text)
        if status is not None:
            document["status"] = status
        if len(text) > _LARGE and _longest_list(document) > OBJECT_ENTRIES:
            return f"a list of it has more than {OBJECT_ENTRIES} entries", document
        try:
            return self._codec.decode(kind, document), document
        except CodecError as error:
            return str(error), document


def _longest_list(value: Any) -> int:
    longest, level = 0, [value]
    while level:
        longest = max([longest, *(len(node) for node in level if isinstance(node, list))])
        below = (node.values() if isinstance(node, dict) else node for node in level)
        level = [child for nodes in below for child in nodes if isinstance(child, dict | list)]
    return longest


def _hidden(hole: str) -> str:
    return f"it is in no file that can be read, and {hole}"


def _unreadable(entry: ObjectId, reason: str, document: Json, status: Status) -> Reading:
    kind, key = entry
    if kind is Kind.EIP:
        found = eip_codec.decode_status(
            key.name, {"status": status.value or document.get("status")}
        )
        if found is not None and found.serving is not None:
            # its status says what it was: as an Eip with a broken spec it goes on serving
            return Eip(key.name, "", invalid=reason, status=found)
    value = document.get("status") if status.value is None else status.value
    return Unreadable(kind, key, reason, _record(value))


def _record(status: Any) -> tuple[Address, ...]:
    """The addresses in a status, whatever else is wrong in it."""
    return tuple(dict.fromkeys(service_codec.record({"status": status})))
