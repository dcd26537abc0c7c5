"""Text out of the cluster, made fit to stand in a message.

Annotations, node names and errors about them come from anybody who may write an object, and end up
in conditions, Events, logs and terminals: there they are short and printable.
"""

from __future__ import annotations

from collections.abc import Sequence

MESSAGE_MOST = 1024  # characters of a condition's message; the API takes 32,768
_LISTED = 5


def printable(text: str, most: int = 100) -> str:
    """At most `most` characters of a text; control characters and line ends are escaped."""
    if len(text) <= most and text.isprintable():
        return text
    cut = text[: most + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return shown if len(text) <= most and len(shown) <= most else f"{shown[: most - 1]}…"


def quoted(text: str, most: int = 100) -> str:
    """A text from outside as a quotation: at most `most` characters of it, printable."""
    return f"'{printable(text, most)}'"


def listed(names: Sequence[str], most: int = _LISTED) -> str:
    """The first few of many names, and how many more there are."""
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
