"""Parsing of spec.address of an Eip."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from porter_ryu.domain.addresses.address_pool import AddressPool, PoolError
from porter_ryu.domain.model import Family


@pytest.mark.parametrize(
    ("text", "size", "first", "last"),
    [
        ("1.1.1.1", 1, "1.1.1.1", "1.1.1.1"),
        ("1.1.1.0/28", 16, "1.1.1.0", "1.1.1.15"),
        ("1.1.1.5/28", 16, "1.1.1.0", "1.1.1.15"),
        ("1.1.1.1-1.1.1.9", 9, "1.1.1.1", "1.1.1.9"),
        ("1.1.1.8/29, 1.1.1.1 , 1.1.1.10-1.1.1.20", 14, "1.1.1.1", "1.1.1.20"),
        ("2001:db8::/64", 2**64, "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
        ("2001:db8::1-2001:db8::3,1.1.1.1", 4, "1.1.1.1", "2001:db8::3"),
        ("10.0.0.0/8", 2**24, "10.0.0.0", "10.255.255.255"),
    ],
)
def test_parsing_of_addresses_cidrs_and_ranges(text: str, size: int, first: str, last: str) -> None:
    pool = AddressPool.parse(text)
    assert (pool.size, str(pool.first), str(pool.last)) == (size, first, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1.1.1",
        "1.1.1.1/33",
        "1.1.1.9-1.1.1.1",
        "1.1.1.1-2001:db8::1",
        "1.1.1.1,,",
        "a-b",
        "127.0.0.0/8",
        "169.254.1.1",
        "224.0.0.1",
        "ff02::1",
        "fe80::/64",
        "::1",
        "0.0.0.0/0",
        "255.255.255.255",
        "::ffff:1.2.3.4",
        "1.1.1.0/255.255.255.0",
        "010.0.0.1",
    ],
)
def test_addresses_that_cannot_be_in_a_pool(text: str) -> None:
    with pytest.raises(PoolError):
        AddressPool.parse(text)


def test_buggy_addresses_are_left_out() -> None:
    pool = AddressPool.parse("10.0.0.254-10.0.2.1", avoid_buggy=True)
    assert pool.size == 256 + 4 - 4
    assert not pool.contains(ip_address("10.0.1.0"))
    assert not pool.contains(ip_address("10.0.0.255"))
    listed = list(pool.from_number(Family.IPV4, int(ip_address("10.0.1.254"))))
    assert [str(a) for a in listed] == ["10.0.1.254", "10.0.2.1"]
    with pytest.raises(PoolError):
        AddressPool.parse("10.0.0.255", avoid_buggy=True)


def test_contains_is_exact_at_the_edges() -> None:
    pool = AddressPool.parse("10.0.0.5-10.0.0.6, 10.0.0.9")
    inside = [n for n in range(12) if pool.contains(ip_address(f"10.0.0.{n}"))]
    assert inside == [5, 6, 9]
    assert not pool.contains(ip_address("::a00:5"))
