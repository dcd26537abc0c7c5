"""How long an informer waits before its next request."""

from __future__ import annotations

import pytest

from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.pace import Pace

REFUSED = ApiError(0, "ConnectionRefused", "x")
GONE = ApiError(410, "Expired", "x")
BUSY = ApiError(429, "TooManyRequests", "x", 20.0)
AT = 1000.0


def test_a_list_that_failed_is_retried_within_five_seconds() -> None:
    pace = Pace()
    waits = [pace.refused(REFUSED, AT) for _ in range(20)]
    assert 0.15 <= waits[0] <= 0.2
    assert all(3.75 <= wait <= 5.0 for wait in waits[5:])


def test_a_longer_retry_after_is_respected() -> None:
    assert Pace().refused(BUSY, AT) == 20.0
    assert Pace().ended(0.0, 0, AT, 20.0) == 20.0
    assert Pace().ended(300.0, 9, AT, 20.0) == 20.0


@pytest.mark.parametrize(("lived", "events"), [(5.0, 0), (1.0, 1), (300.0, 1000)])
def test_a_long_watch_is_resumed_at_once(lived: float, events: int) -> None:
    pace = Pace()
    pace.listed(AT)
    assert pace.ended(lived, events, AT, None) == 0.0


@pytest.mark.parametrize(("lived", "events"), [(0.0, 0), (0.9, 50), (4.9, 0)])
def test_short_watches_back_off(lived: float, events: int) -> None:
    pace = Pace()
    waits = [pace.ended(lived, events, AT, None) for _ in range(20)]
    assert 0.15 <= waits[0] <= 0.2
    assert all(22.5 <= wait <= 30.0 for wait in waits[8:])
    pace.ended(5.0, 0, AT, None)
    assert pace.ended(lived, events, AT, None) <= 0.2, "a long watch resets the backoff"


def test_lists_are_at_least_a_second_apart() -> None:
    pace = Pace()
    pace.listed(AT)
    assert pace.ended(0.0, 0, AT + 0.1, None) == pytest.approx(0.9)
    assert Pace().refused(GONE, AT) <= 0.2, "nothing was listed yet"
    pace.listed(AT + 1)
    assert pace.refused(GONE, AT + 1.2) == pytest.approx(0.8)
