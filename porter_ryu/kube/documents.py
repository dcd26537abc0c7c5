"""Parses files of Kubernetes objects as kubectl does: YAML with several documents, streams of JSON
values, and Lists in both, whatever the name of the file.

The result is one entry for each object, as JSON of limited size.  An invalid object affects only
itself, as far as its end can be found.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from porter_ryu.kube.json_documents import JsonReader, refuse, skip_space
from porter_ryu.kube.json_text import Json
from porter_ryu.kube.limits import MIB, OBJECT_DEPTH, OBJECT_OCTETS, too_deep
from porter_ryu.kube.yaml_documents import (
    BrokenTextError,
    Budget,
    Document,
    Item,
    LineError,
    UnfitError,
    YamlReader,
)

# as in apimachinery's YAMLReader: a document ends at a line that begins like this
_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class BrokenFileError(LineError):
    """A file that cannot be parsed."""


class Entry(Struct, frozen=True):
    """One object as JSON, or a `fault` that says why it cannot be read; `line` counts from 1."""

    line: int
    text: bytes
    fault: str = ""


def _do_nothing() -> None:
    """Does nothing."""


def read(text: str) -> Iterator[tuple[int, Json]]:
    """The objects in the text of a file, each with its first line; raises BrokenFileError."""
    for entry in entries(text):
        if entry.fault:
            raise BrokenFileError(entry.line, entry.fault)
        yield entry.line, json.loads(entry.text)


def entries(content: bytes | str, give_way: Callable[[], None] = _do_nothing) -> Iterator[Entry]:
    """All objects in a file; `give_way` is called often.

    Raises nothing: each error is an entry with a fault, and the objects after it may be missing.
    """
    try:
        text = content if isinstance(content, str) else _decode(content)
        yield from _entries(text.removeprefix("\ufeff"), give_way)
    except (BrokenTextError, UnfitError) as error:
        yield Entry(error.line, b"", str(error))
    except MemoryError:
        yield Entry(1, b"", "takes too much memory")
    except Exception as error:  # no input may end the caller, whatever a parser raises
        yield Entry(1, b"", f"cannot be parsed: {type(error).__name__}: {error}")


def _decode(content: bytes) -> str:
    if content.startswith(_UTF16):
        raise BrokenTextError(1, "is UTF-16, which kubectl does not read either; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BrokenTextError(line, "is not UTF-8") from error


def _entries(text: str, give_way: Callable[[], None]) -> Iterator[Entry]:
    """As kubectl does: JSON values as long as there are any, then YAML."""
    position, line, values, budget = 0, 1, 0, Budget()
    while text.startswith("{", begin := skip_space(text, position)):
        line += text.count("\n", position, begin)
        position = begin
        try:
            reader = JsonReader(text, position, line, _store_item, give_way)
            found = list(_of_document(reader.document()))
        except (BrokenTextError, RecursionError) as error:
            yield from _not_json(
                text, position, line, values, _as_fault(error, line), budget, give_way
            )
            return
        yield from found
        values += 1
        line += text.count("\n", position, reader.end)
        position = reader.end
    yield from _yaml(text, position, line, budget, give_way)


def _as_fault(error: Exception, line: int) -> Entry:
    if isinstance(error, BrokenTextError):
        return Entry(error.line, b"", str(error))
    return Entry(line, b"", f"is nested more than {OBJECT_DEPTH} levels deep")


def _not_json(
    text: str,
    position: int,
    line: int,
    values: int,
    fault: Entry,
    budget: Budget,
    give_way: Callable[[], None],
) -> Iterator[Entry]:
    """Text that begins like JSON may be YAML in flow style, unless two JSON values came before (a
    rule of kubectl).  A large text is not parsed twice."""
    if values > 1 or len(text) - position > OBJECT_OCTETS:
        yield fault
        return
    try:
        found = list(_yaml(text, position, line, budget, give_way))
    except (BrokenTextError, UnfitError):
        yield fault
        return
    if found and found[0].fault:
        found[0] = fault
    yield from found


# -- YAML ----------------------------------------------------------------------------------------


def _yaml(
    text: str, start: int, line: int, budget: Budget, give_way: Callable[[], None]
) -> Iterator[Entry]:
    """Parses each document separately, so that an invalid one does not affect the others."""
    while start < len(text):
        following = _SEPARATOR.search(text, start + 1)
        end = following.start() if following else len(text)
        give_way()
        reader = YamlReader(text[start:end], line, _store_item, budget, give_way)
        try:
            for document in reader.documents():
                yield from _of_document(document)
        except (BrokenTextError, UnfitError) as error:
            yield Entry(error.line, b"", str(error))
        line += text.count("\n", start, end)
        start = end


def _store_item(item: Item) -> list[Entry]:
    """The entries for an item of a List.  They hold octets, which the garbage collector does not
    traverse."""
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
        yield _entry(document.line, value)  # it is set twice, which is a fault
    elif _is_list(value):
        for stored in document.items:
            yield from stored
    else:
        yield from _with_items(document.line, value, document.items)


def _with_items(line: int, value: Json, items: list[list[Entry]]) -> Iterator[Entry]:
    """An object that has a field `items` but is not a List."""
    inside = [entry for stored in items for entry in stored]
    fault = next((entry for entry in inside if entry.fault), None)
    if fault is not None:
        yield fault
    elif sum(len(entry.text) for entry in inside) > OBJECT_OCTETS:
        yield Entry(line, b"", _TOO_LARGE)
    else:
        yield _entry(line, {**value, "items": [json.loads(entry.text) for entry in inside]})


# -- objects -------------------------------------------------------------------------------------

_TOO_LARGE = f"an object is larger than {OBJECT_OCTETS / MIB} MiB"


def _is_list(value: Json) -> bool:
    kind = value.get("kind")
    return isinstance(kind, str) and kind.endswith("List")


def _unpacked(line: int, value: Any) -> Iterator[Entry]:
    """The entry for an object, or those for the items of a List."""
    if not isinstance(value, dict):
        yield Entry(line, b"", "is not an object")
    elif _is_list(value) and isinstance(value.get("items"), list):
        for item in value["items"]:
            yield from _unpacked(line, item)
    else:
        yield _entry(line, value)


def _entry(line: int, value: Json) -> Entry:
    """The entry for an object, with a fault if it is invalid."""
    try:
        if too_deep(value):
            return Entry(line, b"", f"is nested more than {OBJECT_DEPTH} levels deep")
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=refuse
        )
    except ValueError as error:
        return Entry(line, b"", str(error))
    octets = _utf8(text)
    if len(octets) > OBJECT_OCTETS:
        return Entry(line, b"", _TOO_LARGE)
    return Entry(line, octets)


def _utf8(text: str) -> bytes:
    """Encodes a text; half a surrogate pair becomes U+FFFD, as in Go."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
