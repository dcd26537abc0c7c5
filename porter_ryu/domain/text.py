"""Text from outside, made short and printable.

Annotations, node names and errors about them come from anybody who may write an object.  They end
up in conditions, Events, logs and terminals.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_MESSAGE_CHARACTERS = 1024  # characters of a condition's message; the API allows 32,768
MAX_LISTED = 5  # names of a list that are shown
_MAX_LINE_CHARACTERS = 2000


def printable(text: str, limit: int = 100) -> str:
    """At most `limit` characters of a text; control characters and line ends are escaped."""
    shown = _escaped(text[: limit + 1])
    return shown if len(text) <= limit and len(shown) <= limit else f"{shown[: limit - 1]}…"


def one_line(text: str, limit: int = _MAX_LINE_CHARACTERS) -> str:
    """A text as one printable line; a text longer than `limit` is cut and its length added."""
    return _escaped(shortened(text, limit))


def shortened(text: str, limit: int) -> str:
    """The first `limit` characters of a text, and its length where it is longer."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str, limit: int = 100) -> str:
    """At most `limit` characters of a text, printable, in quotation marks."""
    return f"'{printable(text, limit)}'"


def listed(names: Sequence[str], limit: int = MAX_LISTED, total: int = 0) -> str:
    """The first `limit` names, and how many more there are; of `total`, if `names` are the first
    of more."""
    shown = names[:limit]
    more = max(total, len(names)) - len(shown)
    text = ", ".join(map(printable, shown))
    return f"{text} and {more} more" if more else text


def counted(number: int, what: str) -> str:
    """So many things: their number, and the word for one of them in the right form."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def changed_text(before: str, after: str) -> str:
    """What became of a text of names, separated by commas, as `changed_names` has it."""
    return changed_names(*(text.split(", ") if text else [] for text in (before, after)))


def changed_names(before: Sequence[str], after: Sequence[str]) -> str:
    """What became of a list of names, as `before -> after`.  Of two long lists only the difference
    is shown."""
    if max(len(before), len(after)) <= MAX_LISTED or not (before and after):
        return " -> ".join(_folded(names) for names in (before, after))
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    parts = [f"without {listed(gone)}" if gone else "", f"with {listed(new)}" if new else ""]
    return f"{len(before)} -> {len(after)}: {', '.join(part for part in parts if part)}"


def _folded(names: Sequence[str]) -> str:
    """The first names of a list, or `none` for an empty one."""
    if len(names) <= MAX_LISTED:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:MAX_LISTED])} and {len(names) - MAX_LISTED} more"
