"""Writes status and Events, on change only, from its own greenthreads.

The newest wish for an object is the one that counts.  An object that cannot be written is tried
again with backoff, whatever is wished of it meanwhile, until it is written or gone; it costs no
other object a write.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Eip, EipStatus, Kind, ObjectKey, Service, ServiceStatus
from porter_ryu.domain.ports import Observer
from porter_ryu.kube import patches
from porter_ryu.kube.errors import ApiError
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_WORKERS = 8
_RETRY_FIRST, _RETRY_MOST = 0.2, 30.0
_FORGIVEN_AFTER = 60.0
_NOT_FOUND = 404


class Backend(Protocol):
    """Where status and Events go."""

    def patch_service(self, service: Service, status: ServiceStatus) -> Service | None:
        """Writes; returns the new form; raises ApiError."""

    def patch_eip(self, eip: Eip, status: EipStatus) -> Eip | None:
        """Writes; returns the new form; raises ApiError."""

    def event(self, subject: Service | Eip, warning: bool, reason: str, message: str) -> None:
        """Tells of a change; raises ApiError."""


@dataclass(frozen=True, slots=True)
class _Wish:
    subject: Service | Eip
    status: ServiceStatus | EipStatus


@dataclass
class _Failing:
    """An object that could not be written: when it is tried again."""

    backoff: Backoff = field(default_factory=lambda: Backoff(_RETRY_FIRST, _RETRY_MOST))
    again_at: float = 0.0


_Id = tuple[Kind, ObjectKey]


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
        self._wishes: dict[_Id, _Wish] = {}
        self._queue: collections.deque[_Id] = collections.deque()
        self._queued: set[_Id] = set()
        self._writing: set[_Id] = set()
        self._wake = hub.Semaphore(0)
        self._failing: dict[_Id, _Failing] = {}

    def start(self, observer: Observer) -> None:
        """Spawns the greenthreads that write."""
        self._observer = observer
        for number in range(_WORKERS):
            self._supervisor.keep(f"writer {number}", self._work)

    def want_service(self, service: Service, status: ServiceStatus) -> None:
        """Sets what status of a Service should say (StatusTarget)."""
        conditions = tuple(patches.bounded(condition) for condition in status.conditions)
        status = dataclasses.replace(status, conditions=conditions)
        same = (
            service.ingress == status.ingress
            and (service.plain_ingress or not service.ours)
            and set(service.conditions) == set(status.conditions)
        )
        self._want((Kind.SERVICE, service.key), None if same else _Wish(service, status))

    def want_eip(self, eip: Eip, status: EipStatus) -> None:
        """Sets what status of an Eip should say (StatusTarget)."""
        status = dataclasses.replace(status, message=patches.bounded_message(status.message))
        same = eip.status is not None and _comparable(eip.status) == _comparable(status)
        self._want((Kind.EIP, ObjectKey("", eip.name)), None if same else _Wish(eip, status))

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """Drops a wish for an object that is gone (StatusTarget)."""
        self._failing.pop((kind, key), None)
        self._want((kind, key), None)

    def drop(self) -> None:
        """Drops every wish (StatusTarget)."""
        self._wishes.clear()
        self._failing.clear()

    @property
    def idle(self) -> bool:
        """Whether everything that was wished is written."""
        return not self._wishes

    def _want(self, entry: _Id, wish: _Wish | None) -> None:
        if wish is None:
            self._wishes.pop(entry, None)
            return
        self._wishes[entry] = wish
        failing = self._failing.get(entry)
        if failing is None or failing.again_at <= self._clock():
            self._enqueue(entry)

    def _enqueue(self, entry: _Id) -> None:
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

    def _write(self, entry: _Id, wish: _Wish) -> None:
        try:
            written = self._patch(wish)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                self._gone(entry, wish)
                return
            LOG.warning("status of %s %s is not written: %s", entry[0].value, entry[1], error)
            self._failed(entry, str(error.status), error.retry_after)
            return
        metrics.kubernetes_writes.labels(kind=entry[0].value, code="200").inc()
        self._failing.pop(entry, None)
        self._fulfilled(entry, wish)
        if written is not None and self._observer is not None:
            self._observer.put(written, time.monotonic())
        self._tell(wish)

    def _patch(self, wish: _Wish) -> Service | Eip | None:
        if isinstance(wish.subject, Service) and isinstance(wish.status, ServiceStatus):
            return self._backend.patch_service(wish.subject, wish.status)
        if isinstance(wish.subject, Eip) and isinstance(wish.status, EipStatus):
            return self._backend.patch_eip(wish.subject, wish.status)
        raise TypeError(f"a {type(wish.status).__name__} is no status of that")

    def _gone(self, entry: _Id, wish: _Wish) -> None:
        metrics.kubernetes_writes.labels(kind=entry[0].value, code=str(_NOT_FOUND)).inc()
        self._failing.pop(entry, None)
        self._fulfilled(entry, wish)

    def _fulfilled(self, entry: _Id, wish: _Wish) -> None:
        """Drops a wish that nothing is left of, unless another one took its place meanwhile."""
        if self._wishes.get(entry) == wish:
            del self._wishes[entry]

    def _failed(self, entry: _Id, code: str, retry_after: float | None) -> None:
        """Has the object tried again later, with what is wished of it then."""
        metrics.kubernetes_writes.labels(kind=entry[0].value, code=code).inc()
        failing = self._failing.setdefault(entry, _Failing())
        delay = max(failing.backoff.next(), retry_after or 0.0)
        failing.again_at = self._clock() + delay
        self._supervisor.after(delay, "write again", self._again, entry, failing)

    def _again(self, entry: _Id, failing: _Failing) -> None:
        if entry in self._wishes:
            self._enqueue(entry)
        else:
            since = failing.again_at
            self._supervisor.after(
                _FORGIVEN_AFTER, "write again", self._forgive, entry, failing, since
            )

    def _forgive(self, entry: _Id, failing: _Failing, since: float) -> None:
        """Forgets the failures of an object of which nothing was wished meanwhile."""
        if self._failing.get(entry) is failing and failing.again_at == since:
            del self._failing[entry]

    def _tell(self, wish: _Wish) -> None:
        """An Event for each condition whose reason is another now."""
        for warning, reason, message in _news(wish):
            try:
                self._backend.event(wish.subject, warning, reason, message)
            except ApiError as error:
                LOG.warning("an Event was not written: %s", error)


def _news(wish: _Wish) -> list[tuple[bool, str, str]]:
    if isinstance(wish.subject, Service) and isinstance(wish.status, ServiceStatus):
        before = {condition.type: condition.reason for condition in wish.subject.conditions}
        news = [
            (not condition.status, condition.reason, condition.message)
            for condition in wish.status.conditions
            if before.get(condition.type) != condition.reason
        ]
        return [*_moved(wish.subject, wish.status), *news]
    if isinstance(wish.subject, Eip) and isinstance(wish.status, EipStatus):
        old, new = wish.subject.status, wish.status
        if old is None or old.reason is not new.reason:
            return [(not new.ready, new.reason.value, new.message)]
    return []


def _moved(service: Service, status: ServiceStatus) -> list[tuple[bool, str, str]]:
    """The Event of a Service that has other addresses than it had on record."""
    gone = [str(address) for address in service.ingress if address not in status.ingress]
    if not gone or not status.conditions:
        return []
    now = ", ".join(map(str, status.ingress)) or "no address"
    why = f": {status.moved}" if status.moved else ""
    return [(True, "AddressChanged", f"from {', '.join(gone)} to {now}{why}")]


def _comparable(status: EipStatus) -> tuple[object, ...]:
    return (
        status.ready,
        status.reason,
        status.message,
        status.occupied,
        status.usage,
        status.pool_size,
        status.first_ip,
        status.last_ip,
        status.v4,
        frozenset(status.used),
        status.serving,
    )
