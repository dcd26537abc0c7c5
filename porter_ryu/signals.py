"""SIGTERM and SIGHUP under eventlet.

A handler runs wherever the interpreter happens to be, and the hub does not look up from its poll
for it; so the signal goes through a pipe that the hub does poll.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from eventlet.hubs import trampoline

from porter_ryu.supervisor import Beat, Supervisor

_ONE_READ = 64


class Signals:
    """Calls back from a greenthread; to be made in the main thread.  The two actions only begin
    something, and return at once: one must never stand in the way of the other."""

    def __init__(
        self,
        on_terminate: Callable[[], None],
        on_reload: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        self._actions: dict[int, Callable[[], None]] = {
            signal.SIGTERM: on_terminate,
            signal.SIGINT: on_terminate,
            signal.SIGHUP: on_reload,
        }
        self._came: set[int] = set()
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        # the pipe only wakes: one that is full of SIGHUP has still told of a SIGTERM
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in self._actions:
            signal.signal(number, self._note)
        supervisor.keep("signals", self._serve)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.add(number)

    def _serve(self, _beat: Beat) -> None:
        while True:
            trampoline(self._read, read=True)
            told = os.read(self._read, _ONE_READ)
            came = {*told, *self._came}
            self._came -= came
            for number, action in self._actions.items():
                if number in came:
                    action()
