"""JSON to objects, the items of a List one by one, so that of a large one only text is kept."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from porter_ryu.kube.fields import Json
from porter_ryu.kube.yaml_documents import BrokenTextError, Document, Item

_SPACE = re.compile(r"[ \t\r\n]*")
_SAFE_INT_DIGITS = 300  # any that a float can hold; int() of thousands is refused by Python
_ITEMS = "items"


def skipped(text: str, position: int) -> int:
    """Where the white space at a position ends."""
    found = _SPACE.match(text, position)
    return found.end() if found else position


def refuse(value: Any) -> Any:
    """For json.dumps: says why a value that this module made is none."""
    raise ValueError(f"key {value.name[:40]!r} is already set")


class JsonReader:
    """Reads one object that begins at `start`, in line `line`.  `keep` is told each item of its
    `items` and returns what to hold of it; `end` is where the object ended."""

    def __init__(
        self,
        text: str,
        start: int,
        line: int,
        keep: Callable[[Item], Any],
        pause: Callable[[], None],
    ) -> None:
        self._text, self._start, self._line = text, start, line
        self._keep, self._pause = keep, pause
        self.end = start

    def document(self) -> Document:
        """The object; raises BrokenTextError, and RecursionError where it is too deep."""
        fields: Json = {}
        items: list[Any] | None = None
        position = skipped(self._text, self._start + 1)
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
                twice = name in fields or (name == _ITEMS and items is not None)
                fields[name] = _Twice(name) if twice else value
            position = skipped(self._text, position)
        self.end = position + 1
        return Document(self._line, fields, items)

    def _items(self, position: int) -> tuple[list[Any], int]:
        kept: list[Any] = []
        line, counted = self._line, self._start
        position = skipped(self._text, position + 1)
        while not self._text.startswith("]", position):
            if kept:
                position = self._expect(",", position)
            self._pause()
            line += self._text.count("\n", counted, position)
            counted = position
            value, position = self._value(position)
            kept.append(self._keep(Item(line, value)))
            position = skipped(self._text, position)
        return kept, position + 1

    def _value(self, position: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self._text, position)
        except json.JSONDecodeError as error:
            raise self._broken(error.pos, error.msg) from error
        except ValueError as error:
            raise self._broken(position, str(error)) from error

    def _expect(self, sign: str, position: int) -> int:
        position = skipped(self._text, position)
        if not self._text.startswith(sign, position):
            raise self._broken(position, f"{sign!r} is expected")
        return skipped(self._text, position + 1)

    def _broken(self, position: int, message: str) -> BrokenTextError:
        line = self._line + self._text.count("\n", self._start, position)
        return BrokenTextError(line, message)


@dataclass(frozen=True, slots=True)
class _Twice:
    """In the place of a value whose key stands there twice."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> Json:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                fields[name] = _Twice(name)
            seen.add(name)
    return fields


def _integer(text: str) -> int | float:
    return int(text) if len(text) < _SAFE_INT_DIGITS else math.inf


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_constant=_no_constant
)
