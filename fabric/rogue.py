"""A configured peer gone bad, and strangers beside it: what they do lasts some seconds, and then
they are gone.  Every function takes the host they are on, our address, and theirs."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Iterator

from fabric import Host
from fabric.raw_peer import (
    KEEPALIVE,
    OPEN,
    ROUTE_REFRESH,
    UPDATE,
    RawPeer,
    message,
    open_message,
)

_REFRESH_IPV4 = struct.pack(">HBB", 1, 0, 1)
_WHOLE_TABLE = 5.0


def one_prefix_updates(count: int) -> bytes:
    """UPDATEs that announce one prefix each (RFC 4271, 4.3)."""
    attributes = bytes.fromhex("4001010040020602010000fdeb400304c0a80703")
    head = struct.pack(">HH", 0, len(attributes)) + attributes
    return b"".join(
        message(UPDATE, head + b"\x20" + struct.pack(">I", 0x0B000000 + number))
        for number in range(count)
    )


@contextlib.contextmanager
def _session(host: Host, ours: str, theirs: str) -> Iterator[RawPeer]:
    """A session that came up; OSError where it was not taken (a damped peer waits)."""
    peer = RawPeer(host, ours, theirs)
    try:
        try:
            peer.establish()
        except AssertionError as error:
            raise ConnectionRefusedError(str(error)) from error
        yield peer
    finally:
        peer.close()


def refresh_storm(host: Host, ours: str, theirs: str, count: int = 40) -> None:
    """Asks for the whole table many times in one write, and reads it."""
    with _session(host, ours, theirs) as peer:
        peer.send(message(ROUTE_REFRESH, _REFRESH_IPV4) * count)
        _read_for(peer, _WHOLE_TABLE)


def keepalive_flood(host: Host, ours: str, theirs: str, seconds: float = 3.0) -> None:
    """KEEPALIVEs back to back."""
    with _session(host, ours, theirs) as peer:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            peer.send(message(KEEPALIVE) * 1000)


def update_flood(host: Host, ours: str, theirs: str, count: int = 100_000) -> None:
    """One-prefix UPDATEs back to back."""
    updates = one_prefix_updates(1000)
    with _session(host, ours, theirs) as peer:
        for _ in range(count // 1000):
            peer.send(updates)


def flaps(host: Host, ours: str, theirs: str, seconds: float = 4.0) -> int:
    """Sessions that end right after they came up; returns how many came up."""
    up, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        peer = RawPeer(host, ours, theirs)
        try:
            peer.establish()
            up += 1
        except (AssertionError, OSError):
            time.sleep(0.02)
        finally:
            peer.reset()
    return up


def strangers(host: Host, ours: str, theirs: str, count: int = 200) -> None:
    """Connections that send half an OPEN, or nothing, and reset."""
    whole = open_message()
    for number in range(count):
        with contextlib.suppress(OSError):
            peer = RawPeer(host, ours, theirs)
            peer.send(whole[: number % len(whole)])
            peer.reset()


def odd_messages(host: Host, ours: str, theirs: str) -> None:
    """Messages that are wrong in themselves, each over a connection of its own."""
    for octets in (
        b"\x00" * 19,
        message(9),
        message(UPDATE, b"\xff\xff\xff\xff"),
        message(ROUTE_REFRESH, b"\x00" * 4000),
        open_message() + message(OPEN, b"\x04"),
    ):
        with contextlib.suppress(OSError), _session(host, ours, theirs) as peer:
            peer.send(octets)
            _read_for(peer, 1.0)


def _read_for(peer: RawPeer, seconds: float) -> None:
    peer.sock.settimeout(seconds)
    with contextlib.suppress(OSError):
        until = time.monotonic() + seconds
        while time.monotonic() < until and peer.sock.recv(1 << 16):
            pass
