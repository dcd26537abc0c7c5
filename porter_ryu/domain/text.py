"""Text that somebody else chose, before it goes into a sentence of ours.

Conditions, Events, the log and terminals show it: one line, of a bounded length, and no control
character of it takes effect.
"""

from __future__ import annotations


def quoted(text: str, most: int = 100) -> str:
    """The text in quotes, its first `most` characters, with those that do not print written out
    as Python does (`\\x1b`, `\\n`); what was cut off is said."""
    if len(text) > most:
        return f"{text[:most]!r}… ({len(text)} characters)"
    return repr(text)


def sentence(text: str, most: int) -> str:
    """A sentence of at most `most` characters, on one line and printable."""
    start = text[: most + 1]
    if not start.isprintable():
        start = "".join(c if c.isprintable() else repr(c)[1:-1] for c in start)
    return start if len(start) <= most else f"{start[: most - 1]}…"
