"""Starts every greenthread of the program by name; logs, counts and restarts those that die.

A greenthread that dies silently stops one part of the program while the process still looks
healthy.  So no other module spawns greenthreads, and `/healthz` reports the faults found here.
"""

from __future__ import annotations

import collections
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.backoff import Backoff

LOG = logging.getLogger(__name__)

Beat = Callable[[], None]  # a heartbeat: the task calls it to report progress

_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS = 0.1, 5.0
_DEATHS_WINDOW_SECONDS = 60.0
_DEATHS_MAX = 5
_WATCHDOG_INTERVAL_SECONDS = 0.2
_LAG_WINDOW_SECONDS = 60


@functools.cache
def _restarts(name: str) -> Counter:
    return metrics.task_restarts.labels(task=name)


class Task:
    """One greenthread.  It is stuck after `stall_timeout` seconds without a heartbeat (None:
    never).  `kind`: its name in the metrics."""

    def __init__(self, name: str, stall_timeout: float | None, now: float, kind: str = "") -> None:
        self.name = name
        self.restarts = _restarts(kind or name)
        self.stall_timeout = stall_timeout
        self.beat_at = now
        self.deaths: collections.deque[float] = collections.deque(maxlen=_DEATHS_MAX + 1)
        self.thread: Any = None
        self._ended = False

    def end(self) -> None:
        """Ends the greenthread at its next wait; does nothing if it has ended already."""
        self._ended = True
        hub.kill(self.thread)

    def fault(self, now: float) -> str | None:
        """The reason why this task is unhealthy; None if it is healthy or was ended on purpose."""
        if self._ended:
            return None
        recent = [at for at in self.deaths if now - at < _DEATHS_WINDOW_SECONDS]
        if len(recent) > _DEATHS_MAX:
            window = f"{_DEATHS_WINDOW_SECONDS:.0f} s"
            return f"task {self.name} died {len(recent)} times within {window}"
        if self.stall_timeout is not None and now - self.beat_at > self.stall_timeout:
            return f"task {self.name} has made no progress for {now - self.beat_at:.0f} s"
        return None


class Supervisor:
    """Starts greenthreads and knows their health."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: dict[str, Task] = {}
        self._lags = collections.deque([0.0], maxlen=_LAG_WINDOW_SECONDS)

    def keep_running(
        self,
        name: str,
        run: Callable[[Beat], object],
        stall_timeout: float | None = None,
        kind: str = "",
    ) -> Task:
        """Runs `run(beat)` until it returns, and restarts it when it raises.

        An exception is logged and counted; `run` is called again after a backoff of 0.1 to 5 s.
        More than 5 deaths within 60 s, or no call of `beat` for `stall_timeout` seconds, is a
        fault.  `name` must be unique; where it names one of many tasks, `kind` is what they have in
        common, for the metrics.
        """
        task = Task(name, stall_timeout, self._clock(), kind)
        self._running[name] = task
        task.thread = hub.spawn(self._run_until_return, task, run)
        return task

    def spawn(self, name: str, run: Callable[..., object], *args: object) -> Task:
        """Runs `run(*args)` once; an exception is logged and counted.  `name` need not be
        unique."""
        task = Task(name, None, self._clock())
        task.thread = hub.spawn(self._run_once, task, run, args)
        return task

    def run(self, name: str, run: Callable[..., object], *args: object) -> None:
        """Like `spawn`, in the greenthread of the caller, before this returns."""
        self._run_once(Task(name, None, self._clock()), run, args)

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        """Like `spawn`, `seconds` from now."""
        task = Task(name, None, self._clock())
        task.thread = hub.spawn_after(seconds, self._run_once, task, run, args)
        return task

    def start_watchdog(self) -> Task:
        """Starts the watchdog, which measures how late the loop is."""
        return self.keep_running("watchdog", self._watch_loop)

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each unhealthy task; empty while all are healthy."""
        now = self._clock()
        found = (task.fault(now) for task in self._running.values())
        return tuple(fault for fault in found if fault is not None)

    @property
    def loop_lag(self) -> float:
        """The largest delay of a wake-up in the last minute, in seconds."""
        return max(self._lags)

    def _run_until_return(self, task: Task, run: Callable[[Beat], object]) -> None:
        backoff = Backoff(_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS)

        def beat() -> None:
            task.beat_at = self._clock()

        while True:
            started_at = self._clock()
            beat()
            try:
                run(beat)
            except Exception:
                self._record_death(task)
            else:
                if self._running.get(task.name) is task:
                    del self._running[task.name]
                return
            if self._clock() - started_at > _DEATHS_WINDOW_SECONDS:
                backoff.reset()
            self._sleep(task, backoff.next())

    @staticmethod
    def _sleep(task: Task, seconds: float) -> None:
        """Waits before a restart.  eventlet's hub may throw a late exception of the dead run into
        this wait; that must not end the task."""
        try:
            hub.sleep(seconds)
        except Exception:
            LOG.exception("task %s: a late exception of the run that died", task.name)

    def _run_once(self, task: Task, run: Callable[..., object], args: tuple[object, ...]) -> None:
        try:
            run(*args)
        except Exception:
            self._record_death(task)

    def _record_death(self, task: Task) -> None:
        LOG.exception("task %s died", task.name)
        task.restarts.inc()
        task.deaths.append(self._clock())

    def _watch_loop(self, beat: Beat) -> None:
        """Records the largest delay of a wake-up for each second."""
        second = int(self._clock())
        while True:
            due = self._clock() + _WATCHDOG_INTERVAL_SECONDS
            hub.sleep(_WATCHDOG_INTERVAL_SECONDS)
            beat()
            now = self._clock()
            delay = max(0.0, now - due)
            for _ in range(min(int(now) - second, _LAG_WINDOW_SECONDS)):
                self._lags.append(0.0)
            second = int(now)
            self._lags[-1] = max(self._lags[-1], delay)
