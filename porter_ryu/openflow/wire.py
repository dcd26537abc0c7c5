"""The OpenFlow messages that the package sends itself, as octets (OpenFlow 1.3.5 and 1.5.1, 7.3).
The handshake is Ryu's; `replies` reads what comes back.

    +-------------+-----------+---------------+---------------+
    | version (8) | type (8)  |  length (16)  |   xid (32)    |
    +-------------+-----------+---------------+---------------+

Numbers are those of the specification.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

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
PACKET_IN, PORT_STATUS, PACKET_OUT, FLOW_MOD, GROUP_MOD = 10, 12, 13, 14, 15
MULTIPART_REQUEST, MULTIPART_REPLY, BARRIER_REQUEST, BARRIER_REPLY = 18, 19, 20, 21
METER_MOD = 29
MULTIPART_FLOW, MULTIPART_GROUP_DESC, MULTIPART_PORT_DESC = 1, 7, 13
ADD, DELETE = 0, 3
GROUP_ADD, GROUP_MODIFY, GROUP_DELETE = 0, 1, 2
CHECK_OVERLAP = 1 << 1
ALL_TABLES, ANY_GROUP, NO_BUFFER = 0xFF, 0xFFFFFFFF, 0xFFFFFFFF
_ALL_BUCKETS = 0xFFFFFFFF
_SELECT = 1
_APPLY_ACTIONS, _METER, _GOTO_TABLE = 4, 6, 1
_METER_PACKETS, _METER_BURST, _METER_DROP = 1 << 1, 1 << 2, 1
_METER_DELETE = 2
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


def meter_delete(number: int) -> bytes:
    """The body of a METER_MOD that removes a meter."""
    return struct.pack("!HHI", _METER_DELETE, 0, number)


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
