"""Reads single values from oslo.config, and records the file, group and key of each error.

oslo.config handles types, environment variables and `$`; the error messages are written here.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec import Struct, field
from oslo_config import cfg, types

from porter_ryu.options import GROUPS, WSAPI_HOST
from porter_ryu.options_of_ryu import of_ryu
from porter_ryu.settings_file import (
    BadConfigurationError,
    Document,
    Fault,
    quoted_value,
    read_document,
)

T = TypeVar("T")

DEFAULT = "DEFAULT"
_NUMBER = re.compile(r"\s*([+-]?[0-9]+)?\s*|.*\$.*")  # a value with $ is checked after substitution
_COMMENT = re.compile(r"\s[#;]")
_NO_FILE = "(no file)"


class Reader(Struct):
    """Reads values from files and records the errors."""

    conf: cfg.ConfigOpts
    documents: Sequence[Document]
    faults: list[Fault] = field(default_factory=list)
    options: dict[tuple[str, str], cfg.Opt] = field(default_factory=dict)
    key_files: list[str] = field(default_factory=list)  # paths of files that values refer to
    remarks: list[Fault] = field(default_factory=list)  # valid, but it cannot be meant

    @property
    def groups(self) -> set[str]:
        """The names of the groups in all files."""
        return {group for document in self.documents for group in document.groups}

    def register(self, group: str, options: Iterable[cfg.Opt]) -> None:
        """Registers the options of a group."""
        every = list(options)
        self.conf.register_opts(every, group=None if group == DEFAULT else group)
        self.options.update({(group, option.dest): option for option in every})

    def get(self, group: str, key: str) -> Any:
        """The value of a key; None, and a fault, if it is not of the option's type."""
        option, entry = self.options[group, key], self._written(group, key)
        message = _text_error(option, entry) if entry is not None else ""
        if message:
            self.fault(group, key, message)
            return None
        try:
            value = self.conf[key] if group == DEFAULT else self.conf[group][key]
        except (cfg.Error, ValueError, RecursionError, AttributeError, KeyError, TypeError):
            self.fault(group, key, _value_error(option, entry or ""))
            return None
        unresolved = isinstance(value, str) and "$" in value
        if unresolved and entry is not None and "$$" not in entry and r"\$" not in entry:
            self.fault(group, key, _value_error(option, entry))
        if value is None and option.default is not None:
            self.fault(group, key, f"is empty; it must be {_expected(option) or 'set'}")
        return value

    def parse(self, group: str, key: str, parse: Callable[[str], T]) -> T | None:
        """The value of a key, parsed by `parse`; None if it is empty, or if `parse` raises
        ValueError, whose text becomes the fault."""
        text = self.get(group, key)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.fault(group, key, str(error))
            return None

    def fault(self, group: str, key: str, message: str) -> None:
        """Records an error, once."""
        _add(self.faults, self._entry(group, key, message))

    def remark(self, group: str, key: str, message: str, mend: str) -> None:
        """Records, once, what is valid but cannot be meant; `mend` says what to do."""
        _add(self.remarks, self._entry(group, key, message, mend))

    def is_changed(self, group: str, key: str) -> bool:
        """Whether a value is set, and not to its default: a file may have every default."""
        if self._written(group, key) is None:
            return False
        default = self.options[group, key].default
        return self.get(group, key) not in (default, None, "", [])

    def _entry(self, group: str, key: str, message: str, mend: str = "") -> Fault:
        file, line = self._location(group, key)
        return Fault(file, group, key, message, line, mend)

    def _written(self, group: str, key: str) -> str | None:
        """The text of a value in the environment or a file; None if it is the default."""
        if variable(group, key) in os.environ:
            return os.environ[variable(group, key)]
        for document in reversed(self.documents):
            if key in document.groups.get(group, ()):
                return document.groups[group][key].text
        return None

    def _location(self, group: str, key: str) -> tuple[str, int]:
        """The environment variable, or the file and line, that sets a key; else a file that has its
        group, and where that begins."""
        if variable(group, key) in os.environ:
            return f"environment {variable(group, key)}", 0
        latest = list(reversed(self.documents))
        for document in latest:
            if key in document.groups.get(group, ()):
                return document.path, document.groups[group][key].line
        for document in latest:
            if group in document.groups:
                return document.path, document.headers[group][0]
        return (self.documents[0].path if self.documents else _NO_FILE), 0

    def origin(self, group: str, key: str) -> tuple[str, str]:
        """Where a value comes from, and the place: (`file`, FILE:LINE), (`environment`, VARIABLE)
        or (`default`, '')."""
        if variable(group, key) in os.environ:
            return "environment", variable(group, key)
        for document in reversed(self.documents):
            entry = document.groups.get(group, {}).get(key)
            if entry is not None:
                return "file", f"{document.path}:{entry.line}"
        return "default", ""


def open_files(files: Sequence[str]) -> Reader:
    """A reader of these files; a later file overrides an earlier one.

    Raises BadConfigurationError if one of them cannot be read or parsed.
    """
    documents: list[Document] = []
    faults: list[Fault] = []
    for path in files:
        try:
            documents.append(read_document(path))
        except BadConfigurationError as error:
            faults += error.faults
    if faults:
        raise BadConfigurationError(tuple(faults))
    reader = Reader(cfg.ConfigOpts(), documents)
    for group, options in {DEFAULT: of_ryu(), **GROUPS}.items():
        reader.register(group, options)
    reader.conf.set_default("wsapi_host", WSAPI_HOST)
    arguments = [f"--config-file={path}" for path in files]
    try:
        reader.conf(
            arguments, project="porter-ryu", default_config_files=[], default_config_dirs=[]
        )
    except (cfg.Error, OSError, ValueError) as error:  # it could be read above
        text = "was replaced while it was read"
        raise BadConfigurationError((Fault(files[0], "", "", text),)) from error
    for document in documents:
        for key in document.groups.get(DEFAULT, ()):
            if (DEFAULT, key) in reader.options:
                reader.get(DEFAULT, key)
    return reader


def _add(faults: list[Fault], entry: Fault) -> None:
    if entry not in faults:
        faults.append(entry)


def files_of(conf: cfg.ConfigOpts) -> list[str]:
    """The files from which oslo.config reads this configuration, in order."""
    directories = conf.config_dir or []
    if isinstance(directories, str):
        directories = [directories]
    found: list[str] = []
    for directory in directories:
        found += sorted(glob.glob(os.path.join(os.path.expanduser(directory), "*.conf")))
    return [*(conf.config_file or []), *found]


def variable(group: str, key: str) -> str:
    """The environment variable that overrides a key, as oslo.config names it."""
    return f"OS_{group.upper()}__{key.upper()}"


def _text_error(option: cfg.Opt, text: str) -> str:
    """What is wrong with a text that oslo.config accepts but that nobody means; '' if nothing."""
    if _COMMENT.search(text):
        return f"{quoted_value(text)}: a comment must be on a line of its own"
    if isinstance(option.type, types.List):
        return ""
    if "\n" in text:
        line = quoted_value(text.splitlines()[1])
        return f"the line {line} is indented, so it is part of this value"
    if not text.isprintable():
        return f"{quoted_value(text)} contains a control character"
    if isinstance(option.type, types.Integer) and not _NUMBER.fullmatch(text):
        return _value_error(option, text)
    return ""


def _value_error(option: cfg.Opt, text: str) -> str:
    if "$" in text:
        return f"{quoted_value(text)}: $ refers to an option that does not exist; write $$ for a $"
    return f"{quoted_value(text)} is not {_expected(option) or 'a valid value'}"


def _expected(option: cfg.Opt) -> str:
    """What a value of an option must be; '' if any text will do."""
    kind = option.type
    if isinstance(kind, types.Boolean):
        return "true or false"
    if isinstance(kind, types.Integer):
        if kind.min is not None and kind.max is not None:
            return f"a whole number from {kind.min} to {kind.max}"
        return "a whole number" + (f", at least {kind.min}" if kind.min is not None else "")
    choices = getattr(kind, "choices", None)
    return f"one of {', '.join(str(choice) for choice in choices)}" if choices else ""
