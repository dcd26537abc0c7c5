"""Which next hop each bucket of a group leads to."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import pytest

from porter_ryu.domain.model import Address
from porter_ryu.openflow.buckets import filled

FOUR = [(ip_address(f"192.168.0.{number}"), 1) for number in range(1, 5)]
MANY = [(ip_address(f"fd00::{number:x}"), 1 + number % 3) for number in range(1, 41)]


def moved(before: tuple[Address, ...], after: tuple[Address, ...], but: Address) -> int:
    """How many buckets lead elsewhere, of those that led or lead to others than `but`."""
    pairs = zip(before, after, strict=True)
    return sum(old != new for old, new in pairs if but not in (old, new))


@pytest.mark.parametrize("hops", [FOUR, MANY, FOUR[:2]], ids=["four", "many", "two"])
@pytest.mark.parametrize("count", [16, 256, 512])
def test_a_next_hop_that_goes_or_comes_moves_no_bucket_of_others(
    hops: list[tuple[Address, int]], count: int
) -> None:
    every = filled(hops, count)
    assert len(every) == count
    for gone, _ in hops:
        left = filled([hop for hop in hops if hop[0] != gone], count)
        assert moved(every, left, gone) == 0
        assert gone not in left


def test_another_weight_moves_buckets_only_to_or_from_its_next_hop() -> None:
    heavy = [*FOUR[:3], (FOUR[3][0], 3)]
    before, after = filled(FOUR, 256), filled(heavy, 256)
    assert moved(before, after, FOUR[3][0]) == 0
    share = Counter(after)[FOUR[3][0]] / 256
    assert 0.4 < share < 0.6  # three of six


def test_the_order_of_the_next_hops_does_not_count() -> None:
    assert filled(FOUR, 256) == filled(FOUR[::-1], 256)


def test_one_next_hop_and_none() -> None:
    assert filled(FOUR[:1], 16) == (FOUR[0][0],) * 16
    assert filled([], 16) == ()
