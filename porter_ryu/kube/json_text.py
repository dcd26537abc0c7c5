"""Parses JSON responses of the API server.

A list is parsed item by item, so that one unusual object does not affect the others, and other
greenthreads run during a large page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_MAX_DEPTH = 64
_MAX_INT_DIGITS = 19
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


def _integer(digits: str) -> int | float:
    """A number as Go decodes it into an interface: beyond 64 bits it is a float."""
    return int(digits) if len(digits.lstrip("-")) <= _MAX_INT_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


def value(text: str) -> Any:
    """The value of a text; raises ValueError.

    If the text is nested too deeply for the parser, values below 64 levels become null; the program
    reads no field below ten levels.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _DECODER.decode(_shallow(text))


def page(text: str, pause: Callable[[], None]) -> tuple[list[Any], dict[str, Any]]:
    """The `items` of a list (empty if null) and its other fields; calls `pause` after each item;
    raises ValueError."""
    items: list[Any] = []
    rest: dict[str, Any] = {}
    at = _after(text, 0, "{")
    while text[at : at + 1] != "}":
        name, at = _one(text, at)
        at = _after(text, at, ":")
        if name == "items" and text[at : at + 1] == "[":
            at = _items(text, at + 1, items, pause)
        else:
            rest[str(name)], at = _one(text, at)
        at = _next(text, at, "}")
    if _skip(text, at + 1) != len(text):
        raise ValueError("there is text after the list")
    if rest.get("items") is not None:
        raise ValueError("items is not a list")
    return items, rest


def _items(text: str, at: int, items: list[Any], pause: Callable[[], None]) -> int:
    at = _skip(text, at)
    while text[at : at + 1] != "]":
        item, at = _one(text, at)
        items.append(item)
        at = _next(text, at, "]")
        pause()
    return at + 1


def _one(text: str, at: int) -> tuple[Any, int]:
    """The value at an offset, and the offset of its end."""
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        end = _end(text, at)
        return value(text[at:end]), end


def _next(text: str, at: int, closing: str) -> int:
    """The offset of the next value, or of the closing bracket."""
    at = _skip(text, at)
    if text[at : at + 1] == closing:
        return at
    return _after(text, at, ",")


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign!r} is expected at offset {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _end(text: str, at: int) -> int:
    """The offset at which the object or list at `at` ends."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise ValueError("an object or list does not end")


def _shallow(text: str) -> str:
    """The text with null in place of all values below 64 levels."""
    pieces, depth, kept_from = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            depth += 1
            if depth == _MAX_DEPTH + 1:
                pieces.append(f"{text[kept_from : token.start()]}null")
        elif token[0] in ("}", "]"):
            if depth == _MAX_DEPTH + 1:
                kept_from = token.end()
            depth -= 1
    return "".join([*pieces, text[kept_from:]]) if depth == 0 else "{"
