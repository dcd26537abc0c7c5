"""The HTTP server over loopback: a client that hangs or sends garbage does not stop others."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import eventlet
import pytest
from eventlet.green import socket
from ryu.lib import hub

from porter_ryu.http.connection import Limits
from porter_ryu.http.responses import ConcurrencyLimit, event_stream, json_array, json_stream
from porter_ryu.http.server import Server
from porter_ryu.socket_address import canonical
from porter_ryu.supervisor import Supervisor
from tests.unit.until import until

SHORT = Limits(max_connections=8, request_seconds=0.3, stall_seconds=0.3)
GOOD = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
BIG = 20_000_000
ENTRIES = 150_000


Environ = dict[str, Any]


class Application:
    """Answers by path."""

    def __init__(self) -> None:
        self.limit = ConcurrencyLimit(1)
        self.environ: Environ = {}

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        self.environ = environ
        path = environ["PATH_INFO"]
        if path == "/broken":
            raise RuntimeError("boom")
        if path in ("/list", "/work"):
            entries = _work() if path == "/work" else ({"n": n} for n in range(ENTRIES))
            streamed: Iterable[bytes] = json_stream(self.limit, json_array(entries))(
                environ, start_response
            )
            return streamed
        if path == "/stream":
            endless: Iterable[bytes] = event_stream(self.limit, _nothing_more())(
                environ, start_response
            )
            return endless
        if path == "/breaks":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return _breaks()
        content = b"x" * BIG if path == "/big" else environ["wsgi.input"].read() or b"hello"
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [content]


def _breaks() -> Iterator[bytes]:
    """A response that fails in the middle."""
    yield from (b"x",) * 3
    raise ZeroDivisionError


def _nothing_more() -> Iterator[bytes]:
    """A stream in which nothing happens after the first event."""
    yield b"event: start\n\n"
    hub.Event().wait()


def _work() -> Iterator[int]:
    """Half a second of work for a short response."""
    for n in range(500):
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass
        yield n


class Scene:
    """A server and its clients."""

    def __init__(self, limits: Limits = SHORT, host: str = "127.0.0.1") -> None:
        self.supervisor = Supervisor()
        self.application = Application()
        self.server = Server(host, 0, self.application, self.supervisor, limits)
        self.server.listen()
        self.server.start(lambda address: str(address) == "127.0.0.99")

    def client(self, data: bytes = b"", address: str = "127.0.0.1") -> socket.socket:
        """A client that has sent this."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        client = socket.socket(family)
        client.settimeout(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect((address, self.server.address[1]))
        client.sendall(data)
        return client

    def ask(self, data: bytes = GOOD, address: str = "127.0.0.1") -> bytes:
        """The whole response."""
        return rest(self.client(data, address))


def rest(client: socket.socket) -> bytes:
    """All octets until the connection ends."""
    pieces = []
    try:
        while piece := client.recv(65536):
            pieces.append(piece)
            eventlet.sleep(0)
    except ConnectionResetError:
        pass
    client.close()
    return b"".join(pieces)


def status(answer: bytes) -> int:
    """The status code of a response, 0 if there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture
def scene() -> Scene:
    """A server with short time limits."""
    return Scene()


def test_a_response_is_complete_and_closes_the_connection(scene: Scene) -> None:
    head, _, body = scene.ask().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close" in head
    assert body == b"5\r\nhello\r\n0\r\n\r\n"
    assert scene.application.environ["SERVER_NAME"] == "127.0.0.1"


def test_http_1_0_gets_no_chunks_and_head_gets_no_body(scene: Scene) -> None:
    assert scene.ask(b"GET /hello HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nhello")
    assert scene.ask(b"HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"\r\n\r\n")


def test_a_request_may_come_octet_by_octet(scene: Scene) -> None:
    client = scene.client()
    for octet in GOOD:
        client.send(bytes([octet]))
        eventlet.sleep(0)
    assert status(rest(client)) == 200


def test_empty_lines_before_a_request_are_ignored(scene: Scene) -> None:
    assert status(scene.ask(b"\r\n\r\n" + GOOD)) == 200


def test_a_body_is_read_whole_wherever_it_is_cut(scene: Scene) -> None:
    client = scene.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab")
    for _ in range(10):  # what came is read, and the rest waited for
        eventlet.sleep(0)
    client.sendall(b"cdefIGNORED")
    assert b"abcdef\r\n0" in rest(client)


def test_a_client_that_expects_100_continue_gets_it(scene: Scene) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    client = scene.client(head)
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"abc")
    assert b"abc" in rest(client)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_half_a_request_is_closed_with_408(scene: Scene, data: bytes) -> None:
    started = time.monotonic()
    assert status(scene.ask(data)) == 408
    assert time.monotonic() - started < 2


def test_a_request_that_trickles_is_closed_in_the_same_time(scene: Scene) -> None:
    client = scene.client(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    try:
        while time.monotonic() - started < 3:
            client.send(b"x")
            eventlet.sleep(0.05)
    except OSError:
        pass
    assert time.monotonic() - started < 2


def test_rubbish_is_answered_with_json(scene: Scene) -> None:
    answer = scene.ask(b"\x16\x03\x01\x02\x00\n\n")
    assert status(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


def test_a_client_that_does_not_read_is_closed_and_its_limit_is_released(scene: Scene) -> None:
    client = scene.client(b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200", "its response has begun"
    busy = scene.ask(b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(busy) == 503
    assert b"Retry-After: 1" in busy
    answers: list[bytes] = []

    def answered() -> bool:
        answers.append(scene.ask(b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n"))
        return status(answers[-1]) == 200

    until(answered, "the limit is released")
    assert answers[-1].endswith(b"0\r\n\r\n")
    assert not rest(client).endswith(b"0\r\n\r\n"), "an incomplete response has no last chunk"


def test_a_client_that_closes_during_its_response_releases_the_limit(scene: Scene) -> None:
    client = scene.client(b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n")
    client.recv(100)
    client.close()
    again = b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n"
    until(lambda: status(scene.ask(again)) == 200, "the limit is released")


STREAM = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"


def reader(scene: Scene) -> socket.socket:
    """A client whose stream has begun."""
    client = scene.client(STREAM)
    seen = b""
    while b"event: start" not in seen:
        seen += client.recv(65536)
    return client


def _resets(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()


def _sends_more(client: socket.socket) -> None:
    client.sendall(STREAM)
    client.close()


@pytest.mark.parametrize(
    "leave",
    [
        lambda client: client.close(),
        lambda client: client.shutdown(socket.SHUT_WR),
        lambda client: client.shutdown(socket.SHUT_RDWR),
        _resets,
        _sends_more,
    ],
)
def test_a_reader_that_leaves_a_stream_makes_room_although_nothing_is_sent(
    scene: Scene, leave: Callable[[socket.socket], None]
) -> None:
    for _ in range(3):
        client = reader(scene)
        assert status(scene.ask(STREAM)) == 503
        leave(client)
        until(scene.application.limit.acquire, "its place is free")
        scene.application.limit.release()
    assert scene.supervisor.faults == ()


def test_a_reader_that_sends_something_keeps_its_stream(scene: Scene) -> None:
    client = reader(scene)
    for octets in (b"\r\n", b"x" * 100_000):
        client.sendall(octets)
        assert status(scene.ask(STREAM)) == 503


def test_a_long_response_is_valid_json(scene: Scene) -> None:
    answer = scene.ask(b"GET /list HTTP/1.0\r\n\r\n")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])) == ENTRIES


def test_an_internal_error_is_500_without_a_traceback(scene: Scene) -> None:
    answer = scene.ask(b"GET /broken HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(answer) == 500
    assert b"boom" not in answer
    assert not scene.ask(b"GET /breaks HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"0\r\n\r\n")


def test_a_new_client_is_served_even_if_many_others_hang(scene: Scene) -> None:
    hanging = [scene.client(b"GET /") for _ in range(40)]
    assert status(scene.ask()) == 200
    assert len(hanging) > SHORT.max_connections
    busy = [scene.client(b"GET /list HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(40)]
    assert status(scene.ask()) == 200
    for client in (*hanging, *busy):
        client.close()


def test_many_at_once_are_all_answered() -> None:
    scene = Scene(Limits())
    asked = [eventlet.spawn(scene.ask) for _ in range(200)]
    assert {status(answer.wait()) for answer in asked} == {200}


def test_other_greenthreads_run_while_a_long_response_is_generated(scene: Scene) -> None:
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            eventlet.sleep(0)
            turns += 1

    client = scene.client(b"GET /work HTTP/1.0\r\n\r\n")
    running = eventlet.spawn(other)
    while not client.recv(1):
        pass
    before = turns
    answer = rest(client)
    running.kill()
    assert answer.endswith(b"]\n")
    assert turns - before >= 50


def test_a_large_response_in_one_piece_arrives_complete(scene: Scene) -> None:
    answer = scene.ask(b"GET /big HTTP/1.0\r\n\r\n")
    assert len(answer.partition(b"\r\n\r\n")[2]) == BIG


def test_the_server_continues_after_a_lack_of_file_descriptors(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """A kernel may drop the connection that meets the lack; later connections are served."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = [socket.socket() for _ in range(3)]
    used = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, before[1]))
    try:
        for client in clients:
            client.connect(("127.0.0.1", scene.server.address[1]))
        until(lambda: "Too many open files" in caplog.text, "the log line")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert status(scene.ask()) == 200
    assert scene.supervisor.faults == ()


def test_nothing_answers_on_an_eip_whatever_family_the_listener_has() -> None:
    scene = Scene(host="::")
    assert scene.ask(address="127.0.0.99") == b""
    assert status(scene.ask(address="127.0.0.1")) == 200
    assert scene.application.environ["SERVER_NAME"] == "127.0.0.1"
    assert status(scene.ask(address="::1")) == 200


def test_a_port_that_is_in_use_raises_oserror(scene: Scene) -> None:
    port = scene.server.address[1]
    with pytest.raises(OSError, match="in use"):
        Server("127.0.0.1", port, scene.application, scene.supervisor).listen()


def test_a_mapped_address_is_the_ipv4_address_that_it_is() -> None:
    assert str(canonical("::ffff:203.0.113.8")) == "203.0.113.8"
    assert str(canonical("fe80::1%eth0")) == "fe80::1"
