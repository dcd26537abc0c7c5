"""Encodes ICMP echo requests, and recognises the replies to them.

+---------------+---------------+-------------------------------+
|     Type      |     Code      |           Checksum            |
+---------------+---------------+-------------------------------+
|          Identifier           |        Sequence Number        |
+-------------------------------+-------------------------------+
|     Mark of this process      |     Secret of the target      |
+-------------------------------+-------------------------------+
|                     … (8 octets in all)                       |
+---------------------------------------------------------------+   RFC 792, RFC 4443 4.1

The data are random numbers of this process and of the target, so that no other host can answer in
the place of a node.
"""

from __future__ import annotations

import struct

MARK_OCTETS, SECRET_OCTETS = 4, 8
HEADER_OCTETS = 8
_HEADER = struct.Struct(">BBHHH")
_SEQUENCE_MASK = 0xFFFF
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_MIN_IPV4_HEADER = 20


def request(version: int, identifier: int, sequence: int, data: bytes) -> bytes:
    """An echo request.  The kernel sets the identifier and the checksum on a ping socket, and the
    checksum of ICMPv6 on every socket."""
    kind = _REQUEST[version]
    number = sequence & _SEQUENCE_MASK
    blank = _HEADER.pack(kind, 0, 0, identifier, number) + data
    return _HEADER.pack(kind, 0, _checksum(blank), identifier, number) + data


def reply(version: int, packet: bytes, with_ip_header: bool) -> tuple[int, bytes] | None:
    """The sequence number and the data of an echo reply; None for anything else."""
    if with_ip_header:
        if len(packet) < _MIN_IPV4_HEADER:
            return None
        packet = packet[(packet[0] & 0xF) * 4 :]
    if len(packet) != HEADER_OCTETS + MARK_OCTETS + SECRET_OCTETS:
        return None
    kind, code, _, _, sequence = _HEADER.unpack_from(packet)
    if kind != _REPLY[version] or code:
        return None
    return sequence, packet[HEADER_OCTETS:]


def newest(sequence: int, last_sent: int) -> int:
    """The complete number of a probe, from the 16 bits in a reply and the last number sent."""
    return last_sent - ((last_sent - sequence) & _SEQUENCE_MASK)


def _checksum(data: bytes) -> int:
    """RFC 1071; `data` has an even length."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF
