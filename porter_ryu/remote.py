"""A client of the HTTP interface of a running instance.

The server at the URL may be anything, so each response is limited in size and time, and every
failure becomes a RemoteError with one sentence.  Every command imports this module, so what asks is
imported when there is somebody to ask.
"""

from __future__ import annotations

import contextlib
import json
import signal
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import http.client

MAX_RESPONSE_OCTETS = 256 * 1024 * 1024
RESPONSE_SECONDS = 120.0
_SILENCE_SECONDS = 10.0
_CHUNK_OCTETS = 1 << 16
_NOT_PORTER_RYU = "the response is not from Porter-Ryu"
_FAILURES = (OSError, ValueError, RecursionError)


def segment(text: str) -> str:
    """A text as one segment of a path or value of a query; also one that is not valid Unicode, as
    an argument of a command may be."""
    return urllib.parse.quote(text, safe="", errors="surrogateescape")


def shown(url: str) -> str:
    """A URL as it may be shown: without what stands before an @, which may be a password."""
    before, at, host = url.rpartition("@")
    scheme = f"{before.partition('://')[0]}://" if "://" in before else ""
    return f"{scheme}(hidden)@{host}" if at else url


class RemoteError(Exception):
    """The instance cannot be reached, or the response is not valid; one sentence with the URL."""


class Remote:
    """The server at a URL such as http://127.0.0.1:8080."""

    def __init__(
        self, url: str, max_octets: int = MAX_RESPONSE_OCTETS, seconds: float = RESPONSE_SECONDS
    ) -> None:
        """`max_octets` and `seconds` limit each response.  Raises RemoteError for an invalid
        URL."""
        import http.client

        classes = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        self._failures = (http.client.HTTPException, *_FAILURES)
        self._url = url
        self._max_octets = max_octets
        self._seconds = seconds
        invalid = f"{shown(url)}: is not of the form http://HOST:PORT"
        try:
            parts = urllib.parse.urlsplit(url)
            connect = classes.get(parts.scheme)
            if connect is None or not parts.hostname or "@" in parts.netloc or not _is_plain(url):
                raise RemoteError(invalid)
            self._connection = connect(parts.hostname, parts.port, timeout=_SILENCE_SECONDS)
        except (ValueError, http.client.InvalidURL) as error:
            raise RemoteError(invalid) from error
        self._base_path = parts.path.rstrip("/")

    def get(self, path: str, shape: type) -> Any:
        """The JSON value at a path, which must be a `shape` (dict or list).  A 404 counts if its
        body says that the object was not found.  Raises RemoteError."""
        status, body, fields = self._request("GET", path, {})
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._refused(path, status, body, fields) from error
        has_value = isinstance(value, dict) and "found" in value
        if status != HTTPStatus.OK and not (status == HTTPStatus.NOT_FOUND and has_value):
            raise self._refused(path, status, body, fields)
        if not isinstance(value, shape):
            raise RemoteError(f"{self._url}{path}: {_NOT_PORTER_RYU}")
        return value

    def body(self, path: str, most: int) -> tuple[bytes, bool]:
        """At most `most` octets of the response at a path, whatever its status, and whether it has
        more; raises RemoteError."""
        try:
            with _time_limit(self._seconds), contextlib.closing(self._connection):
                self._connection.request("GET", self._base_path + path)
                response = self._connection.getresponse()
                data = response.read(most + 1)
                if len(data) <= most:
                    _check_complete(response, data)
        except self._failures as error:
            raise self._failed(error) from error
        return data[:most], len(data) > most

    def post(self, path: str, token: str) -> None:
        """Sends a POST request with the control token; raises RemoteError."""
        fields = {"Authorization": f"Bearer {token}"}
        status, body, received = self._request("POST", path, fields)
        if status != HTTPStatus.ACCEPTED:
            raise self._refused(path, status, body, received)

    def _request(
        self, method: str, path: str, fields: dict[str, str]
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and fields of a response; raises RemoteError."""
        try:
            with _time_limit(self._seconds), contextlib.closing(self._connection):
                self._connection.request(method, self._base_path + path, headers=fields)
                response = self._connection.getresponse()
                return response.status, _read(response, self._max_octets), response.headers
        except self._failures as error:
            raise self._failed(error) from error

    def _refused(
        self, path: str, status: int, body: bytes, fields: http.client.HTTPMessage
    ) -> RemoteError:
        from porter_ryu import remote_failures

        absent = remote_failures.of_absence(status, body)
        if absent:
            return RemoteError(f"{self._url}: {absent}")
        why = remote_failures.of_status(status, body, fields)
        return RemoteError(f"{self._url}{path}: {why}")

    def _failed(self, error: Exception) -> RemoteError:
        from porter_ryu import remote_failures

        host = self._connection.host
        why = remote_failures.of_connection(error, host, _SILENCE_SECONDS)
        return RemoteError(f"{self._url}: {why}")


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and not set(url) & set(" ?#")


@contextlib.contextmanager
def understood(url: str) -> Iterator[None]:
    """Wraps code that reads a response: turns errors about its shape into a RemoteError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise RemoteError(f"{url}: {_NOT_PORTER_RYU}") from error


def _read(response: http.client.HTTPResponse, max_octets: int) -> bytes:
    chunks, size = [], 0
    while chunk := response.read(_CHUNK_OCTETS):
        size += len(chunk)
        if size > max_octets:
            raise ValueError(f"the response is larger than {max_octets >> 20} MiB")
        chunks.append(chunk)
    body = b"".join(chunks)
    _check_complete(response, body)
    return body


def _check_complete(response: http.client.HTTPResponse, body: bytes) -> None:
    """Raises IncompleteRead if the connection ended too early, which `read` of some octets does
    not."""
    if response.length:
        import http.client

        raise http.client.IncompleteRead(body, response.length)


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in the block after this time, whatever it waits for; works only in the
    main thread."""

    def expire(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"no complete response within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
