"""One HTTP connection: one request and one response, each with a time limit.

A client that sends or reads too slowly loses its connection; other clients are not affected.  The
server closes the connection after every response, so no connection is ever idle.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import eventlet
from eventlet.green import socket
from eventlet.hubs import trampoline
from msgspec import Struct

from porter_ryu.domain.model import Address
from porter_ryu.http.loop_budget import LoopBudget
from porter_ryu.http.request import MAX_HEAD_OCTETS, Head, RefusedError, end_of_head, parse
from porter_ryu.http.responses import error_body
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_CHUNK_OCTETS = 65_536
_SEND_BUFFER_OCTETS = 262_144
_LINGER_SECONDS = 1.0
_TCP_USER_TIMEOUT = 18
_LOST_MILLISECONDS = 30_000  # a client that acknowledges nothing for so long has vanished
_STATUSES_WITHOUT_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_ENDLESS = "text/event-stream"
_MAX_DISCARDED_OCTETS = 65_536  # that a client sends after its request
_HOP_BY_HOP_FIELDS = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})


class Limits(Struct, frozen=True):
    """Limits on clients.

    `request_seconds`: from the accept to the last octet of the request.  `stall_seconds`: how long
    the client may block one send, and all sends of a response together, where each
    `min_octets_per_second` octets that it has read add one second.
    """

    max_connections: int = 256
    request_seconds: float = 5.0
    stall_seconds: float = 10.0
    min_octets_per_second: int = 262_144


class Connection:
    """A connection from a client.

    `reading` is true until the request is complete.  Before the response, the connection waits for
    the `budget`, so that many clients do not block the event loop.
    """

    def __init__(
        self,
        sock: socket.socket,
        remote: tuple[Address, int],
        local: tuple[Address, int],
        application: Application,
        budget: LoopBudget,
        limits: Limits,
        supervisor: Supervisor,
    ) -> None:
        self.reading = True
        self._supervisor = supervisor
        self._sock = sock
        self._remote = remote
        self._local = local
        self._application = application
        self._budget = budget
        self._limits = limits
        self._give_way = TimeSlice()
        self._octets_sent = 0
        self._seconds_blocked = 0.0

    def close(self) -> None:
        """Closes the connection; may be called more than once."""
        self._sock.close()

    def run(self) -> None:
        """Reads the request and sends the response."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_OCTETS)
            self._sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, _LOST_MILLISECONDS)
            self._serve()
        except OSError as error:
            LOG.debug("an HTTP client closed the connection or is too slow: %s", error)
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
        self._budget.wait()
        if refusal is None:
            self._respond(head, body)
        else:
            self._refuse(refusal)

    # -- the request ------------------------------------------------------------------------------

    def _read(self) -> tuple[Head, bytes]:
        """Raises RefusedError, or OSError if the client closed the connection."""
        deadline = time.monotonic() + self._limits.request_seconds
        data, searched, body_start = b"", 0, 0
        while not body_start:
            if data:
                data += self._receive(deadline, MAX_HEAD_OCTETS)
            else:
                data = self._receive(deadline, MAX_HEAD_OCTETS).lstrip(b"\r\n")
            body_start = end_of_head(data, searched)
            searched = len(data)
        head, body = parse(data[:body_start]), data[body_start:]
        if head.expects_continue and len(body) < head.length:
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        chunks, length = [body], len(body)
        while length < head.length:
            chunks.append(self._receive(deadline, head.length - length))
            length += len(chunks[-1])
        return head, b"".join(chunks)[: head.length]

    def _receive(self, deadline: float, max_octets: int) -> bytes:
        remaining = deadline - time.monotonic()
        try:
            self._sock.settimeout(max(remaining, 0.001))
            data: bytes = self._sock.recv(max_octets)
        except TimeoutError:
            remaining = 0.0
        if remaining <= 0:
            text = f"the request was not complete within {self._limits.request_seconds} s"
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, text)
        if not data:
            raise ConnectionError("the client closed the connection before its request ended")
        return data

    def _environ(self, head: Head, body: bytes) -> Environ:
        """The environ of PEP 3333.  Fields with an underscore are left out, because they would
        get the same name as fields with a hyphen."""
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
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if head.host:
            environ["HTTP_HOST"] = head.host
        return environ

    # -- the response -----------------------------------------------------------------------------

    def _respond(self, head: Head, body: bytes) -> None:
        started: list[Any] = []
        written: list[bytes] = []

        def start_response(status: str, fields: list[tuple[str, str]], _: Any = None) -> Any:
            started[:] = status, fields
            return written.append

        try:
            result = self._application(self._environ(head, body), start_response)
        except Exception:
            LOG.exception("handling %s %s failed", head.method, head.path)
            text = "internal error; see the log"
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
        """Sends the response chunk by chunk.  If it fails in the middle, the connection is closed
        without the last chunk, so the client can tell that it is incomplete."""
        fields = [(name, value) for name, value in fields if name.lower() not in _HOP_BY_HOP_FIELDS]
        types = [value for name, value in fields if name.lower() == "content-type"]
        has_length = any(name.lower() == "content-length" for name, _ in fields)
        without_body = head.method == "HEAD" or int(status[:3]) in _STATUSES_WITHOUT_BODY
        chunked = not has_length and not without_body and head.version == "HTTP/1.1"
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        self._send(_head(status, fields))
        if without_body:
            return
        endless = any(value.startswith(_ENDLESS) for value in types)
        try:
            with self._while_client_stays() if endless else contextlib.nullcontext():
                for chunk in (chunk for body in bodies for chunk in body if chunk):
                    self._send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                if chunked:
                    self._send(b"0\r\n\r\n")
        except OSError:
            raise
        except Exception:
            LOG.exception("the response to %s %s is incomplete", head.method, head.path)

    @contextlib.contextmanager
    def _while_client_stays(self) -> Iterator[None]:
        """Raises ConnectionError in the block when the client closes the connection: where nothing
        is sent for a long time, it would keep its place until then."""
        serving = eventlet.getcurrent()
        watch = self._supervisor.spawn("http client", self._watch, serving)
        try:
            yield
        finally:
            watch.end()

    def _watch(self, serving: Any) -> None:
        discarded, data = 0, b"-"
        while data and discarded < _MAX_DISCARDED_OCTETS:
            trampoline(self._sock, read=True)
            try:
                data = self._sock.recv(_CHUNK_OCTETS)
            except OSError:
                data = b""
            discarded += len(data)
        if not data:
            eventlet.kill(serving, ConnectionError("the client closed the connection"))

    def _refuse(self, error: RefusedError) -> None:
        """Sends an error without calling the application.  The client gets time to read it before
        the connection is closed."""
        body = error_body(str(error))
        status = f"{error.status.value} {error.status.phrase}"
        length = ("Content-Length", str(len(body)))
        self._send(_head(status, [("Content-Type", "application/json"), length]) + body)
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(_LINGER_SECONDS)
        self._sock.recv(_CHUNK_OCTETS)

    def _send(self, data: bytes) -> None:
        """Raises OSError if the client closed the connection or reads too slowly."""
        limits, unsent = self._limits, memoryview(data)
        while unsent:
            started = time.monotonic()
            allowed = limits.stall_seconds + self._octets_sent / limits.min_octets_per_second
            remaining = allowed - self._seconds_blocked
            if remaining <= 0:
                raise TimeoutError("the client does not read the response")
            self._sock.settimeout(min(remaining, limits.stall_seconds))
            count = self._sock.send(unsent[:_CHUNK_OCTETS])
            self._seconds_blocked += time.monotonic() - started
            self._octets_sent += count
            unsent = unsent[count:]
            self._give_way()


def _head(status: str, fields: list[tuple[str, str]]) -> bytes:
    own = [("Date", formatdate(usegmt=True)), ("Connection", "close")]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in [*fields, *own])]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
