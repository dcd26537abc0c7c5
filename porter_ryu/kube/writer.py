"""Writes status, and passes Events on, from its own greenthreads; only what differs is written.

Of several statuses that are wanted of an object the newest is written.  An object that cannot be
written is retried with backoff until it is written or deleted, and delays no other.  An Eip is
written at most once a second.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.domain.objects import Object, ObjectStatus, WithStatus
from porter_ryu.domain.ports import Observer
from porter_ryu.domain.status_changes import StatusChange, status_changes
from porter_ryu.kube.errors import NOT_FOUND, ApiError
from porter_ryu.kube.write_codes import FAILED, WRITTEN
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_WORKERS = 16
# the status of an Eip changes with each of its Services, and lists all of them
_SECONDS_BETWEEN_WRITES = {Kind.EIP: 1.0}
_MIN_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.2, 30.0
_FORGET_FAILURES_SECONDS = 60.0


class Backend(Protocol):
    """Stores status and Events."""

    def patch(self, obj: WithStatus, status: ObjectStatus) -> Object | None:
        """Writes the status of an object; returns its new form, None if that is not known.  Raises
        ApiError."""

    def event(self, obj: WithStatus, change: StatusChange) -> None:
        """Queues an Event for a change."""


class _Write(Struct, frozen=True, gc=False):
    obj: WithStatus
    status: ObjectStatus


class _Failing(Struct):
    """An object that could not be written, and when it is retried."""

    backoff: Backoff = field(
        default_factory=lambda: Backoff(_MIN_RETRY_SECONDS, _MAX_RETRY_SECONDS)
    )
    retry_at: float = 0.0


class Writer:
    """A StatusTarget over a Backend.  What it has written is reported to the observer."""

    def __init__(
        self,
        backend: Backend,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self._clock = clock
        self._backend = backend
        self._observer: Observer | None = None
        self._wanted: dict[ObjectId, _Write] = {}
        self._queue: collections.deque[ObjectId] = collections.deque()
        self._queued: set[ObjectId] = set()
        self._writing: set[ObjectId] = set()
        self._wake = hub.Semaphore(0)
        self._failing: dict[ObjectId, _Failing] = {}
        self._paused: set[ObjectId] = set()
        self._written = {
            kind: metrics.kubernetes_writes.labels(kind.value, WRITTEN)
            for kind in (Kind.SERVICE, Kind.EIP)
        }

    def start(self, observer: Observer) -> None:
        """Starts the greenthreads that write."""
        self._observer = observer
        for number in range(_WORKERS):
            self._supervisor.keep_running(f"writer {number}", self._work, kind="writer")

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """Sets the wanted status of an object (StatusTarget)."""
        same = obj.status == status
        self._want((obj.kind, obj.key), None if same else _Write(obj, status))

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """Drops the write for an object that was deleted (StatusTarget)."""
        self._failing.pop((kind, key), None)
        self._paused.discard((kind, key))
        self._want((kind, key), None)

    def drop(self) -> None:
        """Drops all writes (StatusTarget)."""
        self._wanted.clear()
        self._failing.clear()

    @property
    def idle(self) -> bool:
        """Whether everything that is wanted is written."""
        return not self._wanted

    def _want(self, entry: ObjectId, write: _Write | None) -> None:
        if write is None:
            self._wanted.pop(entry, None)
            return
        self._wanted[entry] = write
        failing = self._failing.get(entry)
        waits = failing is not None and failing.retry_at > self._clock()
        if not waits and entry not in self._paused:
            self._enqueue(entry)

    def _enqueue(self, entry: ObjectId) -> None:
        if entry not in self._queued:
            self._queued.add(entry)
            self._queue.append(entry)
            self._wake.release()

    def _work(self, _beat: Beat) -> None:
        while True:
            self._wake.acquire()
            entry = self._queue.popleft()
            self._queued.discard(entry)
            write = self._wanted.get(entry)
            if write is None or entry in self._writing:
                continue  # the worker that is writing it checks again afterwards
            self._writing.add(entry)
            try:
                self._write(entry, write)
            except Exception:
                LOG.exception("status of %s %s is not written", entry[0].value, entry[1])
                self._failed(entry, FAILED, None)
            finally:
                self._writing.discard(entry)
            newest = self._wanted.get(entry)
            if newest is not None and newest != write:
                self._want(entry, newest)

    def _write(self, entry: ObjectId, write: _Write) -> None:
        try:
            written = self._backend.patch(write.obj, write.status)
        except ApiError as error:
            if error.status == NOT_FOUND:
                self._deleted(entry, write)
                return
            LOG.warning("status of %s %s is not written: %s", entry[0].value, entry[1], error)
            self._failed(entry, error.code, error.retry_after)
            return
        self._written[entry[0]].inc()
        self._failing.pop(entry, None)
        self._done(entry, write)
        self._pause(entry)
        if written is not None and self._observer is not None:
            self._observer.put(written, time.monotonic())
        self._report_changes(write)

    def _pause(self, entry: ObjectId) -> None:
        """Delays the next write of an object, if its kind has a minimum interval."""
        seconds = _SECONDS_BETWEEN_WRITES.get(entry[0])
        if seconds is not None:
            self._paused.add(entry)
            self._supervisor.after(seconds, "write on", self._resume, entry)

    def _resume(self, entry: ObjectId) -> None:
        self._paused.discard(entry)
        write = self._wanted.get(entry)
        if write is not None:
            self._want(entry, write)

    def _deleted(self, entry: ObjectId, write: _Write) -> None:
        metrics.kubernetes_writes.labels(entry[0].value, str(NOT_FOUND)).inc()
        self._failing.pop(entry, None)
        self._done(entry, write)

    def _done(self, entry: ObjectId, write: _Write) -> None:
        """Removes a write, unless a newer one has replaced it."""
        if self._wanted.get(entry) == write:
            del self._wanted[entry]

    def _failed(self, entry: ObjectId, code: str, retry_after: float | None) -> None:
        """Schedules a retry with the status that is wanted then."""
        metrics.kubernetes_writes.labels(entry[0].value, code).inc()
        failing = self._failing.setdefault(entry, _Failing())
        delay = max(failing.backoff.next(), retry_after or 0.0)
        failing.retry_at = self._clock() + delay
        self._supervisor.after(delay, "write again", self._retry, entry, failing)

    def _retry(self, entry: ObjectId, failing: _Failing) -> None:
        if entry in self._wanted:
            self._enqueue(entry)
        else:
            since = failing.retry_at
            self._supervisor.after(
                _FORGET_FAILURES_SECONDS,
                "write again",
                self._forget_failures,
                entry,
                failing,
                since,
            )

    def _forget_failures(self, entry: ObjectId, failing: _Failing, since: float) -> None:
        """Forgets the failures of an object for which nothing was wanted meanwhile."""
        if self._failing.get(entry) is failing and failing.retry_at == since:
            del self._failing[entry]

    def _report_changes(self, write: _Write) -> None:
        for change in status_changes(write.obj.status, write.status):
            self._backend.event(write.obj, change)
