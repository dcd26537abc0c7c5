"""A directory of manifests in place of an API server: a Source, and where status is kept.

What is broken is reported by file and line and its last good form stays in force, object by
object.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventlet import tpool
from ryu.lib import hub

from porter_ryu.domain.model import Eip, EipStatus, Kind, Object, ObjectKey, Service, ServiceStatus
from porter_ryu.domain.ports import Observer
from porter_ryu.kube import documents, patches
from porter_ryu.kube.codec import Codec, key_of, kind_of
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.fields import CodecError, Json
from porter_ryu.kube.status_files import StatusFiles
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_POLL = 0.05
_STALLS_AFTER = 60.0
_LARGE = 1 << 17
_ENDINGS = (".yaml", ".yml", ".json")
_Id = tuple[Kind, ObjectKey]
_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """An object where it stands."""

    file: str
    line: int
    obj: Json


class Manifests:
    """Reads a directory every 50 ms; a file counts once it stood still for one look.

    `keeps_status`: this instance is the one that writes and removes status; others only read.
    """

    def __init__(
        self, directory: str, codec: Codec, keeps_status: bool, supervisor: Supervisor
    ) -> None:
        self._supervisor = supervisor
        self._keeps_status = keeps_status
        self._directory = directory
        self._codec = codec
        self._status = StatusFiles(directory)
        self._signatures: dict[str, _Signature] = {}
        self._restless: dict[str, _Signature] = {}
        self._files: dict[str, dict[_Id, _Place]] = {}
        self._raw: dict[_Id, tuple[Json, Any]] = {}
        self._objects: dict[_Id, Object] = {}
        self._reported: set[str] = set()
        self._stopped = False

    def start(self, observer: Observer) -> None:
        """Spawns the greenthread that reads (Source)."""
        self._supervisor.keep("manifests", lambda beat: self._run(observer, beat), _STALLS_AFTER)

    def stop(self) -> None:
        """Ends it (Source)."""
        self._stopped = True

    def read_once(self, observer: Observer) -> None:
        """Tells the observer all that is there now."""
        self._scan(first=True)
        self._status.refresh()
        self._decode_all()
        now = time.monotonic()
        for kind in Kind:
            found = {key: obj for (of, key), obj in self._objects.items() if of is kind}
            observer.replace(kind, found, now)

    @property
    def trouble(self) -> str:
        """Why the directory cannot be read (Source)."""
        return ""

    def _run(self, observer: Observer, beat: Beat) -> None:
        self.read_once(observer)
        self._forget_orphans()
        while not self._stopped:
            beat()
            hub.sleep(_POLL)
            touched = self._scan(first=False)
            touched |= {entry for entry in self._status.refresh() if entry in self._raw}
            if touched:
                self._update(touched, observer)

    # -- files -----------------------------------------------------------------------------------

    def _scan(self, first: bool) -> set[_Id]:
        """Reads files that changed; returns the objects that were or are in them."""
        touched: set[_Id] = set()
        found = self._list()
        for name in [name for name in self._files if name not in found]:
            touched |= self._files.pop(name).keys()
            self._signatures.pop(name, None)
        for name, signature in found.items():
            if self._signatures.get(name) == signature:
                continue
            if not first and self._restless.get(name) != signature:
                self._restless[name] = signature
                continue
            self._signatures[name] = signature
            self._restless.pop(name, None)
            touched |= self._read(name)
        return touched

    def _list(self) -> dict[str, _Signature]:
        found = {}
        try:
            with os.scandir(self._directory) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    if entry.name.endswith(_ENDINGS) and not entry.name.startswith("."):
                        stat = os.stat(entry.path)
                        if entry.is_file():
                            found[entry.name] = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            self._report(f"{self._directory}: cannot be read: {error.strerror}")
            return dict(self._signatures)
        return found

    def _read(self, name: str) -> set[_Id]:
        before = self._files.get(name, {})
        places: dict[_Id, _Place] = {}
        try:
            with open(os.path.join(self._directory, name), encoding="utf-8") as file:
                text = file.read()
            for line, obj in _parse(name, text):
                self._place(name, line, obj, places)
        except documents.BrokenFileError as error:
            self._report(f"{name}:{error.line}: {error}; what was last good in it stays in force")
            return set()
        except (OSError, UnicodeDecodeError) as error:
            self._report(f"{name}: cannot be read: {error}; what was last good in it stays")
            return set()
        self._files[name] = places
        return before.keys() | places.keys()

    def _place(self, name: str, line: int, obj: Json, places: dict[_Id, _Place]) -> None:
        try:
            kind = kind_of(obj)
            if kind is None:
                return
            entry = (kind, key_of(kind, obj))
        except CodecError as error:
            self._report(f"{name}:{line}: {error}")
            return
        if entry in places:
            self._report(f"{name}:{line}: {entry[0].value} {entry[1]} stands here twice")
        places.setdefault(entry, _Place(name, line, obj))

    # -- objects ---------------------------------------------------------------------------------

    def _decode_all(self) -> None:
        for entry in {entry for places in self._files.values() for entry in places}:
            self._decode(entry)

    def _update(self, touched: set[_Id], observer: Observer) -> None:
        now = time.monotonic()
        for kind, key in sorted(touched, key=lambda entry: (entry[0].value, entry[1])):
            before = self._objects.get((kind, key))
            self._decode((kind, key))
            after = self._objects.get((kind, key))
            if after is None and before is not None:
                self._drop_status(kind, key)
                observer.remove(kind, key, now)
            elif after is not None and after != before:
                observer.put(kind, key, after, now)

    def _decode(self, entry: _Id) -> None:
        """Brings one object to what the files say; a broken one stays as it was."""
        kind, key = entry
        place = self._find(entry)
        if place is None:
            self._raw.pop(entry, None)
            self._objects.pop(entry, None)
            return
        status = self._status.get(kind, key)
        if self._raw.get(entry) == (place.obj, status):
            return
        self._raw[entry] = (place.obj, status)
        whole = place.obj if status is None else {**place.obj, "status": status}
        try:
            self._objects[entry] = self._codec.decode(kind, whole)
        except CodecError as error:
            self._report(f"{place.file}:{place.line}: {kind.value} {key}: {error}")

    def _find(self, entry: _Id) -> _Place | None:
        places = [places[entry] for _, places in sorted(self._files.items()) if entry in places]
        for other in places[1:]:
            self._report(
                f"{other.file}:{other.line}: {entry[0].value} {entry[1]} is also in "
                f"{places[0].file}, which counts"
            )
        return places[0] if places else None

    def _forget_orphans(self) -> None:
        for kind in (Kind.SERVICE, Kind.EIP):
            for key in self._status.keys(kind):
                if (kind, key) not in self._raw:
                    self._drop_status(kind, key)

    def _drop_status(self, kind: Kind, key: ObjectKey) -> None:
        if not self._keeps_status:
            return
        try:
            self._status.remove(kind, key)
        except OSError as error:
            self._report(f"status of {kind.value} {key} is not removed: {error.strerror}")

    def _report(self, message: str) -> None:
        """Logs a message the first time that it is true."""
        if message not in self._reported:
            self._reported.add(message)
            LOG.error("%s", message)

    # -- status (writer.Backend) -------------------------------------------------------------------

    def patch_service(self, service: Service, status: ServiceStatus) -> Service | None:
        """Keeps the status of a Service, none for one that is not ours; raises ApiError."""
        document = None
        if status.conditions:
            document = patches.service_document(service, status, _now())
        decoded = self._keep(Kind.SERVICE, service.key, document)
        return decoded if isinstance(decoded, Service) else None

    def patch_eip(self, eip: Eip, status: EipStatus) -> Eip | None:
        """Keeps the status of an Eip; raises ApiError."""
        document = patches.eip_document(eip, status, _now())
        used = document["status"]["used"]
        document["status"]["used"] = {a: names for a, names in used.items() if names is not None}
        decoded = self._keep(Kind.EIP, ObjectKey("", eip.name), document)
        return decoded if isinstance(decoded, Eip) else None

    def event(self, subject: Service | Eip, warning: bool, reason: str, message: str) -> None:
        """There is nowhere to put an Event but the log."""
        name = subject.key if isinstance(subject, Service) else subject.name
        LOG.log(logging.WARNING if warning else logging.INFO, "%s: %s: %s", name, reason, message)

    def _keep(self, kind: Kind, key: ObjectKey, document: Json | None) -> Object | None:
        if (kind, key) not in self._raw:
            raise ApiError(404, "NotFound", f"{kind.value} {key} is gone")
        try:
            if document is None:
                self._status.remove(kind, key)
            else:
                self._status.write(kind, key, document)
        except OSError as error:
            raise ApiError(0, "Unwritable", f"status of {key}: {error.strerror}") from error
        self._decode((kind, key))
        return self._objects.get((kind, key))


def _parse(name: str, text: str) -> Iterable[tuple[int, Json]]:
    """The objects of a file; a large one is parsed in a thread, so that nobody waits for it."""
    if len(text) < _LARGE:
        return documents.read(name, text)
    parsed: list[tuple[int, Json]] = tpool.execute(lambda: list(documents.read(name, text)))
    return parsed


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
