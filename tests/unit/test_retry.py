"""When a peer is called again, and when one whose sessions do not last is served again."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.retry import ConnectRetry, Damping


def longest(_low: float, high: float) -> float:
    """No jitter."""
    return high


def test_it_doubles_from_connect_retry_up_to_a_minute() -> None:
    retry = ConnectRetry(5, longest)
    assert [retry.next_delay(refused=False) for _ in range(6)] == [5, 10, 20, 40, 60, 60]


def test_the_jitter_takes_up_to_a_quarter() -> None:
    assert 3.75 <= ConnectRetry(5).next_delay(refused=False) <= 5


def test_a_longer_connect_retry_is_kept_to() -> None:
    retry = ConnectRetry(300, longest)
    assert [retry.next_delay(refused=False) for _ in range(3)] == [300] * 3


def test_a_peer_that_refused_us_a_few_times_is_called_every_half_minute_at_most() -> None:
    retry = ConnectRetry(1, longest)
    assert [retry.next_delay(refused=True) for _ in range(4)] == [1, 2, 4, 30]
    assert retry.next_delay(refused=False) == 30


def test_a_session_that_came_up_makes_all_of_it_forgotten() -> None:
    retry = ConnectRetry(1, longest)
    for _ in range(9):
        retry.next_delay(refused=True)
    retry.reset()
    assert retry.next_delay(refused=True) == 1


def test_a_healthy_session_that_ends_is_called_again_at_once() -> None:
    damping, now = Damping(longest), 0.0
    for _ in range(50):
        now += 100
        assert damping.session_ended(100, now) == 0.5
        assert damping.idle_seconds(now) == 0


def test_a_peer_whose_sessions_do_not_last_is_kept_idle_for_longer_and_longer() -> None:
    damping, now, waits = Damping(longest), 0.0, []
    for _ in range(11):
        now += 0.3
        damping.session_ended(0.3, now)
        waits.append(damping.idle_seconds(now))
        now += waits[-1]
    assert waits == pytest.approx([0, 0, 0, 2, 4, 8, 16, 32, 64, 120, 120])


def test_in_half_a_minute_it_gets_a_handful_of_sessions() -> None:
    damping, now, sessions = Damping(), 0.0, 0
    while now < 30:
        sessions += 1
        now += 0.3
        damping.session_ended(0.3, now)
        now += damping.idle_seconds(now) or 0.02
    assert sessions <= 8


def test_a_session_that_lasted_makes_its_oscillation_forgotten() -> None:
    damping = Damping(longest)
    for now in range(6):
        damping.session_ended(0.3, now)
    damping.session_ended(30, 100)
    assert damping.idle_seconds(100) == 0
    assert damping.session_ended(0.3, 101) == 0.5
