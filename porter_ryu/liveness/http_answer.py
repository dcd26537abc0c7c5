"""What the begin of an HTTP response says: only its status line is read, whatever follows."""

from __future__ import annotations

import re

READ_OCTETS = 64
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |\r|\n)")  # RFC 9112, 4
_STATUS_LINE_OCTETS = 13
_SUCCESS = b"2"


def request(address: str, port: int, path: str) -> bytes:
    """A GET that asks for no second request in its connection (RFC 9112, 9.6)."""
    host = f"[{address}]" if ":" in address else address
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "User-Agent: porter-ryu",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def objection(octets: bytes) -> str | None:
    """Why a response is no answer, from its first octets; empty if it is one (a status of 2xx),
    None while there are too few octets."""
    found = _STATUS_LINE.match(octets)
    if found is not None:
        return "" if found[1].startswith(_SUCCESS) else f"status {found[1].decode()}"
    return None if len(octets) < _STATUS_LINE_OCTETS else "not an HTTP response"
