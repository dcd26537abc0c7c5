"""The main loop: it waits for changes, lets the planner decide in a turn, and applies the result.

The first list, one changed endpoint and the periodic resync take the same path.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import EndpointSlice, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.liveness import Findings, ProbedNode
from porter_ryu.domain.objects import Reading
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import listed
from porter_ryu.domain.turn import Turn
from porter_ryu.effects import Effects
from porter_ryu.history.causes import STARTED, Causes
from porter_ryu.supervisor import Beat
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_HEARTBEAT_SECONDS = 3.0
_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS = 0.1, 10.0
# causes of turns for which nothing was read
_TIMER, _RESYNC = "timer", "resync"
# of unfinished turns, the subscribers are told no later
_MOST_UNTOLD = 256


class Reconciler:
    """An Observer that takes a turn when something changed, and a resync every `resync_seconds`.

    `synced`: all that the first lists had was decided and applied.  `lists_read` counts lists.
    `causes` are those of the turns.  `await_role` returns when the role of this instance is known,
    or after a short time: the first turn comes after it, because who becomes the leader decides
    everything again.
    """

    def __init__(self, planner: Planner, effects: Effects, resync_seconds: float) -> None:
        self.synced = False
        self.lists_read = 0
        self.causes = Causes()
        self.await_role: Callable[[], object] = _do_nothing
        self._planner = planner
        self._effects = effects
        self._resync_seconds = resync_seconds
        self._subscribers: list[Callable[[Turn], None]] = []
        self._untold: list[Turn] = []
        self._wake = hub.Event()
        self._retired = False
        self._slice = TimeSlice()
        self._beat: Beat = _no_beat
        self._otherwise = _TIMER

    def subscribe(self, subscriber: Callable[[Turn], None]) -> None:
        """Calls `subscriber` with every turn after it, and the turns that go on with it, were
        applied: what has to be sent at once is sent."""
        self._subscribers.append(subscriber)

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind (Observer)."""
        self.lists_read += 1
        self._planner.replace(kind, objects, self._give_way)
        for obj in objects:
            if isinstance(obj, Service):
                self.causes.listed(obj.key, obj.ingress)
        what = f"the list of {kind.value}" if self.synced else STARTED
        self.causes.happened(what, read_at)
        self._wake.set()

    def put(self, obj: Reading, read_at: float) -> None:
        """One object was added or changed (Observer)."""
        self._planner.put(obj)
        owner = obj.service if isinstance(obj, EndpointSlice) else None
        record = obj.ingress if isinstance(obj, Service) else ()
        self.causes.read(obj.kind, obj.key, read_at, owner, record=record)
        self._wake.set()

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone (Observer)."""
        self._planner.remove(kind, key)
        self._effects.forget(kind, key)
        self.causes.read(kind, key, read_at, gone=True)
        self._wake.set()

    def probed(self, found: Mapping[ProbedNode, Findings]) -> None:
        """Probes found something about these nodes."""
        self._planner.probed_nodes.find(found)
        names = list(dict.fromkeys(name for name, _ in found))
        self.causes.happened(f"probes of {listed(names)}", time.monotonic(), names)
        self._wake.set()

    def wake(self) -> None:
        """Starts a turn now."""
        self._wake.set()

    def retire(self) -> None:
        """Stops taking turns: the process is alive, but not ready."""
        self._retired = True
        self.synced = False

    def run(self, beat: Beat) -> None:
        """Takes turns until it is killed.  After an exception in a turn, which is logged with its
        traceback, everything is decided again, with backoff."""
        self._beat = beat
        resync_at = time.monotonic() + self._resync_seconds
        backoff = Backoff(_FIRST_RETRY_SECONDS, _MAX_RETRY_SECONDS)
        while True:
            beat()
            if self._wake.is_set():
                # a change during a turn is part of a burst: the rest of it may be ready to read
                hub.sleep(0)
            self._wake.wait(timeout=self._wait_seconds())
            if self._planner.ready and not self.synced and not self._untold:
                self.await_role()  # before the first part of a start, and not before each
            self._wake.clear()
            self._slice.begin()
            now = time.monotonic()
            if now >= resync_at:
                resync_at = now + self._resync_seconds
                self._planner.resync()
                self._otherwise = _RESYNC
            try:
                self.turn()
                backoff.reset()
            except Exception:
                LOG.exception("a turn failed: everything is decided again")
                hub.sleep(backoff.next())
                self._planner.recover()
                self._otherwise = _RESYNC
                self._wake.set()

    def _wait_seconds(self) -> float:
        """How long to wait for a change."""
        due = self._planner.due
        if due is None:
            return _HEARTBEAT_SECONDS
        return min(_HEARTBEAT_SECONDS, max(0.0, due - time.monotonic()))

    def turn(self) -> None:
        """Decides what changed and applies it; does nothing where there is nothing to decide."""
        started = time.monotonic()
        if self._retired or not self._planner.ready:
            return
        if self.synced and self._planner.idle:
            due = self._planner.due
            if due is None or started < due:
                self.causes.forget()
                return
        causes = self.causes.begin_turn(self._otherwise, started, goes_on=bool(self._untold))
        self._otherwise = _TIMER
        turn = self._planner.turn(give_way=self._give_way, now=started)
        self._effects.apply(turn, causes.read_at)
        self._untold.append(turn)
        if turn.unfinished:
            self._wake.set()
        else:
            self._effects.complete()
            self.synced = True
        if not turn.unfinished or len(self._untold) >= _MOST_UNTOLD:
            self._tell()
        metrics.reconcile_seconds.observe(time.monotonic() - started)

    def _tell(self) -> None:
        """Tells the subscribers of the turns that were applied."""
        untold, self._untold = self._untold, []
        for turn in untold:
            for subscriber in self._subscribers:
                subscriber(turn)

    def _give_way(self) -> None:
        """Lets other greenthreads run, and reports that the loop is alive."""
        if self._slice.used_up:
            self._beat()
            self._slice()


def _no_beat() -> None:
    """Until `run` is called, no supervisor waits for a beat."""


def _do_nothing() -> None:
    """Without a Lease the role is known."""
