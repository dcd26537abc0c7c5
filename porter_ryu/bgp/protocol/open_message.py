"""Encodes and decodes OPEN and its capabilities.

+---------------+---------------+---------------+---------------+
|    Version    |     My Autonomous System      |   Hold Time   |
+---------------+---------------+---------------+---------------+
|               |                BGP Identifier                 |
+---------------+---------------+-------------------------------+
|               | Opt Parm Len  |  Optional Parameters, RFC 5492 |      RFC 4271, 4.2
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from msgspec import Struct

from porter_ryu.bgp.protocol.notification import BgpError
from porter_ryu.bgp.protocol.wire import (
    AFI,
    FAMILY_OF_AFI,
    SAFI_UNICAST,
    MessageType,
    message,
)
from porter_ryu.domain.model import Family

AS_TRANS = 23456
_TWO_OCTETS = 0xFFFF
_VERSION = 4
_OPEN = struct.Struct(">BHHIB")
_PARAMETER_CAPABILITIES = 2
_EXTENDED_PARAMETERS = b"\xff"  # RFC 9072
_FORWARDING_STATE = 0x80  # RFC 4724, 3: the F bit
_RESTART_TIME_MASK = 0x0FFF
_IPV4_OVER_IPV6 = struct.pack(">HHH", 1, SAFI_UNICAST, 2)  # RFC 8950, 4


class Capability(enum.IntEnum):
    """Capability codes (RFC 5492) that we send or understand."""

    MULTIPROTOCOL = 1
    ROUTE_REFRESH = 2
    EXTENDED_NEXT_HOP = 5  # RFC 8950
    EXTENDED_MESSAGE = 6  # RFC 8654
    ROLE = 9  # RFC 9234
    GRACEFUL_RESTART = 64  # RFC 4724
    FOUR_OCTET_AS = 65
    ADD_PATH = 69
    ENHANCED_REFRESH = 70  # RFC 7313


class GracefulRestart(Struct, frozen=True):
    """The graceful restart capability (RFC 4724, 3).

    `restart_time` in seconds; `restarting` is the R bit, `notification` the N bit of RFC 8538.  The
    F bit is always set: the nodes forward, and they go on while this program restarts.
    """

    restart_time: int
    restarting: bool = False
    notification: bool = False
    families: frozenset[Family] = frozenset()


class Open(Struct, frozen=True):
    """An OPEN message (RFC 4271, 4.2) with the capabilities that this program uses.

    `hold_time` in seconds.  `families` None: no multiprotocol capability, which means IPv4 unicast
    only.  `add_path`: for each family the mode of the sender (RFC 7911: 1 receive, 2 send, 3 both).
    `roles`: the values of its role capabilities (RFC 9234, 4.1), at most one in our own OPEN.
    """

    asn: int
    hold_time: int
    identifier: IPv4Address
    families: frozenset[Family] | None = None
    four_octet_as: bool = False
    route_refresh: bool = False
    add_path: tuple[tuple[Family, int], ...] = ()
    enhanced_refresh: bool = False
    extended_message: bool = False
    ipv4_over_ipv6: bool = False
    graceful: GracefulRestart | None = None
    roles: frozenset[int] = frozenset()


def encode_open(open_: Open) -> bytes:
    """An OPEN (RFC 4271, 4.2) with all capabilities in one optional parameter (RFC 5492)."""
    capabilities = b"".join(_capabilities(open_))
    parameter = struct.pack(">BB", _PARAMETER_CAPABILITIES, len(capabilities)) + capabilities
    asn = open_.asn if open_.asn <= _TWO_OCTETS else AS_TRANS
    head = _OPEN.pack(_VERSION, asn, open_.hold_time, int(open_.identifier), len(parameter))
    return message(MessageType.OPEN, head + parameter)


def _capabilities(open_: Open) -> Iterator[bytes]:
    for family in sorted(open_.families or ()):
        yield _capability(Capability.MULTIPROTOCOL, struct.pack(">HBB", AFI[family], 0, 1))
    if open_.route_refresh:
        yield _capability(Capability.ROUTE_REFRESH, b"")
    if open_.four_octet_as:
        yield _capability(Capability.FOUR_OCTET_AS, struct.pack(">I", open_.asn))
    if open_.add_path:
        tuples = (struct.pack(">HBB", AFI[f], SAFI_UNICAST, mode) for f, mode in open_.add_path)
        yield _capability(Capability.ADD_PATH, b"".join(tuples))
    if open_.enhanced_refresh:
        yield _capability(Capability.ENHANCED_REFRESH, b"")
    if open_.extended_message:
        yield _capability(Capability.EXTENDED_MESSAGE, b"")
    if open_.ipv4_over_ipv6:
        yield _capability(Capability.EXTENDED_NEXT_HOP, _IPV4_OVER_IPV6)
    if open_.graceful is not None:
        yield _capability(Capability.GRACEFUL_RESTART, _encode_graceful(open_.graceful))
    for role in sorted(open_.roles):
        yield _capability(Capability.ROLE, bytes((role,)))


def _encode_graceful(graceful: GracefulRestart) -> bytes:
    flags = graceful.restarting << 15 | graceful.notification << 14
    value = struct.pack(">H", flags | graceful.restart_time)
    for family in sorted(graceful.families):
        value += struct.pack(">HBB", AFI[family], SAFI_UNICAST, _FORWARDING_STATE)
    return value


def _capability(code: Capability, value: bytes) -> bytes:
    return struct.pack(">BB", code, len(value)) + value


def decode_open(body: bytes) -> Open:
    """Decodes the body of an OPEN; raises BgpError (RFC 4271, 6.2)."""
    version, asn, hold_time, identifier, length = _OPEN.unpack_from(body)
    if version != _VERSION:
        raise BgpError(2, 1, struct.pack(">H", _VERSION), f"version {version}")
    if hold_time in (1, 2):
        raise BgpError(2, 6, why=f"hold time {hold_time}")
    if identifier == 0:
        raise BgpError(2, 3, why="identifier 0.0.0.0")
    capabilities = _Capabilities(asn)
    for code, value in _read_capabilities(body[_OPEN.size :], length):
        capabilities.add(code, value)
    if capabilities.asn == 0:
        raise BgpError(2, 2, why="AS 0")
    return Open(
        capabilities.asn,
        hold_time,
        IPv4Address(identifier),
        capabilities.families,
        Capability.FOUR_OCTET_AS in capabilities.codes,
        Capability.ROUTE_REFRESH in capabilities.codes,
        tuple(capabilities.add_path),
        Capability.ENHANCED_REFRESH in capabilities.codes,
        Capability.EXTENDED_MESSAGE in capabilities.codes,
        capabilities.ipv4_over_ipv6,
        capabilities.graceful,
        frozenset(capabilities.roles),
    )


def _read_capabilities(rest: bytes, length: int) -> Iterator[tuple[int, bytes]]:
    # RFC 9072, 2: type 255 marks extended parameters; a length octet other than 0 is then ignored
    extended = length != 0 and rest[:1] == _EXTENDED_PARAMETERS
    if extended:
        if len(rest) < 3:  # noqa: PLR2004 - RFC 9072: the type and a length of two octets
            raise BgpError(2, 0, why="the optional parameters are truncated")
        length = int.from_bytes(rest[1:3], "big")
        rest = rest[3:]
    if length != len(rest):
        raise BgpError(2, 0, why="the length of the optional parameters is wrong")
    for kind, value in _tlvs(rest, 2 if extended else 1):
        if kind != _PARAMETER_CAPABILITIES:
            raise BgpError(2, 4, why=f"optional parameter {kind}")
        yield from _tlvs(value, 1)


def _tlvs(data: bytes, length_octets: int) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        start = position + 1 + length_octets
        length = int.from_bytes(data[position + 1 : start], "big")
        if start > len(data) or start + length > len(data):
            raise BgpError(2, 0, why="an optional parameter is truncated")
        yield data[position], data[start : start + length]
        position = start + length


class _Capabilities:
    """The capabilities of an OPEN, one added after the other; a malformed or unknown one counts as
    absent (RFC 5492, 5)."""

    def __init__(self, asn: int) -> None:
        self.asn = asn
        self.codes: set[int] = set()
        self.families: frozenset[Family] | None = None
        self.add_path: list[tuple[Family, int]] = []
        self.ipv4_over_ipv6 = False
        self.graceful: GracefulRestart | None = None
        self.roles: set[int] = set()

    def add(self, code: int, value: bytes) -> None:
        """Decodes one capability."""
        if code == Capability.FOUR_OCTET_AS:
            if len(value) != 4:  # noqa: PLR2004 - RFC 6793, 3
                return
            self.asn = int.from_bytes(value, "big")
        self.codes.add(code)
        if code == Capability.MULTIPROTOCOL and len(value) == 4:  # noqa: PLR2004 - RFC 4760, 8
            afi, _, safi = struct.unpack(">HBB", value)
            known = {FAMILY_OF_AFI[afi]} if safi == SAFI_UNICAST and afi in FAMILY_OF_AFI else set()
            self.families = (self.families or frozenset()) | known
        elif code == Capability.ADD_PATH and len(value) % 4 == 0:
            for afi, safi, mode in struct.iter_unpack(">HBB", value):
                if afi in FAMILY_OF_AFI and safi == SAFI_UNICAST and 1 <= mode <= 3:  # noqa: PLR2004
                    self.add_path.append((FAMILY_OF_AFI[afi], mode))
        elif code == Capability.EXTENDED_NEXT_HOP and len(value) % 6 == 0:
            entries = (value[at : at + 6] for at in range(0, len(value), 6))
            self.ipv4_over_ipv6 |= _IPV4_OVER_IPV6 in entries
        elif code == Capability.ROLE and len(value) == 1:
            self.roles.add(value[0])
        elif code == Capability.GRACEFUL_RESTART and len(value) % 4 == 2:  # noqa: PLR2004
            head = int.from_bytes(value[:2], "big")
            self.graceful = GracefulRestart(
                head & _RESTART_TIME_MASK,
                bool(head >> 15),
                bool(head >> 14 & 1),
                frozenset(
                    FAMILY_OF_AFI[afi]
                    for afi, safi, _ in struct.iter_unpack(">HBB", value[2:])
                    if safi == SAFI_UNICAST and afi in FAMILY_OF_AFI
                ),
            )
