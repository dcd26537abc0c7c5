"""Accepts HTTP connections, up to a maximum number.

Ryu's own server ends at the first error of `accept`, has no time limits, and shares its port with
other processes.  So this server replaces it; it serves Ryu's WSGI application, with the routes of
any other app that is loaded.
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
from porter_ryu.http.connection import Application, Connection, Limits
from porter_ryu.http.loop_budget import LoopBudget
from porter_ryu.socket_address import canonical
from porter_ryu.supervisor import Beat, Supervisor, Task
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_BACKLOG = 1024
_ACCEPT_TIMEOUT_SECONDS = 3.0
_STALLED_AFTER_SECONDS = 10.0
_PAUSE_AFTER_ERROR_SECONDS = 0.05
_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger: on, 0 s
_LISTENER_LOST = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)


class Server:
    """Serves a limited number of connections.

    A connection above the limit closes the oldest one whose request is not complete, or else the
    oldest one.  So a new client is served even if many others hang.
    """

    def __init__(
        self,
        host: str,
        port: int,
        application: Application,
        supervisor: Supervisor,
        limits: Limits | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._application = application
        self._is_eip: Callable[[Address], bool] = lambda _address: False
        self._supervisor = supervisor
        self._listener: socket.socket | None = None
        self._connections: dict[Connection, Task] = {}
        self._limits = limits or Limits()
        self._budget = LoopBudget()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port on which the server listens."""
        if self._listener is None:
            return self._host, self._port
        name: tuple[Any, ...] = self._listener.getsockname()
        return name[0], name[1]

    def listen(self) -> None:
        """Opens the listening socket; raises OSError or ValueError if that is not possible."""
        endpoint: tuple[Any, ...] = (self._host, self._port)
        if ":" in self._host:
            family = socket.AF_INET6
            ip_address(self._host)  # else bind would look it up as a host name
        else:
            family = socket.AF_INET
            endpoint = socket.getaddrinfo(
                self._host or None, self._port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
            )[0][4]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(endpoint)
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.settimeout(_ACCEPT_TIMEOUT_SECONDS)
        self._listener = listener

    def start(self, is_eip: Callable[[Address], bool]) -> None:
        """Starts to serve; connections to an address for which `is_eip` is true are reset."""
        self._is_eip = is_eip
        self._supervisor.keep_running("http", self._accept, _STALLED_AFTER_SECONDS)

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
                if error.errno in _LISTENER_LOST:
                    self._listener = None
                    raise
                LOG.warning("accepting an HTTP connection failed: %s", error)
                self._make_room()
                hub.sleep(_PAUSE_AFTER_ERROR_SECONDS)
                continue
            self._admit(sock, remote)

    def _admit(self, sock: socket.socket, remote: tuple[Any, ...]) -> None:
        try:
            local = sock.getsockname()
            local_address, remote_address = canonical(local[0]), canonical(remote[0])
            if self._is_eip(local_address):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.close()
                return
        except (OSError, ValueError) as error:
            LOG.debug("an HTTP client closed its connection at once: %s", error)
            sock.close()
            return
        if len(self._connections) >= self._limits.max_connections:
            self._make_room()
        connection = Connection(
            sock,
            (remote_address, remote[1]),
            (local_address, local[1]),
            self._application,
            self._budget,
            self._limits,
            self._supervisor,
        )
        self._connections[connection] = self._supervisor.spawn("http client", self._run, connection)

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self._connections.pop(connection, None)

    def _make_room(self) -> None:
        """Closes the oldest connection whose request is not complete, or else the oldest."""
        incomplete = (connection for connection in self._connections if connection.reading)
        oldest = next(incomplete, next(iter(self._connections), None))
        if oldest is not None:
            self._connections.pop(oldest).end()
            oldest.close()  # a greenthread that has not started would not close it
