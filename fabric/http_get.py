"""HTTP requests of a host that start no program: only the socket is of its namespace.

A test that waits looks many times a second, and a curl for each look costs more than what it looks
at.  A test that is about what a user of curl sees runs curl.
"""

from __future__ import annotations

import io
import socket
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from fabric import FabricError, Host, inside


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response."""

    status: int
    text: str


def get(
    host: Host, path: str, seconds: float, port: int = 8080, address: str = "127.0.0.1"
) -> Answer:
    """What a server answers to a host, which it is on if no address is given; raises FabricError
    without a complete answer within `seconds`."""
    name = f"[{address}]" if ":" in address else address
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {name}:{port}"
        octets = _exchange(host, (address, port), head, seconds)
        response = HTTPResponse(_Received(octets))  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, response.read().decode())
    except (OSError, HTTPException) as error:
        raise FabricError(f"{host.name}: http://{name}:{port}{path}: {error!r}") from error


def _exchange(host: Host, server: tuple[str, int], head: str, seconds: float) -> bytes:
    """All that the server sends until it closes the connection."""
    deadline = time.monotonic() + seconds
    received = bytearray()
    with inside(host):
        sock = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET)
    with sock:
        sock.settimeout(seconds)
        sock.connect(server)
        sock.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
        while octets := sock.recv(1 << 16):
            received += octets
            sock.settimeout(max(deadline - time.monotonic(), 1e-3))
    return bytes(received)


class _Received:
    """What HTTPResponse needs of a socket."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, *_: object) -> io.BytesIO:
        """The octets as a file."""
        return io.BytesIO(self._octets)
