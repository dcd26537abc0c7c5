"""BGP messages as bytes: the header, NOTIFICATION, ROUTE-REFRESH.

    0                   1                   2                   3
    +---------------------------------------------------------------+
    |                       Marker, 16 octets of ones               |
    +-------------------------------+---------------+---------------+
    |            Length             |     Type      |               RFC 4271, 4.1

What a peer may not send raises BgpError, which carries the code and subcode to answer with.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

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


_SHORTEST = {
    MessageType.OPEN: 29,
    MessageType.UPDATE: 23,
    MessageType.NOTIFICATION: 21,
    MessageType.KEEPALIVE: 19,
    MessageType.ROUTE_REFRESH: 23,
}


@dataclass(frozen=True, slots=True)
class Notification:
    """An error as it goes over the wire (RFC 4271, 4.5)."""

    code: int
    subcode: int
    data: bytes = b""

    def __str__(self) -> str:
        return f"{_NAMES.get((self.code, self.subcode)) or _CODES.get(self.code, 'unknown')} " + (
            f"({self.code}/{self.subcode})"
        )


class BgpError(Exception):
    """The peer did what it may not; `notification` is the answer."""

    def __init__(self, code: int, subcode: int, data: bytes = b"", why: str = "") -> None:
        self.notification = Notification(code, subcode, data)
        super().__init__(why or str(self.notification))


_CODES = {
    1: "Message Header Error",
    2: "OPEN Message Error",
    3: "UPDATE Message Error",
    4: "Hold Timer Expired",
    5: "Finite State Machine Error",
    6: "Cease",
    7: "ROUTE-REFRESH Message Error",
    8: "Send Hold Timer Expired",
}
_NAMES = {
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 6): "Unacceptable Hold Time",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 7): "Connection Collision Resolution",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
}
UPDATE_ERROR = 3
ADMINISTRATIVE_SHUTDOWN = Notification(6, 2)
PEER_DECONFIGURED = Notification(6, 3)
CONNECTION_REJECTED = Notification(6, 5)
COLLISION = Notification(6, 7)
BFD_DOWN = Notification(6, 10)  # RFC 9384
HOLD_TIMER_EXPIRED = Notification(4, 0)
SEND_HOLD_TIMER_EXPIRED = Notification(8, 0)  # RFC 9687
_FINAL = (ADMINISTRATIVE_SHUTDOWN, PEER_DECONFIGURED, BFD_DOWN)


def hard_reset(notification: Notification) -> Notification:
    """The form in which a NOTIFICATION that means the end takes the routes with it although
    both sides keep them over others (RFC 8538, 3)."""
    if notification not in _FINAL:
        return notification
    inner = bytes((notification.code, notification.subcode)) + notification.data
    return Notification(6, 9, inner)


def message(kind: MessageType, body: bytes = b"") -> bytes:
    """A whole message around a body."""
    return HEADER.pack(MARKER, HEADER_LENGTH + len(body), kind) + body


KEEPALIVE = message(MessageType.KEEPALIVE)


def encode_notification(notification: Notification) -> bytes:
    """RFC 4271, 4.5."""
    body = struct.pack(">BB", notification.code, notification.subcode) + notification.data
    return message(MessageType.NOTIFICATION, body)


def decode_notification(body: bytes) -> Notification:
    """RFC 4271, 4.5; `body` has at least two octets."""
    return Notification(body[0], body[1], body[2:])


def split(buffer: bytearray, limit: int = MAX_LENGTH) -> Iterator[tuple[MessageType, bytes]]:
    """Takes every whole message of at most `limit` octets off the front of a buffer; raises
    BgpError (RFC 4271, 6.1; RFC 8654, 4)."""
    start = 0
    try:
        while len(buffer) - start >= HEADER_LENGTH:
            marker, length, kind = HEADER.unpack_from(buffer, start)
            checked = _check_header(marker, length, kind, limit)
            if len(buffer) - start < length:
                return
            body = bytes(memoryview(buffer)[start + HEADER_LENGTH : start + length])
            start += length
            yield checked, body
    finally:
        del buffer[:start]


def _check_header(marker: bytes, length: int, kind: int, limit: int) -> MessageType:
    if marker != MARKER:
        raise BgpError(1, 1, why="the marker is not all ones")
    if not HEADER_LENGTH <= length <= (MAX_LENGTH if kind == MessageType.OPEN else limit):
        raise BgpError(1, 2, struct.pack(">H", length), f"a message of {length} octets")
    if kind not in _SHORTEST:
        raise BgpError(1, 3, bytes([kind]), f"a message of type {kind}")
    checked = MessageType(kind)
    exact = checked is MessageType.KEEPALIVE
    if length < _SHORTEST[checked] or (exact and length != _SHORTEST[checked]):
        raise BgpError(1, 2, struct.pack(">H", length), f"{checked.name} of {length} octets")
    return checked


class Refresh(enum.IntEnum):
    """What a ROUTE-REFRESH says (RFC 7313, 3.2)."""

    REQUEST = 0
    BEGIN = 1
    END = 2


def encode_route_refresh(family: Family, subtype: Refresh) -> bytes:
    """RFC 7313, 3.2."""
    body = struct.pack(">HBB", AFI[family], subtype, SAFI_UNICAST)
    return message(MessageType.ROUTE_REFRESH, body)


def decode_refresh_request(body: bytes) -> Family | None:
    """The family that is asked for (RFC 2918, 3), None where none of ours is; raises BgpError
    for a wrong length (RFC 7313, 5)."""
    if len(body) != 4:  # noqa: PLR2004 - AFI, subtype, SAFI
        raise BgpError(7, 1, message(MessageType.ROUTE_REFRESH, body), "ROUTE-REFRESH length")
    afi, subtype, safi = struct.unpack(">HBB", body)
    if subtype != Refresh.REQUEST or safi != SAFI_UNICAST:
        return None
    return FAMILY_OF_AFI.get(afi)
