"""When an Eip will be full, from how full it was within the last hour."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from porter_ryu.domain.pool_growth import SAMPLE_SECONDS, PoolGrowth, PoolGrowths, PoolUse

HOUR = 3600.0
TOO_SHORT = "how full it was is known for less than 15 minutes"
EMPTY_HOUR = "it did not fill in the last 60 minutes"


def grown(used: Sequence[int | None], size: int = 100) -> PoolGrowth | str:
    """How an Eip fills that was this full at each sample, None while there was no such Eip; or why
    there is nothing to say."""
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
    assert grown([0, *[50] * 13]) == EMPTY_HOUR


@pytest.mark.parametrize(
    ("used", "why"),
    [
        pytest.param([], TOO_SHORT, id="nothing is known"),
        pytest.param([10], TOO_SHORT, id="one sample"),
        pytest.param([10, 20, 30], TOO_SHORT, id="ten minutes"),
        pytest.param([10] * 13, EMPTY_HOUR, id="no growth"),
        pytest.param(
            [20, 19, 18, 17, 16], "it did not fill in the last 20 minutes", id="it empties"
        ),
        pytest.param(
            [10, 90, 10, 90, 10], "it did not fill in the last 20 minutes", id="up and down"
        ),
        pytest.param([90, 95, 98, 100, 100], "it is full", id="full"),
        pytest.param([None] * 9, TOO_SHORT, id="no such Eip"),
        pytest.param([None, None, None, 10, 20], TOO_SHORT, id="a new Eip"),
        pytest.param([10, 20, 30, 40, None], TOO_SHORT, id="a deleted Eip"),
    ],
)
def test_where_nothing_is_said_of_the_growth_the_reason_is(
    used: Sequence[int | None], why: str
) -> None:
    assert grown(used) == why


def test_after_a_quarter_of_an_hour_something_is_said() -> None:
    assert grown([10, 11, 12, 13]) == PoolGrowth(3, 900.0, 900.0 + 87 * 300.0)
    assert grown([None, 10, 11, 12, 13]) == PoolGrowth(3, 900.0, 1200.0 + 87 * 300.0)


def test_what_is_not_full_for_a_month_is_not_told() -> None:
    why = "at its rate it is not full for 30 days"
    assert grown([0, 0, 0, 0, 1], size=2**63 - 1) == why


def test_a_pause_of_the_process_is_no_growth_of_an_hour() -> None:
    growths = PoolGrowths()
    growths.observe({"pool": PoolUse(1, 100)}, 0.0)
    growths.observe({"pool": PoolUse(50, 100)}, 9 * HOUR)
    assert growths.of("pool") == TOO_SHORT


def test_what_is_kept_is_bounded() -> None:
    growths = PoolGrowths()
    for number in range(1000):
        growths.observe({f"pool{number}": PoolUse(1, 9)}, number * SAMPLE_SECONDS)
    assert {growths.of(f"pool{number}") for number in range(1000)} == {TOO_SHORT}
    assert growths.cached_entries == 13
