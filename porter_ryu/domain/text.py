"""Text out of the cluster, made fit to stand in a message.

Annotations, node names and errors about them come from anybody who may write an object, and end up
in conditions, Events, logs and terminals: there they are short and printable.
"""

from __future__ import annotations

from collections.abc import Sequence

MESSAGE_MOST = 1024  # characters of a condition's message; the API takes 32,768
_LISTED = 5
_LINE_MOST = 2000


def printable(text: str, most: int = 100) -> str:
    """At most `most` characters of a text; control characters and line ends are escaped."""
    shown = _escaped(text[: most + 1])
    return shown if len(text) <= most and len(shown) <= most else f"{shown[: most - 1]}…"


def one_line(text: str, most: int = _LINE_MOST) -> str:
    """A text as one printable line: what is cut off behind `most` characters is counted."""
    return _escaped(shortened(text, most))


def shortened(text: str, most: int) -> str:
    """The first `most` characters of a text as it is, and how many it had where it had more."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str, most: int = 100) -> str:
    """A text from outside as a quotation: at most `most` characters of it, printable."""
    return f"'{printable(text, most)}'"


def listed(names: Sequence[str], most: int = _LISTED) -> str:
    """The first few of many names, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
