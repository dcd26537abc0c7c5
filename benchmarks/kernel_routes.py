"""The BGP routes of a host's kernel as it reports them (rtnetlink): a moment is known when it
comes, and nothing asks again and again on a machine that is being measured."""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter

from fabric import FabricError, Host, inside

_GROUP_IPV4_ROUTE = 0x40
_NEW_ROUTE, _DELETED_ROUTE = 24, 25
_BGP = 186
_DESTINATION, _MULTIPATH = 1, 9
_SO_RCVBUFFORCE = 33
_BUFFER = 128 << 20
_HEADERS = 28  # nlmsghdr, rtmsg
_NEXT_HOP = 8  # rtnexthop, before its attributes


class KernelRoutes:
    """How many next hops each BGP route has, from now on."""

    def __init__(self, host: Host) -> None:
        with inside(host):
            self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._sock.bind((0, _GROUP_IPV4_ROUTE))
        self._hops: dict[bytes, int] = {}
        self._routes: Counter[int] = Counter()
        self.first = 0.0

    def __enter__(self) -> KernelRoutes:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def reached(self, routes: int, hops: int, seconds: float) -> float:
        """The moment (monotonic) at which so many routes had so many next hops; with no `hops`, at
        which no route was left.  Raises FabricError after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if self._routes[hops] >= routes if hops else not self._hops:
                return now
            self._sock.settimeout(max(0.001, deadline - now))
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError as error:
                seen = dict(self._routes)
                text = f"{routes} routes by {hops} next hops: {seen} after {seconds} s"
                raise FabricError(text) from error
            self.first = self.first or time.monotonic()
            self._note(data)

    def _note(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (_NEW_ROUTE, _DELETED_ROUTE) and data[at + 21] == _BGP:
                self._count(data[at + _HEADERS : at + length], kind == _NEW_ROUTE)
            at += (length + 3) & ~3

    def _count(self, attributes: bytes, is_new: bool) -> None:
        found = _attributes(attributes)
        prefix, hops = found[_DESTINATION], 0
        if is_new and _MULTIPATH in found:
            hops = _next_hops(found[_MULTIPATH])
        elif is_new:
            hops = 1
        self._routes[self._hops.pop(prefix, 0)] -= 1
        if hops:
            self._hops[prefix] = hops
            self._routes[hops] += 1


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def _next_hops(data: bytes) -> int:
    count, at = 0, 0
    while at + _NEXT_HOP <= len(data):
        (length,) = struct.unpack_from("=H", data, at)
        count += 1
        at += (length + 3) & ~3
    return count
