"""An HTTP server on loopback that answers what a test says, octet by octet, with TLS or without."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from fabric.objects import Json

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
Headers = dict[str, str]
Answer = Callable[[str, Headers], "bytes | Iterator[bytes]"]


def ok(body: object, **headers: str) -> bytes:
    """A whole answer."""
    return answer(200, body, **headers)


def answer(status: int, body: object, **headers: str) -> bytes:
    """An answer of any status; a body that is not octets is written as JSON."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Text", f"Content-Length: {len(octets)}"]
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + octets


def chunked(*pieces: bytes, ends: bool = True) -> Iterator[bytes]:
    """An answer in pieces, as a watch is; cut off where it does not end."""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in pieces:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    if ends:
        yield b"0\r\n\r\n"


class FakeServer:
    """Serves each connection in a thread; knows the paths that were asked, what was sent with them,
    the connections and how many of them have ended."""

    def __init__(self, respond: Answer, context: ssl.SSLContext | None = None) -> None:
        self._respond = respond
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self._request = threading.local()
        self.connections = self.ended = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def body(self) -> bytes:
        """What was sent with the request that this thread answers."""
        sent: bytes = self._request.body
        return sent

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        self._serve(connection)
        self.ended += 1

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            file = connection.makefile("rb")
            while line := file.readline():
                headers = {}
                while (head := file.readline().decode().strip()) != "":
                    name, _, text = head.partition(":")
                    headers[name.lower()] = text.strip()
                self._request.body = file.read(int(headers.get("content-length", "0")))
                self.bodies.append(self.body)
                path = line.split()[1].decode()
                self.asked.append(path)
                said = self._respond(path, headers)
                for piece in [said] if isinstance(said, bytes) else said:
                    connection.sendall(piece)
                if not isinstance(said, bytes):
                    return


def kubeconfig(
    folder: Path,
    url: str,
    ca: Path | None = None,
    token: str = "t0ken",
    user: Json | None = None,
    cluster: Json | None = None,
) -> str:
    """A kubeconfig for a server, with `user` in the place of the token and more of the cluster;
    the path of it."""
    authority = {"certificate-authority": str(ca)} if ca else {}
    where = {"server": url, **authority, **(cluster or {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": where}],
        "users": [{"name": "u", "user": user or {"token": token}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


class Authority:
    """A CA, and certificates that it signs; `last`: the files of the last one and of its key."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.certificate = folder / f"{name}.crt"
        self.last = "", ""
        key = str(folder / f"{name}.key")
        made = (*_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key)
        _openssl("req", "-x509", "-days", "2", *made, "-out", str(self.certificate))

    def server(self, subject: str = "IP:127.0.0.1", days: int = 2) -> ssl.SSLContext:
        """The context of a server with a certificate for a subject; days below 0: expired."""
        key, request = str(self._folder / "s.key"), str(self._folder / "s.csr")
        extension, certificate = self._folder / "s.ext", str(self._folder / "s.crt")
        extension.write_text(f"subjectAltName={subject}")
        _openssl("req", *_NEW_KEY, "-subj", "/CN=server", "-keyout", key, "-out", request)
        signer = ("-CA", str(self.certificate), "-CAkey", f"{self._folder}/{self._name}.key")
        _openssl(
            *("x509", "-req", "-in", request, *signer, "-CAcreateserial", "-days", str(days)),
            *("-extfile", str(extension), "-out", certificate),
        )
        self.last = certificate, key
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
