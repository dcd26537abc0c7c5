"""List and watch of one kind, for ever: what is there goes to the Observer, decoded.

A watch that ends goes on from where it was; 410 Gone, or anything that cannot be gone on from,
is a new list whose difference is what is told.  A server whose store came back from a backup lets
a watch from its former future begin, and tells nothing by it: so one that broke is gone on with
only where the server has not fallen behind.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from typing import Protocol

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.domain.model import Kind, Object, ObjectKey
from porter_ryu.domain.ports import Observer
from porter_ryu.kube.codec import Codec, key_of
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.fields import CodecError, Json, field

LOG = logging.getLogger(__name__)

_BACKOFF_FIRST, _BACKOFF_MOST = 0.2, 5.0
_GONE = 410
_MOST_REPORTED = 10_000


class Lister(Protocol):
    """What an informer reads from (`client.Client`)."""

    def list(self, kind: Kind) -> tuple[list[Json], str]:
        """All objects and the resourceVersion; raises ApiError."""

    def version(self, kind: Kind) -> str:
        """The resourceVersion that a list would have now; raises ApiError."""

    def watch(self, kind: Kind, resource_version: str) -> Iterator[Json]:
        """Events from there on; raises ApiError."""


class Informer:
    """Reads one kind."""

    def __init__(self, kind: Kind, lister: Lister, codec: Codec) -> None:
        self._kind = kind
        self._lister = lister
        self._codec = codec
        self._versions: dict[ObjectKey, int] = {}
        self._told = 0
        self._answered: set[ObjectKey] = set()
        self._good: dict[ObjectKey, Object] = {}
        self._reported: dict[str, str] = {}
        self._stopped = False
        self._trouble = ""
        self._broken = False
        self.listed = hub.Event()

    def stop(self) -> None:
        """Nothing is told any more."""
        self._stopped = True

    def run(self, observer: Observer) -> None:
        """Lists and watches until stopped; waits longer and longer while it fails."""
        backoff = _BACKOFF_FIRST
        version = ""
        while not self._stopped:
            try:
                if self._broken and version and self._is_behind(version):
                    version = ""
                if not version:
                    version = self.list_once(observer)
                self._broken = False
                for event in self._lister.watch(self._kind, version):
                    if self._stopped:
                        return
                    version = self._take(event, observer) or version
                    backoff = _BACKOFF_FIRST
                self._trouble = ""
            except ApiError as error:
                self._broken = True
                version = self._recover(error, version)
                if error.status != _GONE:
                    hub.sleep(random.uniform(backoff / 2, backoff))  # noqa: S311
                    backoff = min(2 * backoff, _BACKOFF_MOST)

    def list_once(self, observer: Observer) -> str:
        """Lists, tells all of it, and returns the resourceVersion; raises ApiError."""
        self._answered.clear()
        items, version = self._lister.list(self._kind)
        read_at = time.monotonic()
        found: dict[ObjectKey, Object] = {}
        versions: dict[ObjectKey, int] = {}
        for item in items:
            decoded = self._decode(item)
            if decoded is not None:
                key, obj = decoded
                found[key] = obj
                versions[key] = _version(item)
        for key in self._answered & versions.keys() & self._versions.keys():
            # a write was answered while this list was made.  Before that, a list is the truth even
            # where its versions are older: the server's store may come from a backup
            if self._versions[key] > versions[key]:
                found[key], versions[key] = self._good[key], self._versions[key]
        self._versions, self._good = versions, found
        self._told = _number(version)
        observer.replace(self._kind, found, read_at)
        self.listed.set()
        if self._trouble:
            LOG.info("%s are read again", self._kind.value)
            self._trouble = ""
        return version

    def _is_behind(self, version: str) -> bool:
        """Whether the server does not know yet what it told before; raises ApiError."""
        behind = _number(self._lister.version(self._kind)) < _number(version)
        if behind:
            LOG.warning("%s: the server has fallen behind, they are listed again", self._kind.value)
        return behind

    def _recover(self, error: ApiError, version: str) -> str:
        """What to go on from after an error; logs each kind of trouble once."""
        metrics.watch_restarts.labels(kind=self._kind.value, reason=error.reason).inc()
        if error.status == _GONE:
            LOG.info("%s: the watch is too old, they are listed again", self._kind.value)
            return ""
        if self._trouble != error.reason:
            self._trouble = error.reason
            LOG.warning("%s cannot be read: %s; nothing is changed", self._kind.value, error)
        return "" if error.status else version

    def _take(self, event: Json, observer: Observer) -> str:
        """Takes in one event; returns the resourceVersion to go on from."""
        read_at = time.monotonic()
        kind, obj = event.get("type"), event.get("object")
        if not isinstance(obj, dict):
            raise ApiError(0, "BadEvent", f"an event of {self._kind.value} without an object")
        if kind == "ERROR":
            code = obj.get("code")
            status = code if isinstance(code, int) else _GONE
            raise ApiError(status, str(obj.get("reason")), str(obj.get("message")))
        metadata = obj.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if kind == "DELETED":
            self._gone(obj, observer, read_at)
        elif kind in ("ADDED", "MODIFIED"):
            self._there(obj, observer, read_at)
        if not isinstance(version, str):
            return ""
        self._told = _number(version)
        return version

    def accept(self, obj: Json) -> Object | None:
        """Takes in what the server answered to a write; None where it is older than what is
        known, as that the object is gone, or cannot be understood."""
        value = self._newer(obj)
        if value is not None:
            self._answered.add(key_of(self._kind, obj))
        return value

    def _newer(self, obj: Json) -> Object | None:
        """The value of an object, noted; None where what is known is newer, or it is broken."""
        decoded = self._decode(obj)
        if decoded is None:
            return None
        key, value = decoded
        if _version(obj) < self._versions.get(key, self._told):
            return None
        self._versions[key] = _version(obj)
        self._good[key] = value
        return value

    def _there(self, obj: Json, observer: Observer, read_at: float) -> None:
        value = self._newer(obj)
        if value is not None:
            observer.put(self._kind, key_of(self._kind, obj), value, read_at)

    def _gone(self, obj: Json, observer: Observer, read_at: float) -> None:
        try:
            key = key_of(self._kind, obj)
        except CodecError as error:
            self._report(repr(field(obj, "metadata.uid", str, "")), str(error))
            return
        self._versions.pop(key, None)
        self._good.pop(key, None)
        observer.remove(self._kind, key, read_at)

    def _decode(self, obj: Json) -> tuple[ObjectKey, Object] | None:
        """The key and value of an object; one that is broken counts as it last was good."""
        try:
            key = key_of(self._kind, obj)
        except CodecError as error:
            self._report("?", str(error))
            return None
        try:
            return key, self._codec.decode(self._kind, obj)
        except CodecError as error:
            self._report(str(key), str(error))
            good = self._good.get(key)
            return (key, good) if good is not None else None

    def _report(self, name: str, message: str) -> None:
        if self._reported.get(name) != message and len(self._reported) < _MOST_REPORTED:
            self._reported[name] = message
            LOG.error("%s %s: %s; it counts as it was before", self._kind.value, name, message)


def _version(obj: Json) -> int:
    """The resourceVersion as a number: comparable as of Kubernetes 1.35 (KEP-5504), and in
    practice before."""
    return _number(field(obj, "metadata.resourceVersion", str, ""))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
