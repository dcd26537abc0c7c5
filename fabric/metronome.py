"""How late this machine wakes a process that only sleeps: what a busy machine adds to every figure
about lateness.  A process of its own, of the priority of the program that is measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from fabric import end, wait_for
from fabric.files import replace

_INTERVAL = 0.05
_WINDOW = 62


class Metronome:
    """Measures from its start until it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "metronome"
        self._process = subprocess.Popen([sys.executable, "-m", __name__, str(self._told)])
        os.setpriority(os.PRIO_PROCESS, self._process.pid, -20)
        wait_for(self._told.exists, bool, 10, "the metronome")

    @property
    def late(self) -> float:
        """The longest time within about a minute by which a wake-up was late, in seconds."""
        return float(self._told.read_text())

    def stop(self) -> None:
        """Ends it."""
        end(self._process)


def measure(told: Path) -> None:
    """Writes the figure to a file, once a second."""
    seconds: deque[float] = deque([0.0], maxlen=_WINDOW)
    second = 0
    while True:
        due = time.monotonic() + _INTERVAL
        time.sleep(_INTERVAL)
        now = time.monotonic()
        seconds[-1] = max(seconds[-1], now - due)
        if int(now) > second:
            second = int(now)
            replace(told, str(max(seconds)))
            seconds.append(0.0)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
