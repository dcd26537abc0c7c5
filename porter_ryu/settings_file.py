"""One configuration file as text: groups, keys, and the line number of each.

oslo.config reads the values, but it silently uses the last of two equal keys, and raises with a
traceback if a file is not valid.  So every file is first parsed here with oslo's own grammar, and
each error becomes a fault that names the line.
"""

from __future__ import annotations

import io
import os
from typing import NoReturn

from msgspec import Struct, field
from oslo_config import iniparser

from porter_ryu import regular_file
from porter_ryu.domain.text import one_line
from porter_ryu.log import reason_of

_MAX_FILE_OCTETS = 1 << 20
_MAX_QUOTED_CHARACTERS = 60
_MAX_MESSAGE_CHARACTERS = 500


class Fault(Struct, frozen=True):
    """One error, or one remark on what is valid but cannot be meant, and its location.

    `key` is empty if it is about the group, `group` as well if it is about the file.  `line` counts
    from 1; 0 if no line of the file says it.  `mend` is a sentence that says what to do; empty if
    the message says it.
    """

    file: str
    group: str
    key: str
    message: str
    line: int = 0
    mend: str = ""

    @property
    def place(self) -> str:
        """The group and key, as in `[bgp] local_as`; empty if it is about the file."""
        group = f"[{self.group}]" if self.group else ""
        return " ".join(part for part in (group, self.key) if part)

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        parts = (self.file, line, self.place, self.message)
        return one_line(": ".join(part for part in parts if part), _MAX_MESSAGE_CHARACTERS)


class BadConfigurationError(Exception):
    """The configuration is not valid; `faults` has at least one entry."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class Entry(Struct, frozen=True):
    """A value as it is written in the file; continuation lines are joined by newlines."""

    text: str
    line: int


class Document(Struct):
    """A parsed file; `duplicates`: (group, key, both line numbers) of every key that is set twice.

    `headers`: the lines at which each group begins.  It may begin twice: appending to a file does
    that, and no value is lost.
    """

    path: str
    groups: dict[str, dict[str, Entry]] = field(default_factory=dict)
    headers: dict[str, list[int]] = field(default_factory=dict)
    duplicates: list[tuple[str, str, tuple[int, int]]] = field(default_factory=list)


def read_document(path: str) -> Document:
    """Reads a file; raises BadConfigurationError if it cannot be read or parsed."""
    document = Document(path)
    try:
        _Lines(document).parse(io.StringIO(_text(path), newline=None))
    except _LineError as error:
        raise BadConfigurationError((Fault(path, "", "", str(error), error.line),)) from error
    except (OSError, ValueError) as error:
        raise BadConfigurationError((Fault(path, "", "", reason_of(error)),)) from error
    return document


def _text(path: str) -> str:
    """The whole text; raises OSError, ValueError or _LineError."""
    octets = read_octets(path, _MAX_FILE_OCTETS)
    if not octets.strip():
        # truncated by a writer that has not finished, or by a full disk, not "no peers"
        raise ValueError("is empty")
    for number, line in enumerate(octets.split(b"\n"), 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise _LineError(number, "is not UTF-8 text") from None
        if "\0" in text:
            raise _LineError(number, "contains a NUL character, so it is not text")
        if text.startswith("\ufeff"):
            raise _LineError(number, "begins with a byte order mark")
    return octets.decode("utf-8")


def read_octets(path: str, max_octets: int) -> bytes:
    """The content of a file that a user named; raises OSError, or ValueError if it is larger than
    `max_octets` or is not a regular file."""
    octets, _ = regular_file.read(os.path.expanduser(path), max_octets, follow=True)
    return octets


def quoted_value(text: str) -> str:
    """A value in quotes for a message: one line of limited length."""
    if len(text) > _MAX_QUOTED_CHARACTERS:
        text = text[:_MAX_QUOTED_CHARACTERS] + "…"
    return repr(text)


class _LineError(Exception):
    """A line that cannot be parsed."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


class _Lines(iniparser.BaseParser):  # type: ignore[misc]
    """oslo's parser, extended to record the line number of every key."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._section = ""
        self._key_line = 0

    def new_section(self, section: str) -> None:
        """Called for a [group] line."""
        self._document.groups.setdefault(section, {})
        self._document.headers.setdefault(section, []).append(self.lineno)
        self._section = section

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        self._key_line = self.lineno
        key, value = super()._split_key_value(line)
        return key, value

    def assignment(self, key: str, value: list[str]) -> None:
        """Called for a key with its complete value."""
        if not self._section:
            raise _LineError(self._key_line, f"{quoted_value(key)} is before the first [group]")
        keys = self._document.groups[self._section]
        if key in keys:
            lines = keys[key].line, self._key_line
            self._document.duplicates.append((self._section, key, lines))
        keys[key] = Entry("\n".join(value), self._key_line)

    def _refuse(self, message: str) -> NoReturn:
        raise _LineError(self.lineno, message)

    def error_invalid_assignment(self, line: str) -> NoReturn:
        """Called for a line that is neither a group, a comment nor a value."""
        self._refuse(f"{quoted_value(line)} is neither [group] nor key = value")

    def error_empty_key(self, line: str) -> NoReturn:
        """Called for `= value`."""
        self._refuse(f"{quoted_value(line)} has no key")

    def error_unexpected_continuation(self, line: str) -> NoReturn:
        """Called for an indented line after an empty one."""
        self._refuse(f"{quoted_value(line)} is indented, but continues no value")

    def error_no_section_end_bracket(self, line: str) -> NoReturn:
        """Called for `[group` or `[group] # comment`."""
        self._refuse(f"{quoted_value(line)} begins with [ but does not end with ]")

    def error_no_section_name(self, line: str) -> NoReturn:
        """Called for `[]`."""
        self._refuse(f"{quoted_value(line)} has no group name")
