"""Encodes and decodes BFD control packets.

+-----+---------+---+-+-+-+-+-+-+---------------+---------------+
|Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
+-----+---------+---+-+-+-+-+-+-+---------------+---------------+
|                       My Discriminator                        |
|                      Your Discriminator                       |
|                    Desired Min TX Interval                    |
|                   Required Min RX Interval                    |
|                 Required Min Echo RX Interval                 |
+---------------------------------------------------------------+   RFC 5880, 4.1
"""

from __future__ import annotations

import enum
import struct

from msgspec import Struct

_PACKET = struct.Struct(">BBBBIIIII")
_VERSION = 1
_POLL, _FINAL, _INDEPENDENT, _AUTHENTICATED, _MULTIPOINT = 0x20, 0x10, 0x08, 0x04, 0x01


class State(enum.IntEnum):
    """RFC 5880, 4.1."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(enum.IntEnum):
    """The diagnostics that we send (RFC 5880, 4.1)."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    NEIGHBOR_SIGNALED_DOWN = 3
    ADMINISTRATIVELY_DOWN = 7


class Packet(Struct, frozen=True):
    """A control packet without authentication; intervals in microseconds.

    The C bit is always set: BFD does not share its fate with the process that runs BGP.
    """

    state: State
    multiplier: int
    my_discriminator: int
    your_discriminator: int
    desired_min_tx: int
    required_min_rx: int
    diagnostic: int = Diagnostic.NONE
    poll: bool = False
    final: bool = False


def encode(packet: Packet) -> bytes:
    """Encodes a packet (RFC 5880, 4.1)."""
    flags = packet.state << 6 | _INDEPENDENT
    if packet.poll:
        flags |= _POLL
    if packet.final:
        flags |= _FINAL
    return _PACKET.pack(
        _VERSION << 5 | packet.diagnostic,
        flags,
        packet.multiplier,
        _PACKET.size,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx,
        packet.required_min_rx,
        0,
    )


def decode(data: bytes) -> Packet | None:
    """Decodes a packet; None for one that must be discarded (RFC 5880, 6.8.6)."""
    if len(data) < _PACKET.size:
        return None
    first, flags, multiplier, length, mine, yours, tx, rx, _ = _PACKET.unpack_from(data)
    state = State(flags >> 6)
    if first >> 5 != _VERSION or not _PACKET.size <= length <= len(data):
        return None
    if not multiplier or not mine or flags & (_AUTHENTICATED | _MULTIPOINT):
        return None
    if not yours and state not in (State.DOWN, State.ADMIN_DOWN):
        return None
    poll, final = bool(flags & _POLL), bool(flags & _FINAL)
    return Packet(state, multiplier, mine, yours, tx, rx, first & 0x1F, poll, final)
