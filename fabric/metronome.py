"""Measures how late the machine wakes a process that only sleeps.

A busy machine adds this delay to every measured latency.  The measurement runs in a separate
process with the priority of the measured program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from fabric import end, wait_for
from fabric.files import replace

_INTERVAL_SECONDS = 0.05
_LAG_SECONDS = 0.1  # on a machine that has nothing else to do
_WINDOW_SECONDS = 62


class Metronome:
    """Measures until it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._result = folder / "metronome"
        self._process = subprocess.Popen([sys.executable, "-m", __name__, str(self._result)])
        os.setpriority(os.PRIO_PROCESS, self._process.pid, -20)
        wait_for(self._result.exists, bool, 10, "the metronome")

    @property
    def late(self) -> float:
        """The greatest delay of a wake-up within about a minute, in seconds: until now, so it waits
        for the next result."""
        return self._now()[0]

    @property
    def worst(self) -> float:
        """The greatest delay of a wake-up since it began, in seconds."""
        return self._now()[1]

    def _now(self) -> tuple[float, float]:
        asked = time.time_ns()
        written = self._result.stat
        wait_for(lambda: written().st_mtime_ns, asked.__lt__, 10, "the metronome to go on")
        late, worst = map(float, self._result.read_text().split())
        return late, worst

    @property
    def allowed_lag(self) -> float:
        """The delay of an event loop that never holds its own work up, in seconds, if its process
        has the same priority.  A busy machine does not only wake it late, but also takes the
        processor from it in the middle of its work."""
        return _LAG_SECONDS + 3 * self.late

    def stop(self) -> None:
        """Ends the process."""
        end(self._process)


def measure(result: Path) -> None:
    """Writes the greatest delay of the last minute, and of all time, to a file, once a second."""
    delays: deque[float] = deque([0.0], maxlen=_WINDOW_SECONDS)
    second, worst = 0, 0.0
    while True:
        due = time.monotonic() + _INTERVAL_SECONDS
        time.sleep(_INTERVAL_SECONDS)
        now = time.monotonic()
        delays[-1] = max(delays[-1], now - due)
        if int(now) > second:
            second = int(now)
            worst = max(worst, *delays)
            replace(result, f"{max(delays)} {worst}")
            delays.append(0.0)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
