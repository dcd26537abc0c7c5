"""Connections to the API server: when one is used again, and answers that are none."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter_ryu.kube import connection
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from tests.unit.fake_server import (
    Answer,
    Authority,
    FakeServer,
    answer,
    chunked,
    kubeconfig,
    ok,
)
from tests.unit.until import until

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"


class Asked:
    """A server that answers in one way, and a client of it."""

    def __init__(self, folder: Path, respond: Answer) -> None:
        self.server = FakeServer(respond)
        self._client = Client(kubeconfig(folder, f"http://127.0.0.1:{self.server.port}"))

    def __call__(self) -> bytes:
        """The text of one answer."""
        return self._client.text("GET", "/x")

    def fails(self) -> ApiError:
        """Why there is no answer."""
        with pytest.raises(ApiError) as caught:
            self()
        return caught.value


@pytest.mark.parametrize(
    ("octets", "connections"),
    [
        (EMPTY + b"\r\n{}", 1),
        (EMPTY + b"Connection: close\r\n\r\n{}", 3),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 3),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + EMPTY + b"\r\n{}", 1),
    ],
    ids=["length", "close", "HTTP/1.0", "chunked", "interim"],
)
def test_a_connection_is_used_again_where_the_server_keeps_it(
    tmp_path: Path, octets: bytes, connections: int
) -> None:
    asked = Asked(tmp_path, lambda _path, _headers: octets)
    assert [asked() for _ in range(3)] == [b"{}"] * 3
    assert asked.server.connections == connections


def test_an_answer_without_a_length_ends_with_its_connection(tmp_path: Path) -> None:
    def respond(_path: str, _headers: dict[str, str]) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n\r\n{"
        yield b"}"

    asked = Asked(tmp_path, respond)
    assert [asked(), asked()] == [b"{}", b"{}"]


def test_a_connection_that_the_server_has_closed_meanwhile_is_not_used(tmp_path: Path) -> None:
    asked = Asked(tmp_path, lambda _path, _headers: chunked(b"{}"))  # and then closes
    asked()
    until(lambda: asked.server.ended == 1, "the server has closed it")
    assert asked() == b"{}"
    assert asked.server.connections == 2


def test_a_refusal_leaves_its_connection_usable(tmp_path: Path) -> None:
    asked = Asked(tmp_path, lambda _path, _headers: answer(409, {"reason": "Conflict"}))
    assert [asked.fails().status for _ in range(3)] == [409] * 3
    assert asked.server.connections == 1


@pytest.mark.parametrize(
    "octets",
    [
        ok({}) * 2,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"\x16\x03\x01\x00",
    ],
    ids=["two answers", "header of 1 MB", "length", "two lengths", "chunk", "version", "TLS"],
)
def test_an_answer_that_is_none_loses_the_connection(tmp_path: Path, octets: bytes) -> None:
    asked = Asked(tmp_path, lambda _path, _headers: octets)
    assert [asked.fails().label for _ in range(2)] == ["ConnectionLost"] * 2
    assert asked.server.connections == 2


def test_answers_leave_nothing_for_the_garbage_collector(tmp_path: Path) -> None:
    """It runs seldom, and what it has not found when a list was read stays for ever."""
    asked = Asked(tmp_path, lambda _path, _headers: EMPTY + b"\r\n{}")
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            assert asked() == b"{}"
        left = [found for found in gc.get_objects() if isinstance(found, connection.Answer)]
    finally:
        gc.enable()
    assert left == []


class Tunnel:
    """A proxy that only connects (CONNECT), once; `asked` is the line that it was told."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = ""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with self._listener, client, client.makefile("rb") as lines:
            self.asked = lines.readline().decode()
            while lines.readline().strip():
                pass
            host, _, port = self.asked.split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)

    @staticmethod
    def _copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(1 << 16):
                to.sendall(octets)


def test_tls_goes_through_the_tunnel_of_a_proxy(tmp_path: Path) -> None:
    ca, proxy = Authority(tmp_path, "ca"), Tunnel()
    server = FakeServer(lambda _path, _headers: ok({"a": 1}), ca.server())
    url = f"https://127.0.0.1:{server.port}"
    by = {"proxy-url": proxy.url}
    client = Client(kubeconfig(tmp_path, url, ca.certificate, cluster=by))
    assert [client.request("GET", "/x") for _ in range(3)] == [{"a": 1}] * 3
    assert proxy.asked.startswith(f"CONNECT 127.0.0.1:{server.port} ")
    assert server.asked == ["/x"] * 3
    server.close()
