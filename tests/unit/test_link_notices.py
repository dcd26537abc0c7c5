"""What the hosts on a link are told of bound addresses, and when."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porter_ryu.domain.model import Network
from porter_ryu.node.command import IpError
from porter_ryu.node.interfaces import Link
from porter_ryu.node.ip_output import interfaces, on_link_prefixes
from porter_ryu.node.link_frames import Frame, takeover
from porter_ryu.node.link_notices import LinkNotices, PacketSocket
from tests.unit.later import Later

MAC = bytes.fromhex("02005e100001")
ETH = Link(2, "eth0", hardware_address=MAC)
A, B, SIX = (ip_network(text) for text in ("192.0.2.50", "192.0.2.51", "2001:db8::50"))
AWAY = ip_network("203.0.113.1")
ON_LINK = frozenset((ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")))


def test_an_arp_announcement_as_in_rfc_5227() -> None:
    frame = takeover(ip_address("192.0.2.50"), MAC, is_router=False)
    assert (frame.ethertype, frame.destination) == (0x0806, b"\xff" * 6)
    assert frame.payload.hex() == (
        "0001 0800 06 04 0001 02005e100001 c0000232 000000000000 c0000232".replace(" ", "")
    )


@pytest.mark.parametrize(("is_router", "flags"), [(False, "20"), (True, "a0")])
def test_an_unsolicited_neighbor_advertisement_as_in_rfc_4861(is_router: bool, flags: str) -> None:
    frame = takeover(ip_address("2001:db8::50"), MAC, is_router)
    assert (frame.ethertype, frame.destination.hex()) == (0x86DD, "333300000001")
    head, message = frame.payload[:40], frame.payload[40:]
    source, everyone = "20010db8000000000000000000000050", "ff020000000000000000000000000001"
    assert head.hex() == "60000000" + "0020" + "3a" + "ff" + source + everyone
    assert message[:2].hex() == "8800"
    assert message[4:].hex() == flags + "000000" + source + "0201" + MAC.hex()


@given(st.ip_addresses(v=6), st.binary(min_size=6, max_size=6), st.booleans())
def test_the_checksum_of_any_advertisement_is_right(
    address: IPv4Address, mac: bytes, is_router: bool
) -> None:
    packet = takeover(address, mac, is_router).payload
    pseudo_header = packet[8:40] + struct.pack(">II", len(packet) - 40, 58)
    octets = pseudo_header + packet[40:]
    total = sum(int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2))
    assert total % 0xFFFF == 0


class Wire:
    """Notices with a clock of the test, and what they sent: when, where and which frame."""

    def __init__(self, fails: Callable[[], None] = lambda: None) -> None:
        self.later = Later()
        self.sent: list[tuple[float, str, Frame]] = []
        self.on_link: frozenset[Network] | IpError = ON_LINK
        self._fails = fails
        self._started = self.later.now
        self.notices = LinkNotices(self.later, self._prefixes, self._send, self.later.clock)

    def _prefixes(self, _interface: str) -> frozenset[Network]:
        if isinstance(self.on_link, IpError):
            raise self.on_link
        return self.on_link

    def _send(self, interface: str, frame: Frame) -> None:
        self._fails()
        self.sent.append((round(self.later.now - self._started, 3), interface, frame))

    def times(self, network: Network) -> list[float]:
        """When an address was told."""
        frames = [takeover(network.network_address, MAC, router) for router in (False, True)]
        return [at for at, _, frame in self.sent if frame in frames]


def test_an_address_is_told_three_times_in_two_seconds() -> None:
    wire = Wire()
    wire.notices.give(ETH, [A, SIX])
    wire.later.passes(60)
    assert wire.times(A) == wire.times(SIX) == [0.0, 1.0, 2.0]
    assert len(wire.sent) == 6
    wire.notices.give(ETH, [A])
    wire.later.passes(60)
    assert len(wire.times(A)) == 6


def test_addresses_that_are_not_of_the_link_are_not_told() -> None:
    wire = Wire()
    wire.notices.give(ETH, [AWAY, A, ip_network("2001:db8:0:1::50")])
    wire.later.passes(60)
    assert len(wire.sent) == len(wire.times(A)) == 3


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5])
def test_an_address_that_is_unbound_is_not_told_any_more(after: float) -> None:
    wire = Wire()
    wire.notices.give(ETH, [A, B])
    if after:
        wire.later.passes(after)
    told = len(wire.times(A))
    wire.notices.stop([A, AWAY])
    wire.later.passes(60)
    assert len(wire.times(A)) == told
    assert wire.times(B) == [0.0, 1.0, 2.0]


def test_an_address_that_moves_is_told_on_the_new_link_alone() -> None:
    wire, other = Wire(), Link(3, "eth1", hardware_address=bytes(6))
    wire.notices.give(ETH, [A])
    wire.later.passes(0.5)
    wire.notices.give(other, [A])
    wire.later.passes(60)
    assert [interface for _, interface, _ in wire.sent] == ["eth0", "eth1", "eth1", "eth1"]


def test_five_thousand_addresses_are_told_at_a_limited_rate_each_once_before_any_again() -> None:
    wire = Wire()
    many = [ip_network(0xC0000000 + number) for number in range(5000)]
    wire.on_link = frozenset([ip_network("192.0.0.0/16")])
    wire.notices.give(ETH, many)
    wire.later.passes(100)
    assert len(wire.sent) == 15_000
    per_second = Counter(int(at) for at, _, _ in wire.sent)
    assert max(per_second.values()) <= 200
    order = [frame for _, _, frame in wire.sent]
    assert len(set(order[:5000])) == len(set(order[5000:10_000])) == 5000
    late = ip_network("192.0.200.1")
    wire.notices.give(ETH, [late])
    wire.later.passes(0.1)
    assert wire.times(late) == [100.0], "nothing is left that delays a new one"


def test_without_the_right_it_is_said_once_and_never_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried = []

    def forbids() -> None:
        tried.append(1)
        raise PermissionError("ARP announcements and neighbour advertisements need NET_RAW")

    wire = Wire(forbids)
    for _ in range(3):
        wire.notices.give(ETH, [A, B])
        wire.later.passes(60)
    assert len(tried) == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        "neighbours are not told of addresses that are bound here: "
        "ARP announcements and neighbour advertisements need NET_RAW"
    )


def test_other_errors_do_not_prevent_the_next_time(caplog: pytest.LogCaptureFixture) -> None:
    errors = [OSError(100, "Network is down"), OSError(105, "No buffer space available")]

    def fails() -> None:
        if errors:
            raise errors.pop()

    wire = Wire(fails)
    wire.notices.give(ETH, [A])
    wire.later.passes(60)
    assert wire.times(A) == [2.0]
    assert "neighbours on eth0 cannot be told of an address: Network is down" in caplog.text


def test_if_the_prefixes_of_the_link_are_not_known_nothing_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire()
    wire.on_link = IpError("ip did not end within 5 s")
    wire.notices.give(ETH, [A])
    wire.later.passes(60)
    assert wire.sent == []
    assert "neighbours on eth0 are not told of addresses: ip did not end" in caplog.text
    wire.on_link = ON_LINK
    wire.notices.give(ETH, [A])
    wire.later.passes(60)
    assert len(wire.sent) == 3


def test_a_link_without_hardware_addresses_has_nobody_to_tell() -> None:
    wire = Wire()
    wire.notices.give(Link(4, "tun0"), [A, SIX])
    wire.later.passes(60)
    assert wire.sent == []


def test_an_interface_that_does_not_exist_is_an_os_error() -> None:
    frame = takeover(ip_address("192.0.2.50"), MAC, is_router=False)
    with pytest.raises(OSError, match=r"No such device|NET_RAW"):
        PacketSocket().send("no-such-one", frame)


@pytest.mark.parametrize(
    ("row", "mac"),
    [
        ('"link_type": "ether", "address": "02:00:5e:10:00:01"', MAC),
        (
            '"link_type": "ether", "flags": ["BROADCAST", "NOARP"], "address": "02:00:00:00:00:01"',
            b"",
        ),
        ('"link_type": "loopback", "address": "00:00:00:00:00:00"', b""),
        ('"link_type": "none"', b""),
        ('"link_type": "ipip", "address": "192.0.2.1"', b""),
    ],
)
def test_the_hardware_address_of_a_link(row: str, mac: bytes) -> None:
    found = interfaces(f'[{{"ifindex": 2, "ifname": "eth0", {row}}}]')
    assert found.links[0].hardware_address == mac


def test_the_prefixes_that_are_on_a_link() -> None:
    four = (
        '[{"dst": "default", "gateway": "192.0.2.1"}, {"dst": "192.0.2.0/24", "scope": "link"},'
        ' {"dst": "198.51.100.0/24", "via": {"family": "inet6", "host": "fe80::1"}},'
        ' {"dst": "198.51.101.0/24", "nexthops": []}, {"dst": "192.0.2.9", "scope": "link"},'
        ' {"dst": "198.51.102.0/24", "type": "unreachable"}, {"dst": "203.0.113.0/25"}]'
    )
    assert on_link_prefixes(four, 4) == {
        ip_network("192.0.2.0/24"), ip_network("203.0.113.0/25")
    }  # fmt: skip
    six = (
        '[{"dst": "2001:db8::50", "protocol": "kernel"}, {"dst": "fe80::/64"}, {"dst": "default"}]'
    )
    assert on_link_prefixes(six, 6) == {ip_network("fe80::/64"), ip_network("::/0")}
    assert on_link_prefixes('[{"dst": "default"}]', 4) == {ip_network("0.0.0.0/0")}
    with pytest.raises(IpError):
        on_link_prefixes('[{"dev": "eth0"}]', 4)


def test_the_packet_socket_needs_a_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuses)
    frame = takeover(ip_address("192.0.2.50"), MAC, is_router=False)
    with pytest.raises(PermissionError, match="need NET_RAW"):
        PacketSocket().send("lo", frame)
