"""When an Eip will be full, from how full it was within the last hour."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from porter_ryu.domain.pool_growth import SAMPLE_SECONDS, PoolGrowth, PoolGrowths, PoolUse

HOUR = 3600.0


def grown(used: Sequence[int | None], size: int = 100) -> PoolGrowth | None:
    """How an Eip fills that was this full at each sample, None while there was no such Eip."""
    growths = PoolGrowths()
    for number, count in enumerate(used):
        uses = {} if count is None else {"pool": PoolUse(count, size)}
        growths.observe({**uses, "other": PoolUse(5, 5)}, number * SAMPLE_SECONDS)
    return growths.of("pool")


def test_at_the_rate_of_the_last_hour() -> None:
    assert grown([10 + n for n in range(13)]) == PoolGrowth(12, HOUR, HOUR + 78 * 300.0)


def test_what_was_more_than_an_hour_ago_does_not_count() -> None:
    burst = [0, 50, 50, *[60] * 12, 66]
    assert grown(burst) == PoolGrowth(6, HOUR, 15 * 300.0 + 34 * HOUR / 6)
    assert grown([0, *[50] * 13]) is None


@pytest.mark.parametrize(
    "used",
    [
        [],
        [10],
        [10, 20, 30],
        [10] * 13,
        [20, 19, 18, 17, 16],
        [10, 90, 10, 90, 10],
        [90, 95, 98, 100, 100],
        [None] * 9,
        [None, None, None, 10, 20],
        [10, 20, 30, 40, None],
    ],
    ids=[
        "nothing is known",
        "one sample",
        "ten minutes",
        "no growth",
        "it empties",
        "up and down",
        "full",
        "no such Eip",
        "a new Eip",
        "a deleted Eip",
    ],
)
def test_nothing_is_said(used: Sequence[int | None]) -> None:
    assert grown(used) is None


def test_after_a_quarter_of_an_hour_something_is_said() -> None:
    assert grown([10, 11, 12, 13]) == PoolGrowth(3, 900.0, 900.0 + 87 * 300.0)
    assert grown([None, 10, 11, 12, 13]) == PoolGrowth(3, 900.0, 1200.0 + 87 * 300.0)


def test_what_is_not_full_for_a_month_is_not_told() -> None:
    assert grown([0, 0, 0, 0, 1], size=2**63 - 1) is None


def test_a_pause_of_the_process_is_no_growth_of_an_hour() -> None:
    growths = PoolGrowths()
    growths.observe({"pool": PoolUse(1, 100)}, 0.0)
    growths.observe({"pool": PoolUse(50, 100)}, 9 * HOUR)
    assert growths.of("pool") is None


def test_what_is_kept_is_bounded() -> None:
    growths = PoolGrowths()
    for number in range(1000):
        growths.observe({f"pool{number}": PoolUse(1, 9)}, number * SAMPLE_SECONDS)
    assert sum(growths.of(f"pool{number}") is not None for number in range(1000)) == 0
    assert growths.cached_entries == 13
