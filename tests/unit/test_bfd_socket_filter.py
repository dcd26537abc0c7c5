"""The socket filter for BFD: which packets the kernel delivers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from porter_ryu.bgp.bfd import socket_filter

NOBODY = {4: ip_address("127.0.0.77"), 6: ip_address("2001:db8::77")}


class Receiver:
    """A socket that receives, and others that send to it."""

    def __init__(self, local: str, stack: ExitStack) -> None:
        self._family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self._stack = stack
        self.socket = stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
        self.socket.settimeout(5)
        self.socket.bind((local, 0))

    def send(self, text: bytes, ttl: int = 255, source: str = "") -> None:
        """Sends one datagram to the receiver."""
        sender = self._stack.enter_context(socket.socket(self._family, socket.SOCK_DGRAM))
        if self._family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        if source:
            sender.bind((source, 0))
        sender.sendto(text, self.socket.getsockname())

    def receive(self) -> bytes:
        """The next datagram that the kernel delivers."""
        return self.socket.recv(100)


@pytest.fixture(params=["127.0.0.1", "::1"])
def local(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def receiver(local: str) -> Iterator[Receiver]:
    with ExitStack() as stack:
        yield Receiver(local, stack)


def test_a_packet_of_a_neighbour_is_delivered_and_a_routed_one_is_not(
    receiver: Receiver, local: str
) -> None:
    address = ip_address(local)
    for neighbours in ([address], [NOBODY[4], NOBODY[6], address], [address, *NOBODY.values()]):
        socket_filter.attach(receiver.socket, neighbours)
        receiver.send(b"far", ttl=254)
        receiver.send(b"near, and whole")
        assert receiver.receive() == b"near, and whole"


def test_packets_of_other_hosts_are_dropped(receiver: Receiver, local: str) -> None:
    socket_filter.attach(receiver.socket, [NOBODY[4], NOBODY[6]])
    receiver.send(b"stranger")
    socket_filter.attach(receiver.socket, [])
    receiver.send(b"stranger")
    socket_filter.attach(receiver.socket, [ip_address(local)])
    receiver.send(b"neighbour")
    assert receiver.receive() == b"neighbour"


def test_of_two_hosts_in_one_network_only_the_neighbour_is_accepted() -> None:
    with ExitStack() as stack:
        receiver = Receiver("127.0.0.1", stack)
        socket_filter.attach(receiver.socket, [ip_address("127.0.0.9")])
        receiver.send(b"stranger", source="127.0.0.8")
        receiver.send(b"neighbour", source="127.0.0.9")
        assert receiver.receive() == b"neighbour"


@pytest.mark.parametrize("count", [99, 100, 5000])
def test_each_of_many_neighbours_is_accepted(receiver: Receiver, local: str, count: int) -> None:
    address = ip_address(local)
    kind = IPv4Address if address.version == 4 else IPv6Address
    socket_filter.attach(
        receiver.socket, [*(kind(int(NOBODY[address.version]) + n) for n in range(count)), address]
    )
    receiver.send(b"far", ttl=254)
    receiver.send(b"the last of them")
    assert receiver.receive() == b"the last of them"
