"""The delays of ConnectRetryTimer and DampPeerOscillations."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.retry import ConnectRetry, Damping


def no_jitter(_low: float, high: float) -> float:
    """No jitter."""
    return high


def test_it_doubles_from_connect_retry_up_to_a_minute() -> None:
    retry = ConnectRetry(5, no_jitter)
    assert [retry.next_delay(refused=False) for _ in range(6)] == [5, 10, 20, 40, 60, 60]


def test_jitter_reduces_the_delay_by_up_to_a_quarter() -> None:
    assert 3.75 <= ConnectRetry(5).next_delay(refused=False) <= 5


def test_a_longer_connect_retry_applies_unchanged() -> None:
    retry = ConnectRetry(300, no_jitter)
    assert [retry.next_delay(refused=False) for _ in range(3)] == [300] * 3


def test_after_a_few_refusals_the_delay_is_at_least_half_a_minute() -> None:
    retry = ConnectRetry(1, no_jitter)
    assert [retry.next_delay(refused=True) for _ in range(4)] == [1, 2, 4, 30]
    assert retry.next_delay(refused=False) == 30


def test_a_session_that_came_up_resets_the_delay() -> None:
    retry = ConnectRetry(1, no_jitter)
    for _ in range(9):
        retry.next_delay(refused=True)
    retry.reset()
    assert retry.next_delay(refused=True) == 1


def test_after_a_long_session_the_peer_is_connected_at_once() -> None:
    damping, now = Damping(no_jitter), 0.0
    for _ in range(50):
        now += 100
        assert damping.session_ended(100, now) == 0.5
        assert damping.idle_seconds(now) == 0


def test_a_peer_with_short_sessions_is_kept_idle_for_a_growing_time() -> None:
    damping, now, waits = Damping(no_jitter), 0.0, []
    for _ in range(11):
        now += 0.3
        damping.session_ended(0.3, now)
        waits.append(damping.idle_seconds(now))
        now += waits[-1]
    assert waits == pytest.approx([0, 0, 0, 2, 4, 8, 16, 32, 64, 120, 120])


def test_a_flapping_peer_gets_few_sessions_in_half_a_minute() -> None:
    damping, now, sessions = Damping(), 0.0, 0
    while now < 30:
        sessions += 1
        now += 0.3
        damping.session_ended(0.3, now)
        now += damping.idle_seconds(now) or 0.02
    assert sessions <= 8


def test_a_long_session_resets_the_damping() -> None:
    damping = Damping(no_jitter)
    for now in range(6):
        damping.session_ended(0.3, now)
    damping.session_ended(30, 100)
    assert damping.idle_seconds(100) == 0
    assert damping.session_ended(0.3, 101) == 0.5
