"""How the delay between retries grows: the one rule, without clock or randomness."""

from __future__ import annotations

_MAX_DOUBLINGS = 60  # more would overflow, and any delay has reached its maximum


def doubled(first: float, maximum: float, times: int) -> float:
    """`first` doubled so many times, at most `maximum`; all in one unit."""
    return min(first * 2.0 ** min(times, _MAX_DOUBLINGS), maximum)
