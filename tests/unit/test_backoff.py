"""When a peer is called again."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.backoff import Backoff


def jittered(delay: float):
    """A delay with up to a quarter off."""
    return pytest.approx(delay * 0.875, rel=0.15)


def test_it_doubles_from_connect_retry_up_to_a_minute():
    backoff = Backoff(5)
    seen = [backoff.failed(refused=False) for _ in range(6)]
    assert seen == [jittered(delay) for delay in (5, 10, 20, 40, 60, 60)]


def test_a_longer_connect_retry_is_kept_to():
    backoff = Backoff(300)
    assert [backoff.failed(refused=False) for _ in range(3)] == [jittered(300)] * 3


def test_a_peer_that_refused_us_a_few_times_is_called_every_half_minute_at_most():
    backoff = Backoff(1)
    early = [backoff.failed(refused=True) for _ in range(3)]
    assert early == [jittered(delay) for delay in (1, 2, 4)]
    assert backoff.failed(refused=True) == 30
    assert backoff.failed(refused=False) == 30


def test_a_session_that_came_up_makes_all_of_it_forgotten():
    backoff = Backoff(1)
    for _ in range(9):
        backoff.failed(refused=True)
    backoff.succeeded()
    assert backoff.failed(refused=True) == jittered(1)
