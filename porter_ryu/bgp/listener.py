"""Accepts BGP connections, and survives whatever connects.

A stranger gets a Cease and a close; nothing it does reaches a session.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from ryu.lib import hub

from porter_ryu.bgp import transport
from porter_ryu.bgp.protocol import wire
from porter_ryu.domain.model import Address
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_RETRY = 1.0
_RETRY_MOST = 30.0
_NO_DESCRIPTORS = 0.05


class Listener:
    """Listening sockets by address, opened as soon as the address can be bound.

    `accept` is given every connection with the addresses of its two ends (remote, local).
    """

    def __init__(
        self,
        port: int,
        accept: Callable[[socket.socket, Address, Address], None],
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self._port = port
        self._accept = accept
        self._sockets: dict[Address, socket.socket] = {}
        self._wanted: set[Address] = set()
        self._stopped = False

    @property
    def sockets(self) -> tuple[tuple[Address, socket.socket], ...]:
        """The sockets that listen now."""
        return tuple(self._sockets.items())

    def want(self, address: Address, prepare: Callable[[socket.socket], None]) -> None:
        """Listens on an address from now on; `prepare` is called on its socket (MD5 keys)."""
        if address not in self._wanted:
            self._wanted.add(address)
            self._supervisor.keep(f"listen {address}", lambda _beat: self._listen(address, prepare))

    def stop(self) -> None:
        """Closes all sockets."""
        self._stopped = True
        for sock in self._sockets.values():
            sock.close()

    def _listen(self, address: Address, prepare: Callable[[socket.socket], None]) -> None:
        delay, told = _RETRY, ""
        while not self._stopped:
            try:
                sock = transport.listen(address, self._port)
            except OSError as error:
                if told != str(error):
                    told = str(error)
                    LOG.error("cannot listen on %s port %d: %s", address, self._port, error)
                hub.sleep(delay)
                delay = min(2 * delay, _RETRY_MOST)
                continue
            prepare(sock)
            self._sockets[address] = sock
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        while not self._stopped:
            try:
                connection, remote = sock.accept()
            except OSError as error:
                if not self._stopped:
                    LOG.warning("accepting a connection failed: %s", error)
                    hub.sleep(_NO_DESCRIPTORS)
                continue
            try:
                local = connection.getsockname()
                self._accept(
                    connection, transport.canonical(remote[0]), transport.canonical(local[0])
                )
            except OSError:
                connection.close()
                LOG.debug("a connection was gone before it was looked at")


def refuse(sock: socket.socket) -> None:
    """Closes a connection that nobody configured, with Cease 6/5 where it fits."""
    try:
        sock.setblocking(False)
        sock.send(wire.encode_notification(wire.CONNECTION_REJECTED))
    except OSError:
        LOG.debug("a refused connection was gone before it was refused")
    sock.close()
