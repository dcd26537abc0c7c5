"""The kernel's filter for the sockets that receive BFD.

Packets of other hosts could fill the receive buffer and displace those of the neighbours, and a
session that receives nothing goes down.  So a socket filter (classic BPF) accepts only packets with
TTL 255 (RFC 5881, 5) from a neighbour.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_NEIGHBOURS_MAX = 100  # some kernels limit the options of a socket to 20 kB
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD_WORD, _LOAD_OCTET, _JUMP_EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets count from the network header
_TTL_OFFSET, _SOURCE_OFFSET = {4: 8, 6: 7}, {4: 12, 6: 8}
_TTL = 255
_DROP, _ACCEPT = 0, 0xFFFF


def attach(sock: socket.socket, neighbours: Collection[IPv4Address | IPv6Address]) -> None:
    """Makes the kernel drop packets that are not from one of these neighbours.

    If the kernel refuses the filter, the socket has none: an earlier one would drop the packets of
    a new neighbour.  The reader checks each packet in any case.
    """
    version = 4 if sock.family == socket.AF_INET else 6
    instructions = build(version, neighbours)
    program = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // _INSTRUCTION.size
    try:
        option = _PROGRAM.pack(count, ctypes.addressof(program))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def build(version: int, neighbours: Collection[IPv4Address | IPv6Address]) -> bytes:
    """The instructions of the filter; with too many neighbours it checks the TTL only."""
    program = [(_LOAD_OCTET, 0, 0, _NETWORK_HEADER + _TTL_OFFSET[version])]
    program += [(_JUMP_EQUAL, 1, 0, _TTL), (_RETURN, 0, 0, _DROP)]
    addresses = [address for address in neighbours if address.version == version]
    if len(addresses) > _NEIGHBOURS_MAX:
        return _pack([*program, (_RETURN, 0, 0, _ACCEPT)])
    for address in addresses:
        words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
        for number, word in enumerate(words):
            to_next_neighbour = 2 * (len(words) - number - 1) + 1
            offset = _NETWORK_HEADER + _SOURCE_OFFSET[version] + 4 * number
            program.append((_LOAD_WORD, 0, 0, offset))
            program.append((_JUMP_EQUAL, 0, to_next_neighbour, word))
        program.append((_RETURN, 0, 0, _ACCEPT))
    return _pack([*program, (_RETURN, 0, 0, _DROP)])


def _pack(instructions: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
