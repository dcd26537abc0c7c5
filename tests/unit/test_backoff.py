"""Delays between retries grow, have a maximum, and differ between instances."""

from __future__ import annotations

import itertools

from porter_ryu.backoff import Backoff
from porter_ryu.domain.growth import doubled


def longest(low: float, high: float) -> float:
    """Not random: the whole delay."""
    del low
    return high


def shortest(low: float, high: float) -> float:
    """Not random: the delay is shortened as much as possible."""
    del high
    return low


def test_it_doubles_up_to_its_maximum_and_starts_again_after_a_success() -> None:
    backoff = Backoff(0.5, 5.0, longest)
    assert [backoff.next() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 0.5


def test_at_most_a_quarter_is_cut() -> None:
    backoff = Backoff(1.0, 4.0, shortest)
    assert [backoff.next() for _ in range(4)] == [0.75, 1.5, 3.0, 3.0]


def test_two_that_fail_together_do_not_retry_together() -> None:
    one, other = Backoff(1.0, 4.0), Backoff(1.0, 4.0)
    assert [one.next() for _ in range(5)] != [other.next() for _ in range(5)]


def test_after_a_month_of_failures_the_delay_is_the_maximum() -> None:
    assert doubled(0.1, 5.0, 10**7) == 5.0
    backoff = Backoff(0.1, 5.0, longest)
    *_, last = itertools.islice(iter(backoff.next, None), 10_000)
    assert last == 5.0
