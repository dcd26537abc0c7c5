"""Waiting in unit tests for greenthreads, sockets and processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ryu.lib import hub

PATIENCE = 60.0
"""Seconds after which a test gives up; it normally waits far less."""


def until(condition: Callable[[], object], what: str = "") -> None:
    """Lets the greenthreads run until a condition is true; fails with `what` if it never is."""
    timeout = hub.Timeout(PATIENCE, AssertionError(f"still not: {what}" if what else "never"))
    try:
        while not condition():
            hub.sleep(0.002)
    finally:
        timeout.cancel()


def children() -> set[int]:
    """The ids of the child processes of this process."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(int(pid) for pid in path.read_text().split())
    return found
