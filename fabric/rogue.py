"""Attacks by a configured peer and by other hosts; each lasts some seconds.

Every function takes the host of the attacker, the address of the program, and that of the attacker.
"""

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
_READ_SECONDS, _PATIENCE = 5.0, 10.0


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
    """An Established session; OSError if it was refused (for example, the peer is damped)."""
    peer = RawPeer(host, ours, theirs, seconds=_PATIENCE)
    try:
        try:
            peer.establish()
        except AssertionError as error:
            raise ConnectionRefusedError(str(error)) from error
        yield peer
    finally:
        peer.close()


def refresh_storm(host: Host, ours: str, theirs: str, count: int = 40) -> None:
    """Requests the whole table many times in one write, and reads it."""
    with _session(host, ours, theirs) as peer:
        peer.send(message(ROUTE_REFRESH, _REFRESH_IPV4) * count)
        _read_for(peer, _READ_SECONDS)


def keepalive_flood(host: Host, ours: str, theirs: str, seconds: float = 3.0) -> None:
    """Sends KEEPALIVEs without a pause."""
    with _session(host, ours, theirs) as peer:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            peer.send(message(KEEPALIVE) * 1000)


def update_flood(host: Host, ours: str, theirs: str, count: int = 100_000) -> None:
    """Sends UPDATEs with one prefix each without a pause."""
    updates = one_prefix_updates(1000)
    with _session(host, ours, theirs) as peer:
        for _ in range(count // 1000):
            peer.send(updates)


def flaps(host: Host, ours: str, theirs: str, seconds: float = 4.0) -> int:
    """Opens sessions and resets them when they are up; returns their number."""
    up, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        peer = RawPeer(host, ours, theirs, seconds=_PATIENCE)
        try:
            peer.establish()
            up += 1
        except (AssertionError, OSError):
            time.sleep(0.02)
        finally:
            peer.reset()
    return up


def strangers(host: Host, ours: str, theirs: str, count: int = 200) -> None:
    """Opens connections that send a part of an OPEN, or nothing, and resets them."""
    whole = open_message()
    for number in range(count):
        with contextlib.suppress(OSError):
            peer = RawPeer(host, ours, theirs, seconds=_PATIENCE)
            peer.send(whole[: number % len(whole)])
            peer.reset()


def odd_messages(host: Host, ours: str, theirs: str) -> None:
    """Sends invalid messages, each over its own connection."""
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
