"""JSON responses: errors, single values, and long arrays that are generated while they are sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from webob import Response

from porter_ryu.time_slice import TimeSlice

_CHUNK_CHARACTERS = 32_768
_RETRY_AFTER_SECONDS = 1


def error_body(message: str) -> bytes:
    """The JSON body of an error response."""
    return _json_text({"error": message}).encode() + b"\n"


def error(status: HTTPStatus, message: str, **headers: str) -> Response:
    """An error response; `headers` are extra header fields, with _ in place of -."""
    response = Response(status=status.value, content_type="application/json")
    response.body = error_body(message)
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def json_value(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A response with one value, indented."""
    response = Response(status=status.value, content_type="application/json")
    response.body = _json_text(value, indent=2).encode() + b"\n"
    return response


class ConcurrencyLimit:
    """Limits how many long responses are generated at the same time."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._active = 0

    def acquire(self) -> bool:
        """Returns whether another response may begin; if so, call release when it ends."""
        if self._active >= self._maximum:
            return False
        self._active += 1
        return True

    def release(self) -> None:
        """Ends a response that was acquired."""
        self._active -= 1


class _LimitedBody:
    """A WSGI body that releases its limit when it is closed, whether it was sent or not."""

    def __init__(self, limit: ConcurrencyLimit, chunks: Iterator[bytes]) -> None:
        self._limit: ConcurrencyLimit | None = limit
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None:
            limit.release()


def json_stream(limit: ConcurrencyLimit, text: Iterable[str]) -> Response:
    """A response whose JSON text is generated while it is sent; 503 if the limit is reached."""
    if not limit.acquire():
        return error(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too many long responses are in progress; try again",
            Retry_After=str(_RETRY_AFTER_SECONDS),
        )
    response = Response(content_type="application/json")
    response.app_iter = _LimitedBody(limit, _chunks(text))
    return response


def json_array(entries: Iterable[Any]) -> Iterator[str]:
    """The text of a JSON array, entry by entry, one on each line."""
    before = "[\n"
    for value in entries:
        yield before
        yield _json_text(value)
        before = ",\n"
    yield "[]" if before == "[\n" else "\n]"


def _chunks(text: Iterable[str]) -> Iterator[bytes]:
    """The text in larger chunks; yields to other greenthreads in between."""
    give_way = TimeSlice()
    collected: list[str] = []
    size = 0
    for part in text:
        collected.append(part)
        size += len(part)
        give_way()
        if size >= _CHUNK_CHARACTERS:
            yield "".join(collected).encode()
            collected, size = [], 0
    yield "".join([*collected, "\n"]).encode()


def _json_text(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII without control characters, safe to print on a terminal."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")
