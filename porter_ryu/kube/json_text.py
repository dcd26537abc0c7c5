"""JSON text to values, whatever the text is.

One odd object must not cost the page that it stands in, nor a large page the loop its turns: a
list is read item by item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_DEPTH_MOST = 64
_DIGITS_MOST = 19
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_BLANK = re.compile(r"[ \t\r\n]*")


def _integer(digits: str) -> int | float:
    """A number as Go reads it into an interface: beyond 64 bits it is a float."""
    return int(digits) if len(digits.lstrip("-")) <= _DIGITS_MOST else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


def value(text: str) -> Any:
    """The value of a text; raises ValueError.

    What lies deeper than 64 levels is null where the text is too deep for the parser: nothing
    that is read here lies deeper than ten.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        return _DECODER.decode(_shallow(text))


def page(text: str, pause: Callable[[], None]) -> tuple[list[Any], dict[str, Any]]:
    """`items` of a list (none where it is null) and what else stands beside them; calls `pause`
    after each item; raises ValueError."""
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
        raise ValueError("something follows the list")
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
    """The value that begins at a place, and where it ends."""
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        end = _end(text, at)
        return value(text[at:end]), end


def _next(text: str, at: int, closing: str) -> int:
    """The place of what follows a value: the next one, or what closes."""
    at = _skip(text, at)
    if text[at : at + 1] == closing:
        return at
    return _after(text, at, ",")


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"there is no {sign!r} at {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _end(text: str, at: int) -> int:
    """Where the object or list ends that begins at a place."""
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    raise ValueError("it does not end")


def _shallow(text: str) -> str:
    """The text with null for whatever lies deeper than 64 levels."""
    pieces, depth, kept_from = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("{", "["):
            depth += 1
            if depth == _DEPTH_MOST + 1:
                pieces.append(f"{text[kept_from : token.start()]}null")
        elif token[0] in ("}", "]"):
            if depth == _DEPTH_MOST + 1:
                kept_from = token.end()
            depth -= 1
    return "".join([*pieces, text[kept_from:]]) if depth == 0 else "{"
