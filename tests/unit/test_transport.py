"""Addresses of sockets, and the socket options of a peer."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu.bgp import transport
from porter_ryu.domain.peering import PeerConfig, Secret
from porter_ryu.socket_address import canonical
from tests.unit.peers import peer


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.168.10.1", "192.168.10.1"),
        ("fe80::1%eth9", "fe80::1"),
        ("::ffff:192.168.10.1", "192.168.10.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_zone_and_ipv4_mapping_are_removed_from_an_address(text: str, address: str) -> None:
    assert canonical(text) == ip_address(address)


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        canonical("")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("ttl", [64, 254, 255])
def test_the_ttl_of_the_syn_of_a_connection(address: str, ttl: int) -> None:
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


def test_a_connection_without_a_saved_syn_has_no_ttl() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert transport.syn_ttl(near) is None


IP_MINTTL = 21


def prepared(config: PeerConfig, internal: bool = False) -> socket.socket:
    """A socket with the options for a peer."""
    sock = socket.socket(transport.family_of(config.address), socket.SOCK_STREAM)
    transport.prepare(sock, config, internal)
    return sock


@pytest.mark.parametrize(
    ("more", "internal", "ttl"),
    [
        ({}, False, 1),
        ({"multihop_ttl": 3}, False, 3),
        ({"ttl_security": True}, False, 255),
        ({"ttl_security": True}, True, 255),
    ],
)
def test_the_ttl_that_is_sent(more: dict[str, Any], internal: bool, ttl: int) -> None:
    with prepared(peer(**more), internal) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == ttl
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with prepared(peer(address="2001:db8::1", **more), internal) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) == ttl


def test_an_internal_peer_is_sent_the_default_ttl() -> None:
    with socket.socket() as plain, prepared(peer(), internal=True) as sock:
        default = plain.getsockopt(socket.IPPROTO_IP, socket.IP_TTL)
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == default


@pytest.mark.parametrize(("hops", "least"), [(1, 255), (3, 253)])
def test_gtsm_sets_the_minimum_ttl(hops: int, least: int) -> None:
    with prepared(peer(ttl_security=True, multihop_ttl=hops)) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, IP_MINTTL) == least
    with prepared(peer(multihop_ttl=hops)) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, IP_MINTTL) == 0


def test_a_connection_has_the_local_address_and_no_timeout_once_it_is_open() -> None:
    with transport.listen(ip_address("127.0.0.1"), 0) as listening:
        local = ip_address("127.0.0.78")
        config = peer(address="127.0.0.1", port=port_of(listening), local_address=local)
        with transport.connect(config, internal=False, timeout=5) as sock:
            assert sock.getsockname()[0] == "127.0.0.78"
            assert sock.gettimeout() is None


def test_a_refused_connection_and_a_foreign_local_address_raise() -> None:
    with transport.listen(ip_address("127.0.0.1"), 0) as listening:
        port = port_of(listening)
    with pytest.raises(ConnectionRefusedError):
        transport.connect(peer(address="127.0.0.1", port=port), internal=False, timeout=5)
    elsewhere = peer(address="127.0.0.1", port=port, local_address=ip_address("198.51.100.1"))
    with pytest.raises(OSError, match="Cannot assign requested address"):
        transport.connect(elsewhere, internal=False, timeout=5)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_both_ends_need_the_md5_key(address: str) -> None:
    here, key = ip_address(address), Secret(b"k3y")
    with transport.listen(here, 0) as listening:
        transport.set_md5(listening, here, key)
        config = peer(address=address, port=port_of(listening), password=key)
        transport.connect(config, internal=False, timeout=5).close()
        other = replace(config, password=Secret(b"other"))
        with pytest.raises(TimeoutError):
            transport.connect(other, internal=False, timeout=0.2)
        transport.set_md5(listening, here, None)
        transport.connect(replace(config, password=None), internal=False, timeout=5).close()
        transport.set_md5(listening, here, None)


def test_the_source_address_towards_a_peer() -> None:
    assert transport.source_address(ip_address("127.0.0.5")) == ip_address("127.0.0.1")
    assert transport.source_address(ip_address("::1")) == ip_address("::1")
    assert transport.source_address(ip_address("255.255.255.255")) is None


def port_of(sock: socket.socket) -> int:
    """The port on which a socket listens."""
    port: int = sock.getsockname()[1]
    return port
