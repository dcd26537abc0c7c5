"""A directory of manifests in place of an API server: a Source, and where status is kept.

Whoever can write there can write anything.  One bad entry costs itself alone: it is reported by
file and line, its last good form stays in force, and its record stays its own.
"""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable

from ryu.lib import hub

from porter_ryu import rfc3339
from porter_ryu.domain.model import (
    Kind,
    Object,
    ObjectId,
    ObjectKey,
    ObjectStatus,
    Reading,
    Unreadable,
    WithStatus,
)
from porter_ryu.domain.ports import Observer
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.kube.codec import Codec, encode_status
from porter_ryu.kube.directory.absent import Absent
from porter_ryu.kube.directory.intake import Intake
from porter_ryu.kube.directory.readings import Readings
from porter_ryu.kube.directory.store import Store
from porter_ryu.kube.directory.watch import POLL, UnreadableDirectoryError
from porter_ryu.kube.errors import NOT_FOUND, ApiError
from porter_ryu.kube.status_files import StatusFiles
from porter_ryu.log import reason_of
from porter_ryu.problem_log import ProblemLog
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_STALLS_AFTER = 60.0
_TROUBLED_POLL = 0.5


class Manifests:
    """Reads a directory every 50 ms, less often where it is large; nobody waits for it.

    `keeps_status`: this instance is the one that writes and removes status; others only read.
    """

    def __init__(
        self, directory: str, codec: Codec, keeps_status: bool, supervisor: Supervisor
    ) -> None:
        self._supervisor = supervisor
        self._keeps_status = keeps_status
        self._directory = directory
        self._store = Store(TimeSlice())
        self._intake = Intake(directory, self._store, supervisor)
        self._status = StatusFiles(directory)
        self._readings = Readings(codec, self._store, self._status)
        self._told: dict[ObjectId, Reading] = {}
        self._absent = Absent(self._store)
        self._hole = ""
        self._problems = ProblemLog(
            LOG, "%(problem)s; everything stays as it was", "%(subject)s can be read again"
        )
        self._stopped = False

    def start(self, observer: Observer) -> None:
        """Spawns the greenthread that reads (Source)."""
        self._supervisor.keep_running(
            "manifests", lambda beat: self._run(observer, beat), _STALLS_AFTER
        )

    def stop(self) -> None:
        """Ends it (Source)."""
        self._stopped = True

    @property
    def trouble(self) -> str:
        """Why the directory cannot be read (Source)."""
        return self._problems.current(self._directory)

    def read_once(self, observer: Observer) -> None:
        """Tells the observer all that is there now; raises ApiError where the directory cannot
        be read."""
        pause = TimeSlice()
        if not self._load(pause):
            raise ApiError(0, "Unreadable", self.trouble)
        self._tell_all(observer, pause)

    def _run(self, observer: Observer, beat: Beat) -> None:
        slice_ = TimeSlice()

        def pause() -> None:
            slice_()
            beat()

        while not self._load(pause):
            hub.sleep(_TROUBLED_POLL)
            beat()
            if self._stopped:
                return
        self._tell_all(observer, pause)
        self._tell(set(self._status.keys()), observer, pause)
        while not self._stopped:
            beat()
            hub.sleep(POLL)
            touched = self._look(pause)
            if touched:
                self._tell(touched, observer, pause)

    # -- files -----------------------------------------------------------------------------------

    def _load(self, pause: Callable[[], None]) -> bool:
        """Reads everything; returns False, with the reason in `trouble`, where that cannot be."""
        try:
            self._intake.load(pause)
        except UnreadableDirectoryError as error:
            self._problems.update(self._directory, str(error))
            return False
        self._problems.update(self._directory, "")
        self._status.refresh(pause)
        self._hole = self._store.hole
        return True

    def _look(self, pause: Callable[[], None]) -> set[ObjectId]:
        """What changed since the last look, by object."""
        touched = self._intake.parsed()
        if self._intake.due:
            self._absent.look_begins()
            try:
                touched |= self._intake.look(pause)
            except UnreadableDirectoryError as error:
                self._problems.update(self._directory, str(error))
                return touched
            self._problems.update(self._directory, "")
            touched |= self._changed_status(pause)
        else:
            touched |= self._intake.settle(pause)
        if self._hole != self._store.hole:
            # now it may be known that an object is in no file, or no longer
            self._hole = self._store.hole
            touched.update(self._status.keys())
        touched.update(self._absent.due())
        return touched

    def _changed_status(self, pause: Callable[[], None]) -> set[ObjectId]:
        changed, folders = self._status.refresh(pause)
        if folders:
            return {entry for entry in self._told if entry[0] in (Kind.SERVICE, Kind.EIP)}
        return {entry for entry in changed if entry in self._told}

    # -- objects ---------------------------------------------------------------------------------

    def _tell_all(self, observer: Observer, pause: Callable[[], None]) -> None:
        found: dict[Kind, dict[ObjectKey, Reading]] = {kind: {} for kind in Kind}
        for entry in {*self._store.entries(), *self._status.keys()}:
            pause()
            reading = self._readings.of(entry)
            if reading is not None:
                found[entry[0]][entry[1]] = reading
        now = time.monotonic()
        self._told = {(kind, key): r for kind in Kind for key, r in found[kind].items()}
        for kind in Kind:
            observer.replace(kind, found[kind].values(), now)

    def _tell(
        self, touched: Iterable[ObjectId], observer: Observer, pause: Callable[[], None]
    ) -> None:
        heap: list[tuple[str, ObjectKey]] = []  # to sort so many takes its time in one go
        for kind, key in touched:
            pause()
            heapq.heappush(heap, (kind.value, key))
        while heap:
            pause()
            plural, key = heapq.heappop(heap)
            kind, now = Kind(plural), time.monotonic()
            entry = (kind, key)
            reading = self._readings.of(entry)
            if reading is not None:
                self._absent.found(entry)
            else:
                reading = self._missing(entry, observer, now)
            if reading is not None and self._told.get(entry) != reading:
                self._told[entry] = reading
                observer.put(reading, now)

    def _missing(self, entry: ObjectId, observer: Observer, now: float) -> Reading | None:
        """An object is in no file; it is gone when that was so for a while, and unreadable while
        a hole hides it."""
        absence = self._absent.judge(entry, now, self._intake.awaited)
        if absence.hole:
            return self._readings.behind(entry, absence.hole)
        if absence.gone:
            self._remove(entry, observer, now)
        return None

    def _remove(self, entry: ObjectId, observer: Observer, now: float) -> None:
        if self._keeps_status:
            self._drop_status(*entry)
        self._readings.forget(entry)
        if self._told.pop(entry, None) is not None:
            observer.remove(*entry, now)

    def _drop_status(self, kind: Kind, key: ObjectKey) -> None:
        try:
            self._status.remove(kind, key)
        except OSError as error:
            LOG.error("status of %s %s is not removed: %s", kind.value, key, reason_of(error))

    # -- status (writer.Backend) -------------------------------------------------------------------

    def patch(self, obj: WithStatus, status: ObjectStatus) -> Object | None:
        """Keeps the status of an object, none for one that is not ours; raises ApiError."""
        kind, key = entry = (obj.kind, obj.key)
        if entry not in self._told:
            raise ApiError(NOT_FOUND, "NotFound", f"{kind.value} {key} is gone")
        fault = self._status.get(kind, key).fault
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
        reading = self._readings.of(entry)
        if reading is None or isinstance(reading, Unreadable):
            return None
        self._told[entry] = reading
        return reading

    def event(self, obj: WithStatus, change: StatusChange) -> None:
        """There is nowhere to put an Event but the log."""
        level = logging.WARNING if change.warning else logging.INFO
        LOG.log(level, "%s: %s: %s", obj.key, change.reason, change.message)
