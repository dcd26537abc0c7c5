"""A directory of manifests instead of an API server: a Source that also stores status.

A user may write anything there.  An invalid object affects only itself: it is reported with file
and line, its last valid definition stays in force, and it keeps its recorded addresses.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable

from ryu.lib import hub

from porter_ryu import rfc3339
from porter_ryu.domain.addresses.records import holders
from porter_ryu.domain.model import Eip, EndpointSlice, Kind, ObjectId, ObjectKey
from porter_ryu.domain.objects import Object, ObjectStatus, Reading, Unreadable, WithStatus
from porter_ryu.domain.ports import Observer, SourceState
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.kube.codec import Codec, encode_status
from porter_ryu.kube.directory.absence import AbsentObjects
from porter_ryu.kube.directory.last_good_files import LastGoodFiles
from porter_ryu.kube.directory.loader import Loader
from porter_ryu.kube.directory.readings import Readings, reasons_of
from porter_ryu.kube.directory.scanner import SCAN_SECONDS, UnreadableDirectoryError
from porter_ryu.kube.directory.store import Store
from porter_ryu.kube.errors import NOT_FOUND, ApiError
from porter_ryu.kube.status_files import StatusFiles
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_STALLED_AFTER_SECONDS = 60.0
_RETRY_SECONDS = 0.5
_SO = (
    ": nothing is announced; a record below .status is removed with its object, so a Service that "
    "comes back may get another address"
)
_MAX_FAULTS = 10  # that are told with their text


class Manifests:
    """Scans a directory every 50 ms, or less often if it is large, in a greenthread of its own.

    `keeps_status`: this instance writes and removes status; other instances only read it.
    `expects_files`: whether an earlier run left something that comes from this directory; it is
    asked only if the directory is empty.
    """

    def __init__(
        self,
        directory: str,
        codec: Codec,
        keeps_status: bool,
        supervisor: Supervisor,
        expects_files: Callable[[], bool] = lambda: False,
    ) -> None:
        self._supervisor = supervisor
        self._keeps_status = keeps_status
        self._directory = directory
        self._last_good = LastGoodFiles(directory, keeps_status)
        self._kept = (-1, -1)
        self._store = Store(TimeSlice(), self._last_good.read)
        self._loader = Loader(directory, self._store, supervisor, expects_files=expects_files)
        self._status = StatusFiles(directory)
        self._readings = Readings(codec, self._store, self._status, self._last_good.read)
        self._reported: dict[ObjectId, Reading] = {}
        self._together = False  # whether no turn may see a part of the next report
        self._hidden_nodes: set[ObjectId] = set()  # may be in a file that cannot be read
        self._absent = AbsentObjects(self._store)
        self._store_fault = ("", False)
        self._mend = ""
        self._problems = ProblemLog(
            LOG, "%(problem)s; everything stays as it was", "%(subject)s can be read again"
        )
        self._empty = ProblemLog(LOG, "%(problem)s", "%(subject)s has manifests again")
        self._stopped = False
        self._last_event: dict[Kind, float] = {}
        self._last_list: dict[Kind, float] = {}

    def start(self, observer: Observer) -> None:
        """Starts the greenthread that scans the directory (Source)."""
        self._supervisor.keep_running(
            "manifests", lambda beat: self._run(observer, beat), _STALLED_AFTER_SECONDS
        )

    def stop(self) -> None:
        """Stops the greenthread (Source)."""
        self._stopped = True

    @property
    def trouble(self) -> str:
        """Why the directory cannot be read (Source)."""
        return self._problems.current(self._directory)

    @property
    def state(self) -> SourceState:
        """The directory, when each kind changed, and when all files were looked at (Source)."""
        what = f"directory {self._directory}"
        faults = list(self._store.faults.values())
        return SourceState(
            what,
            dict(self._last_event),
            dict(self._last_list),
            self.trouble,
            unreadable=len(faults),
            unreadable_first=tuple(faults[:_MAX_FAULTS]),
            unreadable_reasons=frozenset(reasons_of(faults)),
            note=self._empty.current(self._directory),
            mend=self._mend if self.trouble else "",
        )

    def read_once(self, observer: Observer) -> None:
        """Reports all objects to the observer once; raises ApiError if the directory cannot be
        read."""
        give_way = TimeSlice()
        if not self._load(give_way):
            raise ApiError(0, "Unreadable", self.trouble)
        self._report_all(observer, give_way)

    def _run(self, observer: Observer, beat: Beat) -> None:
        slice_ = TimeSlice()

        def give_way() -> None:
            slice_()
            beat()

        while not self._load(give_way):
            hub.sleep(_RETRY_SECONDS)
            beat()
            if self._stopped:
                return
        self._report_all(observer, give_way)
        self._report(self._recorded_ids(), observer, give_way)
        self._keep_last_good()
        while True:
            beat()
            hub.sleep(SCAN_SECONDS)
            if self._stopped:
                return
            touched = self._scan(give_way)
            if touched:
                self._report(touched, observer, give_way)
                self._keep_last_good()
            self._last_good.try_again()

    # -- files -----------------------------------------------------------------------------------

    def _load(self, give_way: Callable[[], None]) -> bool:
        """Reads everything; returns False, with the reason in `trouble`, if that fails."""
        try:
            self._loader.load_all(give_way)
        except UnreadableDirectoryError as error:
            self._cannot_be_read(error)
            return False
        self._was_read()
        self._status.refresh(give_way)
        self._store_fault = self._hiding()
        return True

    def _scan(self, give_way: Callable[[], None]) -> set[ObjectId]:
        """The objects that may have changed since the last scan."""
        touched = self._loader.store_parsed()
        if self._loader.due:
            self._absent.scan_begins()
            try:
                touched |= self._loader.scan(give_way)
            except UnreadableDirectoryError as error:
                self._cannot_be_read(error)
                return touched
            self._was_read()
            self._last_list = dict.fromkeys(Kind, time.time())
            touched |= self._changed_status(give_way)
        else:
            touched |= self._loader.scan_unstable(give_way)
        if self._store_fault != self._hiding():
            # objects that were in no file may now count as deleted, or as unreadable
            self._store_fault = self._hiding()
            touched |= self._recorded_ids() | self._hidden_nodes
            touched |= self._named_nodes(self._store.object_ids(), give_way)
        else:
            touched |= self._named_nodes(touched, give_way)
        touched.update(self._absent.due())
        return touched

    def _hiding(self) -> tuple[str, bool]:
        """The fault of a file that may hide objects, and whether it is the only one."""
        return self._store.fault, self._store.unreadable_files == 1

    def _cannot_be_read(self, error: UnreadableDirectoryError) -> None:
        self._problems.update(self._directory, str(error))
        self._mend = error.mend

    def _was_read(self) -> None:
        """Notes that the directory could be read, and whether it has any file."""
        self._problems.update(self._directory, "")
        text = "" if any(self._store.files) else f"{self._directory} has no manifests{_SO}"
        self._empty.update(self._directory, text)

    def _keep_last_good(self) -> None:
        """Has on disk what was last good of what cannot be read now."""
        revisions = (self._store.revision, self._readings.revision)
        if self._kept != revisions:
            self._kept = revisions
            self._last_good.keep(self._store.kept, self._readings.kept)

    def _changed_status(self, give_way: Callable[[], None]) -> set[ObjectId]:
        changed, folders = self._status.refresh(give_way)
        if folders:
            with_status = (Kind.SERVICE, Kind.EIP)
            found = {object_id for object_id in self._reported if object_id[0] in with_status}
            for object_id in found:
                give_way()
                self._readings.get(object_id)  # keeps what it finds
            self._together = True
            return found | self._recorded_ids()
        return {object_id for object_id in changed if object_id in self._reported}

    # -- objects ---------------------------------------------------------------------------------

    def _recorded_ids(self) -> set[ObjectId]:
        """The objects that have a status file, or may have one: while neither all manifests nor all
        of `.status` can be read, the Services that the status of an Eip names."""
        found = set(self._status.keys())
        if self._store.fault and self._status.has_unread_folder:
            for kind, key in [*self._store.object_ids(), *found]:
                reading = self._readings.get((kind, key)) if kind is Kind.EIP else None
                if isinstance(reading, Eip) and reading.status is not None:
                    found |= {(Kind.SERVICE, holder) for holder in holders(reading.status)}
        return found

    def _named_nodes(
        self, object_ids: Iterable[ObjectId], give_way: Callable[[], None]
    ) -> set[ObjectId]:
        """The nodes that those of the objects name that are EndpointSlices, while not all manifests
        can be read: they may be there, although they are in no file that can."""
        if not self._store.fault:
            self._hidden_nodes.clear()
            return set()
        found: set[ObjectId] = set()
        for object_id in [one for one in object_ids if one[0] is Kind.ENDPOINT_SLICE]:
            give_way()
            piece = self._readings.get(object_id)
            if isinstance(piece, EndpointSlice):
                names = {endpoint.node for endpoint in piece.endpoints if endpoint.node}
                found |= {(Kind.NODE, ObjectKey("", name)) for name in names}
        hidden = {one for one in found if self._store.definition(one) is None}
        self._hidden_nodes |= hidden
        return hidden

    def _report_all(self, observer: Observer, give_way: Callable[[], None]) -> None:
        found: dict[Kind, dict[ObjectKey, Reading]] = {kind: {} for kind in Kind}
        last_good: dict[Kind, dict[ObjectKey, Reading]] = {kind: {} for kind in Kind}
        named = self._named_nodes(self._store.object_ids(), give_way)
        for kind, key in {*self._store.object_ids(), *self._recorded_ids(), *named}:
            give_way()
            reading = self._readings.get((kind, key))
            if reading is not None:
                found[kind][key] = reading
                earlier = self._readings.last_good((kind, key))
                if earlier is not None:
                    last_good[kind][key] = earlier
        now = time.monotonic()
        self._reported = {(kind, key): r for kind in Kind for key, r in found[kind].items()}
        for kind in Kind:
            observer.replace(kind, {**found[kind], **last_good[kind]}.values(), now)
        for kind in Kind:
            for key in last_good[kind]:
                observer.put(found[kind][key], now)
        self._last_list = dict.fromkeys(Kind, time.time())

    def _report(
        self, touched: Iterable[ObjectId], observer: Observer, give_way: Callable[[], None]
    ) -> None:
        if self._together:
            # no turn in between: it would assign an address that is on a record still to come
            self._together, give_way = False, _go_on
        # a heap, because sorting many objects at once would not give way
        heap: list[tuple[str, ObjectKey]] = []
        for kind, key in touched:
            give_way()
            heapq.heappush(heap, (kind.value, key))
        while heap:
            give_way()
            plural, key = heapq.heappop(heap)
            kind, now = Kind(plural), time.monotonic()
            object_id = (kind, key)
            reading = self._readings.get(object_id)
            if reading is not None:
                self._absent.discard(object_id)
            else:
                reading = self._absent_reading(object_id, observer, now)
            if reading is not None and self._reported.get(object_id) != reading:
                self._reported[object_id] = reading
                self._last_event[kind] = time.time()
                observer.put(reading, now)

    def _absent_reading(
        self, object_id: ObjectId, observer: Observer, now: float
    ) -> Reading | None:
        """The reading of an object that is in no file: Unreadable if an unreadable file may contain
        it.  An object that was deleted is removed."""
        absence = self._absent.assess(object_id, now, self._loader.parsing)
        if absence.hidden_by:
            return self._readings.hidden(object_id, absence.hidden_by)
        if absence.deleted:
            self._remove(object_id, observer, now)
        return None

    def _remove(self, object_id: ObjectId, observer: Observer, now: float) -> None:
        if self._keeps_status:
            self._remove_status(*object_id)
        self._readings.forget(object_id)
        if self._reported.pop(object_id, None) is not None:
            self._last_event[object_id[0]] = time.time()
            observer.remove(*object_id, now)

    def _remove_status(self, kind: Kind, key: ObjectKey) -> None:
        try:
            self._status.remove(kind, key)
        except OSError as error:
            reason = reason_of(error)
            LOG.error("the status of %s %s cannot be removed: %s", kind.value, key, reason)

    # -- status (writer.Backend) -------------------------------------------------------------------

    def patch(self, obj: WithStatus, status: ObjectStatus) -> Object | None:
        """Keeps the status of an object, none for one that is not ours; raises ApiError."""
        kind, key = object_id = (obj.kind, obj.key)
        if object_id not in self._reported:
            raise ApiError(NOT_FOUND, "NotFound", f"{kind.value} {key} was deleted")
        fault = self._status.get(kind, key).fault or self._readings.status_fault(object_id)
        if fault:
            raise ApiError(0, "Unreadable", f"{fault}, so it is not written over")
        encoded = encode_status(obj, status, rfc3339.now())
        try:
            if encoded is None:
                self._status.remove(kind, key)
            else:
                self._status.write(kind, key, encoded)
        except OSError as error:
            raise ApiError(0, "Unwritable", f"status of {key}: {reason_of(error)}") from error
        reading = self._readings.get(object_id)
        if reading is None or isinstance(reading, Unreadable):
            return None
        self._reported[object_id] = reading
        return reading

    def event(self, obj: WithStatus, change: StatusChange) -> None:
        """There is nowhere to put an Event but the log."""
        level = logging.WARNING if change.warning else logging.INFO
        LOG.log(level, "%s: %s: %s", obj.key, change.reason, change.message)


def _go_on() -> None:
    """Gives way to nobody."""
