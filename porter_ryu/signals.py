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
    """Calls back from a greenthread; to be made in the main thread."""

    def __init__(
        self,
        on_terminate: Callable[[], None],
        on_reload: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        self._actions = {
            signal.SIGTERM: on_terminate,
            signal.SIGINT: on_terminate,
            signal.SIGHUP: on_reload,
        }
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        signal.set_wakeup_fd(self._write)
        for number in self._actions:
            signal.signal(number, _nothing)
        supervisor.keep("signals", self._serve)

    def _serve(self, _beat: Beat) -> None:
        while True:
            trampoline(self._read, read=True)
            for number in os.read(self._read, _ONE_READ):
                action = self._actions.get(signal.Signals(number))
                if action is not None:
                    action()


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """The pipe carries the number; without a handler the default would end the process."""
