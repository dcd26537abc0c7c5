"""What a check yields: a finding, or something that could not be checked."""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Iterator

from msgspec import Struct

from porter_ryu.domain.text import one_line


class Finding(Struct, frozen=True):
    """One problem.

    `where`: the group and key, the object, or the part of this host.  `what`: a sentence.  `mend`:
    a command, or a sentence, that says what to do.  `file` and `line` are set if it is about a
    place in the configuration.
    """

    where: str
    what: str
    mend: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        text = ": ".join(part for part in (self.file, line, self.where, self.what) if part)
        return one_line(f"{text}; to mend it: {self.mend}" if self.mend else text)


class NotChecked(Struct, frozen=True):
    """Something that could not be checked, and why; it is not a problem by itself."""

    what: str
    why: str

    def __str__(self) -> str:
        return one_line(f"not checked: {self.what}: {self.why}")


Result = Finding | NotChecked
Results = Iterator[Result]


def command(*words: str) -> str:
    """A command as it is typed in a shell."""
    return shlex.join(words)


@contextlib.contextmanager
def silent(*names: str) -> Iterator[None]:
    """Keeps loggers from saying what is a finding here."""
    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.disabled = False
