"""The head of an HTTP request: what is accepted, and the status code of each refusal."""

from __future__ import annotations

import contextlib
import random

import pytest

from porter_ryu.http.request import (
    MAX_BODY_OCTETS,
    MAX_HEAD_OCTETS,
    RefusedError,
    end_of_head,
    parse,
)


def test_a_request_as_curl_sends_it() -> None:
    head = parse(
        b"GET /v1/services/a%2Fb/c?x=1&y=%00 HTTP/1.1\r\n"
        b"Host: 127.0.0.1:8080\r\nUser-Agent: curl/7\r\nAccept: */*\r\n\r\n"
    )
    assert (head.method, head.path, head.query) == ("GET", "/v1/services/a%2Fb/c", "x=1&y=%00")
    assert head.host == "127.0.0.1:8080"
    assert head.values("user-agent") == ("curl/7",)
    assert head.length == 0


def test_the_authority_of_an_absolute_target_is_the_host() -> None:
    """RFC 9112, 3.2.2: a Host field cannot differ from the target."""
    head = parse(b"POST http://evil.example:80/v1/stop?a HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (head.host, head.path, head.query) == ("evil.example:80", "/v1/stop", "a")


def test_lines_may_end_with_a_line_feed_alone() -> None:
    assert parse(b"GET / HTTP/1.0\nX: y\n\n").values("x") == ("y",)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"SSH-2.0-OpenSSH_9.2", 400),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 x", 400),
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / http/1.1", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET * HTTP/1.1", 400),
        (b"CONNECT a:80 HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET ftp://a/x HTTP/1.1", 400),
        (b"GET /\xc3\xa4 HTTP/1.1", 400),
        (b"GET /\x1b[2J HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"G\x00T / HTTP/1.1", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1", 414),
    ],
)
def test_a_bad_request_line(request_line: bytes, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(request_line + b"\r\nHost: a\r\n\r\n")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"", 400),
        (b"Host: a\r\nHost: a", 400),
        (b"Host: a\r\nHost: b", 400),
        (b"Host: a\r\n X: folded", 400),
        (b"Host: a\r\nX : y", 400),
        (b"Host: a\r\nX", 400),
        (b"Host: a\r\n: y", 400),
        (b"Host: a\r\nX: a\x00b", 400),
        (b"Host: a\r\nX: a\x1bb", 400),
        (b"Host: a\r\nX: a\rb", 400),
        (b"Host: a\r\nContent-Length: -1", 400),
        (b"Host: a\r\nContent-Length: +1", 400),
        (b"Host: a\r\nContent-Length: 1_0", 400),
        (b"Host: a\r\nContent-Length: 0x1", 400),
        (b"Host: a\r\nContent-Length: \xb2", 400),
        (b"Host: a\r\nContent-Length: ", 400),
        (b"Host: a\r\nContent-Length: 1.5", 400),
        (b"Host: a\r\nContent-Length: 1, 1", 400),
        (b"Host: a\r\nContent-Length: 1\r\nContent-Length: x", 400),
        (b"Host: a\r\nContent-Length: 999999", 413),
        (b"Host: a\r\nContent-Length: " + b"9" * 20, 413),
        (b"Host: a\r\nContent-Length: " + b"9" * 5000, 413),
        (b"Host: a\r\nContent-Length: %d" % (MAX_BODY_OCTETS + 1), 413),
        (b"Host: a\r\nTransfer-Encoding: chunked", 411),
        (b"Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3", 400),
        (b"Host: a\r\n" + b"\r\n".join(b"x%d: y" % n for n in range(101)), 431),
    ],
)
def test_bad_fields(fields: bytes, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        parse(b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n")
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("1", "2"), "Content-Length is given twice, with different values"),
        (("1", "x"), "Content-Length is given twice, with different values"),
        (("1, 1",), "Content-Length: '1, 1' is not a number of octets"),
        (("-1",), "Content-Length: '-1' is not a number of octets"),
        (("",), "Content-Length: '' is not a number of octets"),
        (("\xb2",), "Content-Length: '\xb2' is not a number of octets"),
        (("9" * 99,), "the body is larger than 65536 octets"),
    ],
)
def test_what_is_wrong_with_a_length_is_told(values: tuple[str, ...], told: str) -> None:
    lines = "".join(f"Content-Length: {value}\r\n" for value in values)
    with pytest.raises(RefusedError) as caught:
        parse(f"POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode("latin-1"))
    assert str(caught.value) == told


def test_a_length_may_be_given_twice_and_have_zeros() -> None:
    for values in (("3", "3"), ("0" * 40 + "3",)):
        lines = "".join(f"Content-Length: {value}\r\n" for value in values)
        assert parse(f"POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()).length == 3


def test_tls_is_refused_before_it_is_complete() -> None:
    with pytest.raises(RefusedError, match="this is TLS"):
        end_of_head(b"\x16\x03\x01\x02\x00\x01\x00", 0)


def test_the_end_of_the_head_is_found_however_the_octets_are_split() -> None:
    text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody"
    for cut in range(1, len(text)):
        seen = text[:cut]
        first = end_of_head(seen, 0)
        assert (first or end_of_head(text, cut)) == len(text) - 4


def test_a_head_that_is_too_long_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        end_of_head(b"GET /" + b"a" * 8192, 0)
    assert caught.value.status == 414
    with pytest.raises(RefusedError) as caught:
        end_of_head(b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_OCTETS, 0)
    assert caught.value.status == 431
    with pytest.raises(RefusedError) as caught:
        end_of_head(b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_OCTETS + b"\r\n\r\n", 0)
    assert caught.value.status == 431


def test_random_octets_are_a_head_or_a_refusal() -> None:
    chance = random.Random(1)
    good = b"POST /v1/stop?withdraw=true HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n"
    for _ in range(20_000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with contextlib.suppress(RefusedError):
            parse(bytes(data))
