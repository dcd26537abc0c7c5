"""One HTTP connection: one request, one answer, each with a time in which it has to be done.

A client that sends or reads too slowly loses its connection and nobody else loses anything.  Every
answer closes its connection: nobody here needs more, and nothing can wait in an idle one.
"""

from __future__ import annotations

import io
import logging
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from eventlet.green import socket

from porter_ryu.domain.model import Address
from porter_ryu.http.answers import error_body
from porter_ryu.http.request import HEAD_MOST, Head, RefusedError, end_of_head, parse
from porter_ryu.http.turn import Turn
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_REQUEST_WITHIN = 5.0  # seconds from the accept to the last octet of the request
_READ_WITHIN = (
    10.0  # seconds that a client may let us wait, and one more for each _READ_RATE octets
)
_READ_RATE = 65_536
_PIECE = 65_536
_SEND_BUFFER = 262_144
_LINGER = 1.0
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is granted to clients.  `request_within`: seconds from the accept to the last octet of
    a request; `read_within`: seconds that a client may let us wait for it to read on, and in all
    of an answer, there with one more for each `read_rate` octets that it takes."""

    connections: int = 256
    request_within: float = 5.0
    read_within: float = 10.0
    read_rate: int = 262_144


class Connection:
    """A client.  `reading` until its request is complete; `turn` is waited in before it is
    answered, so that a crowd does not hold the loop."""

    def __init__(
        self,
        sock: socket.socket,
        remote: tuple[Address, int],
        local: tuple[Address, int],
        application: Application,
        turn: Turn,
        bounds: Bounds,
    ) -> None:
        self.reading = True
        self._sock = sock
        self._remote = remote
        self._local = local
        self._application = application
        self._turn = turn
        self._bounds = bounds
        self._slice = TimeSlice()
        self._sent = 0
        self._waited = 0.0

    def close(self) -> None:
        """Closes it; twice is as good as once."""
        self._sock.close()

    def run(self) -> None:
        """Reads the request and answers it."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._serve()
        except OSError as error:
            LOG.debug("a client of the HTTP interface is gone, or too slow: %s", error)
        finally:
            self.close()

    def _serve(self) -> None:
        try:
            head, body = self._read()
        except RefusedError as error:
            refusal: RefusedError | None = error
        else:
            refusal = None
        self.reading = False
        self._turn.wait()
        if refusal is None:
            self._answer(head, body)
        else:
            self._refuse(refusal)

    # -- the request ------------------------------------------------------------------------------

    def _read(self) -> tuple[Head, bytes]:
        """Raises RefusedError, or OSError where the client is gone."""
        until = time.monotonic() + self._bounds.request_within
        data, looked_at, begins = b"", 0, 0
        while not begins:
            data = (data + self._receive(until, HEAD_MOST)).lstrip(b"\r\n" if not data else b"")
            begins = end_of_head(data, looked_at)
            looked_at = len(data)
        head, body = parse(data[:begins]), data[begins:]
        if head.expects_continue and len(body) < head.length:
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces, length = [body], len(body)
        while length < head.length:
            pieces.append(self._receive(until, head.length - length))
            length += len(pieces[-1])
        return head, b"".join(pieces)[: head.length]

    def _receive(self, until: float, most: int) -> bytes:
        left = until - time.monotonic()
        try:
            self._sock.settimeout(max(left, 0.001))
            data: bytes = self._sock.recv(most)
        except TimeoutError:
            left = 0.0
        if left <= 0:
            text = f"the request was not complete within {self._bounds.request_within} s"
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, text)
        if not data:
            raise ConnectionError("the connection ended within the request")
        return data

    def _environ(self, head: Head, body: bytes) -> Environ:
        """As PEP 3333 wants it; fields with an underscore are left out, because they would look
        like others."""
        environ: Environ = {
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(head.path, encoding="latin-1"),
            "QUERY_STRING": head.query,
            "SERVER_NAME": str(self._local[0]),
            "SERVER_PORT": str(self._local[1]),
            "SERVER_PROTOCOL": head.version,
            "REMOTE_ADDR": str(self._remote[0]),
            "REMOTE_PORT": str(self._remote[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in head.fields:
            if "_" in name or name == "host":
                continue
            key = name.replace("-", "_").upper()
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if head.host:
            environ["HTTP_HOST"] = head.host
        return environ

    # -- the answer -------------------------------------------------------------------------------

    def _answer(self, head: Head, body: bytes) -> None:
        started: list[Any] = []
        written: list[bytes] = []

        def start_response(status: str, fields: list[tuple[str, str]], _: Any = None) -> Any:
            started[:] = status, fields
            return written.append

        try:
            result = self._application(self._environ(head, body), start_response)
        except Exception:
            LOG.exception("answering %s %s failed", head.method, head.path)
            text = "something is wrong here; the log says what"
            self._refuse(RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, text))
            return
        try:
            self._stream(head, started[0], started[1], [written, result])
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _stream(
        self, head: Head, status: str, fields: list[tuple[str, str]], bodies: list[Iterable[bytes]]
    ) -> None:
        """Sends what there is piece by piece; what breaks in the middle ends the connection
        without the mark of a complete answer."""
        fields = [(name, value) for name, value in fields if name.lower() not in _HOP_BY_HOP]
        sized = any(name.lower() == "content-length" for name, _ in fields)
        bodiless = head.method == "HEAD" or int(status[:3]) in _BODILESS
        chunked = not sized and not bodiless and head.version == "HTTP/1.1"
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        self._send(_head(status, fields))
        if bodiless:
            return
        try:
            for piece in (piece for body in bodies for piece in body if piece):
                self._send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._send(b"0\r\n\r\n")
        except OSError:
            raise
        except Exception:
            LOG.exception("the answer to %s %s broke off", head.method, head.path)

    def _refuse(self, error: RefusedError) -> None:
        """Answers without the application, and lets the client read that before the close."""
        body = error_body(str(error))
        status = f"{error.status.value} {error.status.phrase}"
        length = ("Content-Length", str(len(body)))
        self._send(_head(status, [("Content-Type", "application/json"), length]) + body)
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(_LINGER)
        self._sock.recv(_PIECE)

    def _send(self, data: bytes) -> None:
        """Raises OSError where the client is gone, or takes longer than it may."""
        bounds, view = self._bounds, memoryview(data)
        while view:
            began = time.monotonic()
            left = bounds.read_within + self._sent / bounds.read_rate - self._waited
            if left <= 0:
                raise TimeoutError("the client does not read its answer")
            self._sock.settimeout(min(left, bounds.read_within))
            count = self._sock.send(view[:_PIECE])
            self._waited += time.monotonic() - began
            self._sent += count
            view = view[count:]
            self._slice()


def _head(status: str, fields: list[tuple[str, str]]) -> bytes:
    own = [("Date", formatdate(usegmt=True)), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*fields, *own])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
