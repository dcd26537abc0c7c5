"""The listener hands over each connection with the addresses of both ends; errors stay local."""

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
OPTION = "[peer:leaf1] local_addresses"
REJECTED = bytes.fromhex("ff" * 16 + "0015030605")  # Cease, Connection Rejected


class Accepted:
    """Collects the accepted connections, or raises `failure`."""

    def __init__(self) -> None:
        self.connections: list[tuple[socket.socket, Address, Address]] = []
        self.failure: Exception | None = None

    def __call__(self, connection: socket.socket, remote: Address, local: Address) -> None:
        if self.failure is not None:
            raise self.failure
        self.connections.append((connection, remote, local))


class Scene:
    """A listener on a free port, and clients that connect to it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.accepted = Accepted()
        self.supervisor = Supervisor()
        self.listener = Listener(self.port, self.accepted, self.supervisor)
        self.prepared = 0

    def listen(self, address: Address = HERE) -> None:
        """Listens on an address and waits until it does."""
        self.listener.listen(address, OPTION, self._prepare)
        until(lambda: address in dict(self.listener.sockets), f"it listens on {address}")

    def call(self, to: Address = HERE, source: str = "") -> socket.socket:
        """A client that connects."""
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
    for connection, _, _ in scene.accepted.connections:
        connection.close()


def test_a_connection_is_handed_over_with_the_addresses_of_its_ends(scene: Scene) -> None:
    scene.listen()
    scene.listen(ip_address("::1"))
    with scene.call(source="127.0.0.9"), scene.call(ip_address("::1")):
        until(lambda: len(scene.accepted.connections) == 2, "both are accepted")
    assert [ends for _, *ends in scene.accepted.connections] == [
        [ip_address("127.0.0.9"), HERE],
        [ip_address("::1"), ip_address("::1")],
    ]


def test_listening_twice_on_an_address_opens_one_socket(scene: Scene) -> None:
    scene.listen()
    scene.listen()
    assert len(scene.listener.sockets) == scene.prepared == 1


def test_an_error_with_one_connection_affects_no_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.listen()
    scene.accepted.failure = RuntimeError("a fault of ours")
    with scene.call() as caller:
        assert caller.recv(1) == b"", "the connection is closed"
    scene.accepted.failure = OSError("it was gone already")
    with scene.call() as caller:
        assert caller.recv(1) == b""
    scene.accepted.failure = None
    with scene.call():
        until(lambda: len(scene.accepted.connections) == 1, "the next one is accepted")
    assert caplog.text.count("task accept died") == 1
    assert scene.supervisor.faults == ()


def test_a_port_in_use_is_logged_and_retried_until_it_is_free(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", scene.port)):
        scene.listener.listen(HERE, OPTION, lambda _sock: None)
        until(lambda: "Address already in use" in caplog.text, "it says so")
    assert scene.listener.sockets == ()
    scene.listen()
    scene.call().close()
    assert (
        f"[bgp] listen_port: cannot listen on 127.0.0.1 port {scene.port}: Address already in use"
        in caplog.text
    )


def test_an_address_that_this_host_does_not_have_is_logged_with_its_option(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.listener.listen(ip_address("192.0.2.1"), OPTION, lambda _sock: None)
    text = f"{OPTION}: cannot listen on 192.0.2.1 port {scene.port}: this host does not have the "
    until(lambda: text + "address" in caplog.text, "it says so")


def test_a_stopped_listener_refuses_connections(scene: Scene) -> None:
    scene.listen()
    scene.listener.stop()
    until(lambda: not scene.listener.sockets, "it listens no more")
    with pytest.raises(ConnectionRefusedError):
        scene.call()


def test_a_rejected_connection_gets_a_cease() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        reject(ours)
        assert theirs.recv(100) == REJECTED
        assert theirs.recv(100) == b""


def test_rejecting_never_blocks() -> None:
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
