"""BGP by bare octets: the same table that the program announces, packed as tightly as it can be,
from a socket that does nothing else."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from fabric.raw_peer import UPDATE, message

_MOST = 4096 - 19 - 4
_ORIGIN_IGP = bytes.fromhex("40010100")
_NLRI = struct.Struct(">IBI")


def announce(prefixes: Sequence[int], hops: Sequence[str], asn: int) -> bytes:
    """UPDATEs that announce each prefix (a /32 by its number) by each next hop, with ADD-PATH."""
    path = bytes.fromhex("4002060201") + struct.pack(">I", asn)
    messages = []
    for hop in hops:
        packed = IPv4Address(hop).packed
        attributes = _ORIGIN_IGP + path + b"\x40\x03\x04" + packed
        head = struct.pack(">HH", 0, len(attributes)) + attributes
        identifier = int.from_bytes(packed, "big")
        for chunk in _chunks(prefixes, identifier, _MOST - len(attributes)):
            messages.append(message(UPDATE, head + chunk))
    return b"".join(messages)


def withdraw(prefixes: Sequence[int], hop: str) -> bytes:
    """UPDATEs that withdraw the paths of these prefixes by one next hop."""
    identifier = int(IPv4Address(hop))
    return b"".join(
        message(UPDATE, struct.pack(">H", len(chunk)) + chunk + b"\0\0")
        for chunk in _chunks(prefixes, identifier, _MOST)
    )


def _chunks(prefixes: Sequence[int], identifier: int, room: int) -> Iterator[bytes]:
    most = room // _NLRI.size
    for start in range(0, len(prefixes), most):
        yield b"".join(_NLRI.pack(identifier, 32, p) for p in prefixes[start : start + most])
