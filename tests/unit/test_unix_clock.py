"""A moment is the same Unix time whenever it is asked for, until somebody sets the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from porter_ryu import unix_clock


class Clocks:
    """Both clocks of the host; each look at one of them takes a while."""

    def __init__(self) -> None:
        self.now, self.set_by = 1000.0, 5e8
        self.pauses: Iterator[float] = iter(())

    def monotonic(self) -> float:
        """The one that nobody sets."""
        self.now += next(self.pauses, 1e-6)
        return self.now

    def time(self) -> float:
        """The one that somebody may set."""
        self.now += next(self.pauses, 1e-6)
        return self.now + self.set_by


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """The clocks that the module looks at."""
    found = Clocks()
    monkeypatch.setattr(time, "monotonic", found.monotonic)
    monkeypatch.setattr(time, "time", found.time)
    monkeypatch.setattr(unix_clock, "_ZERO", unix_clock._Zero())
    return found


@pytest.mark.parametrize(
    "pauses", [(), (0.0, 0.004, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0), (2.0, 2.0, 2.0)]
)
def test_a_moment_stays_the_same_time_however_late_the_processor_is(
    clocks: Clocks, pauses: tuple[float, ...]
) -> None:
    before = unix_clock.unix_zero()
    assert before == pytest.approx(5e8, abs=0.001)
    for _ in range(3):
        clocks.pauses = iter(pauses)
        assert unix_clock.unix_zero() == before


@pytest.mark.parametrize("seconds", [-86400.0, -1.0, 0.5, 3600.0])
def test_a_clock_that_is_set_is_followed(clocks: Clocks, seconds: float) -> None:
    unix_clock.unix_zero()
    clocks.set_by += seconds
    assert unix_clock.unix_zero() == pytest.approx(5e8 + seconds, abs=0.001)
    assert unix_clock.unix_zero() == unix_clock.unix_zero()


def test_a_clock_that_is_adjusted_little_by_little_is_followed_in_the_end(clocks: Clocks) -> None:
    for _ in range(1000):
        clocks.set_by += 0.0005
        assert abs(unix_clock.unix_zero() - clocks.set_by) < 0.11
