"""The connection between a switch and its controller: what passes it, and the same messages from a
bare socket."""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from fabric import FabricError, Host, inside
from fabric.openvswitch import PORT
from fabric.raw_switch import (
    BARRIER_REPLY,
    BARRIER_REQUEST,
    ECHO_REPLY,
    ECHO_REQUEST,
    FLOW_MOD,
    GROUP_MOD,
    HEADER,
    HELLO,
    message,
)

CHANGES = frozenset({FLOW_MOD, GROUP_MOD})
_HERE = "127.0.0.1"
_OCTETS = 1 << 18


class Passed(NamedTuple):
    """A message: when it was passed on (monotonic, in seconds), its type, and its octets."""

    at: float
    kind: int
    octets: bytes


class Wire:
    """Stands between the switch on a host, which calls 127.0.0.1, and the controller; notes the
    changes that the controller sends and the barrier replies of the switch.  `called`: when the
    switch called last (monotonic)."""

    def __init__(self, host: Host, controller: str) -> None:
        self.passed: queue.SimpleQueue[Passed] = queue.SimpleQueue()
        self.called = 0.0
        self._host, self._controller = host, controller
        self._listener = _listener(host)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def changed(self, seconds: float) -> float:
        """The moment at which the next change is in the switch, by its barrier reply; raises
        FabricError if none comes in time."""
        deadline, changed = time.monotonic() + seconds, False
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                found = self.passed.get(timeout=left)
                if found.kind == BARRIER_REPLY and changed:
                    return found.at
                changed = changed or found.kind in CHANGES
        raise FabricError(f"no change is in the switch after {seconds} s")

    def close(self) -> None:
        """Ends it, when the connections have ended."""
        self._listener.shutdown(socket.SHUT_RDWR)  # the thread that accepts still holds it
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                switch, _ = self._listener.accept()
                self.called = time.monotonic()
                with inside(self._host):
                    controller = socket.socket()
                with switch, controller, contextlib.suppress(OSError):
                    controller.connect((self._controller, PORT))
                    self._pass(switch, controller)

    def _pass(self, switch: socket.socket, controller: socket.socket) -> None:
        rest = {switch: b"", controller: b""}
        with selectors.DefaultSelector() as selector:
            for one, other in ((switch, controller), (controller, switch)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(one, selectors.EVENT_READ, other)
            while True:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    here = key.fileobj
                    octets = here.recv(_OCTETS)
                    if not octets:
                        return
                    key.data.sendall(octets)
                    wanted = CHANGES if here is controller else {BARRIER_REPLY}
                    messages, rest[here] = _split(rest[here] + octets)
                    now = time.monotonic()
                    for each in messages:
                        if each[1] in wanted:
                            self.passed.put(Passed(now, each[1], each))


def blast(host: Host, changes: list[bytes], connect: Callable[[], object]) -> float:
    """The floor: a controller that sends these messages to the switch and nothing else.  `connect`
    has the switch call 127.0.0.1.  Returns the seconds from the connection to the barrier reply."""
    with _listener(host) as listener:
        connect()
        switch, _ = listener.accept()
        began = time.monotonic()
        version = changes[0][0]
        with switch:
            threading.Thread(
                target=switch.sendall,
                args=(
                    message(HELLO, version=version)
                    + b"".join(changes)
                    + message(BARRIER_REQUEST, version=version, xid=77),
                ),
                daemon=True,
            ).start()
            rest = b""
            while octets := switch.recv(_OCTETS):
                messages, rest = _split(rest + octets)
                for one in messages:
                    _, kind, _, xid = HEADER.unpack_from(one)
                    if kind == BARRIER_REPLY and xid == 77:
                        return time.monotonic() - began
                    if kind == ECHO_REQUEST:
                        switch.sendall(message(ECHO_REPLY, one[HEADER.size :], version, xid))
    raise FabricError("the switch ended the connection")


def _listener(host: Host) -> socket.socket:
    with inside(host):
        sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((_HERE, PORT))
    sock.listen()
    return sock


def _split(octets: bytes) -> tuple[list[bytes], bytes]:
    """The complete messages, and what is left."""
    messages, at = [], 0
    while len(octets) - at >= HEADER.size:
        length = HEADER.unpack_from(octets, at)[2]
        if len(octets) - at < length:
            break
        messages.append(octets[at : at + length])
        at += length
    return messages, octets[at:]
