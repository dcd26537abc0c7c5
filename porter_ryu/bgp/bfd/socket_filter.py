"""The kernel's filter for the sockets that receive BFD.

A session that receives nothing goes down, so packets of other hosts must not displace those of the
neighbours: only packets with TTL 255 (RFC 5881, 5) from a neighbour are accepted.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from porter_ryu import packet_filter
from porter_ryu.packet_filter import (
    ACCEPT,
    DROP,
    JUMP_EQUAL,
    LOAD_OCTET,
    LOAD_WORD,
    NETWORK_HEADER,
    RETURN,
)

_NEIGHBOURS_MAX = 100  # some kernels limit the options of a socket to 20 kB
_TTL_OFFSET, _SOURCE_OFFSET = {4: 8, 6: 7}, {4: 12, 6: 8}
_TTL = 255


def attach(sock: socket.socket, neighbours: Collection[IPv4Address | IPv6Address]) -> None:
    """Makes the kernel drop packets that are not from one of these neighbours, if it can."""
    version = 4 if sock.family == socket.AF_INET else 6
    packet_filter.attach(sock, build(version, neighbours))


def build(version: int, neighbours: Collection[IPv4Address | IPv6Address]) -> bytes:
    """The instructions of the filter; with too many neighbours it checks the TTL only."""
    program = [(LOAD_OCTET, 0, 0, NETWORK_HEADER + _TTL_OFFSET[version])]
    program += [(JUMP_EQUAL, 1, 0, _TTL), (RETURN, 0, 0, DROP)]
    addresses = [address for address in neighbours if address.version == version]
    if len(addresses) > _NEIGHBOURS_MAX:
        return packet_filter.pack([*program, (RETURN, 0, 0, ACCEPT)])
    for address in addresses:
        words = struct.unpack(f">{len(address.packed) // 4}I", address.packed)
        for number, word in enumerate(words):
            to_next_neighbour = 2 * (len(words) - number - 1) + 1
            offset = NETWORK_HEADER + _SOURCE_OFFSET[version] + 4 * number
            program.append((LOAD_WORD, 0, 0, offset))
            program.append((JUMP_EQUAL, 0, to_next_neighbour, word))
        program.append((RETURN, 0, 0, ACCEPT))
    return packet_filter.pack([*program, (RETURN, 0, 0, DROP)])
