"""The process that runs BFD: `python -m porter_ryu.bgp.bfd.process`.

It is a process of its own so that long work of the main process never delays a BFD packet.

A line of JSON on standard input is the complete list of peers, each with name, local, remote,
interval_ms and multiplier.  A line on standard output is a report: the new state of a peer, a fault
of a peer ('' when the fault has gone), or a heartbeat every second.  A fault of one peer (an
address that this host does not have, a port in use) affects only that peer and is retried every
second.  When its input ends, the process sends AdminDown to the peers and exits.
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

from porter_ryu.bgp.bfd import socket_filter
from porter_ryu.bgp.bfd.packet import Packet, State, decode, encode
from porter_ryu.bgp.bfd.session import BfdSession
from porter_ryu.log import reason_of

_PORT = 3784  # RFC 5881, 4
_SOURCE_PORTS = range(49152, 65536)
_SOURCE_PORT_TRIES = 100
_TTL = 255
_IP_RECVTTL = 12
_ANCILLARY_OCTETS = 64
_READ_OCTETS = 65536
_HEARTBEAT_SECONDS = 1.0  # also the interval between retries after a fault
_ADMIN_DOWN_PACKETS = 3  # one may get lost


class Neighbour:
    """A peer: its session and the socket that sends to it.  Raises OSError if there is no socket.

    `fault`: why the last packet could not be sent, '' if it was sent.
    """

    def __init__(self, peer: dict[str, Any], now: float) -> None:
        self.peer = peer
        self.reported_state = State.DOWN
        self.fault = ""
        micros = peer["interval_ms"] * 1000
        discriminator = random.randrange(1, 1 << 32)  # noqa: S311 - not a secret
        self.session = BfdSession(discriminator, micros, peer["multiplier"], random.uniform, now)
        self._sock = _sender(peer["local"])

    def send(self, packet: Packet | None) -> None:
        """Sends a packet, if there is one.  An error is only recorded in `fault`: the detection
        time of the peer decides whether the session ends."""
        if packet is None:
            return
        try:
            self._sock.sendto(encode(packet), (self.peer["remote"], _PORT))
            self.fault = ""
        except OSError as error:
            self.fault = f"cannot send to {self.peer['remote']}: {reason_of(error)}"

    def close(self) -> None:
        """Sends AdminDown and closes the socket."""
        for _ in range(_ADMIN_DOWN_PACKETS):
            self.send(self.session.end())
        self._sock.close()


class Process:
    """All sessions in one select loop.  `_peers` and `_neighbours` are by local and remote
    address."""

    def __init__(self) -> None:
        self._peers: dict[tuple[str, str], dict[str, Any]] = {}
        self._neighbours: dict[tuple[str, str], Neighbour] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._faults: dict[str, str] = {}
        self._input = b""
        self._heartbeat_at = time.monotonic()

    def run(self) -> None:
        """Runs until standard input ends."""
        while True:
            sources: list[int | socket.socket] = [0, *self._listeners.values()]
            ready = select.select(sources, [], [], self._timeout())[0]
            if 0 in ready and not self._read_input():
                self._set_peers([])
                return
            for local, sock in self._listeners.items():
                if sock in ready:
                    self._receive(sock, local)
            now = time.monotonic()
            if now >= self._heartbeat_at:
                self._heartbeat_at = now + _HEARTBEAT_SECONDS
                self._start_missing()
                _report(alive=True)
            for neighbour in self._neighbours.values():
                neighbour.send(neighbour.session.tick(now))
                self._report_change(neighbour)

    def _timeout(self) -> float:
        """Seconds until something is due."""
        deadlines = [self._heartbeat_at]
        for neighbour in self._neighbours.values():
            deadlines.append(neighbour.session.next_send)
            if neighbour.session.detection_expires is not None:
                deadlines.append(neighbour.session.detection_expires)
        return max(0.0, min(deadlines) - time.monotonic())

    def _read_input(self) -> bool:
        """Reads standard input; returns False at its end."""
        octets = os.read(0, _READ_OCTETS)
        self._input += octets
        *lines, self._input = self._input.split(b"\n")
        if lines:
            self._set_peers(json.loads(lines[-1]))
        return bool(octets)

    def _set_peers(self, peers: Iterable[dict[str, Any]]) -> None:
        self._peers = {(peer["local"], peer["remote"]): peer for peer in peers}
        for ends, neighbour in list(self._neighbours.items()):
            if self._peers.get(ends) != neighbour.peer:
                neighbour.close()
                del self._neighbours[ends]
        for local in self._listeners.keys() - {peer["local"] for peer in self._peers.values()}:
            self._listeners.pop(local).close()
        for address, sock in self._listeners.items():
            self._attach_filter(sock, address)
        self._start_missing()

    def _start_missing(self) -> None:
        """Starts each session and socket that is missing; reports the faults that changed."""
        faults = {}
        for ends, peer in self._peers.items():
            name = peer["name"]
            try:
                self._listen(peer["local"])
                if ends not in self._neighbours:
                    self._neighbours[ends] = Neighbour(peer, time.monotonic())
                faults[name] = self._neighbours[ends].fault
            except OSError as error:
                where = f"{peer['local']} port {_PORT}"
                faults[name] = f"cannot listen on {where}: {reason_of(error)}"
        for name, fault in faults.items():
            if fault != self._faults.get(name, ""):
                _report(name=name, fault=fault)
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
            self._attach_filter(sock, local)
            sock.bind((local, _PORT))
        except OSError:
            sock.close()
            raise
        self._listeners[local] = sock

    def _attach_filter(self, sock: socket.socket, local: str) -> None:
        remotes = [ip_address(remote) for own, remote in self._peers if own == local]
        socket_filter.attach(sock, remotes)

    def _receive(self, sock: socket.socket, local: str) -> None:
        try:
            data, ancillary, _, source = sock.recvmsg(_READ_OCTETS, _ANCILLARY_OCTETS)
        except OSError:
            return  # an ICMP error about a packet that we sent
        hops = {int.from_bytes(value[:4], sys.byteorder) for _, _, value in ancillary}
        remote = str(ip_address(source[0].partition("%")[0]))
        neighbour = self._neighbours.get((local, remote))
        packet = decode(data)
        # RFC 5881, 5: a packet that was routed is not from this neighbour
        if neighbour is None or packet is None or hops != {_TTL}:
            return
        if packet.your_discriminator not in (0, neighbour.session.local_discriminator):
            return
        neighbour.send(neighbour.session.receive(packet, time.monotonic()))
        self._report_change(neighbour, packet.state)

    @staticmethod
    def _report_change(neighbour: Neighbour, remote: State = State.DOWN) -> None:
        """Reports a session that has come up or gone down; `remote` is the state that the peer
        sent."""
        state = neighbour.session.state
        if (state is State.UP) == (neighbour.reported_state is State.UP):
            return
        neighbour.reported_state = state
        _report(
            name=neighbour.peer["name"],
            up=state is State.UP,
            admin_down=state is not State.UP and remote is State.ADMIN_DOWN,
            reason=neighbour.session.down_reason,
        )


def _report(**report: object) -> None:
    print(json.dumps(report), flush=True)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6  # noqa: PLR2004


def _sender(local: str) -> socket.socket:
    """A socket with a source port of RFC 5881, 4 and TTL 255; raises OSError."""
    family = _family(local)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
    for port in random.sample(_SOURCE_PORTS, _SOURCE_PORT_TRIES):
        try:
            sock.bind((local, port))
        except OSError:
            continue
        return sock
    sock.close()
    raise OSError(f"no source port for BFD is free on {local}")


if __name__ == "__main__":
    Process().run()
