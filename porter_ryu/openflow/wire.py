"""The OpenFlow messages that the package sends and reads itself, as octets (OpenFlow 1.3.5 and
1.5.1, 7.3).  The handshake is Ryu's.

    +-------------+-----------+---------------+---------------+
    | version (8) | type (8)  |  length (16)  |   xid (32)    |
    +-------------+-----------+---------------+---------------+

Numbers are those of the specification.  What a switch sends is read with ValueError for anything
that does not fit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from porter_ryu.openflow import oxm

VERSION_13, VERSION_15 = oxm.VERSION_13, oxm.VERSION_15
HEADER = struct.Struct("!BBHI")
(
    HELLO,
    ERROR,
    ECHO_REQUEST,
    ECHO_REPLY,
    EXPERIMENTER,
    FEATURES_REQUEST,
    FEATURES_REPLY,
) = range(7)
PACKET_IN, FLOW_REMOVED, PORT_STATUS, PACKET_OUT, FLOW_MOD, GROUP_MOD = 10, 11, 12, 13, 14, 15
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21
METER_MOD = 29
MULTIPART_FLOW, MULTIPART_GROUP_DESC, MULTIPART_PORT_DESC = 1, 7, 13
ADD, MODIFY, DELETE, DELETE_STRICT = 0, 1, 3, 4
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = 0, 1, 2
CHECK_OVERLAP = 1 << 1
ALL_TABLES, ANY_GROUP, NO_BUFFER = 0xFF, 0xFFFFFFFF, 0xFFFFFFFF
_ALL_BUCKETS = 0xFFFFFFFF
# the octets of fixed structures before their match, list or data
_MULTIPART_HEAD, _INSTRUCTION_HEAD, _ENTRY_HEAD, _ERROR_HEAD = 8, 8, 8, 4
_FLOW_13_HEAD, _FLOW_15_HEAD, _GROUP_13_HEAD, _GROUP_15_HEAD = 48, 24, 8, 16
_PACKET_IN_HEAD, _MATCH_HEAD, _PORT_OCTETS = 16, 4, 4
_SELECT = 1
_APPLY_ACTIONS, _METER, _GOTO_TABLE = 4, 6, 1
_MORE = 1
_METER_PACKETS, _METER_BURST, _METER_DROP = 1 << 1, 1 << 2, 1
_NETRONOME, _SELECTION_METHOD = 0x154D, 1
_HASH_FIELDS = b"".join(
    field.is_(b"\xff" * field.length)
    for field in (
        oxm.IP_PROTO,
        oxm.IPV4_SRC,
        oxm.IPV4_DST,
        oxm.TCP_SRC,
        oxm.TCP_DST,
        oxm.UDP_SRC,
        oxm.UDP_DST,
        oxm.SCTP_SRC,
        oxm.SCTP_DST,
        oxm.IPV6_SRC,
        oxm.IPV6_DST,
    )
)


def message(version: int, kind: int, xid: int, body: bytes = b"") -> bytes:
    """A message with its header."""
    return HEADER.pack(version, kind, HEADER.size + len(body), xid) + body


def encoded_match(fields: bytes) -> bytes:
    """An ofp_match of these fields, padded."""
    length = 4 + len(fields)
    return struct.pack("!HH", 1, length) + fields + bytes(-length % 8)


def apply(actions: bytes) -> bytes:
    """The instruction to do these actions at once."""
    return struct.pack("!HH4x", _APPLY_ACTIONS, 8 + len(actions)) + actions


def go_to(table: int) -> bytes:
    """The instruction to go on in a later table."""
    return struct.pack("!HHB3x", _GOTO_TABLE, 8, table)


def apply_metered(version: int, meter: int, actions: bytes) -> bytes:
    """The instructions to do these actions with what a meter does not drop."""
    if version < VERSION_15:
        return struct.pack("!HHI", _METER, 8, meter) + apply(actions)
    return apply(oxm.meter(meter) + actions)


def flow_mod(
    command: int,
    table: int,
    priority: int,
    cookie: int,
    mask: int,
    fields: bytes,
    instructions: bytes,
    flags: int = 0,
) -> bytes:
    """The body of a FLOW_MOD without timeouts."""
    head = struct.pack(
        "!QQBBHHHIIIH2x",
        cookie,
        mask,
        table,
        command,
        0,
        0,
        priority,
        NO_BUFFER,
        oxm.PORT_ANY,
        ANY_GROUP,
        flags,
    )
    return head + encoded_match(fields) + instructions


def group_mod(version: int, command: int, number: int, buckets: Sequence[bytes]) -> bytes:
    """The body of a GROUP_MOD of a select group whose buckets have these actions and weight 1.

    From OpenFlow 1.5 on the buckets are chosen by a hash of addresses and ports; before, the switch
    chooses as it likes.
    """
    if version < VERSION_15:
        head = struct.pack("!HBxI", command, _SELECT, number)
        return head + b"".join(
            struct.pack("!HHII4x", 16 + len(actions), 1, oxm.PORT_ANY, ANY_GROUP) + actions
            for actions in buckets
        )
    array = b"".join(
        struct.pack("!HHI", 16 + len(actions), len(actions), index)
        + actions
        + struct.pack("!HHH2x", 0, 8, 1)
        for index, actions in enumerate(buckets)
    )
    head = struct.pack("!HBxIHxxI", command, _SELECT, number, len(array), _ALL_BUCKETS)
    return head + array + (b"" if command == GROUP_DELETE else _selection())


def _selection() -> bytes:
    """The property that the buckets are chosen by a hash of these fields."""
    length = 40 + len(_HASH_FIELDS)
    head = struct.pack("!HHII4x16sQ", 0xFFFF, length, _NETRONOME, _SELECTION_METHOD, b"hash", 0)
    return head + _HASH_FIELDS + bytes(-length % 8)


def meter_add(number: int, packets_per_second: int) -> bytes:
    """The body of a METER_MOD that adds a meter which drops packets above a rate."""
    flags = _METER_PACKETS | _METER_BURST
    band = struct.pack("!HHII4x", _METER_DROP, 16, packets_per_second, packets_per_second)
    return struct.pack("!HHI", 0, flags, number) + band


def packet_out(version: int, port: int, data: bytes) -> bytes:
    """The body of a PACKET_OUT: a frame of the controller's own."""
    actions = oxm.output(port)
    if version < VERSION_15:
        head = struct.pack("!IIH6x", NO_BUFFER, oxm.PORT_CONTROLLER, len(actions))
        return head + actions + data
    match = encoded_match(oxm.IN_PORT.is_(oxm.PORT_CONTROLLER))
    return struct.pack("!IH2x", NO_BUFFER, len(actions)) + match + actions + data


def flows_request(table: int, cookie: int, mask: int) -> bytes:
    """The body of a request for the flows with a cookie; in 1.5 it is the one for FLOW_DESC."""
    head = struct.pack("!HH4x", MULTIPART_FLOW, 0)
    wanted = struct.pack("!B3xII4xQQ", table, oxm.PORT_ANY, ANY_GROUP, cookie, mask)
    return head + wanted + encoded_match(b"")


def groups_request(version: int) -> bytes:
    """The body of a request for all groups."""
    head = struct.pack("!HH4x", MULTIPART_GROUP_DESC, 0)
    return head if version < VERSION_15 else head + struct.pack("!I4x", 0xFFFFFFFC)


@dataclass(frozen=True, slots=True)
class FlowOnSwitch:
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


@dataclass(frozen=True, slots=True)
class GroupOnSwitch:
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


@dataclass(frozen=True, slots=True)
class PacketIn:
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


@dataclass(frozen=True, slots=True)
class Refusal:
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
