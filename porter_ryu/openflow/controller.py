"""The port of Ryu's OpenFlow controller, within limits.

Ryu's own server ends at the first error of `accept`, and keeps every connection.  So this one
replaces it; options, TLS and port numbers are Ryu's.  Other Ryu applications in the same process
get their events as ever.
"""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import Callable
from typing import Any, ClassVar

import eventlet
from eventlet.green import socket
from eventlet.green import ssl as green_ssl
from msgspec import Struct
from ryu.base import app_manager
from ryu.controller.ofp_handler import OFPHandler
from ryu.lib import hub

from porter_ryu.domain.model import Address
from porter_ryu.log import reason_of
from porter_ryu.openflow import wire
from porter_ryu.openflow.connection import Owner, SwitchConnection
from porter_ryu.openflow.limits import Limits
from porter_ryu.socket_address import canonical
from porter_ryu.supervisor import Beat, Supervisor, Task
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

DEFAULT_PORT = 6653
_HANDLER_MODULE, _HANDLER_NAME = "ryu.controller.ofp_handler", "ofp_event"
_BACKLOG = 128
_ACCEPT_TIMEOUT_SECONDS = 3.0
_STALLED_AFTER_SECONDS = 10.0
_PAUSE_AFTER_ERROR_SECONDS = 0.05
_LISTENER_LOST = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)


class Endpoint(Struct, frozen=True):
    """Where the controller listens, and the files for TLS (empty: TCP)."""

    host: str
    port: int
    private_key: str = ""
    certificate: str = ""
    authorities: str = ""


class Handler(OFPHandler):  # type: ignore[misc]
    """Ryu's handshake without its server."""

    OFP_VERSIONS: ClassVar = [wire.VERSION_13, wire.VERSION_15]

    def start(self) -> None:
        """Starts no server: `Controller` is it."""
        app_manager.RyuApp.start(self)


def install_handler() -> None:
    """Puts `Handler` where Ryu looks for the source of OpenFlow events, also if another application
    has asked for Ryu's own."""
    manager = app_manager.AppManager.get_instance()
    brick = app_manager.lookup_service_brick(_HANDLER_NAME)
    if brick is not None:
        brick.__class__ = Handler
    elif _HANDLER_MODULE in manager.applications_cls:
        manager.applications_cls[_HANDLER_MODULE] = Handler
    else:
        manager.instantiate(Handler)


class Controller:
    """Accepts connections for `owner`."""

    def __init__(
        self,
        endpoint: Endpoint,
        owner: Owner,
        supervisor: Supervisor,
        limits: Limits | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._owner = owner
        self._supervisor = supervisor
        self._limits = limits or Limits()
        self._is_eip: Callable[[Address], bool] = lambda _address: False
        self._listener: Any = None
        self._context: ssl.SSLContext | None = None
        self._connections: dict[SwitchConnection, Task] = {}
        self._greeting: dict[Any, Task] = {}
        self._give_way = TimeSlice()

    def listen(self) -> None:
        """Opens the port; raises OSError or ValueError if that is not possible."""
        endpoint = self._endpoint
        if endpoint.private_key and endpoint.certificate:
            self._context = green_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(endpoint.certificate, endpoint.private_key)
            if endpoint.authorities:
                self._context.verify_mode = ssl.CERT_REQUIRED
                self._context.load_verify_locations(endpoint.authorities)
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((endpoint.host, endpoint.port))
            listener.listen(_BACKLOG)
        except (OSError, OverflowError):
            listener.close()
            raise
        listener.settimeout(_ACCEPT_TIMEOUT_SECONDS)
        self._listener = listener

    def start(self, is_eip: Callable[[Address], bool]) -> None:
        """Starts to accept; connections to an address for which `is_eip` is true are closed."""
        self._is_eip = is_eip
        self._supervisor.keep_running("openflow", self._accept, _STALLED_AFTER_SECONDS)

    def stop(self) -> None:
        """Closes the port and all connections; switches keep what they have."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for connection in list(self._connections):
            connection.end("the instance stops")

    def _accept(self, beat: Beat) -> None:
        give_way = TimeSlice()
        while self._listener is not None:
            beat()
            give_way()
            try:
                sock, remote = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._listener is None:
                    return
                if error.errno in _LISTENER_LOST:
                    self.listen()
                LOG.warning("accepting a switch failed: %s", reason_of(error))
                self._make_room()
                hub.sleep(_PAUSE_AFTER_ERROR_SECONDS)
                continue
            if self._is_refused(sock):
                sock.close()
                continue
            if len(self._handshakes()) + len(self._greeting) >= self._limits.max_handshakes:
                self._make_room()
            self._greeting[sock] = self._supervisor.spawn(
                "openflow client", self._run, sock, remote
            )

    def _is_refused(self, sock: Any) -> bool:
        """Whether a connection is to an EIP: nothing of ours answers there."""
        try:
            return self._is_eip(canonical(sock.getsockname()[0]))
        except (OSError, ValueError):
            return True

    def _handshakes(self) -> list[SwitchConnection]:
        return [each for each in self._connections if not each.complete]

    def _make_room(self) -> None:
        """Closes the oldest connection whose handshake is not complete."""
        oldest = next(iter(self._handshakes()), None)
        if oldest is not None:
            oldest.end("there are too many connections")
            self._connections.pop(oldest).end()
            oldest.socket.close()
            return
        sock = next(iter(self._greeting), None)
        if sock is not None:
            self._greeting.pop(sock).end()
            sock.close()

    def _run(self, sock: Any, remote: Any) -> None:
        task = self._greeting[sock]
        client = remote[0]
        try:
            if self._context is not None:
                with eventlet.Timeout(self._limits.handshake_seconds, TimeoutError):
                    encrypted = self._context.wrap_socket(sock, server_side=True)
            else:
                encrypted = sock
        except (OSError, TimeoutError) as error:
            LOG.warning("a switch at %s failed at TLS: %s", client, reason_of(error))
            sock.close()
            return
        finally:
            self._greeting.pop(sock, None)
        complete = len(self._connections) - len(self._handshakes())
        if complete >= self._limits.max_switches:
            LOG.warning("a switch at %s is refused: there are %d already", client, complete)
            encrypted.close()
            return
        try:
            connection = SwitchConnection(
                encrypted, remote, self._owner, self._supervisor, self._limits, self._give_way
            )
        except OSError:
            encrypted.close()
            return
        self._connections[connection] = task
        try:
            connection.serve()
        finally:
            self._connections.pop(connection, None)
            log = LOG.warning if connection.id is not None else LOG.info
            log("the OpenFlow connection from %s ended: %s", client, connection.why or "closed")
