"""What the kernel lets through to the socket that hears BFD.

What strangers send would fill the socket's buffer and displace what neighbours say, and a session
of which nothing is heard goes down.  So the kernel drops it first: a filter (classic BPF) takes
only what has come with TTL 255 (RFC 5881, 5) from a neighbour.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_NEIGHBOURS_MOST = 100  # kernels have but 20 kB for the options of a socket
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_LOAD_WORD, _LOAD_OCTET, _JUMP_EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets are from there
_TTL_AT, _SOURCE_AT = {4: 8, 6: 7}, {4: 12, 6: 8}
_TTL = 255
_DROP, _TAKE = 0, 0xFFFF


def attach(sock: socket.socket, neighbours: Collection[IPv4Address | IPv6Address]) -> None:
    """Has the kernel drop what is from nobody of these.  Where it cannot, everything gets through,
    and is dropped by who reads it: an earlier filter would keep out who is new."""
    version = 4 if sock.family == socket.AF_INET else 6
    instructions = screen(version, neighbours)
    program = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // _INSTRUCTION.size
    try:
        option = _PROGRAM.pack(count, ctypes.addressof(program))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def screen(version: int, neighbours: Collection[IPv4Address | IPv6Address]) -> bytes:
    """The filter as instructions; with too many neighbours it looks at the TTL alone."""
    found = [(_LOAD_OCTET, 0, 0, _NETWORK_HEADER + _TTL_AT[version])]
    found += [(_JUMP_EQUAL, 1, 0, _TTL), (_RETURN, 0, 0, _DROP)]
    own = [address for address in neighbours if address.version == version]
    if len(own) > _NEIGHBOURS_MOST:
        return _packed([*found, (_RETURN, 0, 0, _TAKE)])
    for address in own:
        words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
        for number, word in enumerate(words):
            rest = 2 * (len(words) - number - 1) + 1  # to the next neighbour
            found.append((_LOAD_WORD, 0, 0, _NETWORK_HEADER + _SOURCE_AT[version] + 4 * number))
            found.append((_JUMP_EQUAL, 0, rest, word))
        found.append((_RETURN, 0, 0, _TAKE))
    return _packed([*found, (_RETURN, 0, 0, _DROP)])


def _packed(instructions: list[tuple[int, int, int, int]]) -> bytes:
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)
