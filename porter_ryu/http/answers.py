"""Answers as JSON: errors, single entries, and long lists that are sent as they are made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from webob import Response

from porter_ryu.time_slice import TimeSlice

_PIECE = 32_768
_RETRY_AFTER = 1


def error_body(text: str) -> bytes:
    """What every error says, as JSON."""
    return _text({"error": text}).encode() + b"\n"


def error(status: HTTPStatus, text: str, **fields: str) -> Response:
    """An error; `fields` are more header fields, spelled with underscores."""
    response = Response(status=status.value, content_type="application/json")
    response.body = error_body(text)
    for name, value in fields.items():
        response.headers[name.replace("_", "-")] = value
    return response


def entry(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """One value, laid out for people."""
    response = Response(status=status.value, content_type="application/json")
    response.body = _text(value, indent=2).encode() + b"\n"
    return response


class Gate:
    """How many answers that are work may be made at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def enter(self) -> bool:
        """Whether there was room; who entered has to leave."""
        if self._inside >= self._most:
            return False
        self._inside += 1
        return True

    def leave(self) -> None:
        """Makes room for another one."""
        self._inside -= 1


class _Streamed:
    """A WSGI body that leaves its gate when it is closed, begun or not."""

    def __init__(self, gate: Gate, pieces: Iterator[bytes]) -> None:
        self._gate: Gate | None = gate
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.leave()


def stream(gate: Gate, text: Iterable[str]) -> Response:
    """JSON text that is made while it is sent; 503 while too many are."""
    if not gate.enter():
        return error(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too many answers of this kind are being made; ask again",
            Retry_After=str(_RETRY_AFTER),
        )
    response = Response(content_type="application/json")
    response.app_iter = _Streamed(gate, _pieces(text))
    return response


def array(entries: Iterable[Any]) -> Iterator[str]:
    """A JSON array, one entry a line, made entry by entry."""
    before = "[\n"
    for value in entries:
        yield before
        yield _text(value)
        before = ",\n"
    yield "[]" if before == "[\n" else "\n]"


def _pieces(text: Iterable[str]) -> Iterator[bytes]:
    """The same text in pieces that are worth sending; gives way to the loop meanwhile."""
    give_way = TimeSlice()
    collected: list[str] = []
    size = 0
    for part in text:
        collected.append(part)
        size += len(part)
        give_way()
        if size >= _PIECE:
            yield "".join(collected).encode()
            collected, size = [], 0
    yield "".join([*collected, "\n"]).encode()


def _text(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII, in which no control character is left, so that a terminal may show it."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")
