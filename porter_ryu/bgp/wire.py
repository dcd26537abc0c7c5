"""BGP messages as bytes, except UPDATE: the header, OPEN, NOTIFICATION, ROUTE-REFRESH.

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
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from porter_ryu.domain.model import Family

MARKER = b"\xff" * 16
HEADER = struct.Struct(">16sHB")
HEADER_LENGTH = 19
MAX_LENGTH = 4096
AS_TRANS = 23456
_TWO_OCTETS = 0xFFFF
_VERSION = 4
_OPEN = struct.Struct(">BHHIB")
_PARAMETER_CAPABILITIES = 2
_EXTENDED_PARAMETERS = 255  # RFC 9072
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


class Capability(enum.IntEnum):
    """Capability codes (RFC 5492) that we send or understand."""

    MULTIPROTOCOL = 1
    ROUTE_REFRESH = 2
    FOUR_OCTET_AS = 65
    ADD_PATH = 69


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
}
ADMINISTRATIVE_SHUTDOWN = Notification(6, 2)
PEER_DECONFIGURED = Notification(6, 3)
CONNECTION_REJECTED = Notification(6, 5)
COLLISION = Notification(6, 7)
HOLD_TIMER_EXPIRED = Notification(4, 0)
SEND_HOLD_TIMER_EXPIRED = Notification(8, 0)  # RFC 9687


@dataclass(frozen=True, slots=True)
class Open:
    """An OPEN message (RFC 4271, 4.2) with the capabilities that matter here.

    `families` None: no multiprotocol capability, which means IPv4 unicast alone.
    `add_path`: for each family, what its sender can do (RFC 7911: 1 receive, 2 send, 3 both).
    """

    asn: int
    hold_time: int
    identifier: IPv4Address
    families: frozenset[Family] | None = None
    four_octet_as: bool = False
    route_refresh: bool = False
    add_path: tuple[tuple[Family, int], ...] = field(default=())


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


def split(buffer: bytearray) -> Iterator[tuple[MessageType, bytes]]:
    """Takes every whole message off the front of a buffer; raises BgpError (RFC 4271, 6.1)."""
    start = 0
    try:
        while len(buffer) - start >= HEADER_LENGTH:
            marker, length, kind = HEADER.unpack_from(buffer, start)
            checked = _check_header(marker, length, kind)
            if len(buffer) - start < length:
                return
            body = bytes(memoryview(buffer)[start + HEADER_LENGTH : start + length])
            start += length
            yield checked, body
    finally:
        del buffer[:start]


def _check_header(marker: bytes, length: int, kind: int) -> MessageType:
    if marker != MARKER:
        raise BgpError(1, 1, why="the marker is not all ones")
    if not HEADER_LENGTH <= length <= MAX_LENGTH:
        raise BgpError(1, 2, struct.pack(">H", length), f"a message of {length} octets")
    if kind not in _SHORTEST:
        raise BgpError(1, 3, bytes([kind]), f"a message of type {kind}")
    checked = MessageType(kind)
    exact = checked is MessageType.KEEPALIVE
    if length < _SHORTEST[checked] or (exact and length != _SHORTEST[checked]):
        raise BgpError(1, 2, struct.pack(">H", length), f"{checked.name} of {length} octets")
    return checked


def encode_open(o: Open) -> bytes:
    """RFC 4271, 4.2, one optional parameter with all capabilities (RFC 5492)."""
    capabilities = b"".join(_capabilities(o))
    parameter = struct.pack(">BB", _PARAMETER_CAPABILITIES, len(capabilities)) + capabilities
    asn = o.asn if o.asn <= _TWO_OCTETS else AS_TRANS
    head = _OPEN.pack(_VERSION, asn, o.hold_time, int(o.identifier), len(parameter))
    return message(MessageType.OPEN, head + parameter)


def _capabilities(o: Open) -> Iterator[bytes]:
    for family in sorted(o.families or ()):
        yield _capability(Capability.MULTIPROTOCOL, struct.pack(">HBB", AFI[family], 0, 1))
    if o.route_refresh:
        yield _capability(Capability.ROUTE_REFRESH, b"")
    if o.four_octet_as:
        yield _capability(Capability.FOUR_OCTET_AS, struct.pack(">I", o.asn))
    if o.add_path:
        tuples = (struct.pack(">HBB", AFI[f], SAFI_UNICAST, mode) for f, mode in o.add_path)
        yield _capability(Capability.ADD_PATH, b"".join(tuples))


def _capability(code: Capability, value: bytes) -> bytes:
    return struct.pack(">BB", code, len(value)) + value


def decode_open(body: bytes) -> Open:
    """Reads the body of an OPEN; raises BgpError for what is malformed (RFC 4271, 6.2)."""
    version, asn, hold_time, identifier, length = _OPEN.unpack_from(body)
    if version != _VERSION:
        raise BgpError(2, 1, struct.pack(">H", _VERSION), f"version {version}")
    if hold_time in (1, 2):
        raise BgpError(2, 6, why=f"hold time {hold_time}")
    if identifier == 0:
        raise BgpError(2, 3, why="identifier 0.0.0.0")
    found = _Found(asn)
    for code, value in _read_capabilities(body[_OPEN.size :], length):
        found.take(code, value)
    if found.asn == 0:
        raise BgpError(2, 2, why="AS 0")
    return Open(
        found.asn,
        hold_time,
        IPv4Address(identifier),
        found.families,
        found.four_octet_as,
        found.route_refresh,
        tuple(found.add_path),
    )


def _read_capabilities(rest: bytes, length: int) -> Iterator[tuple[int, bytes]]:
    wide = length == _EXTENDED_PARAMETERS and rest[:1] == b"\xff"
    if wide:
        if len(rest) < 3:  # noqa: PLR2004 - RFC 9072: the type and a length of two octets
            raise BgpError(2, 0, why="optional parameters are cut short")
        length = int.from_bytes(rest[1:3], "big")
        rest = rest[3:]
    if length != len(rest):
        raise BgpError(2, 0, why="the length of the optional parameters is wrong")
    for kind, value in _tlvs(rest, 2 if wide else 1):
        if kind != _PARAMETER_CAPABILITIES:
            raise BgpError(2, 4, why=f"optional parameter {kind}")
        yield from _tlvs(value, 1)


def _tlvs(data: bytes, length_octets: int) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        start = position + 1 + length_octets
        length = int.from_bytes(data[position + 1 : start], "big")
        if start > len(data) or start + length > len(data):
            raise BgpError(2, 0, why="an optional parameter is cut short")
        yield data[position], data[start : start + length]
        position = start + length


class _Found:
    """What the capabilities of an OPEN add up to; a malformed or unknown one counts as absent
    (RFC 5492, 5)."""

    def __init__(self, asn: int) -> None:
        self.asn = asn
        self.families: frozenset[Family] | None = None
        self.four_octet_as = self.route_refresh = False
        self.add_path: list[tuple[Family, int]] = []

    def take(self, code: int, value: bytes) -> None:
        if code == Capability.MULTIPROTOCOL and len(value) == 4:  # noqa: PLR2004 - RFC 4760, 8
            afi, _, safi = struct.unpack(">HBB", value)
            known = {FAMILY_OF_AFI[afi]} if safi == SAFI_UNICAST and afi in FAMILY_OF_AFI else set()
            self.families = (self.families or frozenset()) | known
        elif code == Capability.FOUR_OCTET_AS and len(value) == 4:  # noqa: PLR2004 - RFC 6793, 3
            self.asn = int.from_bytes(value, "big")
            self.four_octet_as = True
        elif code == Capability.ROUTE_REFRESH:
            self.route_refresh = True
        elif code == Capability.ADD_PATH and len(value) % 4 == 0:
            for afi, safi, mode in struct.iter_unpack(">HBB", value):
                if afi in FAMILY_OF_AFI and safi == SAFI_UNICAST and 1 <= mode <= 3:  # noqa: PLR2004
                    self.add_path.append((FAMILY_OF_AFI[afi], mode))


def decode_route_refresh(body: bytes) -> Family | None:
    """The family that is asked for (RFC 2918, 3), None for one that is not ours; raises
    BgpError for a wrong length (RFC 7313, 5)."""
    if len(body) != 4:  # noqa: PLR2004 - AFI, reserved, SAFI
        raise BgpError(7, 1, message(MessageType.ROUTE_REFRESH, body), "ROUTE-REFRESH length")
    afi, _, safi = struct.unpack(">HBB", body)
    return FAMILY_OF_AFI.get(afi) if safi == SAFI_UNICAST else None


def check_update_framing(body: bytes) -> None:
    """Whether the lengths inside an UPDATE fit (RFC 4271, 6.3); nothing in it is decoded."""
    withdrawn = int.from_bytes(body[:2], "big")
    start = 2 + withdrawn
    if start + 2 > len(body):
        raise BgpError(3, 1, why="the withdrawn routes overrun the UPDATE")
    if start + 2 + int.from_bytes(body[start : start + 2], "big") > len(body):
        raise BgpError(3, 1, why="the path attributes overrun the UPDATE")
