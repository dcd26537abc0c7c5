"""The API server over real sockets: whatever it answers is a value or an ApiError that says why."""

from __future__ import annotations

import email.utils
import gzip
import itertools
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric.objects import Json
from porter_ryu.domain.model import Kind
from porter_ryu.kube.client import Client
from porter_ryu.kube.errors import ApiError
from porter_ryu.kube.json_text import ANY
from porter_ryu.kube.resources import JSON_MERGE
from tests.unit.fake_server import (
    Answer,
    Authority,
    FakeServer,
    Headers,
    answer,
    chunked,
    kubeconfig,
    ok,
)
from tests.unit.until import until

Serve = Callable[[Answer], tuple[FakeServer, Client]]
MEGABYTE = 1 << 20
EXEC = "client.authentication.k8s.io/v1"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A server that answers as it is told, and a client of it."""
    servers = []

    def make(respond: Answer) -> tuple[FakeServer, Client]:
        server = FakeServer(respond)
        servers.append(server)
        return server, Client(kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}"))

    yield make
    for server in servers:
        server.close()


def page(items: object, token: str = "", version: str = "5") -> Json:
    """A page of a list."""
    return {"metadata": {"resourceVersion": version, "continue": token}, "items": items}


def failure(client: Client, act: Callable[[Client], object]) -> ApiError:
    """What an act fails with."""
    with pytest.raises(ApiError) as caught:
        act(client)
    assert "t0ken" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return caught.value


def listed(client: Client) -> list[object]:
    """All items of a list."""
    return [ANY.decode(item) for items, _ in client.pages(Kind.NODE) for item in items]


def watched(client: Client) -> list[str | None]:
    """The types of all events of a watch."""
    return [event.type for event in client.watch(Kind.NODE, "5")]


def test_a_list_goes_on_page_by_page_over_one_connection(serve: Serve) -> None:
    def respond(path: str, headers: Headers) -> bytes:
        assert headers["authorization"] == "Bearer t0ken"
        return ok(page([3]) if "continue=next" in path else page([1, {"a": 2}], "next"))

    server, client = serve(respond)
    assert listed(client) == [1, {"a": 2}, 3]
    assert server.asked == ["/api/v1/nodes?limit=500", "/api/v1/nodes?limit=500&continue=next"]
    assert server.connections == 1


def test_the_next_page_is_asked_for_before_this_one_is_taken(serve: Serve) -> None:
    def respond(path: str, _headers: Headers) -> bytes:
        return ok(page([path]) if "continue" in path else page([1], "next"))

    server, client = serve(respond)
    pages = client.pages(Kind.NODE)
    assert [ANY.decode(item) for item in next(pages)[0]] == [1]
    until(lambda: len(server.asked) == 2, "the request for the second page")
    del pages
    assert listed(client) == [1, server.asked[1]], "the answer that nobody took is no one else's"


def test_a_server_that_closes_each_connection_without_a_word_is_asked_again(serve: Serve) -> None:
    def respond(path: str, _headers: Headers) -> Iterator[bytes]:
        number = int(path.partition("continue=")[2] or 0)
        return iter([ok(page([number], str(number + 1) if number < 19 else ""))])

    _, client = serve(respond)
    for _ in range(3):
        assert listed(client) == list(range(20))


def packed(body: object) -> bytes:
    """A body in gzip, as two members (RFC 1952, 2.2)."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return gzip.compress(octets[:9], mtime=0) + gzip.compress(octets[9:], mtime=0)


def test_a_list_may_come_in_gzip_and_nothing_else_is_asked_for_so(serve: Serve) -> None:
    asked = []

    def respond(path: str, headers: Headers) -> bytes:
        asked.append((path.partition("?")[2], headers["accept-encoding"]))
        if "limit=500" not in path:
            return ok({"kind": "Node"})
        return ok(
            packed(page([path], "" if "continue" in path else "next")), Content_Encoding="gzip"
        )

    server, client = serve(respond)
    assert listed(client) == server.asked
    client.request("GET", "/api/v1/nodes/n1")
    assert [coding for _, coding in asked] == ["gzip", "gzip", "identity"]
    assert server.connections == 1


@pytest.mark.parametrize("pieces", [1, 2, 40])
def test_an_answer_in_gzip_comes_whole_however_it_is_cut(serve: Serve, pieces: int) -> None:
    text = packed(page(list(range(5000))))
    step = len(text) // pieces + 1
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n\r\n"

    def respond(_path: str, _headers: Headers) -> Iterator[bytes]:
        body = chunked(*(text[at : at + step] for at in range(0, len(text), step)))
        return itertools.chain([head], itertools.islice(body, 1, None))

    _, client = serve(respond)
    assert listed(client) == list(range(5000))


@pytest.mark.parametrize(
    ("body", "coding", "why"),
    [
        (b"", "gzip", "ends within its gzip"),
        (packed(page([1]))[:-4], "gzip", "ends within its gzip"),
        (packed(page([1])) + b"more", "gzip", "is not valid gzip"),
        (packed(page([1]))[:-8] + bytes(8), "gzip", "is not valid gzip"),
        (json.dumps(page([1])).encode(), "gzip", "is not valid gzip"),
        (zlib.compress(json.dumps(page([1])).encode()), "gzip", "is not valid gzip"),
        (zlib.compress(json.dumps(page([1])).encode()), "deflate", "a coding that was not asked"),
        (packed(page([1])), "gzip, gzip", "a coding that was not asked"),
        (packed(b"x" * (65 * MEGABYTE)), "gzip", "is larger than 64 MB"),
        (packed(b"{") * 50_000, "gzip", "is not a list"),
    ],
    ids=[
        "empty",
        "cut",
        "garbage at the end",
        "wrong checksum",
        "not compressed",
        "zlib",
        "deflate",
        "twice",
        "a bomb",
        "very many members",
    ],
)
def test_an_answer_in_odd_codings_is_an_error(
    serve: Serve, body: bytes, coding: str, why: str
) -> None:
    _, client = serve(lambda _path, _headers: ok(body, Content_Encoding=coding))
    assert why in str(failure(client, listed))


def test_the_reason_of_an_error_may_come_in_gzip(serve: Serve) -> None:
    status = packed({"reason": "Expired", "message": "too old"})
    _, client = serve(lambda _path, _headers: answer(410, status, Content_Encoding="gzip"))
    assert failure(client, listed).reason == "Expired"


def test_a_page_that_is_too_large_is_asked_for_again_in_smaller_ones(serve: Serve) -> None:
    def respond(path: str, _headers: Headers) -> bytes:
        if "limit=500" not in path:
            return ok(page([path.partition("?")[2]], "" if "continue" in path else "next"))
        text = b'{"metadata": {}, "items": ["' + b"x" * (65 * MEGABYTE) + b'"]}'
        return ok(text)

    _, client = serve(respond)
    assert listed(client) == ["limit=40", "limit=40&continue=next"]


def test_a_page_that_is_too_large_however_small_is_an_error(serve: Serve) -> None:
    text = b'{"metadata": {}, "items": ["' + b"x" * (65 * MEGABYTE) + b'"]}'
    server, client = serve(lambda _path, _headers: ok(text))
    error = failure(client, listed)
    assert str(error) == "an answer is larger than 64 MB"
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "respond",
    [
        lambda _path, _headers: ok(page([1], "same")),
        lambda path, _headers: ok(page([], f"n{len(path)}" if "=n" not in path else "n1")),
    ],
    ids=["the same token", "a token that returns"],
)
def test_a_list_without_an_end_is_an_error(serve: Serve, respond: Answer) -> None:
    _, client = serve(respond)
    assert "repeats a page" in str(failure(client, listed))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"items": []}',
        b'{"items": {}, "metadata": {}}',
        b'{"items": [1 2], "metadata": {}}',
        b'{"items": [], "metadata": []}',
        b'{"items": [], "metadata": {"continue": 7}}',
        b'{"items": [], "metadata": {"resourceVersion": {}}}',
        b"<html>a proxy</html>",
        b'{"items": ' + b"[" * 100_000,
    ],
)
def test_a_list_that_is_none_is_an_error(serve: Serve, body: bytes) -> None:
    _, client = serve(lambda _path, _headers: ok(body))
    assert failure(client, listed).reason == "BadAnswer"


def test_an_odd_object_does_not_cost_the_page(serve: Serve) -> None:
    """Nested 30,000 deep, a number of 5,000 digits, no UTF-8, half a surrogate."""
    odd = b'{"d": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", b"9" * 5000, b'"\xff"', b'"\\ud800"'
    body = b'{"items": [' + b",".join([*odd, b'{"good": 1}']) + b'], "metadata": {}}'
    _, client = serve(lambda _path, _headers: ok(body))
    (items,) = (items for items, _ in client.pages(Kind.NODE))
    assert ANY.decode(items[-1]) == {"good": 1}
    assert len(items) == 5


def test_events_come_whole_however_they_are_cut(serve: Serve) -> None:
    text = b"".join(json.dumps({"type": f"ADDED{n}"}).encode() + b"\n" for n in range(3))
    _, client = serve(lambda _path, _headers: chunked(*(text[i : i + 1] for i in range(len(text)))))
    assert watched(client) == ["ADDED0", "ADDED1", "ADDED2"]


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([b'{"type": "ADDED"}\n', b"not JSON\n"], "BadAnswer"),
        ([b'{"type": "ADDED"}\n', b"[]\n"], "BadAnswer"),
        ([b'{"type": "ADDED"}\n', b'"' + b"x" * MEGABYTE] + [b"x" * MEGABYTE] * 16, "BadAnswer"),
    ],
    ids=["no JSON", "no object", "larger than 16 MB"],
)
def test_a_watch_ends_with_a_line_that_cannot_be_read(
    serve: Serve, pieces: list[bytes], reason: str
) -> None:
    _, client = serve(lambda _path, _headers: chunked(*pieces))
    events = client.watch(Kind.NODE, "5")
    assert next(events).type == "ADDED"
    assert failure(client, lambda _client: next(events)).reason == reason


def test_a_watch_that_is_cut_off_says_so(serve: Serve) -> None:
    server, client = serve(lambda _path, _headers: chunked(b'{"a": 1}\n', ends=False))
    error = failure(client, watched)
    assert str(error) == f"the API server 127.0.0.1:{server.port} ended the connection"
    assert error.label == "ConnectionLost"


def test_a_watch_that_is_kept_open_is_no_watch(tmp_path: Path) -> None:
    """A proxy that lost its server, and sends blank lines so that nobody notices."""

    def respond(_path: str, _headers: Headers) -> Iterator[bytes]:
        yield from chunked(b'{"a": 1}\n', ends=False)
        while True:
            yield b"1\r\n\n\r\n"

    server = FakeServer(respond)
    client = Client(kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}"), most=0.5)
    error = failure(client, watched)
    assert (error.reason, str(error)) == ("BadAnswer", "a watch does not end")
    server.close()


def test_a_watch_of_a_former_time_is_refused_before_it_begins(serve: Serve) -> None:
    body = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    _, client = serve(lambda _path, _headers: answer(410, body))
    assert failure(client, lambda c: c.watch(Kind.NODE, "5")).label == "Gone"


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("100000", 60, 60),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60, 60),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("act", [listed, watched])
def test_retry_after_is_read(
    serve: Serve, act: Callable[[Client], object], status: int, header: str, least: int, most: int
) -> None:
    _, client = serve(lambda _path, _headers: answer(status, {}, Retry_After=header))
    error = failure(client, act)
    assert error.status == status
    assert error.retry_after is not None
    assert least <= error.retry_after <= most


def test_retry_after_may_be_a_date(serve: Serve) -> None:
    date = email.utils.formatdate(time.time() + 30, usegmt=True)
    _, client = serve(lambda _path, _headers: answer(429, {}, Retry_After=date))
    seconds = failure(client, listed).retry_after
    assert seconds is not None
    assert 20 < seconds <= 30


@pytest.mark.parametrize("header", ["", "soon", "²", "-5", "1e9", "Thu, 99 Xyz 2024"])
def test_a_retry_after_that_is_none_asks_for_nothing(serve: Serve, header: str) -> None:
    _, client = serve(lambda _path, _headers: answer(429, {}, Retry_After=header))
    assert failure(client, listed).retry_after is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"x" * (2 * MEGABYTE), b'{"reason": 7}', b'{"message": {"a": []}}'],
)
def test_a_refusal_without_words_is_still_one(serve: Serve, body: bytes) -> None:
    _, client = serve(lambda _path, _headers: answer(500, body))
    error = failure(client, listed)
    assert (error.status, error.label) == (500, "ServerError")


def test_the_servers_words_are_one_printable_line(serve: Serve) -> None:
    body = {"reason": "Forbidden", "message": "\x1b[31mno\n" + "x" * 200_000}
    _, client = serve(lambda _path, _headers: answer(403, body))
    error = failure(client, listed)
    assert str(error).startswith("403 Forbidden: \\x1b[31mno\\nxxx")
    assert error.label == "Forbidden"


def test_a_credential_that_is_refused_is_named_and_read_again(serve: Serve, tmp_path: Path) -> None:
    def respond(_path: str, headers: Headers) -> bytes:
        good = headers["authorization"] == "Bearer new"
        return ok(page([])) if good else answer(401, {"reason": "Unauthorized"})

    server, client = serve(respond)
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}", token="new")
    error = failure(client, listed)
    assert str(error) == (
        f"401 Unauthorized: the API server 127.0.0.1:{server.port} does not accept the credential "
        f"of {file}"
    )
    assert listed(client) == []


def test_a_token_that_has_expired_is_replaced_before_the_request(
    serve: Serve, tmp_path: Path
) -> None:
    """A credential plugin whose tokens have expired as soon as they are made."""
    tokens = []

    def respond(_path: str, headers: Headers) -> bytes:
        tokens.append(headers["authorization"])
        return ok(page([]))

    server, _ = serve(respond)
    count = tmp_path / "count"
    status = '{"token": "t$(wc -l < COUNT)", "expirationTimestamp": "2024-01-01T00:00:00Z"}'
    credential = f'{{"apiVersion": "{EXEC}", "kind": "ExecCredential", "status": {status}}}'
    script = f"echo >> COUNT\ncat <<END\n{credential}\nEND\n".replace("COUNT", str(count))
    plugin = {"apiVersion": EXEC, "command": "sh", "args": ["-c", script]}
    file = kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}", user={"exec": plugin})
    client = Client(file)
    for _ in range(3):
        listed(client)
    assert tokens == ["Bearer t2", "Bearer t3", "Bearer t4"]


def test_a_server_below_a_path_is_asked_there(serve: Serve, tmp_path: Path) -> None:
    server, _ = serve(lambda _path, _headers: ok(page([1])))
    client = Client(kubeconfig(tmp_path, f"http://127.0.0.1:{server.port}/clusters/c1"))
    assert listed(client) == [1]
    assert server.asked == ["/clusters/c1/api/v1/nodes?limit=500"]


def test_a_proxy_is_told_the_whole_address(serve: Serve, tmp_path: Path) -> None:
    proxy, _ = serve(lambda _path, _headers: ok(page([1])))
    by = {"proxy-url": f"http://127.0.0.1:{proxy.port}"}
    client = Client(kubeconfig(tmp_path, "http://api.invalid:6443", cluster=by))
    assert listed(client) == [1]
    assert proxy.asked == ["http://api.invalid:6443/api/v1/nodes?limit=500"]


def test_a_body_is_json_of_the_type_that_is_said(serve: Serve) -> None:
    types = []

    def respond(_path: str, headers: Headers) -> bytes:
        types.append(headers["content-type"])
        return ok({"kind": "Service"})

    server, client = serve(respond)
    body = {"status": {"loadBalancer": None, "text": "\ud800 ü", "list": [1, True]}}
    assert client.request("PATCH", "/x y", None, body, JSON_MERGE) == {"kind": "Service"}
    assert client.request("POST", "/z", {"a": "b c/"}, {}) == {"kind": "Service"}
    assert server.asked == ["/x%20y", "/z?a=b+c%2F"]
    assert [json.loads(text) for text in server.bodies] == [body, {}]
    assert types == [JSON_MERGE, "application/json"]


def test_a_redirection_is_not_followed_for_the_token_goes_with_it(serve: Serve) -> None:
    other, _ = serve(lambda _path, _headers: ok(page([])))
    where = f"http://127.0.0.1:{other.port}/"
    _, client = serve(lambda _path, _headers: answer(302, b"", Location=where))
    assert failure(client, listed).label == "Refused"
    assert other.asked == []


@pytest.mark.parametrize(
    ("subject", "days", "ours", "why"),
    [
        ("IP:127.0.0.1", -1, True, "it has expired"),
        ("IP:127.0.0.2", 2, True, "it is for another address than 127.0.0.1"),
        ("IP:127.0.0.1", 2, False, "it is not signed by the CA of the kubeconfig"),
    ],
)
def test_a_certificate_that_is_refused_says_why(
    tmp_path: Path, subject: str, days: int, ours: bool, why: str
) -> None:
    ca, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    server = FakeServer(lambda _path, _headers: ok(page([])), ca.server(subject, days))
    trusted = (ca if ours else other).certificate
    client = Client(kubeconfig(tmp_path, f"https://127.0.0.1:{server.port}", trusted))
    error = failure(client, listed)
    server.close()
    assert str(error) == (
        f"the API server 127.0.0.1:{server.port} has a certificate that is not accepted: {why}"
    )
    assert error.label == "CertificateRefused"


def test_a_server_that_wants_tls_says_so_and_resets_the_connection(tmp_path: Path) -> None:
    """As Go's does: it has read only the first octets of the request."""
    said = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(5)
            connection.sendall(said)
            connection.close()

        threading.Thread(target=refuse, daemon=True).start()
        port = listener.getsockname()[1]
        error = failure(Client(kubeconfig(tmp_path, f"http://127.0.0.1:{port}")), listed)
    assert "wants TLS: its URL must begin with https" in str(error)


def test_a_good_certificate_is_taken(tmp_path: Path) -> None:
    ca = Authority(tmp_path, "ca")
    server = FakeServer(lambda _path, _headers: ok(page([1])), ca.server())
    client = Client(kubeconfig(tmp_path, f"https://127.0.0.1:{server.port}", ca.certificate))
    assert listed(client) == [1]
    server.close()


def test_a_server_without_tls_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=refuse, daemon=True).start()
        port = listener.getsockname()[1]
        error = failure(Client(kubeconfig(tmp_path, f"https://127.0.0.1:{port}")), listed)
    assert error.label == "TlsFailed"
    assert "does not speak TLS" in str(error)


def test_a_refused_connection_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = failure(Client(kubeconfig(tmp_path, f"http://127.0.0.1:{port}")), listed)
    assert str(error) == f"the API server 127.0.0.1:{port} refuses connections"
    assert error.label == "ConnectionRefused"


def test_a_name_that_does_not_resolve_says_so(tmp_path: Path) -> None:
    client = Client(kubeconfig(tmp_path, "http://nobody.invalid:6443"))
    error = failure(client, listed)
    assert str(error) == (
        "the API server nobody.invalid:6443 cannot be found: its name does not resolve"
    )


def test_a_server_that_hangs_up_says_so(serve: Serve) -> None:
    _, client = serve(lambda _path, _headers: iter([b""]))
    assert failure(client, listed).label == "ConnectionLost"


def test_half_an_answer_says_so(serve: Serve) -> None:
    _, client = serve(lambda _path, _headers: iter([ok(page([]))[:-5]]))
    assert failure(client, listed).label == "ConnectionLost"


def test_an_answer_that_is_not_http_says_so(serve: Serve) -> None:
    _, client = serve(lambda _path, _headers: iter([b"SSH-2.0-OpenSSH\r\n"]))
    assert failure(client, listed).label == "ConnectionLost"


def test_a_token_that_cannot_be_sent_is_not_shown(tmp_path: Path) -> None:
    client = Client(kubeconfig(tmp_path, "http://127.0.0.1:1", token="t0ken\nX: y"))
    assert failure(client, listed).label == "NoAnswer"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "t0ken: [",
        "\0",
        "clusters: 7",
        "a: &a [*a, *a]",
        "current-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: 7\n",
    ],
)
def test_a_kubeconfig_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(ApiError, match="no way to an API server") as caught:
        Client(str(file))
    assert "t0ken" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "http:///api", "http://127.0.0.1:99999", "ftp://127.0.0.1"])
def test_a_kubeconfig_with_an_invalid_url_is_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(ApiError, match="the URL of the server in"):
        Client(kubeconfig(tmp_path, url))


def test_a_kubeconfig_whose_url_becomes_invalid_is_named(serve: Serve, tmp_path: Path) -> None:
    _, client = serve(lambda _path, _headers: answer(401, {"reason": "Unauthorized"}))
    kubeconfig(tmp_path, "http://127.0.0.1:99999")
    assert "which cannot be read again" in str(failure(client, listed))


def test_a_url_without_a_scheme_is_one_of_http(serve: Serve, tmp_path: Path) -> None:
    server, _ = serve(lambda _path, _headers: ok(page([1])))
    client = Client(kubeconfig(tmp_path, f"127.0.0.1:{server.port}"))
    assert listed(client) == [1]
    assert server.asked == ["/api/v1/nodes?limit=500"]


def test_without_any_kubeconfig_it_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match=r"set \[kubernetes\] kubeconfig, or manifests"):
        Client("")
