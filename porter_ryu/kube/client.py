"""The API server as this program asks it: lists, watches and single requests.

Lists and watches are decoded only as far as needed to split them into objects, which stay JSON
text: the models of the official client would take more time than everything else here.
Whatever arrives is bounded, in octets and in time.
"""

from __future__ import annotations

import contextlib
import email.utils
import time
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.json import Decoder
from ryu.lib import hub

from porter_ryu.domain.model import Kind
from porter_ryu.kube import metav1
from porter_ryu.kube.errors import BAD_ANSWER, ApiError, CodecError
from porter_ryu.kube.failures import failure
from porter_ryu.kube.json_text import ANY, Json, Text, decoded
from porter_ryu.kube.resources import RESOURCES
from porter_ryu.kube.transport import Asked, Response, Transport
from porter_ryu.time_slice import TimeSlice

_READ_SECONDS = 30.0
_WATCH_SECONDS, _WATCH_READ_SECONDS = 40, 50.0
_ANSWER_SECONDS = 120.0
_PAGE, _SMALL_PAGE, _MAX_PAGES = 500, 40, 10_000
_MEGABYTE = 1 << 20
# 40 objects of 1.5 MB, the largest that Kubernetes stores; a metav1.Status
_MAX_ANSWER_OCTETS, _MAX_ERROR_OCTETS = 64 * _MEGABYTE, _MEGABYTE
# an object of 1.5 MB, in which Go writes each < as six characters
_MAX_LINE_OCTETS = 16 * _MEGABYTE
_TOO_LARGE = "TooLarge"
_PLAIN_TO_TLS = b"Client sent an HTTP request to an HTTPS server"  # of Go's net/http
_OK, _MULTIPLE, _UNAUTHORIZED = 200, 300, 401
_LIST, _EVENT = Decoder(metav1.ObjectList), Decoder(metav1.WatchEvent)
_STATUS = Decoder(metav1.Status)


class Client:
    """Requests as this program makes them; every failure is an ApiError."""

    def __init__(self, kubeconfig: str, most: float = _ANSWER_SECONDS) -> None:
        """From a kubeconfig file, or (empty) from inside the cluster, else from the default
        kubeconfig; an answer may take `most` seconds.  Raises ApiError where none of them can be
        read."""
        self._most = most
        self._transport = Transport(kubeconfig)
        self._failures = _Failures(self._transport)

    @property
    def server(self) -> str:
        """Host and port of the API server."""
        return self._transport.server

    @property
    def url(self) -> str:
        """The URL of the API server, without path and credential."""
        return self._transport.url

    def pages(self, kind: Kind) -> Iterator[tuple[Sequence[Text], str]]:
        """All objects of a kind in pages of 500, each with the resourceVersion of the list; in
        pages of 40 if one is larger than 64 MB.  The server prepares a page while the caller takes
        the one before.  Raises ApiError; 410 if the list took too long."""
        query: dict[str, Any] = {"limit": _PAGE}
        asked = self._ask_page(kind, query)
        try:
            for _ in range(_MAX_PAGES):
                try:
                    found = self._page(kind, asked)
                except ApiError as error:
                    if error.reason != _TOO_LARGE or query["limit"] != _PAGE:
                        raise
                    query["limit"] = _SMALL_PAGE
                    asked = self._ask_page(kind, query)
                    continue
                token = found.metadata.continue_
                if token:
                    if token == query.get("continue"):
                        raise ApiError(0, BAD_ANSWER, f"the list of {kind.value} repeats a page")
                    query["continue"] = token
                    asked = self._ask_page(kind, query)
                yield found.items or (), found.metadata.resource_version or ""
                if not token:
                    return
        finally:
            asked.drop()
        raise ApiError(0, BAD_ANSWER, f"the list of {kind.value} does not end")

    def _ask_page(self, kind: Kind, query: dict[str, Any]) -> Asked:
        with self._in_time(), self._failures:
            path = RESOURCES[kind].collection
            return self._transport.send("GET", path, _READ_SECONDS, query, coding="gzip")

    def _page(self, kind: Kind, asked: Asked) -> metav1.ObjectList:
        with self._in_time(), self._failures:
            text = self._text("GET", RESOURCES[kind].collection, asked)
        try:
            return decoded(_LIST, text)
        except CodecError as error:
            reason = f"the list of {kind.value} is not a list: {error}"
            raise ApiError(0, BAD_ANSWER, reason) from error

    def version(self, kind: Kind) -> str:
        """The resourceVersion that a list of a kind would have now; raises ApiError."""
        found = self._page(kind, self._ask_page(kind, {"limit": 1}))
        return found.metadata.resource_version or ""

    def watch(self, kind: Kind, resource_version: str) -> Iterator[metav1.WatchEvent]:
        """Starts a watch from a resourceVersion, and returns its events until the server ends it.
        Both raise ApiError, also if the connection is silent for 50 s, if an event is larger than
        16 MB, or if the watch lasts for 120 s although 40 s were requested."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": _WATCH_SECONDS,
        }
        with self._in_time(), self._failures:
            path = RESOURCES[kind].collection
            asked = self._transport.send("GET", path, _WATCH_READ_SECONDS, query)
            answer = self._answer("GET", path, asked)
        return self._events(answer)

    def _events(self, answer: Response) -> Iterator[metav1.WatchEvent]:
        begun: list[bytes] = []
        size = 0
        give_way = TimeSlice()
        until = time.monotonic() + self._most
        with contextlib.closing(answer), self._failures:
            for piece in answer.stream():
                *lines, rest = piece.split(b"\n")
                for line in lines:
                    whole, begun, size = b"".join([*begun, line]), [], 0
                    if whole.strip():
                        yield _event(whole)
                begun.append(rest)
                size += len(rest)
                if size > _MAX_LINE_OCTETS:
                    raise ApiError(0, BAD_ANSWER, "an event is larger than 16 MB")
                if time.monotonic() > until:
                    # what keeps it open is not the API server, and may withhold events
                    raise ApiError(0, BAD_ANSWER, "a watch does not end")
                give_way()

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """One request and its answer; raises ApiError."""
        return _parse(self.text(method, path, query, body, content_type))

    def text(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One request and the text of its answer, which must be complete within two minutes; raises
        ApiError."""
        with self._in_time(), self._failures:
            asked = self._transport.send(
                method, path, _READ_SECONDS, query or {}, body, content_type
            )
            return self._text(method, path, asked)

    def _text(self, method: str, path: str, asked: Asked) -> bytes:
        answer = self._answer(method, path, asked)
        try:
            return _read(answer, _MAX_ANSWER_OCTETS)
        finally:
            answer.close()

    def date(self) -> float | None:
        """The time of the API server (Unix time, whole seconds), None if its answers have none;
        raises ApiError."""
        with self._in_time(), self._failures:
            asked = self._transport.send("GET", "/version", _READ_SECONDS)
            answer = self._answer("GET", "/version", asked)
            with contextlib.closing(answer):
                _read(answer, _MAX_ERROR_OCTETS)
        return _timestamp(answer.headers.get("date", ""))

    def _answer(self, method: str, path: str, asked: Asked) -> Response:
        response = asked.answer()
        if not _OK <= response.status < _MULTIPLE:
            raise self._error(method, path, response)
        return response

    def _in_time(self) -> _InTime:
        return _InTime(self._most, self.server)

    def _error(self, method: str, path: str, response: Response) -> ApiError:
        after = _seconds(response.headers.get("retry-after", ""))
        reason, message, body = "Status", f"{method} {path}", b""
        try:
            body = _said(response, _MAX_ERROR_OCTETS)
            status = decoded(_STATUS, body)
            reason, message = status.reason or reason, status.message or message
            if after is None and status.details is not None:
                after = status.details.retry_after_seconds or None
        except Exception:
            message = f"{method} {path}: the answer has no reason; is this a Kubernetes API server?"
            if body.startswith(_PLAIN_TO_TLS):
                message = f"the API server {self.server} wants TLS: its URL must begin with https"
        finally:
            response.close()
        if response.status == _UNAUTHORIZED:
            # the token may have been replaced on disk: the retry uses the new one
            message = f"the API server {self.server} does not accept {self._transport.renew()}"
        return ApiError(response.status, reason, message, after)


class _Failures:
    """Turns an exception of a request, or of reading its answer, into an ApiError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ApiError):
            raise failure(error, self._transport.server) from error


class _InTime:
    """Raises ApiError if what is in it takes more than so many seconds."""

    def __init__(self, most: float, server: str) -> None:
        self._server = server
        self._timeout = hub.Timeout(most)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._timeout.cancel()
        if error is self._timeout:
            text = f"the API server {self._server} does not complete its answer"
            raise ApiError(0, "TimedOut", text) from error


def _said(answer: Response, most: int) -> bytes:
    """The body of an error, as far as it arrives: a server that does not understand a request ends
    the connection without reading all of it, so the rest may be lost."""
    pieces, size = [], 0
    give_way = TimeSlice()
    with contextlib.suppress(OSError):
        for piece in answer.stream():
            if piece:
                pieces.append(piece)
            size += len(piece)
            if size > most:
                return b""
            give_way()
    return b"".join(pieces)


def _read(answer: Response, most: int) -> bytes:
    """The body of an answer of at most `most` octets; raises ApiError, and what the transport
    raises."""
    pieces, size = [], 0
    give_way = TimeSlice()
    give_way.begin()  # others ran while the answer was awaited
    for piece in answer.stream():
        if piece:
            pieces.append(piece)
        size += len(piece)
        if size > most:
            raise ApiError(0, _TOO_LARGE, f"an answer is larger than {most // _MEGABYTE} MB")
        give_way()
    return b"".join(pieces)


def _seconds(after: str) -> float | None:
    """Retry-After as seconds from now (RFC 9110, 10.2.3: a number of them, or a date)."""
    if after.isascii() and after.isdigit():
        return float(after)
    at = _timestamp(after)
    return None if at is None else at - time.time()


def _timestamp(date: str) -> float | None:
    """A date (RFC 9110, 5.6.7) as Unix time; None if it is none."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _event(line: bytes) -> metav1.WatchEvent:
    """An event of a watch; raises ApiError."""
    try:
        return decoded(_EVENT, line)
    except CodecError as error:
        raise ApiError(0, BAD_ANSWER, f"a watch event is invalid: {error}") from error


def _parse(text: bytes) -> Json:
    try:
        parsed = decoded(ANY, text)
    except CodecError as error:
        raise ApiError(0, BAD_ANSWER, "the answer of the API server is not JSON") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, BAD_ANSWER, "the answer of the API server is not an object")
    return parsed
