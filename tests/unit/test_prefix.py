"""Host prefixes are those of `ipaddress`, in every way that something looks them up."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from porter_ryu.domain.prefix import host_prefix


@pytest.mark.parametrize("text", ["203.0.113.8", "0.0.0.0", "255.255.255.255", "2001:db8::8", "::"])
def test_it_is_the_prefix_of_the_address(text: str) -> None:
    made, other = host_prefix(ip_address(text)), ip_network(text)
    assert made == other
    assert other == made
    assert hash(made) == hash(other)
    assert str(made) == str(other)
    assert (made.version, made.prefixlen) == (other.version, other.max_prefixlen)
    assert {other: 1}[made] == {made: 1}[other] == 1
    assert made.subnet_of(other)  # type: ignore[arg-type]
    assert sorted([made, other]) == [other, made]
    assert host_prefix(ip_address(text)) is made


def test_the_families_are_apart() -> None:
    assert host_prefix(ip_address("0.0.0.1")) != host_prefix(ip_address("::1"))


@pytest.mark.parametrize("text", ["203.0.113.8", "255.255.255.255", "2001:db8::8", "::"])
def test_it_answers_as_the_one_of_ipaddress_does(text: str) -> None:
    made, other = host_prefix(ip_address(text)), ip_network(text)
    length = made.max_prefixlen - 8
    assert list(made.hosts()) == list(made) == [ip_address(text)]
    assert ip_address(text) in made
    assert made.overlaps(other)
    assert (made[0], made.num_addresses) == (ip_address(text), 1)
    assert made.with_netmask == other.with_netmask
    assert made.with_hostmask == other.with_hostmask
    assert made.broadcast_address == other.broadcast_address
    assert made.supernet(new_prefix=length) == other.supernet(new_prefix=length)
    assert list(made.supernet(new_prefix=length).hosts()) == list(
        other.supernet(new_prefix=length).hosts()
    )
