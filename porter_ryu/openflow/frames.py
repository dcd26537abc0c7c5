"""The questions that we ask nodes for their MAC, as frames, and their answers (RFC 826, RFC 5227,
RFC 4861).

An ARP question is a probe (RFC 5227, 2.1.1), whose sender has no address, so that no node puts us
into its table.  A neighbour solicitation needs an address: the link-local one of the virtual MAC.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from porter_ryu.domain.model import Address
from porter_ryu.openflow.responder import link_local

_BROADCAST = b"\xff" * 6
_ARP, _IPV6 = b"\x08\x06", b"\x86\xdd"
_ARP_HEAD = bytes.fromhex("0001080006040001")
_ARP_REPLY = bytes.fromhex("0001080006040002")
_HOP_LIMIT, _ICMPV6, _ADVERTISEMENT, _SOLICITATION = 255, 58, 136, 135
_TARGET_LINK_LAYER = 2
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_MIN_OCTETS = 60
_ARP_OCTETS, _ADVERTISEMENT_OCTETS = 42, 78
_OPTION = bytes([_TARGET_LINK_LAYER, 1])


class Answer(Struct, frozen=True):
    """What a node answers: its address and its MAC."""

    address: Address
    mac: bytes


def question(address: Address, mac: bytes, known: bytes | None) -> bytes:
    """The frame that asks for the MAC of an address, from this MAC; `known`: the MAC that it had,
    to ask only there, or None to ask everybody."""
    if isinstance(address, IPv4Address):
        body = _ARP_HEAD + mac + bytes(4) + bytes(6) + address.packed
        return ((known or _BROADCAST) + mac + _ARP + body).ljust(_MIN_OCTETS, b"\0")
    source = link_local(mac).packed
    if known is None:
        target = _SOLICITED_NODE + address.packed[13:]
        known = b"\x33\x33" + target[12:]
    else:
        target = address.packed
    message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + address.packed + b"\x01\x01" + mac
    checksum = _checksum(source + target + struct.pack("!I3xB", len(message), _ICMPV6) + message)
    message = message[:2] + checksum.to_bytes(2, "big") + message[4:]
    head = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, _HOP_LIMIT)
    return known + mac + _IPV6 + head + source + target + message


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of octets."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(frame: bytes) -> Answer | None:
    """What a frame answers; None if it is no answer."""
    if frame[12:14] == _ARP and len(frame) >= _ARP_OCTETS and frame[14:22] == _ARP_REPLY:
        return Answer(IPv4Address(frame[28:32]), frame[22:28])
    if frame[12:14] != _IPV6 or len(frame) < _ADVERTISEMENT_OCTETS or frame[20] != _ICMPV6:
        return None
    if frame[21] != _HOP_LIMIT or frame[54] != _ADVERTISEMENT:
        return None
    options = frame[78:86] if frame[78:80] == _OPTION else b""
    return Answer(IPv6Address(frame[62:78]), options[2:] or frame[6:12])
