"""The record of changes as JSON, and as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from porter_ryu import rfc3339
from porter_ryu.domain.text import changed_text, shortened

if TYPE_CHECKING:
    from porter_ryu.history.change import Change, Part

Json = dict[str, Any]

MAX_TEXT_CHARACTERS = 16_000  # of a list of nodes


def changes(record: Iterable[Change]) -> Iterator[Json]:
    """One entry for each change, in the same order."""
    for change in record:
        yield {
            "sequence": change.sequence,
            "time": rfc3339.text(change.time),
            "kind": change.kind.value,
            "object": change.object,
            "from": shortened(change.before, MAX_TEXT_CHARACTERS),
            "to": shortened(change.after, MAX_TEXT_CHARACTERS),
            "cause": shortened(change.cause, MAX_TEXT_CHARACTERS),
            "about": list(change.about),
            "secondsToWire": change.delivery.seconds,
            "parts": [_part(part) for part in change.parts],
        }


def _part(part: Part) -> Json:
    return {
        "object": part.object,
        "from": shortened(part.before, MAX_TEXT_CHARACTERS),
        "to": shortened(part.after, MAX_TEXT_CHARACTERS),
        "about": list(part.about),
        "cause": shortened(part.cause, MAX_TEXT_CHARACTERS),
    }


def lines(entry: Json, width: int) -> Iterator[str]:
    """The text of a change: what, each of its parts, and its cause, in lines of at most `width`
    columns."""
    yield from head(entry, width)
    for part in entry["parts"]:
        told = changed_text(part["from"], part["to"])
        yield from wrapped(f"  {kind_of_parts(entry)} {part['object']}: {told}", width)
    yield from tail(entry, width)


def kind_of_parts(entry: Json) -> str:
    """Of which kind a part of a change would be by itself."""
    kind: str = entry["kind"]
    return "route" if kind == "restart" else kind


def head(entry: Json, width: int) -> list[str]:
    """When and what."""
    text = changed_text(entry["from"], entry["to"])
    return wrapped(f"{entry['time']} {entry['kind']} {entry['object']}: {text}", width)


def tail(entry: Json, width: int) -> list[str]:
    """Because of what, and how long it took."""
    seconds = entry["secondsToWire"]
    wire = "" if seconds is None else f"; sent {duration(seconds)} after it was read"
    return wrapped(f"    {entry['cause']}{wire}", width)


def duration(seconds: float) -> str:
    """A short time, in a unit in which it is easily read."""
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` columns."""
    return textwrap.wrap(
        text, width, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False
    )
