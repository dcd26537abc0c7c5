"""Accepts BGP connections, and survives whatever connects.

A stranger gets a Cease and a close; nothing it does reaches a session, and a flood of strangers
leaves everybody else their turn.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.bgp import transport
from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.domain.model import Address
from porter_ryu.log import reason_of
from porter_ryu.socket_address import canonical
from porter_ryu.supervisor import Supervisor, Task
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_RETRY = 1.0
_RETRY_MOST = 30.0
_SHORTAGE = 0.05, 1.0  # seconds between tries while there are no descriptors


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
        self._tasks: dict[Address, Task] = {}
        self._stopped = False

    @property
    def sockets(self) -> tuple[tuple[Address, socket.socket], ...]:
        """The sockets that listen now."""
        return tuple(self._sockets.items())

    def want(self, address: Address, prepare: Callable[[socket.socket], None]) -> None:
        """Listens on an address from now on; `prepare` is called on its socket (MD5 keys)."""
        if address not in self._tasks:
            self._tasks[address] = self._supervisor.keep_running(
                f"listen {address}", lambda _beat: self._listen(address, prepare)
            )

    def stop(self) -> None:
        """Closes all sockets.  Each by the greenthread that waits on it: eventlet would go on to
        wait on the number of a socket that another one closed, which is soon something else's."""
        self._stopped = True
        for task in self._tasks.values():
            task.end()

    def _listen(self, address: Address, prepare: Callable[[socket.socket], None]) -> None:
        backoff = Backoff(_RETRY, _RETRY_MOST)
        while not self._stopped:
            try:
                sock = transport.listen(address, self._port)
            except OSError as error:
                why = reason_of(error)
                LOG.error(
                    "[bgp] listen_port: cannot listen on %s port %d: %s", address, self._port, why
                )
                hub.sleep(backoff.next())
                continue
            try:
                prepare(sock)
                self._sockets[address] = sock
                self._serve(sock)
            finally:
                self._sockets.pop(address, None)
                sock.close()

    def _serve(self, sock: socket.socket) -> None:
        give_way = TimeSlice()
        shortage = Backoff(*_SHORTAGE)
        while not self._stopped:
            try:
                connection, remote = sock.accept()
            except OSError as error:
                if not self._stopped:
                    LOG.warning("accepting a connection failed: %s", reason_of(error))
                    hub.sleep(shortage.next())
                continue
            shortage.reset()
            self._supervisor.spawn("accept", self._greet, connection, str(remote[0]))
            give_way()

    def _greet(self, connection: socket.socket, remote: str) -> None:
        """Hands a connection on; whatever goes wrong with it costs it alone."""
        try:
            local = str(connection.getsockname()[0])
            self._accept(connection, canonical(remote), canonical(local))
        except OSError:
            connection.close()
            LOG.debug("a connection was gone before it was looked at")
        except Exception:
            connection.close()
            raise


def refuse(sock: socket.socket) -> None:
    """Closes a connection that nobody configured, with Cease 6/5 where it fits."""
    try:
        sock.setblocking(False)
        sock.send(wire.encode_notification(notification.CONNECTION_REJECTED))
    except OSError:
        LOG.debug("a refused connection was gone before it was refused")
    sock.close()
