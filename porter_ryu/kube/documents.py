"""Files of Kubernetes objects as kubectl reads them: YAML with several documents, streams of JSON
values, and Lists in both, whatever the file is called.

Each object comes out on its own, as JSON octets of a bounded size; what is broken costs itself
alone, as far as one can tell where it ends.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from porter_ryu.kube.fields import Json
from porter_ryu.kube.limits import MIB, OBJECT_DEPTH, OBJECT_OCTETS
from porter_ryu.kube.yaml_documents import (
    BrokenTextError,
    Budget,
    Document,
    Item,
    UnfitError,
    YamlReader,
)

# the rules of apimachinery's YAMLReader: a document ends at a line that begins so
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_SPACE = re.compile(r"[ \t\r\n]*")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAFE_INT_DIGITS = 300  # any that a float can hold; int() of thousands is refused by Python


class BrokenFileError(ValueError):
    """A file that cannot be parsed; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Entry:
    """One object as JSON, or, with a `fault`, something that is none; `line` counts from 1."""

    line: int
    text: bytes
    fault: str = ""


def _never() -> None:
    """Nobody waits."""


def read(name: str, text: str) -> Iterator[tuple[int, Json]]:
    """The objects in the text of a file with the lines they start at; raises BrokenFileError."""
    del name  # the content tells what it is
    for entry in entries(text):
        if entry.fault:
            raise BrokenFileError(entry.line, entry.fault)
        yield entry.line, json.loads(entry.text)


def entries(content: bytes | str, pause: Callable[[], None] = _never) -> Iterator[Entry]:
    """All that is in a file; `pause` is called often.  Raises nothing: whatever goes wrong is an
    entry with a fault, and with it what stands behind that place may be missing."""
    try:
        text = content if isinstance(content, str) else _decoded(content)
        yield from _entries(text.removeprefix("\ufeff"), pause)
    except (BrokenTextError, UnfitError) as error:
        yield Entry(error.line, b"", str(error))
    except MemoryError:
        yield Entry(1, b"", "takes too much memory")
    except Exception as error:  # no input may end the reader, whatever a parser does with it
        yield Entry(1, b"", f"cannot be parsed: {type(error).__name__}: {error}")


def _decoded(content: bytes) -> str:
    if content.startswith(_UTF16):
        raise BrokenTextError(1, "is UTF-16, which kubectl does not read either; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenTextError(line, "is not UTF-8") from error


def _entries(text: str, pause: Callable[[], None]) -> Iterator[Entry]:
    """kubectl's way: JSON values for as long as there are any, and YAML from there."""
    position, line, values, budget = 0, 1, 0, Budget()
    while text.startswith("{", begin := _skipped(text, position)):
        line += text.count("\n", position, begin)
        position = begin
        try:
            value = _JsonObject(text, position, line, pause)
            found = list(value.entries())
        except (BrokenTextError, RecursionError) as error:
            yield from _not_json(
                text, position, line, values, _as_fault(error, line), budget, pause
            )
            return
        yield from found
        values += 1
        line += text.count("\n", position, value.end)
        position = value.end
    yield from _yaml(text, position, line, budget, pause)


def _as_fault(error: Exception, line: int) -> Entry:
    if isinstance(error, BrokenTextError):
        return Entry(error.line, b"", str(error))
    return Entry(line, b"", f"is nested more than {OBJECT_DEPTH} deep")


def _not_json(
    text: str,
    position: int,
    line: int,
    values: int,
    fault: Entry,
    budget: Budget,
    pause: Callable[[], None],
) -> Iterator[Entry]:
    """What begins as JSON may be YAML in its flow style, unless two values went before, as
    kubectl has it; a large one is not read twice."""
    if values > 1 or len(text) - position > OBJECT_OCTETS:
        yield fault
        return
    try:
        found = list(_yaml(text, position, line, budget, pause))
    except (BrokenTextError, UnfitError):
        yield fault
        return
    if found and found[0].fault:
        found[0] = fault
    yield from found


def _skipped(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


# -- YAML ----------------------------------------------------------------------------------------


def _yaml(
    text: str, start: int, line: int, budget: Budget, pause: Callable[[], None]
) -> Iterator[Entry]:
    """Each document by itself: of the others nothing is lost where one is broken."""
    while start < len(text):
        following = _SEPARATOR.search(text, start + 1)
        end = following.start() if following else len(text)
        pause()
        reader = YamlReader(text[start:end], line, _kept, budget, pause)
        try:
            for document in reader.documents():
                yield from _of_document(document)
        except (BrokenTextError, UnfitError) as error:
            yield Entry(error.line, b"", str(error))
        line += text.count("\n", start, end)
        start = end


def _kept(item: Item) -> list[Entry]:
    """An item of a List as what is kept of it: octets, which the garbage collector never walks."""
    if item.fault:
        return [Entry(item.line, b"", item.fault)]
    return list(_unpacked(item.line, item.value))


def _of_document(document: Document) -> Iterator[Entry]:
    value = document.value
    if value is None:
        return
    if document.items is None:
        yield from _unpacked(document.line, value)
    elif "items" in value:
        yield _entry(document.line, value)  # it stands there twice, which is a fault
    elif _is_list(value):
        for kept in document.items:
            yield from kept
    else:
        yield from _with_items(document.line, value, document.items)


def _with_items(line: int, value: Json, items: list[list[Entry]]) -> Iterator[Entry]:
    """An object that has a field `items` and is no List."""
    inside = [entry for kept in items for entry in kept]
    fault = next((entry for entry in inside if entry.fault), None)
    if fault is not None:
        yield fault
    elif sum(len(entry.text) for entry in inside) > OBJECT_OCTETS:
        yield Entry(line, b"", _TOO_LARGE)
    else:
        yield _entry(line, {**value, "items": [json.loads(entry.text) for entry in inside]})


# -- JSON ----------------------------------------------------------------------------------------


class _JsonObject:
    """One object of a stream of JSON, the items of a List one by one; `end` is where it ends."""

    def __init__(self, text: str, start: int, line: int, pause: Callable[[], None]) -> None:
        self._text, self._start, self._line, self._pause = text, start, line, pause
        self.end = start

    def entries(self) -> Iterator[Entry]:
        """Its objects; raises BrokenTextError, RecursionError."""
        fields: Json = {}
        items: list[list[Entry]] | None = None
        position = _skipped(self._text, self._start + 1)
        while not self._text.startswith("}", position):
            if fields or items is not None:
                position = self._expect(",", position)
            name, position = self._value(position)
            if not isinstance(name, str):
                raise self._broken(position, "a key is not a string")
            position = self._expect(":", position)
            if name == "items" and items is None and self._text.startswith("[", position):
                items, position = self._items(position)
            else:
                value, position = self._value(position)
                twice = name in fields or (name == "items" and items is not None)
                fields[name] = _Twice(name) if twice else value
            position = _skipped(self._text, position)
        self.end = position + 1
        yield from _of_document(Document(self._line, fields, items))

    def _items(self, position: int) -> tuple[list[list[Entry]], int]:
        kept: list[list[Entry]] = []
        line, counted = self._line, self._start
        position = _skipped(self._text, position + 1)
        while not self._text.startswith("]", position):
            if kept:
                position = self._expect(",", position)
            self._pause()
            line += self._text.count("\n", counted, position)
            counted = position
            value, position = self._value(position)
            kept.append(_kept(Item(line, value)))
            position = _skipped(self._text, position)
        return kept, position + 1

    def _value(self, position: int) -> tuple[Any, int]:
        try:
            return _DECODER.raw_decode(self._text, position)
        except json.JSONDecodeError as error:
            raise self._broken(error.pos, error.msg) from error
        except ValueError as error:
            raise self._broken(position, str(error)) from error

    def _expect(self, sign: str, position: int) -> int:
        position = _skipped(self._text, position)
        if not self._text.startswith(sign, position):
            raise self._broken(position, f"{sign!r} is expected")
        return _skipped(self._text, position + 1)

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


# -- objects -------------------------------------------------------------------------------------

_TOO_LARGE = f"an object is larger than {OBJECT_OCTETS / MIB} MiB"


def _is_list(value: Json) -> bool:
    kind = value.get("kind")
    return isinstance(kind, str) and kind.endswith("List")


def _unpacked(line: int, value: Any) -> Iterator[Entry]:
    """An object, or what is in a List."""
    if not isinstance(value, dict):
        yield Entry(line, b"", "is not an object")
    elif _is_list(value) and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from _unpacked(line, item)
    else:
        yield _entry(line, value)


def _entry(line: int, value: Json) -> Entry:
    """An object as JSON, or why it cannot be one."""
    try:
        if _deeper_than(value, OBJECT_DEPTH):
            return Entry(line, b"", f"is nested more than {OBJECT_DEPTH} deep")
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refused
        )
    except ValueError as error:
        return Entry(line, b"", str(error))
    octets = _utf8(text)
    if len(octets) > OBJECT_OCTETS:
        return Entry(line, b"", _TOO_LARGE)
    return Entry(line, octets)


def _refused(value: Any) -> Any:
    raise ValueError(f"key {value.name[:40]!r} is already set")


def _utf8(text: str) -> bytes:
    """Octets; half a surrogate pair becomes U+FFFD, as in Go."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _deeper_than(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        below = (n.values() if isinstance(n, dict) else n for n in level)
        level = [child for nodes in below for child in nodes if isinstance(child, dict | list)]
        if not level:
            return False
    return True
