"""A running instance, asked over HTTP.

Whatever stands at the URL may answer anything, or nothing, or without end: every answer has a
bound in size and in time, and what is no answer of ours becomes one sentence.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import urllib.parse
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from porter_ryu.domain.text import one_line
from porter_ryu.log import reason_of

ANSWER_MOST = 256 * 1024 * 1024
ANSWER_WITHIN = 120.0
_SILENT_MOST = 10.0
_PIECE = 1 << 16
_SHOWN = 200
_FOREIGN = "answers, but not as Porter-Ryu does"
_BROKEN = (http.client.HTTPException, OSError, ValueError, RecursionError)


_KINDS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}


class RemoteError(Exception):
    """There is no instance to be asked, or what answers is none: a sentence with the URL."""


class Remote:
    """What listens at a URL such as http://127.0.0.1:8080."""

    def __init__(self, url: str, most: int = ANSWER_MOST, within: float = ANSWER_WITHIN) -> None:
        """`most`: octets of an answer, `within`: seconds for all of it.  Raises RemoteError for
        what is no such URL."""
        self._url = url
        self._most = most
        self._within = within
        form = f"{url}: is not of the form http://HOST:PORT"
        try:
            parts = urllib.parse.urlsplit(url)
            kind = _KINDS.get(parts.scheme)
            if kind is None or not parts.hostname or "@" in parts.netloc or not _is_plain(url):
                raise RemoteError(form)
            self._connection = kind(parts.hostname, parts.port, timeout=_SILENT_MOST)
        except (ValueError, http.client.InvalidURL) as error:
            raise RemoteError(form) from error
        self._before = parts.path.rstrip("/")

    def get(self, path: str, shape: type) -> Any:
        """The JSON at a path, of this type (dict, list), also of a 404 that has some; raises
        RemoteError."""
        status, body = self._ask("GET", path, {})
        try:
            found = json.loads(body)
        except (ValueError, RecursionError) as error:
            text = f"{self._url}{path}: answers {status}, and no JSON: is this a Porter-Ryu?"
            raise RemoteError(text) from error
        is_entry = isinstance(found, dict) and "error" not in found
        if status != HTTPStatus.OK and not (status == HTTPStatus.NOT_FOUND and is_entry):
            raise RemoteError(f"{self._url}{path}: {_said(status, body)}")
        if not isinstance(found, shape):
            raise RemoteError(f"{self._url}{path}: {_FOREIGN}")
        return found

    def post(self, path: str, token: str) -> None:
        """Asks for something that needs the control token; raises RemoteError."""
        status, body = self._ask("POST", path, {"Authorization": f"Bearer {token}"})
        if status != HTTPStatus.ACCEPTED:
            raise RemoteError(f"{self._url}{path}: {_said(status, body)}")

    def _ask(self, method: str, path: str, fields: dict[str, str]) -> tuple[int, bytes]:
        try:
            with _time_limit(self._within), contextlib.closing(self._connection):
                self._connection.request(method, self._before + path, headers=fields)
                answer = self._connection.getresponse()
                return answer.status, _read(answer, self._most)
        except _BROKEN as error:
            why = reason_of(error)
            raise RemoteError(f"{self._url}: {why}") from error


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and not set(url) & set(" ?#")


@contextlib.contextmanager
def understood(url: str) -> Iterator[None]:
    """Around what reads an answer: one of another shape than ours is a RemoteError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise RemoteError(f"{url}: {_FOREIGN}") from error


def _read(answer: http.client.HTTPResponse, most: int) -> bytes:
    pieces, size = [], 0
    while piece := answer.read(_PIECE):
        size += len(piece)
        if size > most:
            raise ValueError(f"the answer is larger than {most >> 20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


def _said(status: int, body: bytes) -> str:
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = body[:_SHOWN].decode("utf-8", "replace")
    return f"{status} {http.client.responses.get(status, '')}: {one_line(text, _SHOWN)}"


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what takes longer, however it waits (in the main thread alone)."""

    def late(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"no complete answer within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
