"""The API server as a Source (five informers) and as the Backend of the writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ryu.lib import hub

from porter_ryu import rfc3339
from porter_ryu.domain.model import Kind
from porter_ryu.domain.objects import Object, ObjectStatus, WithStatus
from porter_ryu.domain.ports import Observer, SourceState
from porter_ryu.domain.status_changes import StatusChange
from porter_ryu.kube.client import Client
from porter_ryu.kube.codec import Codec, status_patch
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.events import Events
from porter_ryu.kube.informer import Informer
from porter_ryu.kube.resources import RESOURCES
from porter_ryu.supervisor import Beat, Supervisor, Task

_LIST_SECONDS = 120.0
_HELD_BACK_SECONDS = 1.0
_MANY = 8  # statuses that are being written


class Api:
    """Source and writer.Backend on one Client.

    `after`: the first lists wait for it, at most a second.  An instance that takes the Lease lists
    everything anew, so what it reads before that is read twice.
    """

    def __init__(
        self,
        client: Client,
        codec: Codec,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor = supervisor
        self.client = client
        self._patching = 0
        self._events = Events(client, supervisor, lambda: self._patching >= _MANY)
        self._informers = {kind: Informer(kind, client, codec, clock) for kind in Kind}
        self._readers: dict[Kind, Task] = {}
        self._observer: Observer | None = None
        self.after: hub.Event | None = None

    def start(self, observer: Observer) -> None:
        """Starts a greenthread for each kind, and one for Events (Source)."""
        self._observer = observer
        self._events.start()
        for kind, informer in self._informers.items():
            self._read(kind, informer, observer, self.after)

    @property
    def trouble(self) -> str:
        """The kinds that could not be read for the last 10 s, and why; empty if there are none
        (Source)."""
        kinds: dict[str, list[str]] = {}
        for kind, informer in self._informers.items():
            if informer.trouble:
                kinds.setdefault(informer.trouble, []).append(kind.value)
        return "; ".join(
            f"{', '.join(names)} cannot be read: {trouble}" for trouble, names in kinds.items()
        )

    @property
    def state(self) -> SourceState:
        """Where it reads, and how fresh it is (Source).  A bookmark is an event as well."""
        events = {kind: informer.last_event for kind, informer in self._informers.items()}
        lists = {kind: informer.last_list for kind, informer in self._informers.items()}
        watches = {kind: informer.last_watch for kind, informer in self._informers.items()}
        what = f"API server {self.client.url}"
        return SourceState(what, _known(events), _known(lists), self.trouble, _known(watches))

    def _read(
        self, kind: Kind, informer: Informer, observer: Observer, after: hub.Event | None = None
    ) -> None:
        def run(_beat: Beat) -> None:
            if after is not None:
                after.wait(timeout=_HELD_BACK_SECONDS)
            informer.run(observer)

        self._readers[kind] = self._supervisor.keep_running(f"watch {kind.value}", run)

    def relist(self) -> None:
        """Lists everything again, and returns when all of it is reported; raises ApiError."""
        if self._observer is None:
            return
        for kind, informer in self._informers.items():
            self._readers[kind].end()
            informer.listed.clear()
            self._read(kind, informer, self._observer)
        for kind, informer in self._informers.items():
            if not informer.listed.wait(timeout=_LIST_SECONDS):
                raise ApiError(
                    0, "TimedOut", f"{kind.value} could not be listed within {_LIST_SECONDS:.0f} s"
                )

    def stop(self) -> None:
        """Stops the informers (Source)."""
        for informer in self._informers.values():
            informer.stop()

    def read_once(self, observer: Observer) -> None:
        """Lists every kind once; raises ApiError."""
        for informer in self._informers.values():
            informer.list_once(observer)

    def patch(self, obj: WithStatus, status: ObjectStatus) -> Object | None:
        """Patches the status of an object (writer.Backend); raises ApiError."""
        resource = RESOURCES[obj.kind]
        path = f"{resource.path(obj.key)}/status"
        patch = status_patch(obj, status, rfc3339.now())
        self._patching += 1
        try:
            answer = self.client.text("PATCH", path, None, patch, resource.patch_type)
        finally:
            self._patching -= 1
        return self._informers[obj.kind].accept(answer)

    def event(self, obj: WithStatus, change: StatusChange) -> None:
        """Queues an Event (writer.Backend)."""
        self._events.add(obj, change)


def _known(times: Mapping[Kind, float | None]) -> dict[Kind, float]:
    """The times that there are."""
    return {kind: at for kind, at in times.items() if at is not None}
