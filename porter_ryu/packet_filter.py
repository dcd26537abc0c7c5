"""Filters of the kernel for received packets (classic BPF, SO_ATTACH_FILTER).

Packets of other hosts could fill the receive buffer of a socket and displace those that it waits
for.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable

LOAD_WORD, LOAD_OCTET, JUMP_EQUAL, RETURN = 0x20, 0x30, 0x15, 0x06
NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets count from the network header
DROP, ACCEPT = 0, 0xFFFF
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")


def pack(instructions: Iterable[tuple[int, int, int, int]]) -> bytes:
    """A program from its instructions, each (code, jump if true, jump if false, operand)."""
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in instructions)


def attach(sock: socket.socket, instructions: bytes) -> None:
    """Makes the kernel drop the packets that a program does not accept.

    If the kernel refuses the program, the socket has none: an earlier one could drop packets that
    are wanted now.  The reader has to check each packet in any case.
    """
    program = ctypes.create_string_buffer(instructions, len(instructions))
    count = len(instructions) // _INSTRUCTION.size
    try:
        option = _PROGRAM.pack(count, ctypes.addressof(program))
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
    except OSError:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
