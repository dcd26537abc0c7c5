"""Which Host fields are answered over loopback, where a page of another origin may ask."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from porter_ryu.http.hosts import is_answered, own_names
from tests.unit.test_http_api import ask

NAMES = frozenset({"node7", "node7.example.com", "porter.example.com"})


@pytest.mark.parametrize(
    "host",
    [
        "",  # HTTP/1.0
        "localhost",
        "LOCALHOST:8080",
        "porter.localhost:8080",
        "127.0.0.1:8080",
        "127.1:8080",
        "[::1]:8080",
        "192.168.1.1:8080",
        "[2001:db8::1]",
        "node7:8080",
        "Node7.Example.com.:8080",
        "porter.example.com",
    ],
)
def test_names_of_this_host_and_addresses_are_answered(host: str) -> None:
    for local in ("127.0.0.1", "::1"):
        assert is_answered(ip_address(local), host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "node7.evil.example",
        "evil.porter.example.com",
        "localhost@evil.example",
        "127.0.0.1:8080, evil.example",
        "[::1].evil.example",
        "::1",
        ".",
        ":8080",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_answered(ip_address("127.0.0.1"), host, NAMES)


def test_the_file_of_names_gives_this_host_more_of_them(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    text = "127.0.1.1\tNode7.example.com node7 # bad\n::1 six.\n192.0.2.7 other\nx y\n127.0.0.1\n\n"
    file.write_bytes(text.encode() + b"\xff\xfe")
    system = own_names("/absent")
    assert socket.gethostname().lower() in system
    assert own_names(str(file)) - system == {"node7.example.com", "node7", "six"} - system


def test_who_does_not_come_over_loopback_may_use_any_name() -> None:
    assert is_answered(ip_address("192.168.1.1"), "lb.example.com", frozenset())


@pytest.mark.parametrize("path", ["/", "/v1/status", "/v1/stream", "/metrics", "/healthz", "/no"])
def test_a_page_of_another_origin_reads_nothing(path: str) -> None:
    answer = ask(path, headers={"Host": "evil.example:8080"})
    assert answer.status_int == 403
    assert "'evil.example:8080'" in answer.json["error"]
    assert "http_names" in answer.json["error"]


def test_a_reverse_proxy_that_keeps_its_name_is_answered_if_the_name_is_configured() -> None:
    assert ask("/v1/version", headers={"Host": "porter.example"}).status_int == 200
