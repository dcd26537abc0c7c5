"""Every greenthread of the program by name: what dies is logged, counted and started again.

A greenthread that dies without a word leaves a part of the program deaf while the process looks
healthy.  So none is spawned elsewhere: this module knows them all, and `/healthz` asks it.
"""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Callable
from typing import Any

from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff

LOG = logging.getLogger(__name__)

Beat = Callable[[], None]

_RESTART_FIRST, _RESTART_MOST = 0.1, 5.0
_DEATHS_WINDOW = 60.0
_DEATHS_MOST = 5
_WATCHDOG_INTERVAL = 0.05
_LAG_WINDOW = 60


class Task:
    """One greenthread; `stalls_after` seconds without a beat it counts as stuck (None: never)."""

    def __init__(self, name: str, stalls_after: float | None, now: float) -> None:
        self.name = name
        self.stalls_after = stalls_after
        self.beat_at = now
        self.deaths: collections.deque[float] = collections.deque(maxlen=_DEATHS_MOST + 1)
        self.thread: Any = None
        self._ended = False

    def end(self) -> None:
        """Ends the greenthread where it waits; one that has ended already stays so."""
        self._ended = True
        hub.kill(self.thread)

    def fault(self, now: float) -> str | None:
        """Why this task is not healthy, None while it is, or when it was ended on purpose."""
        if self._ended:
            return None
        recent = [at for at in self.deaths if now - at < _DEATHS_WINDOW]
        if len(recent) > _DEATHS_MOST:
            return f"task {self.name} died {len(recent)} times within {_DEATHS_WINDOW:.0f} s"
        if self.stalls_after is not None and now - self.beat_at > self.stalls_after:
            return f"task {self.name} has not turned for {now - self.beat_at:.0f} s"
        return None


class Supervisor:
    """Starts greenthreads and knows how they are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, Task] = {}
        self._lags = collections.deque([0.0], maxlen=_LAG_WINDOW)

    def keep(
        self, name: str, run: Callable[[Beat], object], stalls_after: float | None = None
    ) -> Task:
        """Runs `run(beat)` for as long as the program lasts.

        A return means that it ended on purpose.  An exception is logged and counted, and `run` is
        called again after a backoff of 0.1 to 5 s.  More than 5 deaths within 60 s, or no call of
        `beat` for `stalls_after` seconds, is a fault.  `name` must be unique.
        """
        task = Task(name, stalls_after, self._clock())
        self._kept[name] = task
        task.thread = hub.spawn(self._keep, task, run)
        return task

    def spawn(self, name: str, run: Callable[..., object], *args: object) -> Task:
        """Runs `run(*args)` once; an exception is logged and counted.  Many may have one name."""
        task = Task(name, None, self._clock())
        task.thread = hub.spawn(self._once, task, run, args)
        return task

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        """As `spawn`, `seconds` from now."""
        task = Task(name, None, self._clock())
        task.thread = hub.spawn_after(seconds, self._once, task, run, args)
        return task

    def watch(self) -> Task:
        """Starts the watchdog, which measures how late the loop is."""
        return self.keep("watchdog", self._watch)

    @property
    def faults(self) -> tuple[str, ...]:
        """A sentence for each task that is not healthy; empty while all is well."""
        now = self._clock()
        found = (task.fault(now) for task in self._kept.values())
        return tuple(fault for fault in found if fault is not None)

    @property
    def loop_lag(self) -> float:
        """The longest time within a minute by which a wake-up was late, in seconds."""
        return max(self._lags)

    def _keep(self, task: Task, run: Callable[[Beat], object]) -> None:
        backoff = Backoff(_RESTART_FIRST, _RESTART_MOST)

        def beat() -> None:
            task.beat_at = self._clock()

        while True:
            started_at = self._clock()
            beat()
            try:
                run(beat)
            except Exception:
                self._died(task)
            else:
                if self._kept.get(task.name) is task:
                    del self._kept[task.name]
                return
            if self._clock() - started_at > _DEATHS_WINDOW:
                backoff.reset()
            self._rest(task, backoff.next())

    @staticmethod
    def _rest(task: Task, seconds: float) -> None:
        """Waits until a task is started again.  What it left behind in eventlet's hub may be thrown
        into this very wait, and must not be the end of it."""
        try:
            hub.sleep(seconds)
        except Exception:
            LOG.exception("task %s left something behind", task.name)

    def _once(self, task: Task, run: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            run(*args)
        except Exception:
            self._died(task)

    def _died(self, task: Task) -> None:
        LOG.exception("task %s died", task.name)
        metrics.task_restarts.labels(task=task.name).inc()
        task.deaths.append(self._clock())

    def _watch(self, beat: Beat) -> None:
        """Notes for each second the longest time by which a wake-up was late."""
        second = int(self._clock())
        while True:
            due = self._clock() + _WATCHDOG_INTERVAL
            hub.sleep(_WATCHDOG_INTERVAL)
            beat()
            now = self._clock()
            late = max(0.0, now - due)
            for _ in range(min(int(now) - second, _LAG_WINDOW)):
                self._lags.append(0.0)
            second = int(now)
            self._lags[-1] = max(self._lags[-1], late)
