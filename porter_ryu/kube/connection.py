"""One persistent connection to the API server, and the answer that is being read from it
(HTTP/1.1, RFC 9112).

urllib3 opens the socket: proxies, TLS and the checks of certificates are its own.  Requests do not
go through it, because what it does around each takes five times as long as the request: a request
is written at once, and a parser in C (llhttp) reads the answer.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import eventlet.patcher
from eventlet.hubs import trampoline
from httptools import HttpParserError, HttpResponseParser
from urllib3.connection import HTTPConnection

_RECEIVE = 1 << 16
_MOST_HEADER_OCTETS = 1 << 16
_FIRST_FINAL_STATUS = 200
# eventlet's own has no poll
_SELECT = eventlet.patcher.original("select")


class UnansweredError(ConnectionError):
    """The server ended the connection before it answered a request."""


class Connection:
    """A socket that carries one request after the other.  `used`: it carried an answer."""

    def __init__(self, opened: HTTPConnection) -> None:
        """Takes over a connection of urllib3 that is open."""
        self.used = False
        self._timeout = 0.0
        self._opened = opened
        assert opened.sock is not None
        self._socket: socket.socket = opened.sock
        self._readable = _SELECT.poll()
        self._readable.register(self._socket.fileno(), _SELECT.POLLIN)

    @property
    def fresh(self) -> bool:
        """Whether a request can be sent: the server has neither closed it nor said anything that
        was not asked for."""
        return not self._readable.poll(0)

    def send(self, request: bytes, timeout: float) -> None:
        """Sends a request.  Whatever then waits for the server waits `timeout` seconds at most each
        time.  Raises OSError."""
        self._timeout = timeout
        self._socket.settimeout(timeout)
        self._socket.sendall(request)

    def answer(self) -> Answer:
        """The answer to the request that was sent, when its header is there.  Raises OSError."""
        # it takes the server longer than a look whether it is there, which would fail with an error
        trampoline(self._socket, read=True, timeout=self._timeout, timeout_exc=TimeoutError)
        answer = Answer(self)
        self.used = True
        return answer

    def receive(self) -> bytes:
        """What the server sends next; empty where it ended the connection.  Raises OSError."""
        return self._socket.recv(_RECEIVE)

    def close(self) -> None:
        """Closes the socket."""
        self._opened.close()


class Answer:
    """The answer to one request.

    `reusable`: it was read to its end, and the connection may carry another request.
    """

    def __init__(self, connection: Connection) -> None:
        """Reads up to the end of the header; raises OSError, UnansweredError where nothing came."""
        self.status = 0
        self._fields: dict[bytes, bytes] = {}
        # called with name and value of each field, by the parser
        self.on_header = self._fields.__setitem__
        self._connection = connection
        self._parser = HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._header_read = self._complete = self._persistent = False
        size = self._read_first()
        while not self._header_read:
            size += self._read_more()
            if size > _MOST_HEADER_OCTETS and not self._header_read:
                raise ConnectionError("the header of an answer is too large")

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the header, by their names in lower case."""
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self._fields.items()
        }

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request."""
        return self._complete and self._persistent

    def stream(self) -> Iterator[bytes]:
        """The body as it arrives.  Raises OSError, also where it is cut off."""
        while True:
            pieces, self._pieces = self._pieces, []
            if pieces:
                yield b"".join(pieces)
            if self._complete:
                return
            self._read_more()

    def _read_first(self) -> int:
        try:
            octets = self._connection.receive()
        except (ConnectionResetError, BrokenPipeError) as error:
            raise UnansweredError("the connection was reset before the answer") from error
        if not octets:
            raise UnansweredError("an answer is cut off")
        return self._feed(octets)

    def _read_more(self) -> int:
        octets = self._connection.receive()
        if not octets:
            if not self._ends_with_connection:
                raise ConnectionError("an answer is cut off")
            self._complete = True
        return self._feed(octets)

    def _feed(self, octets: bytes) -> int:
        try:
            self._parser.feed_data(octets)
        except HttpParserError as error:
            raise ConnectionError("an answer is not HTTP") from error
        if self._complete:
            # it refers to this answer, so that only the garbage collector would find them
            del self._parser
        return len(octets)

    @property
    def _ends_with_connection(self) -> bool:
        """Whether the body has no length of its own (RFC 9112, 6.3)."""
        headers = self.headers
        own = "content-length" in headers or "transfer-encoding" in headers
        return self._header_read and not own

    # what the parser calls

    def on_message_begin(self) -> None:
        """The begin of an answer."""
        if self._complete:
            raise ConnectionError("an answer to no request")

    def on_headers_complete(self) -> None:
        """The end of the header."""
        self.status = self._parser.get_status_code()
        self._header_read = self.status >= _FIRST_FINAL_STATUS
        self._persistent = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The end of the body, or of an interim answer (RFC 9110, 15.2)."""
        self._complete = self._header_read
        if not self._header_read:
            self._fields.clear()
