"""Parses a JSON object, the items of a List one by one, so that a large one needs little memory."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from porter_ryu.kube.json_text import Json
from porter_ryu.kube.yaml_documents import BrokenTextError, Document, Item

_SPACE = re.compile(r"[ \t\r\n]*")
_MAX_INT_DIGITS = 300  # more than a float can hold; Python refuses int() for thousands of digits
_ITEMS = "items"


def skip_space(text: str, position: int) -> int:
    """The offset at which the white space at `position` ends."""
    found = _SPACE.match(text, position)
    return found.end() if found else position


def refuse(value: Any) -> Any:
    """A `default` for json.dumps: raises ValueError for the marker of a duplicate key."""
    raise ValueError(f"key {value.name[:40]!r} is already set")


class JsonReader:
    """Parses one object that begins at offset `start`, in line `line`.

    `store_item` is called with each item of its `items` and returns what to store for it.  `end` is
    the offset at which the object ended.
    """

    def __init__(
        self,
        text: str,
        start: int,
        line: int,
        store_item: Callable[[Item], Any],
        give_way: Callable[[], None],
    ) -> None:
        self._text, self._start, self._line = text, start, line
        self._store_item, self._give_way = store_item, give_way
        self.end = start

    def document(self) -> Document:
        """The object; raises BrokenTextError, or RecursionError if it is nested too deeply."""
        fields: Json = {}
        items: list[Any] | None = None
        position = skip_space(self._text, self._start + 1)
        while not self._text.startswith("}", position):
            if fields or items is not None:
                position = self._expect(",", position)
            name, position = self._value(position)
            if not isinstance(name, str):
                raise self._broken(position, "a key is not a string")
            position = self._expect(":", position)
            if name == _ITEMS and items is None and self._text.startswith("[", position):
                items, position = self._items(position)
            else:
                value, position = self._value(position)
                duplicate = name in fields or (name == _ITEMS and items is not None)
                fields[name] = _Duplicate(name) if duplicate else value
            position = skip_space(self._text, position)
        self.end = position + 1
        return Document(self._line, fields, items)

    def _items(self, position: int) -> tuple[list[Any], int]:
        stored: list[Any] = []
        line, counted = self._line, self._start
        position = skip_space(self._text, position + 1)
        while not self._text.startswith("]", position):
            if stored:
                position = self._expect(",", position)
            self._give_way()
            line += self._text.count("\n", counted, position)
            counted = position
            value, position = self._value(position)
            stored.append(self._store_item(Item(line, value)))
            position = skip_space(self._text, position)
        return stored, position + 1

    def _value(self, position: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self._text, position)
        except json.JSONDecodeError as error:
            why = f"{error.msg[:1].lower()}{error.msg[1:]}"
            text = f"it begins with a brace, so it is read as JSON, and is not valid: {why}"
            raise self._broken(error.pos, text) from error
        except ValueError as error:
            raise self._broken(position, str(error)) from error

    def _expect(self, sign: str, position: int) -> int:
        position = skip_space(self._text, position)
        if not self._text.startswith(sign, position):
            raise self._broken(position, f"{sign!r} is expected")
        return skip_space(self._text, position + 1)

    def _broken(self, position: int, message: str) -> BrokenTextError:
        line = self._line + self._text.count("\n", self._start, position)
        return BrokenTextError(line, message)


class _Duplicate(Struct, frozen=True):
    """A marker in place of a value whose key is set twice."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> Json:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                fields[name] = _Duplicate(name)
            seen.add(name)
    return fields


def _integer(text: str) -> int | float:
    return int(text) if len(text) < _MAX_INT_DIGITS else math.inf


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not valid JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_constant
)
