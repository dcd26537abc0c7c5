"""One configuration file as text: groups, keys, and in which line each stands.

oslo.config reads the values, but it takes the last of two equal keys in silence, and ends in a
traceback where a file is not what it expects.  So every file is read here first, by oslo's own
grammar, and whatever is odd about it is a fault that names the line.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import NoReturn

from oslo_config import iniparser

from porter_ryu import regular_file
from porter_ryu.domain.text import one_line
from porter_ryu.log import reason_of

_MOST_OCTETS = 1 << 20
_SHOWN = 60
_LINE_MOST = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where; `group` and `key` empty: the file itself, the group."""

    file: str
    group: str
    key: str
    message: str

    def __str__(self) -> str:
        place = " ".join(part for part in (f"[{self.group}]" * bool(self.group), self.key) if part)
        text = ": ".join(part for part in (self.file, place, self.message) if part)
        return one_line(text, _LINE_MOST)


class BadConfigurationError(Exception):
    """The configuration cannot be used; `faults` has at least one entry."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it is written; continuation lines are joined by newlines."""

    text: str
    line: int


@dataclass
class Document:
    """A file; `doubles`: (group, key, lines) of every key that stands in it twice.  A group may
    begin twice: whoever appends to a file does that, and nothing is lost by it."""

    path: str
    groups: dict[str, dict[str, Entry]] = field(default_factory=dict)
    doubles: list[tuple[str, str, tuple[int, int]]] = field(default_factory=list)


def read_document(path: str) -> Document:
    """Reads a file; raises BadConfigurationError where it is not one of key = value in groups."""
    document = Document(path)
    try:
        _Lines(document).parse(io.StringIO(_text(path), newline=None))
    except (_LineError, OSError, ValueError) as error:
        raise BadConfigurationError((Fault(path, "", "", reason_of(error)),)) from error
    return document


def _text(path: str) -> str:
    """The whole text; raises OSError or ValueError."""
    octets = read_octets(path, _MOST_OCTETS)
    if not octets.strip():
        # cut short by who writes it just now, or by a full disk: no peers at all is not meant
        raise ValueError("is empty")
    for number, line in enumerate(octets.split(b"\n"), 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"line {number}: is not UTF-8 text") from None
        if "\0" in text:
            raise ValueError(f"line {number}: has a NUL character in it, so it is no text")
        if text.startswith("\ufeff"):
            raise ValueError(f"line {number}: begins with a byte order mark")
    return octets.decode("utf-8")


def read_octets(path: str, most: int) -> bytes:
    """The octets of a file that a user named, at most `most`; raises OSError or ValueError."""
    octets, _ = regular_file.read(os.path.expanduser(path), most, follow=True)
    return octets


def shown(text: str) -> str:
    """A value as it is quoted in a message: one line, not too long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


class _LineError(Exception):
    """The message names the line."""


class _Lines(iniparser.BaseParser):  # type: ignore[misc]
    """oslo's grammar, with the number of the line of every key."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._section = ""
        self._key_line = 0

    def new_section(self, section: str) -> None:
        """A [group] line."""
        self._document.groups.setdefault(section, {})
        self._section = section

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        self._key_line = self.lineno
        key, value = super()._split_key_value(line)
        return key, value

    def assignment(self, key: str, value: list[str]) -> None:
        """A key with the whole of its value."""
        if not self._section:
            raise _LineError(f"line {self._key_line}: {shown(key)} stands before the first [group]")
        keys = self._document.groups[self._section]
        if key in keys:
            lines = keys[key].line, self._key_line
            self._document.doubles.append((self._section, key, lines))
        keys[key] = Entry("\n".join(value), self._key_line)

    def _refuse(self, what: str) -> NoReturn:
        raise _LineError(f"line {self.lineno}: {what}")

    def error_invalid_assignment(self, line: str) -> NoReturn:
        """Neither a group, nor a comment, nor a value."""
        self._refuse(f"{shown(line)} is neither [group] nor key = value")

    def error_empty_key(self, line: str) -> NoReturn:
        """`= value`."""
        self._refuse(f"{shown(line)} has no key")

    def error_unexpected_continuation(self, line: str) -> NoReturn:
        """An indented line after an empty one."""
        self._refuse(f"{shown(line)} is indented, but there is no value that it continues")

    def error_no_section_end_bracket(self, line: str) -> NoReturn:
        """`[group` or `[group] # comment`."""
        self._refuse(f"{shown(line)} begins with [ and does not end with ]")

    def error_no_section_name(self, line: str) -> NoReturn:
        """`[]`."""
        self._refuse(f"{shown(line)} names no group")
