"""The listener: who connects is handed over with both ends' addresses, and breaks nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from eventlet.green import socket as green

from porter_ryu.bgp.listener import Listener, reject
from porter_ryu.domain.model import Address
from porter_ryu.supervisor import Supervisor
from tests.unit.until import until

HERE = ip_address("127.0.0.1")
REJECTED = bytes.fromhex("ff" * 16 + "0015030605")  # Cease, Connection Rejected


class Taken:
    """Takes connections, or fails to as a test wants it."""

    def __init__(self) -> None:
        self.connections: list[tuple[socket.socket, Address, Address]] = []
        self.failure: Exception | None = None

    def __call__(self, connection: socket.socket, remote: Address, local: Address) -> None:
        if self.failure is not None:
            raise self.failure
        self.connections.append((connection, remote, local))


class Scene:
    """A listener on a port that was free, and those who call it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.taken = Taken()
        self.supervisor = Supervisor()
        self.listener = Listener(self.port, self.taken, self.supervisor)
        self.prepared = 0

    def listen(self, address: Address = HERE) -> None:
        """It listens from now on."""
        self.listener.listen(address, self._prepare)
        until(lambda: address in dict(self.listener.sockets), f"it listens on {address}")

    def call(self, to: Address = HERE, source: str = "") -> socket.socket:
        """One more that connects."""
        family = green.AF_INET6 if to.version == 6 else green.AF_INET
        caller: socket.socket = green.socket(family, green.SOCK_STREAM)
        caller.settimeout(5)
        if source:
            caller.bind((source, 0))
        caller.connect((str(to), self.port))
        return caller

    def _prepare(self, _sock: socket.socket) -> None:
        self.prepared += 1


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.listener.stop()
    until(lambda: not scene.listener.sockets, "it listens no more")
    for connection, _, _ in scene.taken.connections:
        connection.close()


def test_a_connection_is_handed_over_with_the_addresses_of_its_ends(scene: Scene) -> None:
    scene.listen()
    scene.listen(ip_address("::1"))
    with scene.call(source="127.0.0.9"), scene.call(ip_address("::1")):
        until(lambda: len(scene.taken.connections) == 2, "both are taken")
    assert [ends for _, *ends in scene.taken.connections] == [
        [ip_address("127.0.0.9"), HERE],
        [ip_address("::1"), ip_address("::1")],
    ]


def test_an_address_that_is_wanted_twice_is_one_socket_and_prepared_once(scene: Scene) -> None:
    scene.listen()
    scene.listen()
    assert len(scene.listener.sockets) == scene.prepared == 1


def test_a_connection_with_which_something_goes_wrong_costs_itself_alone(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.listen()
    scene.taken.failure = RuntimeError("a fault of ours")
    with scene.call() as caller:
        assert caller.recv(1) == b"", "nobody is left waiting"
    scene.taken.failure = OSError("it was gone already")
    with scene.call() as caller:
        assert caller.recv(1) == b""
    scene.taken.failure = None
    with scene.call():
        until(lambda: len(scene.taken.connections) == 1, "the next one is taken")
    assert caplog.text.count("task accept died") == 1
    assert scene.supervisor.faults == ()


def test_a_port_that_another_process_has_is_told_and_taken_when_it_is_free(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", scene.port)):
        scene.listener.listen(HERE, lambda _sock: None)
        until(lambda: "Address already in use" in caplog.text, "it says so")
    assert scene.listener.sockets == ()
    scene.listen()
    scene.call().close()
    assert (
        f"[bgp] listen_port: cannot listen on 127.0.0.1 port {scene.port}: Address already in use"
        in caplog.text
    )


def test_one_that_is_stopped_lets_nobody_in(scene: Scene) -> None:
    scene.listen()
    scene.listener.stop()
    until(lambda: not scene.listener.sockets, "it listens no more")
    with pytest.raises(ConnectionRefusedError):
        scene.call()


def test_a_stranger_is_told_that_nobody_waits_for_it() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reject(ours)
        assert theirs.recv(100) == REJECTED
        assert theirs.recv(100) == b""


def test_a_stranger_that_is_gone_or_reads_nothing_holds_up_nobody() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    reject(ours)
    assert ours.fileno() == -1
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(BlockingIOError):
            ours.sendall(bytes(1 << 20))
        reject(ours)
        assert ours.fileno() == -1
