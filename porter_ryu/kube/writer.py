"""Writes status and Events, on change only, from its own greenthreads.

The newest wish for an object is the one that counts.  An object that cannot be written is tried
again with backoff, whatever is wished of it meanwhile, until it is written or gone; it costs no
other object a write.  An Eip is written at most once a second.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Kind, ObjectId, ObjectKey
from porter_ryu.domain.objects import Object, ObjectStatus, WithStatus
from porter_ryu.domain.ports import Observer
from porter_ryu.domain.status_changes import StatusChange, status_changes
from porter_ryu.kube.errors import NOT_FOUND, ApiError
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_WORKERS = 16
# an Eip changes with each Service that it serves, and says all of them each time
_SECONDS_BETWEEN_WRITES = {Kind.EIP: 1.0}
_RETRY_FIRST, _RETRY_MOST = 0.2, 30.0
_FORGIVEN_AFTER = 60.0


class Backend(Protocol):
    """Where status and Events go."""

    def patch(self, obj: WithStatus, status: ObjectStatus) -> Object | None:
        """Writes the status of an object; returns its new form, None where that cannot be told;
        raises ApiError."""

    def event(self, obj: WithStatus, change: StatusChange) -> None:
        """Has a change told, without waiting until it is."""


@dataclass(frozen=True, slots=True)
class _Wish:
    obj: WithStatus
    status: ObjectStatus


@dataclass
class _Failing:
    """An object that could not be written: when it is tried again."""

    backoff: Backoff = field(default_factory=lambda: Backoff(_RETRY_FIRST, _RETRY_MOST))
    again_at: float = 0.0


class Writer:
    """A StatusTarget over a Backend; what was written is reported to the observer at once."""

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
        self._wishes: dict[ObjectId, _Wish] = {}
        self._queue: collections.deque[ObjectId] = collections.deque()
        self._queued: set[ObjectId] = set()
        self._writing: set[ObjectId] = set()
        self._wake = hub.Semaphore(0)
        self._failing: dict[ObjectId, _Failing] = {}
        self._resting: set[ObjectId] = set()

    def start(self, observer: Observer) -> None:
        """Spawns the greenthreads that write."""
        self._observer = observer
        for number in range(_WORKERS):
            self._supervisor.keep_running(f"writer {number}", self._work)

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """Sets what status of an object should say (StatusTarget)."""
        same = obj.status == status
        self._want((obj.kind, obj.key), None if same else _Wish(obj, status))

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """Drops a wish for an object that is gone (StatusTarget)."""
        self._failing.pop((kind, key), None)
        self._resting.discard((kind, key))
        self._want((kind, key), None)

    def drop(self) -> None:
        """Drops every wish (StatusTarget)."""
        self._wishes.clear()
        self._failing.clear()

    @property
    def idle(self) -> bool:
        """Whether everything that was wished is written."""
        return not self._wishes

    def _want(self, entry: ObjectId, wish: _Wish | None) -> None:
        if wish is None:
            self._wishes.pop(entry, None)
            return
        self._wishes[entry] = wish
        failing = self._failing.get(entry)
        waits = failing is not None and failing.again_at > self._clock()
        if not waits and entry not in self._resting:
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
            wish = self._wishes.get(entry)
            if wish is None or entry in self._writing:
                continue  # who writes it looks again when it has
            self._writing.add(entry)
            try:
                self._write(entry, wish)
            except Exception:
                LOG.exception("status of %s %s is not written", entry[0].value, entry[1])
                self._failed(entry, "failed", None)
            finally:
                self._writing.discard(entry)
            newest = self._wishes.get(entry)
            if newest is not None and newest != wish:
                self._want(entry, newest)

    def _write(self, entry: ObjectId, wish: _Wish) -> None:
        try:
            written = self._backend.patch(wish.obj, wish.status)
        except ApiError as error:
            if error.status == NOT_FOUND:
                self._gone(entry, wish)
                return
            LOG.warning("status of %s %s is not written: %s", entry[0].value, entry[1], error)
            self._failed(entry, str(error.status), error.retry_after)
            return
        metrics.kubernetes_writes.labels(kind=entry[0].value, code="200").inc()
        self._failing.pop(entry, None)
        self._fulfilled(entry, wish)
        self._rest(entry)
        if written is not None and self._observer is not None:
            self._observer.put(written, time.monotonic())
        self._tell(wish)

    def _rest(self, entry: ObjectId) -> None:
        """Has the next wish for an object that was written wait, where its kind asks for that."""
        seconds = _SECONDS_BETWEEN_WRITES.get(entry[0])
        if seconds is not None:
            self._resting.add(entry)
            self._supervisor.after(seconds, "write on", self._rested, entry)

    def _rested(self, entry: ObjectId) -> None:
        self._resting.discard(entry)
        wish = self._wishes.get(entry)
        if wish is not None:
            self._want(entry, wish)

    def _gone(self, entry: ObjectId, wish: _Wish) -> None:
        metrics.kubernetes_writes.labels(kind=entry[0].value, code=str(NOT_FOUND)).inc()
        self._failing.pop(entry, None)
        self._fulfilled(entry, wish)

    def _fulfilled(self, entry: ObjectId, wish: _Wish) -> None:
        """Drops a wish that nothing is left of, unless another one took its place meanwhile."""
        if self._wishes.get(entry) == wish:
            del self._wishes[entry]

    def _failed(self, entry: ObjectId, code: str, retry_after: float | None) -> None:
        """Has the object tried again later, with what is wished of it then."""
        metrics.kubernetes_writes.labels(kind=entry[0].value, code=code).inc()
        failing = self._failing.setdefault(entry, _Failing())
        delay = max(failing.backoff.next(), retry_after or 0.0)
        failing.again_at = self._clock() + delay
        self._supervisor.after(delay, "write again", self._again, entry, failing)

    def _again(self, entry: ObjectId, failing: _Failing) -> None:
        if entry in self._wishes:
            self._enqueue(entry)
        else:
            since = failing.again_at
            self._supervisor.after(
                _FORGIVEN_AFTER, "write again", self._forgive, entry, failing, since
            )

    def _forgive(self, entry: ObjectId, failing: _Failing, since: float) -> None:
        """Forgets the failures of an object of which nothing was wished meanwhile."""
        if self._failing.get(entry) is failing and failing.again_at == since:
            del self._failing[entry]

    def _tell(self, wish: _Wish) -> None:
        for change in status_changes(wish.obj.status, wish.status):
            self._backend.event(wish.obj, change)
