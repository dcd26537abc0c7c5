"""A clock that a test moves."""

from __future__ import annotations


class Clock:
    """`now` is its time, in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now
