"""Any input and any response of a server: one line and status 2, never a traceback."""

from __future__ import annotations

import errno
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.program import command
from porter_ryu.cli import main
from porter_ryu.remote import Remote, RemoteError
from porter_ryu.remote_failures import of_connection
from tests.unit import instance_answers as answers
from tests.unit.fake_server import Authority, FakeServer, answer

HOSTILE = "web\x1b[2J\x07\nroot: # \u202e \x7f \x85"
STATUS = {
    "/v1/status": answers.status(summary=HOSTILE),
    "/v1/peers": [answers.peer(HOSTILE)],
    "/v1/eips": [answers.eip(HOSTILE)],
}


class RawServer:
    """A server that answers every request with these octets, then hangs or closes."""

    def __init__(self, *pieces: bytes, hangs: bool = False, every: float = 0.0) -> None:
        self.requests: list[bytes] = []
        self._pieces = pieces
        self._hangs = hangs
        self._every = every
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        kept = []
        while True:
            client, _ = self._listener.accept()
            kept.append(client)
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        self.requests.append(client.recv(65536))
        try:
            for piece in self.pieces(self.requests[-1]):
                client.sendall(piece)
                time.sleep(self._every)
            if not self._hangs:
                client.close()
        except OSError:
            client.close()

    def pieces(self, _request: bytes) -> Iterator[bytes]:
        """The octets of the response."""
        yield from self._pieces


class JsonServer(RawServer):
    """A server that answers with the JSON of a path."""

    def pieces(self, request: bytes) -> Iterator[bytes]:
        """The octets of the response."""
        yield ok(json.dumps(STATUS[request.split()[1].decode()]).encode())


def ok(body: bytes, status: bytes = b"200 OK") -> bytes:
    """A complete response."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command prints when it fails."""
    assert main(argv) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert "Traceback" not in printed.err
    return lines[0]


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"\x00\xff" * 1000,),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n",),
        (b"220 mail ESMTP\r\n",),
        (b"HTTP/1.1\r\n\r\n",),
        (b"HTTP/1.1 999999 X\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",),
        (ok(b""),),
        (ok(b"<html>It works!</html>"),),
        (ok(b'{"half": '),),
        (ok(b"\xff\xfe\x00"),),
        (ok(b"[" * 100_000),),
        (ok(b"9" * 10_000),),
        (ok(b"null"),),
        (ok(b"[1]"),),
        (ok(b'["\\ud800"]'),),
        (ok(b'{"error": "no"}'),),
        (ok(b"{}"),),
        (ok(b'[{"name": {"a": 1}}]'),),
        (ok(b'[{"name": 1, "address": 2, "state": 3, "paths": 4, "lastError": 5}]'),),
        (ok(b"moved", b"301 Moved Permanently"),),
        (ok(b"gone", b"404 Not Found"),),
        (ok(b"<html>\x1b[2J\n\n</html>", b"500 Oops"),),
        (ok(b'{"error": "\\u001b[2J\\nroot"}', b"503 Service Unavailable"),),
    ],
)
def test_a_response_that_is_not_from_porter_ryu(
    capsys: pytest.CaptureFixture[str], pieces: tuple[bytes, ...]
) -> None:
    url = RawServer(*pieces).url
    line = refused(capsys, "status", "--url", url)
    assert line.startswith(url)
    assert line.isprintable()
    refused(capsys, "explain", "default/web", "--url", url)


HTML = b"<html>\x1b[2J\nlog in</html>"


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ((b"",), ": the server closed the connection without an answer"),
        (
            (b"SSH-2.0-OpenSSH_9.2p1\r\n",),
            ": the server does not speak HTTP: its response begins with 'SSH-2.0-OpenSSH_9.2p1'",
        ),
        (
            (b"\x1b[2J\n",),
            ": the server does not speak HTTP: its response begins with '\\x1b[2J'",
        ),
        ((b"\xff" * 16 + b"\x00\x1d\x01\x04",), ": the server speaks BGP, not HTTP"),
        ((b"\x15\x03\x01\x00\x02\x02\x46",), "speaks TLS: the URL begins with http, but https"),
        (
            (ok(b"Client sent an HTTP request to an HTTPS server.\n", b"400 Bad Request"),),
            "speaks TLS: the URL begins with http, but https",
        ),
        (
            (ok(b"<html>The plain HTTP request was sent to HTTPS port", b"400 Bad Request"),),
            "speaks TLS: the URL begins with http, but https",
        ),
        (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[",),
            ": the response was cut after 1 of 100 octets",
        ),
        (
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2",),
            ": the response was cut after",
        ),
        (
            (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[1, ",),
            ": its JSON cannot be read: it is cut, or damaged",
        ),
        (
            (b"HTTP/1.1 302 Found\r\nLocation: https://sso/\x1b[2J\r\n\r\n",),
            "302 Found: redirects are not followed; this one leads to 'https://sso/\\x1b[2J'",
        ),
        ((ok(HTML),), "200 OK without JSON; is this Porter-Ryu?"),
        (
            (ok(HTML, b"401 Unauthorized\r\nServer: nginx/1.22"),),
            "401 Unauthorized without JSON; is this Porter-Ryu? (it is 'nginx/1.22'); a proxy may",
        ),
        ((ok(HTML, b"403 Forbidden"),), "403 Forbidden without JSON; is this Porter-Ryu?"),
        ((ok(HTML, b"404 Not Found"),), "404 Not Found without JSON; is this Porter-Ryu?"),
        ((ok(HTML, b"502 Bad Gateway"),), "502 Bad Gateway without JSON; is this Porter-Ryu?"),
        ((ok(b'{"message": "no Route"}', b"404 Not Found"),), "404 Not Found: no Route"),
        ((ok(b'{"error": "there is no Node n9"}', b"404 Not Found"),), ": there is no Node n9"),
        ((ok(b'{"kind": "Status", "message": "no"}', b"403 Forbidden"),), "403 Forbidden: no"),
        ((ok(b"{}", b"404 Not Found"),), "404 Not Found without JSON"),
    ],
)
def test_what_is_at_the_url_is_told(
    capsys: pytest.CaptureFixture[str], pieces: tuple[bytes, ...], told: str
) -> None:
    line = refused(capsys, "status", "--url", RawServer(*pieces).url)
    assert told in line
    assert line.isprintable()


def test_what_is_wrong_with_tls_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificate))
    plain = f"https{RawServer(ok(b'{}', b'400 Bad Request')).url.removeprefix('http')}"
    certificate = "has a certificate that is not accepted: it"
    told = {
        plain: "the server does not speak TLS",
        tls(theirs.server()): f"{certificate} is not signed by a CA that this host trusts",
        tls(ours.server(days=-1)): f"{certificate} has expired",
        tls(ours.server("DNS:example.org")): f"{certificate} is for another address than 127.0.0.1",
        tls(ours.server("IP:127.0.0.9")): f"{certificate} is for another address than 127.0.0.1",
        tls(ours.server()): "/v1/status: 404 Not Found: none",
    }
    for url, words in told.items():
        line = refused(capsys, "status", "--url", url)
        assert line.startswith(url)
        assert words in line
        assert "not permitted" not in line


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TimeoutError("timed out"), "no answer within 10 s"),
        (TimeoutError("_ssl.c:983: The handshake operation timed out"), "no answer within 10 s"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "Connection timed out"),
        (TimeoutError("no complete response within 120 s"), "no complete response within 120 s"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "the server ended the connection before"),
        (OSError(errno.ENETUNREACH, "x"), "Network is unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not"),
        (ssl.SSLEOFError(8, "EOF"), "the server ended the connection"),
        (ssl.SSLError(1, "[X509] PEM lib"), "the server and this host cannot agree on TLS"),
    ],
)
def test_what_no_server_on_loopback_can_do(error: Exception, told: str) -> None:
    assert of_connection(error, "leaf.example", 10.0).startswith(told)


def test_a_part_of_a_bundle_that_was_cut_is_no_part() -> None:
    cut = RawServer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nporter_")
    with pytest.raises(RemoteError, match="the response was cut after 7 of 100 octets"):
        Remote(cut.url).body("/metrics", 1000)
    assert Remote(cut.url).body("/metrics", 5) == (b"porte", True)


def tls(context: ssl.SSLContext) -> str:
    """The URL of a server with TLS, which has nothing."""
    server = FakeServer(lambda _path, _fields: answer(404, {"error": "none"}), context)
    return f"https://127.0.0.1:{server.port}"


def test_the_size_of_a_response_is_limited() -> None:
    endless = (b"HTTP/1.1 200 OK\r\n\r\n", *(b" " * 65536 for _ in range(100)))
    with pytest.raises(RemoteError, match="larger than 1 MiB"):
        Remote(RawServer(*endless).url, max_octets=1 << 20).get("/v1/peers", list)


@pytest.mark.parametrize(
    "server",
    [
        {"hangs": True},
        {"pieces": [b"x"] * 1000, "every": 0.1},
        {"pieces": [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 1000], "every": 0.1},
        {"pieces": [b"HTTP/1.1 200 OK\r\n\r\n", *[b" "] * 1000], "every": 0.1},
    ],
)
def test_the_time_for_a_response_is_limited(server: dict[str, Any]) -> None:
    pieces = server.get("pieces", [])
    more = {key: value for key, value in server.items() if key != "pieces"}
    started = time.monotonic()
    with pytest.raises(RemoteError, match="within 1 s"):
        Remote(RawServer(*pieces, **more).url, seconds=1.0).get("/v1/peers", list)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "url",
    [
        "",
        "8080",
        "localhost:8080",
        "ftp://localhost",
        "file:///etc/passwd",
        "http://",
        "http://:8080",
        "http://localhost:http",
        "http://localhost:99999",
        "http://localhost:-1",
        "http://[::1",
        "http://a b/",
        "http://localhost/\r\nX: y",
        "http://user:secret@localhost",
        "http://localhost/?a",
        "http://ä.example",
        "http://\x1b[2J",
    ],
)
def test_an_invalid_url(capsys: pytest.CaptureFixture[str], url: str) -> None:
    line = refused(capsys, "status", "--url", url)
    assert line.isprintable()


def test_a_port_on_which_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    sock.close()
    told = f"{url}: Connection refused: no instance listens there"
    assert refused(capsys, "status", "--url", url) == told


def test_a_proxy_in_the_environment_is_not_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert main(["status", "--url", JsonServer().url]) == 0


def test_text_from_the_cluster_is_printed_as_one_printable_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["status", "--url", JsonServer().url]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\\x1b[2J") == 3, "each is shown, and acts on nothing"
    assert all(line.isprintable() for line in printed.split("\n"))


def test_the_token_is_sent_and_a_refusal_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "control.token"
    path.write_text("abc\n")
    argv = ["stop", "--withdraw", "--token-file", str(path)]
    server = RawServer(ok(b"stopping\n", b"202 Accepted"))
    assert main([*argv, "--url", server.url]) == 0
    assert server.requests[0].startswith(b"POST /v1/stop?withdraw=true HTTP/1.1\r\n")
    assert b"Authorization: Bearer abc\r\n" in server.requests[0]
    capsys.readouterr()
    server = RawServer(ok(b'{"error": "only with the token"}', b"401 Unauthorized"))
    line = refused(capsys, *argv, "--url", server.url)
    assert line.endswith("401 Unauthorized: only with the token")


def test_a_file_without_a_token(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for name in ("absent", "empty", "."):
        argv = ["stop", "--withdraw", "--url", "http://127.0.0.1:1"]
        line = refused(capsys, *argv, "--token-file", str(tmp_path / name))
        assert line.startswith(str(tmp_path))
        assert "--token-file" in line
    assert line.removeprefix(f"{tmp_path}: ").startswith("is a directory")


@pytest.mark.parametrize(
    "data", [None, b"\x00\xff\xfe", b"no section\n", b"[porter\n", b"\xef\xbb\xbf["]
)
@pytest.mark.parametrize("words", ["check", "plan", "explain a/b", "explain --node n1", "config"])
def test_a_configuration_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, data: bytes | None, words: str
) -> None:
    path = tmp_path / "porter.conf"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    line = refused(capsys, *words.split(), "--config-file", str(path))
    assert str(path) in line


@pytest.mark.parametrize("words", ["check", "plan", "explain a/b", "explain --node n1", "config"])
def test_a_configuration_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: str
) -> None:
    line = refused(capsys, *words.split(), "--config-file", str(tmp_path / "absent"))
    assert line == f"{tmp_path}/absent: No such file or directory"


@pytest.mark.parametrize("data", [None, b"\x00\xff\xfe", b"no section\n", b"[porter\n"])
def test_run_with_a_configuration_that_cannot_be_read(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "porter.conf").write_bytes(data)
    done = run(f"porter-ryu run --config-file {tmp_path}/porter.conf")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert f"{tmp_path}/porter.conf" in done.stderr


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["status", "--url", ""], "--url"),
        (["explain", "a/b", "--config-file", ""], "--config-file"),
        (["explain", "--node", ""], "--node"),
        (["plan", "--drain", "n1", ""], "--drain"),
        (["plan", "--with", "", "--config-file", "x"], "--with"),
        (["routes", ""], "PEER"),
        (["routes", "leaf", ""], "PREFIX"),
        (["support-bundle", ""], "FILE"),
        (["import", "metallb", ""], "DIR"),
        (["stop", "--withdraw", "--token-file", ""], "--token-file"),
    ],
)
def test_an_empty_argument_is_named(
    capsys: pytest.CaptureFixture[str], words: list[str], name: str
) -> None:
    assert refused(capsys, *words) == f"{name}: it is empty"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("explain 203.0.113.8/29", "'203.0.113.8/29' is a prefix: name one address of it"),
        ("explain 203.0.113.9/29", "'203.0.113.9/29' is a prefix: name one address of it"),
        (
            "explain n1",
            "'n1' is not NAMESPACE/NAME, and not an address; for a node: explain --node NAME",
        ),
        ("plan --drain n1,n2 --without n3,n2", "a node is either lost or drained: 'n2'"),
    ],
)
def test_what_a_command_does_not_take_is_told_before_an_instance_is_asked(
    capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    assert refused(capsys, *words.split(), "--url", "http://127.0.0.1:1") == told


@pytest.mark.parametrize("name", ["web", "/web", "default/", "\x1b[2J"])
def test_an_invalid_service_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert "is not NAMESPACE/NAME, and not an address" in refused(
        capsys, "explain", name, "--url", "http://a"
    )


@pytest.mark.parametrize("kubeconfig", [None, "", "a: b", "[1]"])
def test_an_invalid_kubeconfig(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kubeconfig: str | None,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path, config = tmp_path / "kubeconfig", tmp_path / "porter.conf"
    if kubeconfig is not None:
        path.write_text(kubeconfig)
    config.write_text(f"[kubernetes]\nkubeconfig = {path}\n[bgp]\nrouter_id = 192.0.2.1\n")
    line = refused(capsys, "plan", "--config-file", str(config))
    assert "the cluster cannot be read" in line or str(path) in line


def run(shell: str) -> subprocess.CompletedProcess[str]:
    """Runs a porter-ryu command in a shell."""
    shell = shell.replace("porter-ryu", command("porter-ryu"))
    return subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)


# commands that print something, whatever else they do
PRINTING = ["status", "status -o json", "--help", "routes --help", "--version", "completion zsh"]


def printing(words: str) -> str:
    """The arguments, of a command that asks an instance with its URL."""
    return f"{words} --url {JsonServer().url}" if words.startswith("status") else words


@pytest.mark.parametrize("words", PRINTING)
def test_a_closed_pipe_is_the_status_of_sigpipe_and_nothing_else(words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = [command("porter-ryu"), *printing(words).split()]
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("words", PRINTING)
def test_a_full_disk_is_one_line(words: str) -> None:
    done = run(f"porter-ryu {printing(words)} > /dev/full")
    assert (done.returncode, done.stderr) == (2, "No space left on device\n")


@pytest.mark.parametrize(
    "words", ["status --url http://127.0.0.1:1", "routes", "nope", "explain a"]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_error_that_cannot_be_printed_has_its_status(words: str, unbuffered: str) -> None:
    done = run(f"PYTHONUNBUFFERED={unbuffered} porter-ryu {words} 2> /dev/full")
    assert done.returncode == 2


def test_a_terminal_with_ascii_only_is_no_traceback() -> None:
    done = run(f"PYTHONIOENCODING=ascii porter-ryu status --url {JsonServer().url}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", ["status", "status -o json", "support-bundle -"])
def test_a_closed_stream_is_no_traceback(closed: str, words: str) -> None:
    done = run(
        f"(porter-ryu {words} --url http://127.0.0.1:1 {closed}) | cat >/dev/null; exit $PIPESTATUS"
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if "bundle" in words else 2)


@pytest.mark.parametrize(
    "words",
    [
        "explain $'\\xff/\\xfe'",
        "explain --node $'\\xff'",
        "routes $'\\xff'",
        "history node $'\\xff'",
        "history $'\\xff/a'",
        "status --url $'http://\\xff'",
        "config --config-file $'\\xff'",
        "support-bundle $'/nowhere/\\xff'",
        "stop --withdraw --token-file $'\\xff'",
        "completion $'\\xff'",
        "$'\\xff'",
    ],
)
def test_an_argument_that_is_no_text_is_no_traceback(words: str) -> None:
    done = run(f"porter-ryu {words}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


def test_a_command_loads_only_what_it_uses() -> None:
    unused = ("msgspec", "yaml", "ryu", "eventlet", "rich", "tarfile")
    code = f"import sys, porter_ryu.cli; print([*filter(sys.modules.get, {unused})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
