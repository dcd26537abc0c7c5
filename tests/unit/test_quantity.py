"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

import pytest

from porter_ryu.kube.quantity import thousandths

MOST = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4", 4000),
        (4, 4000),
        (0.5, 500),
        ("3920m", 3920),
        ("0.5", 500),
        (".5", 500),
        ("5.", 5000),
        ("+4", 4000),
        ("4k", 4_000_000),
        ("1M", 10**9),
        ("1e3", 10**6),
        ("1E3", 10**6),
        ("15e-1", 1500),
        ("2Ki", 2_048_000),
        ("1500u", 2),
        ("1n", 1),
        ("0", 0),
        ("-0", 0),
        ("1E", MOST),
        ("8Ei", MOST),
        ("1e999", MOST),
        ("1e-999", 1),
        ("9" * 64, MOST),
    ],
)
def test_a_quantity_in_thousandths(value: Any, expected: int) -> None:
    assert thousandths(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        *["", " 4", "4 ", "4\n", "-1", "-1m", "four", "4cores", "1K", "1ki", "1.5.2", "e3", "."],
        *["+", "0x10", "nan", "inf", "\u0661", "1e9999", "1_000", "1,5", "9" * 65],
        *[None, True, [4], {"cpu": 4}, float("inf"), float("nan"), -1],
    ],
)
def test_anything_else_is_none(value: Any) -> None:
    assert thousandths(value) is None
