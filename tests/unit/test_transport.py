"""Addresses as sockets name them, and the TTL of a SYN."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from porter_ryu.bgp import transport
from porter_ryu.socket_address import canonical


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.10.1", "192.168.10.1"),
        ("fe80::1%eth9", "fe80::1"),
        ("::ffff:192.168.10.1", "192.168.10.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_an_address_without_its_zone_and_mapping(text: str, address: str) -> None:
    assert canonical(text) == ip_address(address)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        canonical("")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ttl", [64, 254, 255])
def test_the_ttl_with_which_a_connection_came(address: str, ttl: int) -> None:
    listening = transport.listen(ip_address(address), 0)
    family = transport.family_of(ip_address(address))
    with listening, socket.socket(family, socket.SOCK_STREAM) as caller:
        if family == socket.AF_INET:
            caller.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            caller.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        caller.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            assert transport.syn_ttl(accepted) == ttl


def test_a_connection_whose_syn_was_not_kept_has_no_ttl() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert transport.syn_ttl(near) is None
