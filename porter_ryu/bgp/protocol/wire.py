"""Encodes and decodes what all BGP messages share (header, framing), and ROUTE-REFRESH.

    0                   1                   2                   3
    +---------------------------------------------------------------+
    |                       Marker, 16 octets of ones               |
    +-------------------------------+---------------+---------------+
    |            Length             |     Type      |               RFC 4271, 4.1

A protocol error of the peer raises BgpError, which carries the NOTIFICATION to answer with.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator

from porter_ryu.bgp.protocol.notification import BgpError, Notification, encode_body
from porter_ryu.domain.model import Family

MARKER = b"\xff" * 16
HEADER = struct.Struct(">16sHB")
HEADER_LENGTH = 19
MAX_LENGTH = 4096
EXTENDED_MAX_LENGTH = 65535  # RFC 8654
SAFI_UNICAST = 1
AFI = {Family.IPV4: 1, Family.IPV6: 2}
FAMILY_OF_AFI = {number: family for family, number in AFI.items()}


class MessageType(enum.IntEnum):
    """RFC 4271, 4.1 and RFC 2918."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


_TYPES = {int(kind): kind for kind in MessageType}
_MIN_LENGTH = {
    MessageType.OPEN: 29,
    MessageType.UPDATE: 23,
    MessageType.NOTIFICATION: 21,
    MessageType.KEEPALIVE: 19,
    MessageType.ROUTE_REFRESH: 23,
}


def message(kind: MessageType, body: bytes = b"") -> bytes:
    """A whole message: header and body."""
    return HEADER.pack(MARKER, HEADER_LENGTH + len(body), kind) + body


KEEPALIVE = message(MessageType.KEEPALIVE)


def encode_notification(notification: Notification, max_length: int = MAX_LENGTH) -> bytes:
    """A NOTIFICATION (RFC 4271, 4.5); its data is cut so that the message has at most `max_length`
    octets."""
    return message(MessageType.NOTIFICATION, encode_body(notification, max_length - HEADER_LENGTH))


def split(buffer: bytearray, max_length: int = MAX_LENGTH) -> Iterator[tuple[MessageType, bytes]]:
    """Removes every whole message from the front of a buffer; yields its type and body.

    Raises BgpError, also for a message of more than `max_length` octets (RFC 4271, 6.1; RFC 8654,
    4).
    """
    start = 0
    try:
        while len(buffer) - start >= HEADER_LENGTH:
            marker, length, kind = HEADER.unpack_from(buffer, start)
            checked = _check_header(marker, length, kind, max_length)
            if len(buffer) - start < length:
                return
            body = bytes(memoryview(buffer)[start + HEADER_LENGTH : start + length])
            start += length
            yield checked, body
    finally:
        del buffer[:start]


def _check_header(marker: bytes, length: int, kind: int, max_length: int) -> MessageType:
    if marker != MARKER:
        raise BgpError(1, 1, why="the marker is not all ones")
    if kind == MessageType.OPEN:
        max_length = MAX_LENGTH  # RFC 8654, 4: an OPEN is never extended
    if not HEADER_LENGTH <= length <= max_length:
        raise BgpError(1, 2, struct.pack(">H", length), f"a message of {length} octets")
    checked = _TYPES.get(kind)
    if checked is None:
        raise BgpError(1, 3, bytes([kind]), f"a message of type {kind}")
    min_length = _MIN_LENGTH[checked]
    too_long = checked is MessageType.KEEPALIVE and length > min_length
    if length < min_length or too_long:
        raise BgpError(1, 2, struct.pack(">H", length), f"{checked.name} of {length} octets")
    return checked


class Refresh(enum.IntEnum):
    """The subtypes of ROUTE-REFRESH (RFC 7313, 3.2)."""

    REQUEST = 0
    BEGIN = 1
    END = 2


def encode_route_refresh(family: Family, subtype: Refresh) -> bytes:
    """A ROUTE-REFRESH (RFC 7313, 3.2)."""
    body = struct.pack(">HBB", AFI[family], subtype, SAFI_UNICAST)
    return message(MessageType.ROUTE_REFRESH, body)


def decode_refresh_request(body: bytes) -> Family | None:
    """The requested family (RFC 2918, 3); None for another subtype or an unknown family.  Raises
    BgpError for a wrong length (RFC 7313, 5)."""
    if len(body) != 4:  # noqa: PLR2004 - AFI, subtype, SAFI
        raise BgpError(7, 1, message(MessageType.ROUTE_REFRESH, body), "ROUTE-REFRESH length")
    afi, subtype, safi = struct.unpack(">HBB", body)
    if subtype != Refresh.REQUEST or safi != SAFI_UNICAST:
        return None
    return FAMILY_OF_AFI.get(afi)
