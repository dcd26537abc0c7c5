"""The kernel's filter before the socket that hears BFD: who gets through it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from porter_ryu.bgp.bfd import screen

NOBODY = {4: ip_address("127.0.0.77"), 6: ip_address("2001:db8::77")}


class Room:
    """A socket that hears, and those who send to it."""

    def __init__(self, local: str, stack: ExitStack) -> None:
        self._family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self._stack = stack
        self.ears = stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
        self.ears.settimeout(5)
        self.ears.bind((local, 0))

    def say(self, text: bytes, ttl: int = 255, source: str = "") -> None:
        """One datagram."""
        mouth = self._stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
        if self._family == socket.AF_INET:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        if source:
            mouth.bind((source, 0))
        mouth.sendto(text, self.ears.getsockname())

    def heard(self) -> bytes:
        """The next that came through."""
        return self.ears.recv(100)


@pytest.fixture(params=["127.0.0.1", "::1"])
def local(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def room(local: str) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(local, stack)


def test_a_neighbour_is_heard_whole_and_one_over_a_router_is_not(room: Room, local: str) -> None:
    address = ip_address(local)
    for neighbours in ([address], [NOBODY[4], NOBODY[6], address], [address, *NOBODY.values()]):
        screen.attach(room.ears, neighbours)
        room.say(b"far", ttl=254)
        room.say(b"near, and whole")
        assert room.heard() == b"near, and whole"


def test_strangers_are_not_heard(room: Room, local: str) -> None:
    screen.attach(room.ears, [NOBODY[4], NOBODY[6]])
    room.say(b"stranger")
    screen.attach(room.ears, [])
    room.say(b"stranger")
    screen.attach(room.ears, [ip_address(local)])
    room.say(b"neighbour")
    assert room.heard() == b"neighbour"


def test_of_two_on_one_network_the_neighbour_is_heard() -> None:
    with ExitStack() as stack:
        room = Room("127.0.0.1", stack)
        screen.attach(room.ears, [ip_address("127.0.0.9")])
        room.say(b"stranger", source="127.0.0.8")
        room.say(b"neighbour", source="127.0.0.9")
        assert room.heard() == b"neighbour"


@pytest.mark.parametrize("count", [99, 100, 5000])
def test_of_many_neighbours_each_is_heard(room: Room, local: str, count: int) -> None:
    address = ip_address(local)
    kind = IPv4Address if address.version == 4 else IPv6Address
    screen.attach(
        room.ears, [*(kind(int(NOBODY[address.version]) + n) for n in range(count)), address]
    )
    room.say(b"far", ttl=254)
    room.say(b"the last of them")
    assert room.heard() == b"the last of them"
