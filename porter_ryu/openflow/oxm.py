"""Match fields and actions as octets: OXM (OpenFlow 1.3, 7.2.3) and the extensions of Open vSwitch.

    +-----------------+---------------+-+---------------+
    |    class (16)   |   field (7)   |M|  length (8)   |   value, mask
    +-----------------+---------------+-+---------------+

Ryu's own encoder takes some hundred times as long for a group of 256 buckets, and knows no fields
for neighbour discovery.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from porter_ryu.domain.model import Address

VERSION_13, VERSION_15 = 4, 6
_NICIRA = 0x2320
_STANDARD, _NXM_0, _NXM_1, _ERICSSON = 0x8000, 0x0000, 0x0001, 0x1000


class Field(Struct, frozen=True):
    """A field of a packet; `length` of its value in octets."""

    oxm_class: int
    number: int
    length: int

    @property
    def header(self) -> bytes:
        """The header of the field without a mask."""
        return struct.pack("!HBB", self.oxm_class, self.number << 1, self.length)

    def is_(self, value: int | bytes | Address) -> bytes:
        """A match of this value, or the argument of `set_field`."""
        return self.header + self._octets(value)

    def masked(self, value: int, mask: int) -> bytes:
        """A match of some bits."""
        head = struct.pack("!HBB", self.oxm_class, self.number << 1 | 1, 2 * self.length)
        return head + self._octets(value) + self._octets(mask)

    def _octets(self, value: int | bytes | Address) -> bytes:
        if isinstance(value, bytes):
            return value
        if isinstance(value, int):
            return value.to_bytes(self.length, "big")
        return value.packed


IN_PORT = Field(_STANDARD, 0, 4)
ETH_DST, ETH_SRC, ETH_TYPE = Field(_STANDARD, 3, 6), Field(_STANDARD, 4, 6), Field(_STANDARD, 5, 2)
IP_PROTO = Field(_STANDARD, 10, 1)
IPV4_SRC, IPV4_DST = Field(_STANDARD, 11, 4), Field(_STANDARD, 12, 4)
TCP_SRC, TCP_DST = Field(_STANDARD, 13, 2), Field(_STANDARD, 14, 2)
UDP_SRC, UDP_DST = Field(_STANDARD, 15, 2), Field(_STANDARD, 16, 2)
SCTP_SRC, SCTP_DST = Field(_STANDARD, 17, 2), Field(_STANDARD, 18, 2)
ARP_OP = Field(_STANDARD, 21, 2)
ARP_SPA, ARP_TPA = Field(_STANDARD, 22, 4), Field(_STANDARD, 23, 4)
ARP_SHA, ARP_THA = Field(_STANDARD, 24, 6), Field(_STANDARD, 25, 6)
IPV6_SRC, IPV6_DST = Field(_STANDARD, 26, 16), Field(_STANDARD, 27, 16)
ICMPV6_TYPE, ICMPV6_CODE = Field(_STANDARD, 29, 1), Field(_STANDARD, 30, 1)
ND_TARGET = Field(_STANDARD, 31, 16)
ND_TLL = Field(_STANDARD, 33, 6)
# the reserved field of a neighbour message holds the flags of an advertisement (RFC 4861, 4.4)
ND_RESERVED, ND_OPTION_TYPE = Field(_ERICSSON, 1, 4), Field(_ERICSSON, 2, 1)
NXM_IN_PORT = Field(_NXM_0, 0, 2)
NODE_REGISTER, POOL_REGISTER, SPARE_REGISTER = (
    Field(_NXM_1, 0, 4),
    Field(_NXM_1, 1, 4),
    Field(_NXM_1, 2, 4),
)
WIDE_REGISTER = Field(_NXM_1, 111, 16)
CT_STATE, CT_MARK = Field(_NXM_1, 105, 4), Field(_NXM_1, 107, 4)

ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0806, 0x0800, 0x86DD
ICMPV6 = 58
PORT_IN_PORT, PORT_NORMAL, PORT_FLOOD = 0xFFFFFFF8, 0xFFFFFFFA, 0xFFFFFFFB
PORT_CONTROLLER, PORT_ANY = 0xFFFFFFFD, 0xFFFFFFFF

_SET_FIELD, _OUTPUT, _GROUP, _COPY_FIELD, _METER, _EXPERIMENTER = 25, 0, 22, 28, 29, 0xFFFF
_NX_MOVE, _NX_RESUBMIT_TABLE, _NX_CT = 6, 14, 35
_CT_COMMIT, _NO_TABLE = 1, 0xFF
_ALIGNED = 8  # octets: the length of an action is a multiple of it
_NX_IN_PORT = 0xFFF8


def set_field(field: Field, value: int | bytes | Address) -> bytes:
    """Sets a field of the packet."""
    return _padded(_SET_FIELD, field.is_(value))


def move(version: int, source: Field, target: Field) -> bytes:
    """Copies a field to another one of the same length: an extension before OpenFlow 1.5."""
    bits, fields = 8 * source.length, source.header + target.header
    if version < VERSION_15:
        return _nicira(struct.pack("!HHHH", _NX_MOVE, bits, 0, 0) + fields)
    return _padded(_COPY_FIELD, struct.pack("!HHH2x", bits, 0, 0) + fields)


def meter(number: int) -> bytes:
    """Drops what exceeds a meter (an instruction before OpenFlow 1.5)."""
    return struct.pack("!HHI", _METER, 8, number)


def output(port: int, max_length: int = 0) -> bytes:
    """Sends the packet out; `max_length` octets of it if `port` is the controller."""
    return struct.pack("!HHIH6x", _OUTPUT, 16, port, max_length)


def group(number: int) -> bytes:
    """Hands the packet to a group."""
    return struct.pack("!HHI", _GROUP, 8, number)


def resubmit(table: int) -> bytes:
    """Goes on in a table, which may be one before."""
    return _nicira(struct.pack("!HHB3x", _NX_RESUBMIT_TABLE, _NX_IN_PORT, table))


def track(zone: int, table: int = _NO_TABLE) -> bytes:
    """Finds the connection of the packet and goes on in a table, or with the next action."""
    return _nicira(struct.pack("!HHIHB3xH", _NX_CT, 0, 0, zone, table, 0))


def commit(zone: int, table: int, actions: bytes) -> bytes:
    """Remembers the connection of the packet with what `actions` set in it, and goes on."""
    head = struct.pack("!HHIHB3xH", _NX_CT, _CT_COMMIT, 0, zone, table, 0)
    return _nicira(head + actions)


def _nicira(body: bytes) -> bytes:
    return _padded(_EXPERIMENTER, struct.pack("!I", _NICIRA) + body)


def _padded(kind: int, body: bytes) -> bytes:
    """An action; its length is a multiple of eight octets."""
    length = -(-(4 + len(body)) // _ALIGNED) * _ALIGNED
    return struct.pack("!HH", kind, length) + body.ljust(length - 4, b"\0")


def parse_actions(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """The actions in a list, each with its kind and what follows the header.  Raises ValueError."""
    found = []
    offset = 0
    while offset + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, offset)
        if length < _ALIGNED or offset + length > len(data):
            raise ValueError(f"an action of {length} octets")
        found.append((kind, data[offset + 4 : offset + length]))
        offset += length
    return tuple(found)


def set_value(action: tuple[int, bytes], field: Field) -> bytes | None:
    """The value that an action sets a field to; None if it does something else."""
    kind, body = action
    header = field.header
    if kind != _SET_FIELD or body[:4] != header:
        return None
    return body[4 : 4 + field.length]


def output_port(action: tuple[int, bytes]) -> int | None:
    """The port that an action sends to; None if it does something else."""
    kind, body = action
    return int.from_bytes(body[:4], "big") if kind == _OUTPUT else None


def is_commit(action: tuple[int, bytes]) -> bool:
    """Whether an action remembers a connection."""
    kind, body = action
    return kind == _EXPERIMENTER and body[:6] == struct.pack("!IH", _NICIRA, _NX_CT)


def match_value(match: bytes, field: Field) -> bytes | None:
    """The value of a field in a match (without its header); None if the match does not have it."""
    offset = 0
    while offset + 4 <= len(match):
        length = match[offset + 3]
        if match[offset : offset + 4] == field.header:
            return match[offset + 4 : offset + 4 + length]
        offset += 4 + length
    return None
