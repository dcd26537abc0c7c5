"""core/v1 Events: a repeated change of the same object increments the count of its Event.

Events are for people, and each costs the API server a write.  So more than 100 at a time, and more
than 10 a second, are dropped and counted, and while many statuses are written each waits for up to
five seconds.
"""

from __future__ import annotations

import collections
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from ryu.lib import hub

from porter_ryu import metrics, rfc3339
from porter_ryu.domain.objects import WithStatus
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.domain.text import printable
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import NOT_FOUND, ApiError
from porter_ryu.kube.json_text import Json
from porter_ryu.kube.resources import RESOURCES, STRATEGIC_MERGE
from porter_ryu.kube.write_codes import CREATED, DROPPED, EVENTS, FAILED
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_COMPONENT = "porter-ryu"
_REMEMBERED_EVENTS = 4096
_MAX_NAME_LENGTH, _MAX_MESSAGE_LENGTH = 200, 1000
_PER_SECOND, _BURST = 10.0, 100.0
_REPORT_AFTER_SECONDS = 5.0
_MOST_BEHIND_SECONDS, _LOOK_SECONDS = 5.0, 0.1


class _Queued(NamedTuple):
    """A change, and when it was made (RFC 3339)."""

    obj: WithStatus
    change: StatusChange
    at: str


class Events:
    """Writes Events one by one, and remembers the last few thousand to count them up.

    They have a greenthread of their own, so that no status waits for them; while the API server is
    `busy` with statuses each waits for up to 5 s.  Above a burst of 100 those of more than 10 a
    second are dropped: the log says how many, and
    porter_kubernetes_writes_total{kind="events",code="dropped"} counts them.
    """

    def __init__(
        self,
        client: Client,
        supervisor: Supervisor,
        busy: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._supervisor = supervisor
        self._busy = busy
        self._clock = clock
        self._bucket = _TokenBucket(_PER_SECOND, _BURST, clock)
        self._queue: collections.deque[_Queued] = collections.deque()
        self._wake = hub.Semaphore(0)
        self._dropped = 0
        self._drops = metrics.kubernetes_writes.labels(EVENTS, DROPPED)
        self._known: OrderedDict[tuple[str, str, str, str], tuple[str, int]] = OrderedDict()

    def start(self) -> None:
        """Spawns the greenthread that writes."""
        self._supervisor.keep_running("events", self._work)

    def add(self, obj: WithStatus, change: StatusChange) -> None:
        """Queues an Event for a change, or drops it and counts that."""
        if len(self._queue) >= _BURST or not self._bucket.consume():
            self._drop()
            return
        self._queue.append(_Queued(obj, change, rfc3339.now()))
        self._wake.release()

    def _drop(self) -> None:
        if not self._dropped:
            self._supervisor.after(_REPORT_AFTER_SECONDS, "events dropped", self._report_dropped)
        self._dropped += 1

    def _report_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        self._drops.inc(dropped)
        LOG.warning("%d Events were dropped: there are too many of them", dropped)

    def _work(self, _beat: Beat) -> None:
        while True:
            self._wake.acquire()
            self._let_statuses_go_first()
            queued = self._queue.popleft()
            try:
                self._write(queued)
                code = CREATED
            except ApiError as error:
                LOG.warning("an Event could not be written: %s", error)
                code = error.code
            except Exception:
                kind, key = queued.obj.kind.value, queued.obj.key
                LOG.exception("an Event of %s %s is not written", kind, key)
                code = FAILED
            metrics.kubernetes_writes.labels(EVENTS, code).inc()

    def _let_statuses_go_first(self) -> None:
        until = self._clock() + _MOST_BEHIND_SECONDS
        while self._busy() and self._clock() < until:
            hub.sleep(_LOOK_SECONDS)

    def _write(self, queued: _Queued) -> None:
        event = _event(queued)
        involved, reason = event["involvedObject"], event["type"] + event["reason"]
        key = (involved["kind"], involved["name"], involved["uid"], reason)
        if not self._count_up(key, event):
            self._client.request("POST", _path(event), None, event)
            self._remember(key, event["metadata"]["name"], 1)

    def _count_up(self, key: tuple[str, str, str, str], event: Json) -> bool:
        """Increments the count of an earlier Event; returns whether there was one.  The API server
        deletes Events after an hour."""
        if key not in self._known:
            return False
        name, count = self._known[key]
        patch = {
            "count": count + 1,
            "lastTimestamp": event["lastTimestamp"],
            "message": event["message"],
        }
        try:
            self._client.request("PATCH", f"{_path(event)}/{name}", None, patch, STRATEGIC_MERGE)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            del self._known[key]
            return False
        self._remember(key, name, count + 1)
        return True

    def _remember(self, key: tuple[str, str, str, str], name: str, count: int) -> None:
        self._known[key] = (name, count)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED_EVENTS:
            self._known.popitem(last=False)


def _path(event: Json) -> str:
    return f"/api/v1/namespaces/{event['metadata']['namespace']}/events"


def _event(queued: _Queued) -> Json:
    """Events about cluster-scoped Eips go to the namespace `default`: no other accepts them."""
    obj, change, at = queued
    kind, (namespace, name) = obj.kind.singular, obj.key
    unique = sha256(f"{kind}{obj.uid}{change.reason}{time.time()}".encode()).hexdigest()[:16]
    version = RESOURCES[obj.kind].api_version
    involved = {"apiVersion": version, "kind": kind, "name": name, "uid": obj.uid}
    if namespace:
        involved["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": namespace or "default",
            "name": f"{name[:_MAX_NAME_LENGTH].rstrip('-.')}.{unique}",
        },
        "involvedObject": involved,
        "type": "Warning" if change.warning else "Normal",
        "reason": change.reason,
        "message": printable(change.message, _MAX_MESSAGE_LENGTH),
        "source": {"component": _COMPONENT},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


class _TokenBucket:
    """A token bucket: `rate` a second, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens, self._at = burst, clock()

    def consume(self) -> bool:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
