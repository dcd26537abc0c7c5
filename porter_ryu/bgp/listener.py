"""Accepts BGP connections.

A host that is not a peer gets a Cease and is disconnected.  It cannot affect a session, not even by
a flood of connections.
"""

from __future__ import annotations

import errno
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

_LISTEN_RETRY_FIRST_SECONDS, _LISTEN_RETRY_MAX_SECONDS = 1.0, 30.0
_ACCEPT_RETRY_FIRST_SECONDS, _ACCEPT_RETRY_MAX_SECONDS = 0.05, 1.0  # no descriptors are left


class Listener:
    """Listening sockets by address.  An address that cannot be bound is retried.

    `accept` is called with every connection and the addresses of its two ends (remote, local).
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
        """The sockets that are listening now."""
        return tuple(self._sockets.items())

    def listen(
        self, address: Address, option: str, prepare: Callable[[socket.socket], None]
    ) -> None:
        """Listens on an address from now on.  `option` is where it is from, as `[group] key`.
        `prepare` is called with each socket that is opened for it (to set MD5 keys)."""
        if address not in self._tasks:
            self._tasks[address] = self._supervisor.keep_running(
                f"listen {address}",
                lambda _beat: self._run(address, option, prepare),
                kind="listen",
            )

    def stop(self) -> None:
        """Closes all sockets.

        Each is closed by the greenthread that waits on it.  If another one closed it, eventlet
        would still wait on its descriptor number, which is soon reused.
        """
        self._stopped = True
        for task in self._tasks.values():
            task.end()

    def _run(self, address: Address, option: str, prepare: Callable[[socket.socket], None]) -> None:
        backoff = Backoff(_LISTEN_RETRY_FIRST_SECONDS, _LISTEN_RETRY_MAX_SECONDS)
        while not self._stopped:
            try:
                sock = transport.listen(address, self._port)
            except OSError as error:
                missing = error.errno == errno.EADDRNOTAVAIL
                LOG.error(
                    "%s: cannot listen on %s port %d: %s",
                    option if missing else "[bgp] listen_port",
                    address,
                    self._port,
                    "this host does not have the address" if missing else reason_of(error),
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
        backoff = Backoff(_ACCEPT_RETRY_FIRST_SECONDS, _ACCEPT_RETRY_MAX_SECONDS)
        while not self._stopped:
            try:
                connection, remote = sock.accept()
            except OSError as error:
                if not self._stopped:
                    LOG.warning("cannot accept a connection: %s", reason_of(error))
                    hub.sleep(backoff.next())
                continue
            backoff.reset()
            self._supervisor.run("accept", self._hand_over, connection, str(remote[0]))
            give_way()

    def _hand_over(self, connection: socket.socket, remote: str) -> None:
        """Passes a connection to `accept`; an error closes only this connection."""
        try:
            local = str(connection.getsockname()[0])
            self._accept(connection, canonical(remote), canonical(local))
        except OSError:
            connection.close()
            LOG.debug("a connection was closed before it was handled")
        except Exception:
            connection.close()
            raise


def reject(sock: socket.socket) -> None:
    """Closes a connection; sends Cease, Connection Rejected first if the send buffer has room."""
    try:
        sock.setblocking(False)
        sock.send(wire.encode_notification(notification.CONNECTION_REJECTED))
    except OSError:
        LOG.debug("a connection was closed before it was rejected")
    sock.close()
