"""JSON responses: errors, single values, and long arrays that are generated while they are sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

from webob import Request, Response

from porter_ryu.time_slice import TimeSlice

_CHUNK_CHARACTERS = 32_768
_RETRY_AFTER_SECONDS = 1
_ANY = "*"


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


def tagged_value(req: Request, value: Any, volatile: Collection[str] = ()) -> Response:
    """A response with one value and an ETag; 304 if the client has it (RFC 9110, 13.1.2).

    The tag is a weak one: the keys in `volatile`, which change with each second, do not count.
    """
    kept = value if not volatile else _without(value, volatile)
    tag = _tag([_json_text(kept).encode()])
    return _not_modified(req, tag) or _tagged(json_value(value), tag)


def _without(value: Any, volatile: Collection[str]) -> Any:
    """A value without the keys in `volatile`; one with a dot is a key of a value in it."""
    if isinstance(value, list):
        return [_without(entry, volatile) for entry in value]
    kept = {key: entry for key, entry in value.items() if key not in volatile}
    for outer, dot, inner in (name.partition(".") for name in volatile):
        if dot and outer in kept:
            kept[outer] = _without(kept[outer], (inner,))
    return kept


def tagged_stream(
    req: Request, limit: ConcurrencyLimit, version: str, text: Iterable[str]
) -> Response:
    """A response as `json_stream`, with an ETag made of `version`, which differs whenever the text
    does; 304 if the client has it."""
    tag = _tag([version.encode()])
    unchanged = _not_modified(req, tag)
    return unchanged or _tagged(json_stream(limit, text), tag)


def tagged_list(req: Request, limit: ConcurrencyLimit, entries: Iterable[Any]) -> Response:
    """A response with a long list and an ETag; 304 if the client has it, 503 if the limit is
    reached.  The list is made before the first octet is sent, because the tag depends on it."""
    if not limit.acquire():
        return _too_many()
    chunks = _LimitedBody(limit, iter(()))
    try:
        made = list(_chunks(json_array(entries)))
    except BaseException:
        chunks.close()
        raise
    tag = _tag(made)
    unchanged = _not_modified(req, tag)
    if unchanged is not None:
        chunks.close()
        return unchanged
    response = Response(content_type="application/json")
    response.app_iter = _LimitedBody(limit, iter(made))
    response.content_length = sum(map(len, made))
    return _tagged(response, tag)


def _tag(chunks: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for chunk in chunks:
        digest.update(chunk)
    return f'W/"{digest.hexdigest()}"'


def _not_modified(req: Request, tag: str) -> Response | None:
    """304 if the client names the tag, or any, in If-None-Match; tags are compared as weak ones."""
    named = [text.strip().removeprefix("W/") for text in _if_none_match(req).split(",")]
    if tag.removeprefix("W/") not in named and named != [_ANY]:
        return None
    response = Response(status=HTTPStatus.NOT_MODIFIED.value)
    response.headers.pop("Content-Type", None)
    return _tagged(response, tag)


def _if_none_match(req: Request) -> str:
    return str(req.headers.get("If-None-Match", ""))


def _tagged(response: Response, tag: str) -> Response:
    if response.status_int != HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"
    return response


def _too_many() -> Response:
    return error(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too many long responses are in progress; try again",
        Retry_After=str(_RETRY_AFTER_SECONDS),
    )


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
        return _too_many()
    response = Response(content_type="application/json")
    response.app_iter = _LimitedBody(limit, _chunks(text))
    return response


def event_stream(limit: ConcurrencyLimit, events: Iterator[bytes]) -> Response:
    """A response that does not end: server-sent events.  503 if the limit is reached."""
    if not limit.acquire():
        return _too_many()
    response = Response(content_type="text/event-stream", charset="utf-8")
    response.headers["Cache-Control"] = "no-store"
    response.app_iter = _LimitedBody(limit, events)
    return response


def json_array(entries: Iterable[Any]) -> Iterator[str]:
    """The text of a JSON array, entry by entry, one on each line."""
    before = "[\n"
    for value in entries:
        yield before
        yield _json_text(value)
        before = ",\n"
    yield "[]" if before == "[\n" else "\n]"


def json_object(values: Mapping[str, Any], lists: Mapping[str, Iterable[Any]]) -> Iterator[str]:
    """The text of a JSON object with these members; the lists are made entry by entry."""
    before = "{"
    for name, value in values.items():
        yield f'{before}"{name}": {_json_text(value)}'
        before = ", "
    for name, entries in lists.items():
        yield f'{before}"{name}": '
        yield from json_array(entries)
        before = ", "
    yield "}"


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
