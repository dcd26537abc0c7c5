"""Asks nodes over TCP: one connection a probe, at most one at a time for each target.

It is closed by a reset as soon as its result is known, so that it stays in TIME_WAIT on neither
side.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from porter_ryu.liveness import http_answer
from porter_ryu.liveness.probes import Probe, ProbeKind

_LINGER_RESET = struct.pack("ii", 1, 0)
_RECEIVE_BUFFER_OCTETS = 4096  # a node that sends without end fills no more than that


class TcpTarget(Protocol):
    """What is asked: an address of a node and a probe."""

    address: str
    probe: Probe
    sequence: int


T = TypeVar("T", bound=TcpTarget)


class _Connection(Generic[T]):
    """The connection of one probe; `received` is None until the request was sent."""

    __slots__ = ("received", "sequence", "sock", "target")

    def __init__(self, target: T, sock: socket.socket) -> None:
        self.target = target
        self.sequence = target.sequence
        self.sock = sock
        self.received: bytes | None = None


class Connections(Generic[T]):
    """Calls `result` with a target, the number of its probe and what is wrong ('' if nothing is)
    when that is known."""

    def __init__(self, result: Callable[[T, int, str], None]) -> None:
        self._result = result
        self._poller = select.epoll()
        self._by_descriptor: dict[int, _Connection[T]] = {}
        self._by_target: dict[int, _Connection[T]] = {}

    def start(self, target: T) -> None:
        """Begins the probe `target.sequence`; an earlier one of the target has no result any more.
        Raises OSError where this host has no socket, port or memory for it."""
        self.stop(target)
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_OCTETS)
            number = sock.connect_ex((target.address, target.probe.port))
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
            self._poller.register(sock.fileno(), select.EPOLLOUT)
        except OSError:
            sock.close()
            raise
        connection = _Connection(target, sock)
        self._by_descriptor[sock.fileno()] = self._by_target[id(target)] = connection

    def stop(self, target: T) -> None:
        """Closes the connection of a target, if it has one."""
        connection = self._by_target.pop(id(target), None)
        if connection is not None:
            del self._by_descriptor[connection.sock.fileno()]
            connection.sock.close()

    def advance(self) -> None:
        """Reads and writes all that can be read and written now, without waiting."""
        for descriptor, _ in self._poller.poll(0, max(1, len(self._by_descriptor))):
            connection = self._by_descriptor.get(descriptor)
            if connection is None:
                continue
            try:
                objection = self._step(connection)
            except OSError as error:
                objection = (error.strerror or str(error)).lower()
            if objection is not None:
                self.stop(connection.target)
                self._result(connection.target, connection.sequence, objection)

    def _step(self, connection: _Connection[T]) -> str | None:
        """What is wrong with the answer, '' if nothing is, None while it is not known."""
        sock, probe = connection.sock, connection.target.probe
        if connection.received is None:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number))
            if probe.kind is ProbeKind.TCP:
                return ""
            sock.send(http_answer.request(connection.target.address, probe.port, probe.path))
            connection.received = b""
            self._poller.modify(sock.fileno(), select.EPOLLIN)
            return None
        octets = sock.recv(http_answer.READ_OCTETS)
        connection.received += octets
        objection = http_answer.objection(connection.received)
        return "not an HTTP response" if objection is None and not octets else objection
