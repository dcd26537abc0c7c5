"""The router's end of a session, driven message by message over loopback, and a Speaker to test.

The router has an address of its own in 127.0.0.0/8, and the speaker listens on a free port.  A
process has only one core of Ryu, so it is stopped with each speaker.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any

from eventlet.green import socket as green
from msgspec.structs import replace

from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open, encode_open
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.announcement import Announcement, NextHop
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import ConnectMode, PeerConfig
from porter_ryu.supervisor import Supervisor
from tests.unit.peers import peer, speaker
from tests.unit.until import PATIENCE, until

HERE = "127.0.0.9"
ROUTER, OTHER = "127.0.0.31", "127.0.0.32"
EIP = ip_network("203.0.113.1/32")
HOP = NextHop("n1", ip_address("192.168.0.1"))
OPEN = Open(
    65001,
    30,
    IPv4Address("192.0.2.1"),
    frozenset({Family.IPV4}),
    four_octet_as=True,
    route_refresh=True,
    add_path=((Family.IPV4, 1),),
)
GRACEFUL = replace(OPEN, graceful=GracefulRestart(120, families=OPEN.families or frozenset()))
Message = tuple[MessageType, bytes]
END_OF_RIB: Message = MessageType.UPDATE, bytes(4)
ANNOUNCED = bytes.fromhex("c0a8000120cb007101")
"""The end of an UPDATE with one path: its path identifier, 192.168.0.1, and 203.0.113.1/32."""


class Router:
    """One connection of a router.  Reading after its end returns None."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(PATIENCE)
        self._buffer = bytearray()
        self._read: list[Message] = []

    def send(self, data: bytes) -> None:
        """Sends octets."""
        self.sock.sendall(data)

    def read(self) -> Message | None:
        """The next message; None if the other side has closed the connection."""
        while not self._read:
            try:
                octets = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not octets:
                return None
            self._buffer += octets
            self._read += wire.split(self._buffer, wire.EXTENDED_MAX_LENGTH)
        return self._read.pop(0)

    def rest(self) -> list[Message]:
        """All messages until the other side closes, without KEEPALIVEs."""
        found = list(iter(self.read, None))
        return [message for message in found if message[0] is not MessageType.KEEPALIVE]

    def read_until(self, wanted: Message) -> list[Message]:
        """The messages up to `wanted`; fails if the connection ends before it."""
        found: list[Message] = []
        while not found or found[-1] != wanted:
            message = self.read()
            assert message is not None, f"the connection ended after {found}"
            found.append(message)
        return found

    def establish(self, offered: Open = OPEN) -> Router:
        """Exchanges OPEN and KEEPALIVE."""
        self.send(encode_open(offered) + wire.KEEPALIVE)
        self.read_until((MessageType.KEEPALIVE, b""))
        return self

    def close(self) -> None:
        """Closes the connection with FIN."""
        self.sock.close()


class Scene:
    """A speaker that listens and announces one path to one EIP; `complete`: its table is."""

    def __init__(self, folder: Path, complete: bool = True, **config: Any) -> None:
        with socket.create_server((HERE, 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.supervisor = Supervisor()
        mine = speaker(
            state_dir=str(folder),
            listen_addresses=(ip_address(HERE),),
            listen_port=self.port,
            **{"restart_time": 0, **config},
        )
        self.speaker = Speaker(mine, self.supervisor)
        self.speaker.set_routes({EIP: frozenset([Announcement(HOP)])}, None)
        if complete:
            self.speaker.complete()
        self._routers: list[Router] = []

    def close(self) -> None:
        """Ends the speaker, its peers and Ryu's core, and all connections."""
        self.speaker.set_peers([])
        self.speaker.stop(withdraw=False)
        self.speaker.shutdown()
        for router in self._routers:
            router.close()
        until(lambda: not self.speaker._listener.sockets, "nothing listens any more")

    def add(self, *others: PeerConfig, **more: Any) -> None:
        """Sets the router as a peer; it connects to the speaker unless `mode` says otherwise."""
        config = peer("leaf", ROUTER, **{"mode": ConnectMode.PASSIVE, **more})
        self.speaker.set_peers([config, *others])
        if {config.mode, *(other.mode for other in others)} != {ConnectMode.ACTIVE}:
            until(lambda: self.speaker._listener.sockets, "it listens")
        until(lambda: self.running.started, "the peer runs")

    @property
    def running(self) -> Peer:
        """The running peer."""
        found = self.speaker.manager.between(ip_address(ROUTER), ip_address(ROUTER))
        assert found is not None
        return found

    @property
    def report(self) -> PeerReport:
        """The report of the peer."""
        return next(report for report in self.speaker.reports() if report.name == "leaf")

    def call(self, source: str = ROUTER) -> Router:
        """A new connection from a router."""
        sock = green.socket()
        sock.settimeout(PATIENCE)
        sock.bind((source, 0))
        sock.connect((HERE, self.port))
        self._routers.append(Router(sock))
        return self._routers[-1]

    def up(self, offered: Open = OPEN) -> Router:
        """A session that is Established and has received the table."""
        router = self.call().establish(offered)
        router.read_until(END_OF_RIB)
        until(lambda: self.report.state == "Established", "it is Established")
        return router


class Waiting:
    """A router that waits for a connection."""

    def __init__(self, address: str = ROUTER) -> None:
        self._listener = green.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._listener.listen(8)
        self._listener.settimeout(PATIENCE)

    def accept(self) -> tuple[Router, str]:
        """The next connection and its source address."""
        sock, (source, _) = self._listener.accept()
        return Router(sock), source

    def close(self) -> None:
        """Stops listening."""
        self._listener.close()


@contextlib.contextmanager
def speaking(folder: Path, **config: Any) -> Iterator[Scene]:
    """A scene inside a `with`.  `config` overrides that of `peers.speaker`; graceful restart is
    off by default."""
    scene = Scene(folder, **config)
    try:
        yield scene
    finally:
        scene.close()
    assert scene.supervisor.faults == ()
