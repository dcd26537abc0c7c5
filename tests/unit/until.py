"""How a unit test waits for what greenthreads, sockets or processes bring about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ryu.lib import hub

PATIENCE = 60.0
"""Seconds after which it is taken for never; what is waited for takes far less."""


def until(true: Callable[[], object], what: str = "") -> None:
    """Lets the greenthreads run until something is true; fails, saying `what`, if it never is."""
    given_up = hub.Timeout(PATIENCE, AssertionError(f"still not: {what}" if what else "never"))
    try:
        while not true():
            hub.sleep(0.002)
    finally:
        given_up.cancel()


def children() -> set[int]:
    """The processes that this one has."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        found.update(int(pid) for pid in path.read_text().split())
    return found
