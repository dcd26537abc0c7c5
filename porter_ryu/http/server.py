"""Accepts HTTP connections, within a number, whatever else connects.

Ryu's own server ends for good at the first error of `accept`, lets its clients take as long as
they like, and shares its port with whoever asks.  So the one server of the process is this one;
Ryu's WSGI application, with the routes of any other app that is loaded, stays what it serves.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from eventlet.green import socket
from ryu.lib import hub

from porter_ryu.domain.model import Address
from porter_ryu.http.connection import Application, Bounds, Connection
from porter_ryu.http.turn import Turn
from porter_ryu.socket_address import canonical
from porter_ryu.supervisor import Beat, Supervisor, Task
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_BACKLOG = 1024
_ACCEPT_WAIT = 1.0
_STALLS_AFTER = 10.0
_NO_DESCRIPTORS = 0.05
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s
_NO_LISTENER = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)


class Server:
    """Serves so many connections at most: one more costs the oldest that has not sent its request,
    else the oldest.  So whoever asks now is heard, however many hang.
    """

    def __init__(
        self,
        host: str,
        port: int,
        application: Application,
        supervisor: Supervisor,
        bounds: Bounds | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._application = application
        self._is_eip: Callable[[Address], bool] = lambda _address: False
        self._supervisor = supervisor
        self._listener: socket.socket | None = None
        self._connections: dict[Connection, Task] = {}
        self._bounds = bounds or Bounds()
        self._turn = Turn()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        if self._listener is None:
            return self._host, self._port
        name: tuple[Any, ...] = self._listener.getsockname()
        return name[0], name[1]

    def listen(self) -> None:
        """Takes the port; raises OSError, or ValueError, where it cannot be had."""
        where: tuple[Any, ...] = (self._host, self._port)
        if ":" in self._host:
            family = socket.AF_INET6
            ip_address(self._host)  # else it would be looked up as a name
        else:
            family = socket.AF_INET
            where = socket.getaddrinfo(
                self._host or None, self._port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
            )[0][4]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(where)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.settimeout(_ACCEPT_WAIT)
        self._listener = listener

    def start(self, is_eip: Callable[[Address], bool]) -> None:
        """Serves from now on; `is_eip` tells the addresses on which nothing of ours answers."""
        self._is_eip = is_eip
        self._supervisor.keep_running("http", self._accept, _STALLS_AFTER)

    def _accept(self, beat: Beat) -> None:
        if self._listener is None:
            self.listen()
        give_way = TimeSlice()
        while self._listener is not None:
            beat()
            give_way()
            try:
                sock, remote = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno in _NO_LISTENER:
                    self._listener = None
                    raise
                LOG.warning("accepting an HTTP connection failed: %s", error)
                self._make_room()
                hub.sleep(_NO_DESCRIPTORS)
                continue
            self._admit(sock, remote)

    def _admit(self, sock: socket.socket, remote: tuple[Any, ...]) -> None:
        try:
            local = sock.getsockname()
            ours, theirs = canonical(local[0]), canonical(remote[0])
            if self._is_eip(ours):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
                return
        except (OSError, ValueError) as error:
            LOG.debug("a connection was gone before it was looked at: %s", error)
            sock.close()
            return
        if len(self._connections) >= self._bounds.connections:
            self._make_room()
        connection = Connection(
            sock,
            (theirs, remote[1]),
            (ours, local[1]),
            self._application,
            self._turn,
            self._bounds,
        )
        self._connections[connection] = self._supervisor.spawn("http client", self._run, connection)

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self._connections.pop(connection, None)

    def _make_room(self) -> None:
        """Ends the oldest connection that has not sent its request, else the oldest."""
        waiting = (connection for connection in self._connections if connection.reading)
        oldest = next(waiting, next(iter(self._connections), None))
        if oldest is not None:
            self._connections.pop(oldest).end()
            oldest.close()  # one that has not begun to run yet does not close itself
