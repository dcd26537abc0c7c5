"""The process that speaks BFD: `python -m porter_ryu.bgp.bfd.process`.

It is a process of its own so that nothing that the rest does, ten thousand routes at once or a
full turn, can delay a packet.  A line of JSON on standard input is the whole set of peers, each
with name, local, remote, interval_ms and multiplier; a line on standard output is a peer's new
state, a fault of one peer ('' once it is over), or, every second, that this process lives.  What
stands in the way of one peer (an address that is not here, a port that is taken) costs that peer
alone, and is tried again every second.  It ends with its input, and says so to its peers.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import sys
import time
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from porter_ryu.bgp.bfd import screen
from porter_ryu.bgp.bfd.packet import Packet, State, decode, encode
from porter_ryu.bgp.bfd.session import BfdSession
from porter_ryu.log import reason_of

_PORT = 3784  # RFC 5881, 4
_SOURCE_PORTS = range(49152, 65536)
_TTL = 255
_IP_RECVTTL = 12
_ANCILLARY = 64
_READ = 65536
_EVERY = 1.0  # seconds between signs of life, and between tries of what failed
_FAREWELLS = 3


class Neighbour:
    """A peer: its session and the socket that sends to it; raises OSError where there can be
    none.  `fault` is why nothing can be sent now, '' while it can."""

    def __init__(self, peer: dict[str, Any], now: float) -> None:
        self.peer = peer
        self.told = State.DOWN
        self.fault = ""
        micros = peer["interval_ms"] * 1000
        mine = random.randrange(1, 1 << 32)  # noqa: S311 - not a secret
        self.session = BfdSession(mine, micros, peer["multiplier"], random.uniform, now)
        self._sock = _sender(peer["local"])

    def send(self, packet: Packet | None) -> None:
        """Sends; what the kernel refuses is found by the detection time."""
        if packet is None:
            return
        try:
            self._sock.sendto(encode(packet), (self.peer["remote"], _PORT))
            self.fault = ""
        except OSError as error:
            self.fault = f"cannot send to {self.peer['remote']}: {reason_of(error)}"

    def close(self) -> None:
        """Says farewell."""
        for _ in range(_FAREWELLS):
            self.send(self.session.end())
        self._sock.close()


class Process:
    """All sessions over one select loop."""

    def __init__(self) -> None:
        self._wanted: dict[str, dict[str, Any]] = {}
        self._neighbours: dict[str, Neighbour] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._faults: dict[str, str] = {}
        self._input = b""
        self._due = time.monotonic()

    def run(self) -> None:
        """Runs until standard input ends."""
        while True:
            sources: list[int | socket.socket] = [0, *self._listeners.values()]
            for ready in select.select(sources, [], [], self._wait())[0]:
                if isinstance(ready, socket.socket):
                    self._receive(ready)
                elif not self._read_input():
                    self._want([])
                    return
            now = time.monotonic()
            if now >= self._due:
                self._due = now + _EVERY
                self._settle()
                print(json.dumps({"alive": True}), flush=True)
            for neighbour in self._neighbours.values():
                neighbour.send(neighbour.session.tick(now))
                self._tell(neighbour)

    def _wait(self) -> float:
        deadlines = [self._due]
        for neighbour in self._neighbours.values():
            deadlines.append(neighbour.session.next_send)
            if neighbour.session.expires is not None:
                deadlines.append(neighbour.session.expires)
        return max(0.0, min(deadlines) - time.monotonic())

    def _read_input(self) -> bool:
        octets = os.read(0, _READ)
        self._input += octets
        *lines, self._input = self._input.split(b"\n")
        if lines:
            self._want(json.loads(lines[-1]))
        return bool(octets)

    def _want(self, peers: Iterable[dict[str, Any]]) -> None:
        self._wanted = {peer["remote"]: peer for peer in peers}
        for remote, neighbour in list(self._neighbours.items()):
            if self._wanted.get(remote) != neighbour.peer:
                neighbour.close()
                del self._neighbours[remote]
        for local in self._listeners.keys() - {peer["local"] for peer in self._wanted.values()}:
            self._listeners.pop(local).close()
        for sock in self._listeners.values():
            self._screen(sock)
        self._settle()

    def _settle(self) -> None:
        """Makes what is wanted and is not there, each for itself."""
        faults = {}
        for remote, peer in self._wanted.items():
            name = peer["name"]
            try:
                self._listen(peer["local"])
                if remote not in self._neighbours:
                    self._neighbours[remote] = Neighbour(peer, time.monotonic())
                faults[name] = self._neighbours[remote].fault
            except OSError as error:
                where = f"{peer['local']} port {_PORT}"
                faults[name] = f"cannot listen on {where}: {reason_of(error)}"
        for name, fault in faults.items():
            if fault != self._faults.get(name, ""):
                print(json.dumps({"name": name, "fault": fault}), flush=True)
        self._faults = faults

    def _listen(self, local: str) -> None:
        if local in self._listeners:
            return
        sock = socket.socket(_family(local), socket.SOCK_DGRAM)
        try:
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            self._screen(sock)
            sock.bind((local, _PORT))
        except OSError:
            sock.close()
            raise
        self._listeners[local] = sock

    def _screen(self, sock: socket.socket) -> None:
        screen.attach(sock, [ip_address(remote) for remote in self._wanted])

    def _receive(self, sock: socket.socket) -> None:
        try:
            data, ancillary, _, source = sock.recvmsg(_READ, _ANCILLARY)
        except OSError:
            return  # of a packet of ours that came back as an error
        hops = {int.from_bytes(value[:4], sys.byteorder) for _, _, value in ancillary}
        neighbour = self._neighbours.get(str(ip_address(source[0].partition("%")[0])))
        packet = decode(data)
        # RFC 5881, 5: what came over a router is not from this neighbour
        if neighbour is None or packet is None or hops != {_TTL}:
            return
        if packet.yours not in (0, neighbour.session.mine):
            return
        neighbour.send(neighbour.session.receive(packet, time.monotonic()))
        self._tell(neighbour, packet.state)

    @staticmethod
    def _tell(neighbour: Neighbour, remote: State = State.DOWN) -> None:
        state = neighbour.session.state
        if (state is State.UP) == (neighbour.told is State.UP):
            return
        neighbour.told = state
        on_purpose = state is not State.UP and remote is State.ADMIN_DOWN
        told = {
            "name": neighbour.peer["name"],
            "up": state is State.UP,
            "on_purpose": on_purpose,
            "why": neighbour.session.why,
        }
        print(json.dumps(told), flush=True)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6  # noqa: PLR2004


def _sender(local: str) -> socket.socket:
    """A socket on a source port of RFC 5881, 4, with TTL 255."""
    family = _family(local)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
    for port in random.sample(_SOURCE_PORTS, 100):
        try:
            sock.bind((local, port))
        except OSError:
            continue
        return sock
    sock.close()
    raise OSError(f"no source port for BFD is free on {local}")


if __name__ == "__main__":
    Process().run()
