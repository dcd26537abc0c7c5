"""A BGP speaker of raw octets, for what no real router does.  It shares no code with ours."""

from __future__ import annotations

import socket
import struct
from typing import Any

from fabric import Host, inside

HEADER_OCTETS = 19
MARKER = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = range(1, 6)
_IP_MINTTL = 21


def message(kind: int, body: bytes = b"") -> bytes:
    """RFC 4271, 4.1."""
    return MARKER + struct.pack(">HB", HEADER_OCTETS + len(body), kind) + body


def open_message(
    asn: int = 65003,
    hold_time: int = 3,
    identifier: str = "192.168.7.3",
    more: bytes = b"",
    four_octet_as: bool = True,
    add_path: int = 1,
) -> bytes:
    """RFC 4271, 4.2, with IPv4 unicast, ADD-PATH (1: receive, 2: send, 3: both), 4-octet AS and
    `more` capabilities."""
    capabilities = bytes.fromhex("01040001000102004504000101") + bytes((add_path,)) + more
    if four_octet_as:
        capabilities += bytes.fromhex("4104") + struct.pack(">I", asn)
    parameter = bytes((2, len(capabilities))) + capabilities
    head = struct.pack(">BHH4sB", 4, asn, hold_time, socket.inet_aton(identifier), len(parameter))
    return message(OPEN, head + parameter)


def announces(body: bytes) -> tuple[bytes, int]:
    """The next hop of an UPDATE and its number of paths; only for ADD-PATH and /32."""
    size = int.from_bytes(body[2:4], "big")
    if body[:2] != b"\0\0" or not size:
        return b"", 0
    hop = body[body.index(b"\x40\x03\x04") + 3 :][:4]
    return hop, (len(body) - 4 - size) // 9


class RawPeer:
    """One TCP connection; it waits for so many `seconds` at most."""

    def __init__(
        self,
        host: Host,
        to: str,
        source: str = "",
        port: int = 179,
        receive_buffer: int = 0,
        min_ttl: int = 0,
        ttl: int = 0,
        seconds: float = 60,
    ) -> None:
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        with inside(host):
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(seconds)
        if ttl and family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        elif ttl:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if min_ttl:  # before connect, so that it applies to the first segment as well
            self.sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, min_ttl)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((to, port))
        self._buffer = b""

    def send(self, data: bytes) -> None:
        """Sends octets."""
        self.sock.sendall(data)

    def read(self) -> tuple[int, bytes] | None:
        """The next message, None at the end of the connection."""
        while not self._has_message():
            try:
                octets = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not octets:
                return None
            self._buffer += octets
        return self._next()

    def receive(self) -> list[tuple[int, bytes]]:
        """The messages that are complete after one read of the socket; raises EOFError at the end
        of the connection."""
        octets = self.sock.recv(1 << 18)
        if not octets:
            raise EOFError
        self._buffer += octets
        return self.complete()

    def complete(self) -> list[tuple[int, bytes]]:
        """The complete messages that were read already."""
        messages = []
        while self._has_message():
            messages.append(self._next())
        return messages

    def read_until(self, kind: int) -> bytes:
        """The body of the next message of a kind."""
        while True:
            found = self.read()
            assert found is not None, f"the connection ended before a message of type {kind}"
            if found[0] == kind:
                return found[1]

    def establish(self, **kwargs: Any) -> RawPeer:
        """Exchanges OPEN and KEEPALIVE."""
        self.send(open_message(**kwargs))
        self.read_until(OPEN)
        self.send(message(KEEPALIVE))
        self.read_until(KEEPALIVE)
        return self

    def reset(self) -> None:
        """Closes the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Closes the connection with FIN."""
        self.sock.close()

    def _has_message(self) -> bool:
        return len(self._buffer) >= HEADER_OCTETS and len(self._buffer) >= self._length()

    def _next(self) -> tuple[int, bytes]:
        length = self._length()
        kind, body = self._buffer[18], self._buffer[HEADER_OCTETS:length]
        self._buffer = self._buffer[length:]
        return kind, body

    def _length(self) -> int:
        return int.from_bytes(self._buffer[16:18], "big")
