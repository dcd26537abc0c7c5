"""SIGTERM, SIGINT and SIGHUP under eventlet.

A signal handler does not end the poll of eventlet's hub, and it may interrupt any code.  So each
signal is written to a pipe that the hub polls, and a greenthread acts on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from eventlet.hubs import trampoline

from porter_ryu.supervisor import Beat, Supervisor

_READ_OCTETS = 64


class Signals:
    """Calls `on_terminate` or `on_reload` from a greenthread.  Both must return at once, so that
    one signal never delays another.  Create it in the main thread."""

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
        self._pending: set[int] = set()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        # a pipe full of SIGHUP loses the octet of a SIGTERM, but `_pending` has it
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in self._actions:
            signal.signal(number, self._handle)
        supervisor.keep_running("signals", self._serve)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._pending.add(number)

    def _serve(self, _beat: Beat) -> None:
        while True:
            trampoline(self._read_end, read=True)
            octets = os.read(self._read_end, _READ_OCTETS)
            received = {*octets, *self._pending}
            self._pending -= received
            for number, action in self._actions.items():
                if number in received:
                    action()
