"""Finds the running instance of this configuration, and which sockets it has.

It may hold the ports that are checked, and a peer that has a session with it must not be connected
to: some routers end a session if its host opens a second connection.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from porter_ryu import state_dir
from porter_ryu.domain.model import Address

_LOCAL, _REMOTE, _STATE, _INODE = 1, 2, 3, 9  # columns of /proc/net/tcp
_ESTABLISHED, _LISTEN = "01", "0A"
_FILES = ("/proc/net/tcp", "/proc/net/tcp6")
_WORD = 8  # hexadecimal digits of 32 bits, which the kernel writes in the order of the host
_IPV4_DIGITS = 8


class _Socket(Struct, frozen=True):
    """A TCP socket of this network namespace; its inode is the link in /proc/PID/fd."""

    local: tuple[Address, int]
    remote: tuple[Address, int]
    state: str
    inode: str


class Running:
    """The instance that runs with a state_dir, if there is one."""

    def __init__(self, path: str) -> None:
        self.pid = state_dir.holder_of(path)

    def listens(self, port: int) -> bool:
        """Whether this instance listens on a TCP port."""
        if self.pid is None:
            return False
        found = {s.inode for s in _sockets() if s.state == _LISTEN and s.local[1] == port}
        folder = f"/proc/{self.pid}/fd"
        try:
            return any(_link(f"{folder}/{name}") in found for name in os.listdir(folder))
        except OSError:
            return False


def is_connected(peer: Address, port: int, listen_port: int) -> bool:
    """Whether any process of this host has a BGP connection with a peer; `port` is the peer's."""
    return any(
        socket.state == _ESTABLISHED
        and socket.remote[0] == peer
        and (socket.remote[1] == port or socket.local[1] == listen_port)
        for socket in _sockets()
    )


def _sockets() -> Iterator[_Socket]:
    for path in _FILES:
        try:
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue  # a kernel without IPv6
        for row in rows:
            ends = _end(row[_LOCAL]), _end(row[_REMOTE])
            yield _Socket(*ends, row[_STATE], f"socket:[{row[_INODE]}]")


def _end(text: str) -> tuple[Address, int]:
    digits, _, port = text.partition(":")
    words = (digits[i : i + _WORD] for i in range(0, len(digits), _WORD))
    octets = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    address = IPv4Address(octets) if len(digits) == _IPV4_DIGITS else IPv6Address(octets)
    return address, int(port, 16)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
