"""What a switch sends, read from octets (OpenFlow 1.3.5 and 1.5.1, 7.3 to 7.5): its flows and
groups, packets, and what it refuses.  Whatever does not fit is a ValueError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from porter_ryu.openflow import oxm
from porter_ryu.openflow.oxm import VERSION_15

_APPLY_ACTIONS = 4
_MORE = 1
# the octets of fixed structures before their match, list or data
_MULTIPART_HEAD, _INSTRUCTION_HEAD, _ENTRY_HEAD, _ERROR_HEAD = 8, 8, 8, 4
_FLOW_13_HEAD, _FLOW_15_HEAD, _GROUP_13_HEAD, _GROUP_15_HEAD = 48, 24, 8, 16
_PACKET_IN_HEAD, _MATCH_HEAD, _PORT_OCTETS = 16, 4, 4
_PORT_13_OCTETS, _PORT_15_HEAD, _PROPERTY_HEAD = 64, 40, 4


class FlowOnSwitch(Struct, frozen=True):
    """A flow as a switch has it; `match` without its header and padding."""

    table: int
    priority: int
    cookie: int
    packets: int
    match: bytes
    instructions: bytes

    @property
    def actions(self) -> tuple[tuple[int, bytes], ...]:
        """The actions that it does at once; raises ValueError."""
        offset = 0
        while offset + 8 <= len(self.instructions):
            kind, length = struct.unpack_from("!HH", self.instructions, offset)
            if length < _INSTRUCTION_HEAD:
                raise ValueError(f"an instruction of {length} octets")
            if kind == _APPLY_ACTIONS:
                return oxm.parse_actions(self.instructions[offset + 8 : offset + length])
            offset += length
        return ()


class GroupOnSwitch(Struct, frozen=True):
    """A group as a switch has it: the actions of its buckets, and whether they are chosen by our
    hash."""

    number: int
    buckets: tuple[bytes, ...]
    hashed: bool


def multipart(body: bytes) -> tuple[int, bool, bytes]:
    """The type of a multipart reply, whether more follows, and what it carries."""
    if len(body) < _MULTIPART_HEAD:
        raise ValueError("a multipart reply without a header")
    kind, flags = struct.unpack_from("!HH", body)
    return kind, bool(flags & _MORE), body[8:]


def check_ports(version: int, data: bytes) -> None:
    """Raises ValueError unless a list of ports can be followed to its end (7.3.5.7 of 1.3.5,
    7.3.5.8 of 1.5.1)."""
    if version < VERSION_15:
        if len(data) % _PORT_13_OCTETS:
            raise ValueError(f"ports of {len(data)} octets")
        return
    offset = 0
    while offset < len(data):
        length = _length_at(data, offset + 4, _PORT_15_HEAD)
        within, end = offset + _PORT_15_HEAD, offset + length
        if end > len(data):
            raise ValueError(f"a port of {length} octets")
        while within < end:
            size = _length_at(data, within + 2, _PROPERTY_HEAD)
            within += (size + 7) // 8 * 8
        offset = end


def _length_at(data: bytes, offset: int, least: int) -> int:
    if offset + 2 > len(data):
        raise ValueError("an entry without a length")
    length: int = struct.unpack_from("!H", data, offset)[0]
    if length < least:
        raise ValueError(f"an entry of {length} octets")
    return length


def flows(version: int, data: bytes) -> Iterator[FlowOnSwitch]:
    """The flows in a part of a reply."""
    for entry in _entries(data):
        yield _flow_15(entry) if version >= VERSION_15 else _flow_13(entry)


def _flow_13(entry: bytes) -> FlowOnSwitch:
    if len(entry) < _FLOW_13_HEAD:
        raise ValueError("a flow that is too short")
    table, priority = entry[2], struct.unpack_from("!H", entry, 12)[0]
    cookie, packets = struct.unpack_from("!QQ", entry, 24)
    match, rest = _match(entry, _FLOW_13_HEAD)
    return FlowOnSwitch(table, priority, cookie, packets, match, entry[rest:])


def _flow_15(entry: bytes) -> FlowOnSwitch:
    if len(entry) < _FLOW_15_HEAD:
        raise ValueError("a flow that is too short")
    table, priority, cookie = struct.unpack_from("!BxH", entry, 4) + struct.unpack_from(
        "!Q", entry, 16
    )
    match, rest = _match(entry, _FLOW_15_HEAD)
    stats_length = struct.unpack_from("!H", entry, rest + 2)[0] if len(entry) >= rest + 4 else 0
    packets = _statistic(entry[rest + 4 : rest + stats_length], _OXS_PACKETS)
    instructions = entry[rest + -(-stats_length // 8) * 8 :]
    return FlowOnSwitch(table, priority, cookie, packets, match, instructions)


_OXS_PACKETS = 4


def _statistic(data: bytes, number: int) -> int:
    """A value of 64 bits in OXS format; 0 if it is not there."""
    offset = 0
    while offset + 4 <= len(data):
        field, length = data[offset + 2] >> 1, data[offset + 3]
        if field == number:
            return int.from_bytes(data[offset + 4 : offset + 4 + length], "big")
        offset += 4 + length
    return 0


def _match(entry: bytes, offset: int) -> tuple[bytes, int]:
    """The fields of a match in an entry, and where what follows it begins."""
    if len(entry) < offset + _MATCH_HEAD:
        raise ValueError("a flow without a match")
    length = struct.unpack_from("!H", entry, offset + 2)[0]
    end = offset + -(-length // 8) * 8
    if length < _MATCH_HEAD or end > len(entry):
        raise ValueError(f"a match of {length} octets")
    return entry[offset + 4 : offset + length], end


def groups(version: int, data: bytes) -> Iterator[GroupOnSwitch]:
    """The groups in a part of a reply."""
    for entry in _entries(data):
        before_15 = version < VERSION_15
        if len(entry) < (_GROUP_13_HEAD if before_15 else _GROUP_15_HEAD):
            raise ValueError("a group that is too short")
        number = struct.unpack_from("!I", entry, 4)[0]
        if before_15:
            buckets = tuple(bucket[16:] for bucket in _entries(entry[8:]))
            yield GroupOnSwitch(number, buckets, True)
            continue
        length = struct.unpack_from("!H", entry, 8)[0]
        buckets = tuple(_actions_of_bucket(b) for b in _entries(entry[16 : 16 + length]))
        yield GroupOnSwitch(number, buckets, b"hash\0" in entry[16 + length :])


def _actions_of_bucket(bucket: bytes) -> bytes:
    length = struct.unpack_from("!H", bucket, 2)[0]
    return bucket[8 : 8 + length]


def _entries(data: bytes) -> Iterator[bytes]:
    """The entries of a list, each of which begins with its length."""
    offset = 0
    while offset + 8 <= len(data):
        length = struct.unpack_from("!H", data, offset)[0]
        if length < _ENTRY_HEAD or offset + length > len(data):
            raise ValueError(f"an entry of {length} octets")
        yield data[offset : offset + length]
        offset += length


class PacketIn(Struct, frozen=True):
    """A frame that the switch sends to us."""

    port: int
    cookie: int
    data: bytes


def packet_in(body: bytes) -> PacketIn:
    """Reads a PACKET_IN; raises ValueError."""
    if len(body) < _PACKET_IN_HEAD:
        raise ValueError("a packet-in that is too short")
    cookie = struct.unpack_from("!Q", body, 8)[0]
    match, rest = _match(body, _PACKET_IN_HEAD)
    port = oxm.match_value(match, oxm.IN_PORT)
    if port is None or len(port) != _PORT_OCTETS:
        raise ValueError("a packet-in without a port")
    return PacketIn(int.from_bytes(port, "big"), cookie, body[rest + 2 :])


_ERROR_TYPES = {
    1: "bad request",
    2: "bad action",
    3: "bad instruction",
    4: "bad match",
    5: "flow refused",
    6: "group refused",
    12: "meter refused",
}
_ERROR_CODES = {
    (5, 0): "unknown error",
    (5, 1): "the table is full",
    (5, 2): "there is no such table",
    (5, 3): "it overlaps another flow",
    (5, 4): "not permitted",
    (6, 0): "the group exists already",
    (6, 1): "invalid group",
    (6, 2): "weights are not supported",
    (6, 3): "there is no room for more groups",
    (6, 4): "there is no room for more buckets",
    (6, 5): "chaining is not supported",
    (6, 8): "there is no such group",
    (2, 9): "there is no such group",
}
OVERLAP = (5, 3)
GROUP_EXISTS, METER_EXISTS = (6, 0), (12, 1)


class Refusal(Struct, frozen=True):
    """An ERROR: its type and code."""

    kind: int
    code: int

    @property
    def text(self) -> str:
        """The words of the specification for it."""
        kind = _ERROR_TYPES.get(self.kind, f"error type {self.kind}")
        code = _ERROR_CODES.get((self.kind, self.code), "")
        return f"{kind} (type {self.kind}, code {self.code}){': ' + code if code else ''}"


def refusal(body: bytes) -> Refusal:
    """Reads an ERROR; raises ValueError."""
    if len(body) < _ERROR_HEAD:
        raise ValueError("an error that is too short")
    return Refusal(*struct.unpack_from("!HH", body))
