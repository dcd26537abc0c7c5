"""Clients of servers that answer with their name (name_server): which node serves which flow.

A flow is known by the source port of the client.  The sockets are made in the namespace of the
client; the process that has them is the one that asks.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fabric import FabricError, Host, inside

NO_ANSWER = ""
_PATIENCE = 10.0
# so that no queue on the way overflows: a port of a switch that gets no processor for a moment has
# room for some 250 packets, also those of other flows and those that are sent again
_AT_ONCE = 50
_PACE = 0.02
Answers = dict[int, str]


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked: `protocol` is tcp or udp."""

    address: str
    port: int = 80
    protocol: str = "tcp"


def answers(
    host: Host, target: Target, sources: Iterable[int], seconds: float = _PATIENCE
) -> Answers:
    """Opens a new flow from each of these source ports, one after the other has ended where the
    ports are the same; returns which node answered each, NO_ANSWER where none did in time."""
    found: Answers = {}
    ports = list(sources)
    for start in range(0, len(ports), _AT_ONCE):
        with Held(host, target, ports[start : start + _AT_ONCE], seconds) as held:
            found |= held.ask(seconds)
    return found


class Held:
    """Flows that stay open from `with` to its end, one from each source port."""

    def __init__(
        self, host: Host, target: Target, sources: Iterable[int], seconds: float = _PATIENCE
    ) -> None:
        self._host, self._target, self._seconds = host, target, seconds
        self._sources = list(sources)
        self._socks: dict[int, socket.socket] = {}
        self._asked = 0

    def __enter__(self) -> Held:
        for start in range(0, len(self._sources), _AT_ONCE):
            self._open(self._sources[start : start + _AT_ONCE])
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._socks.values():
            sock.close()

    def ask(self, seconds: float = _PATIENCE, sources: Iterable[int] | None = None) -> Answers:
        """Asks over each flow, or over those from some `sources`; returns which node answered."""
        self._asked += 1
        asked_by = self._sources if sources is None else list(sources)
        found = dict.fromkeys(asked_by, NO_ANSWER)
        question = b"%d" % self._asked
        for start in range(0, len(asked_by), _AT_ONCE):
            ports = [p for p in asked_by[start : start + _AT_ONCE] if p in self._socks]
            for port in ports:
                with contextlib.suppress(OSError):
                    while self._socks[port].recv(100):
                        pass  # an answer that came too late
                with contextlib.suppress(OSError):
                    self._socks[port].send(question)
            for port in self._readable(ports, selectors.EVENT_READ, seconds):
                with contextlib.suppress(OSError):
                    name, _, asked = self._socks[port].recv(100).partition(b" ")
                    if asked == question:
                        found[port] = name.decode()
        return found

    def _open(self, ports: list[int]) -> None:
        kind = socket.SOCK_STREAM if self._target.protocol == "tcp" else socket.SOCK_DGRAM
        family = socket.AF_INET6 if ":" in self._target.address else socket.AF_INET
        with inside(self._host):
            socks = {port: socket.socket(family, kind) for port in ports}
        for port, sock in socks.items():
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind == socket.SOCK_STREAM:  # ends by RST, so that the port is free at once
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.bind(("", port))
            status = sock.connect_ex((self._target.address, self._target.port))
            if status not in (0, errno.EINPROGRESS):
                raise FabricError(f"{self._target} from port {port}: {errno.errorcode[status]}")
        self._socks |= socks
        for port in set(ports) - set(self._readable(ports, selectors.EVENT_WRITE, self._seconds)):
            self._socks.pop(port).close()

    def _readable(self, ports: list[int], event: int, seconds: float) -> list[int]:
        """Those of the flows on which an event came within so many seconds."""
        found: list[int] = []
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for port in ports:
                selector.register(self._socks[port], event, port)
            while len(found) < len(ports) and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    selector.unregister(key.fileobj)
                    found.append(key.data)
        return found


def by_node(found: Mapping[int, str]) -> Counter[str]:
    """How many flows each node has."""
    return Counter(found.values())


def moved(before: Answers, after: Answers, besides: str | None = None) -> Answers:
    """The flows that are answered by another node than before, or by none, with that node; the
    flows of `besides`, a node that left or came, do not count."""
    return {
        port: after[port]
        for port, node in before.items()
        if after[port] != node and besides not in (node, after[port])
    }


@dataclass
class Traffic:
    """What became of datagrams: those without an answer are lost."""

    sent: int = 0
    lost: int = 0
    nodes: set[str] = field(default_factory=set)


@contextlib.contextmanager
def traffic(host: Host, target: Target, sources: Iterable[int]) -> Iterator[Traffic]:
    """Sends one datagram after the other in every flow until the `with` block ends.  The next one
    leaves when the one before was answered, which counts as lost after ten seconds."""
    seen, over = Traffic(), threading.Event()
    with Held(host, target, sources) as held:

        def run() -> None:
            while not over.wait(_PACE):
                found = held.ask()
                seen.sent += len(found)
                seen.lost += list(found.values()).count(NO_ANSWER)
                seen.nodes |= set(found.values())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()
