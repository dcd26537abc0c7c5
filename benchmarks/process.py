"""What a process costs, as the kernel counts it."""

from __future__ import annotations

import re
import time
from pathlib import Path

_LOOK, _QUIET = 0.5, 0.05  # seconds, and CPU seconds in each
_SCHEDULED = 2  # CPUCLOCK_SCHED of linux/posix-timers.h


def cpu_seconds(pid: int) -> float:
    """CPU seconds of all threads of a process, by its clock (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)


def cpu_when_quiet(pid: int) -> float:
    """The same, as soon as the process does next to nothing."""
    before = cpu_seconds(pid)
    while True:
        time.sleep(_LOOK)
        now = cpu_seconds(pid)
        if now - before < _LOOK * _QUIET:
            return now
        before = now


def resident(pid: int) -> float:
    """Resident memory of a process, in MB."""
    return megabytes(_status(pid), "VmRSS")


def peak(pid: int) -> float:
    """The most that it ever had resident, in MB."""
    return megabytes(_status(pid), "VmHWM")


def megabytes(status: str, name: str) -> float:
    """A size in /proc/PID/status."""
    found = re.search(rf"^{name}:\s+(\d+) kB", status, re.M)
    assert found is not None, name
    return int(found[1]) * 1024 / 1e6


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()
