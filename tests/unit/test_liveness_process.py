"""The process that probes nodes, over loopback, with nodes that do what they should not."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Json = dict[str, Any]
Serve = Callable[[socket.socket], None]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 30.0


def instructions(*probes: str, interval: float, multiplier: int = 2) -> Json:
    """The first line that the process reads."""
    rule = {"interval": interval, "multiplier": multiplier, "panic_percent": 90}
    return {"probes": probes, **rule}


class Probing:
    """A running process; `found` has what it reported last about each node, and `address`
    of which address."""

    def __init__(self, *probes: str, interval: float = 0.1, multiplier: int = 2) -> None:
        argv = [sys.executable, "-m", "porter_ryu.liveness.process"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe)
        self.found: dict[str, tuple[str, list[str]]] = {}
        self.address: dict[str, str] = {}
        self.last: Json = {}
        self._nodes: dict[str, str] = {}
        self._write(instructions(*probes, interval=interval, multiplier=multiplier))
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def order(self, *nodes: tuple[str, str], known: Json | None = None) -> None:
        """Sets the nodes, each a name and an address."""
        gone = [[name, 4, None, None] for name in self._nodes.keys() - dict(nodes).keys()]
        changed = [[name, 4, address, (known or {}).get(name)] for name, address in nodes]
        self._nodes = dict(nodes)
        self._write([*gone, *changed])

    def _write(self, value: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, condition: Callable[[], object]) -> None:
        """Reads reports until a condition is true."""
        while not condition():
            line = self._lines.get(timeout=PATIENCE)
            assert line, "it ended"
            self.last = json.loads(line)
            for name, address, dead, unanswered in self.last["found"]:
                self.found[name] = (dead, unanswered)
                self.address[name] = address

    def reports(self, count: int) -> None:
        """Reads so many reports, one a second."""
        for _ in range(count):
            before = self.last
            self.until(lambda before=before: self.last is not before)  # type: ignore[misc]

    def dead(self, name: str) -> str:
        """Why a node is dead; empty if it lives."""
        return self.found.get(name, ("", []))[0]

    def end(self) -> int:
        """Closes its input; returns its exit status."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        return self.process.wait(PATIENCE)


@pytest.fixture
def start() -> Iterator[Callable[..., Probing]]:
    """Starts a process."""
    running: list[Probing] = []

    def begin(*probes: str, **more: Any) -> Probing:
        running.append(Probing(*probes, **more))
        return running[-1]

    yield begin
    for probing in running:
        probing.process.kill()
        probing.process.wait()


class Node:
    """A TCP server on a loopback address; `serve` is called with each connection, and may be
    changed."""

    def __init__(self, address: str, port: int, serve: Serve) -> None:
        self.serve = serve
        self.accepted = 0
        self._listener = socket.create_server((address, port))
        self.address = address
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.accepted += 1
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self.serve(connection)

    def close(self) -> None:
        """Listens no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def good(connection: socket.socket) -> None:
    """Answers as it should."""
    connection.recv(1000)
    connection.sendall(GOOD)


def slow(connection: socket.socket) -> None:
    """Sends one octet and no more, and keeps the connection."""
    connection.sendall(b"H")
    connection.recv(1 << 20)
    connection.recv(1)


def endless(connection: socket.socket) -> None:
    """Sends a header without end."""
    connection.recv(1000)
    while True:
        connection.sendall(b"X" * 65536)


def endless_body(connection: socket.socket) -> None:
    """A good status, and a body without end."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"X" * 65536)


def refusing(connection: socket.socket) -> None:
    """Says that it is not healthy."""
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


def closing(connection: socket.socket) -> None:
    """Says nothing."""
    connection.recv(1000)


@pytest.fixture
def port() -> int:
    """A TCP port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def test_nodes_that_answer_wrongly_over_http_are_dead_and_cost_nothing(
    start: Callable[..., Probing], port: int
) -> None:
    wrong = {
        "slow": (slow, "no answer"),
        "endless": (endless, "not an HTTP response"),
        "refusing": (refusing, "status 503"),
        "closing": (closing, "not an HTTP response"),
    }
    nodes = {
        name: Node(f"127.0.0.{number}", port, good)
        for number, name in enumerate(("well", *wrong), 2)
    }
    # an answer has as long: the nodes are threads of this process, on a busy machine
    probing = start(f"http:{port}/healthz", interval=2.0)
    probing.order(*((name, node.address) for name, node in nodes.items()))
    probing.until(lambda: len(probing.found) == len(nodes))
    assert probing.found == dict.fromkeys(nodes, ("", []))
    for name, (serve, _) in wrong.items():
        nodes[name].serve = serve
    probing.until(lambda: all(map(probing.dead, wrong)))
    for name, (_, detail) in wrong.items():
        of = f"http:{port}/healthz of {nodes[name].address}"
        assert probing.dead(name) == f"{of} failed 2 times in a row ({detail})"
    accepted = {name: nodes[name].accepted for name in wrong}
    probing.until(lambda: all(nodes[name].accepted > accepted[name] + 2 for name in wrong))
    descriptors = subprocess.run(
        ["ls", f"/proc/{probing.process.pid}/fd"], capture_output=True, check=True
    ).stdout.split()
    assert len(descriptors) < 15, "never more than one connection a node"
    for name in wrong:
        nodes[name].serve = good
    probing.until(lambda: not any(map(probing.dead, wrong)))
    assert not probing.dead("well")
    for node in nodes.values():
        node.close()


def test_a_body_without_end_is_not_read(start: Callable[..., Probing], port: int) -> None:
    node = Node("127.0.0.2", port, endless_body)
    probing = start(f"http:{port}/")
    probing.order(("a", "127.0.0.2"))
    probing.until(lambda: node.accepted > 10)
    assert probing.found == {"a": ("", [])}
    node.close()


def test_a_refused_connection_is_a_miss_at_once(start: Callable[..., Probing], port: int) -> None:
    nodes = {f"127.0.0.{n}": Node(f"127.0.0.{n}", port, closing) for n in (2, 3)}
    probing = start(f"tcp:{port}", interval=0.2)
    probing.order(("a", "127.0.0.2"), ("b", "127.0.0.3"), ("c", "127.0.0.4"))
    probing.until(lambda: len(probing.found) >= 2)
    nodes["127.0.0.3"].close()
    probing.until(lambda: probing.dead("b"))
    assert (
        probing.dead("b") == f"tcp:{port} of 127.0.0.3 failed 2 times in a row (connection refused)"
    )
    probing.until(lambda: "c" in probing.found)
    assert probing.found["c"] == ("", [f"tcp:{port} of 127.0.0.4"]), "it was never answered"
    again = Node("127.0.0.3", port, closing)
    probing.until(lambda: not probing.dead("b"))
    for node in (*nodes.values(), again):
        node.close()


def test_what_an_earlier_process_found_counts_on(start: Callable[..., Probing], port: int) -> None:
    nodes = [Node(f"127.0.0.{n}", port, closing) for n in (2, 3, 4)]
    probing = start(f"tcp:{port}")
    addresses = [(f"n{n}", f"127.0.0.{n}") for n in range(2, 7)]
    probing.order(*addresses, known={"n2": ("it was dead", []), "n5": ("", []), "n6": ("dead", [])})
    probing.until(lambda: probing.dead("n5"))
    probing.until(lambda: "n2" in probing.found)
    assert not probing.dead("n2"), "it answers again"
    probing.order(*addresses[:3])
    probing.reports(2)
    assert set(probing.found) <= {name for name, _ in addresses}
    for node in nodes:
        node.close()


def test_a_node_with_another_address_begins_anew(start: Callable[..., Probing], port: int) -> None:
    nodes = [Node(f"127.0.0.{n}", port, closing) for n in (2, 3)]
    probing = start(f"tcp:{port}")
    probing.order(("a", "127.0.0.2"), ("b", "127.0.0.3"), ("c", "127.0.0.3"))
    probing.until(lambda: len(probing.found) == 3)
    nodes[0].close()
    probing.until(lambda: probing.dead("a"))
    probing.order(("a", "127.0.0.9"), ("b", "127.0.0.3"), ("c", "127.0.0.3"))
    probing.until(lambda: probing.address["a"] == "127.0.0.9")
    assert probing.found["a"] == ("", [f"tcp:{port} of 127.0.0.9"])
    nodes[1].close()


def test_all_fall_silent_and_none_is_dead(start: Callable[..., Probing], port: int) -> None:
    nodes = [Node(f"127.0.0.{n}", port, closing) for n in range(2, 8)]
    probing = start(f"tcp:{port}", multiplier=3)
    probing.order(*((f"n{n}", f"127.0.0.{n}") for n in range(2, 8)))
    probing.until(lambda: len(probing.found) == 6)
    for node in nodes:
        node.close()
    probing.until(lambda: probing.last["doubted"] == [4])
    probing.reports(3)
    assert not any(probing.dead(name) for name in probing.found)


def test_it_lives_as_long_as_its_input(start: Callable[..., Probing]) -> None:
    probing = start("tcp:1")
    probing.reports(2)
    assert probing.last == {"found": [], "doubted": [], "faults": {}}
    assert probing.end() == 0


def test_a_reader_that_does_not_read_does_not_stop_it(port: int) -> None:
    argv = [sys.executable, "-m", "porter_ryu.liveness.process"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    node = Node("127.0.0.2", port, good)
    nodes = [[f"{number}-{'x' * 240}", 4, "127.0.0.2", None] for number in range(500)]
    for line in (instructions(f"tcp:{port}", interval=0.5), nodes, nodes):  # more than a pipe holds
        process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
    accepted = threading.Event()

    def count(_connection: socket.socket) -> None:
        if node.accepted > 4000:
            accepted.set()

    node.serve = count
    assert accepted.wait(PATIENCE), "it goes on probing"
    process.stdin.close()
    assert process.wait(PATIENCE) == 0
    node.close()
