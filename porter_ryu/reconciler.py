"""The loop: what was touched is decided again, and takes effect.

It waits, turns and retries.  There is one path for everything: the first list, one changed endpoint
and the resync are the same turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.domain.model import Kind, ObjectKey, Reading
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.turn import Turn
from porter_ryu.effects import Effects
from porter_ryu.supervisor import Beat
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_HEARTBEAT = 1.0
_RETRY_FIRST, _RETRY_MOST = 0.1, 10.0


class Reconciler:
    """An Observer of the cluster that takes turns.

    `synced`: everything that was known at the start is applied.
    """

    def __init__(self, planner: Planner, effects: Effects, resync_seconds: float) -> None:
        self.synced = False
        self.lists_read = 0
        self._planner = planner
        self._effects = effects
        self._resync_seconds = resync_seconds
        self._followers: list[Callable[[Turn], None]] = []
        self._wake = hub.Event()
        self._oldest_read: float | None = None
        self._retired = False
        self._slice = TimeSlice()
        self._beat: Beat = _unwatched

    def follow(self, follower: Callable[[Turn], None]) -> None:
        """Has `follower` told of every turn after it took effect."""
        self._followers.append(follower)

    def replace(self, kind: Kind, objects: Collection[Reading], read_at: float) -> None:
        """A complete list of one kind (Observer)."""
        self.lists_read += 1
        self._planner.replace(kind, objects, self._give_way)
        self._touch(read_at)

    def put(self, obj: Reading, read_at: float) -> None:
        """One object is there or changed (Observer)."""
        self._planner.put(obj)
        self._touch(read_at)

    def remove(self, kind: Kind, key: ObjectKey, read_at: float) -> None:
        """One object is gone (Observer)."""
        self._planner.remove(kind, key)
        self._effects.forget(kind, key)
        self._touch(read_at)

    def wake(self) -> None:
        """Has a turn taken now."""
        self._wake.set()

    def retire(self) -> None:
        """Decides nothing any more: alive, but not ready."""
        self._retired = True
        self.synced = False

    def run(self, beat: Beat) -> None:
        """Turns for ever: whatever breaks a turn is logged whole, and everything is looked at
        again with backoff."""
        self._beat = beat
        resync_at = time.monotonic() + self._resync_seconds
        backoff = Backoff(_RETRY_FIRST, _RETRY_MOST)
        while True:
            beat()
            self._wake.wait(timeout=self._patience())
            self._wake.clear()
            now = time.monotonic()
            if now >= resync_at:
                resync_at = now + self._resync_seconds
                self._planner.resync()
            try:
                self.turn()
                backoff.reset()
            except Exception:
                LOG.exception("a turn failed, and everything is looked at again")
                hub.sleep(backoff.next())
                self._planner.resync()
                self._wake.set()

    def _patience(self) -> float:
        """How long to wait for something to happen, in seconds."""
        due = self._planner.due
        return _HEARTBEAT if due is None else min(_HEARTBEAT, max(0.0, due - time.monotonic()))

    def turn(self) -> None:
        """Decides what was touched and applies it."""
        started = time.monotonic()
        due = self._planner.due
        waiting = self._planner.idle and (due is None or started < due)
        if self._retired or not self._planner.ready or (waiting and self.synced):
            return
        read_at, self._oldest_read = self._oldest_read, None
        turn = self._planner.turn(give_way=self._give_way, now=started)
        self._effects.apply(turn, read_at)
        for follower in self._followers:
            follower(turn)
        self._effects.complete()
        self.synced = True
        metrics.reconcile_seconds.observe(time.monotonic() - started)

    def _give_way(self) -> None:
        """A turn that takes long is no loop that stands still."""
        self._beat()
        self._slice()

    def _touch(self, read_at: float) -> None:
        if self._oldest_read is None:
            self._oldest_read = read_at
        self._wake.set()


def _unwatched() -> None:
    """Before the loop runs nobody watches over it."""
