"""Reads single values off oslo.config, and remembers in which file, group and key one was wrong.

Types, environment variables and `$` are oslo's; what is said of a bad value is ours.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from oslo_config import cfg, types

from porter_ryu.options import FOREIGN_GROUPS, GROUPS, PEER, PEER_PREFIX, WSAPI_HOST, of_ryu
from porter_ryu.settings_file import BadConfigurationError, Document, Fault, read_document, shown

T = TypeVar("T")

DEFAULT = "DEFAULT"
_NUMBER = re.compile(r"\s*([+-]?[0-9]+)?\s*|.*\$.*")  # with $: what it stands for counts
_COMMENT = re.compile(r"\s[#;]")
_PORT_MOST = 65535
_NO_FILE = "(no file)"


@dataclass
class Reader:
    """Reads values off files and remembers what was wrong with them."""

    conf: cfg.ConfigOpts
    documents: Sequence[Document]
    faults: list[Fault] = field(default_factory=list)
    options: dict[tuple[str, str], cfg.Opt] = field(default_factory=dict)
    key_files: list[str] = field(default_factory=list)  # files that values name, by path
    put_aside: list[str] = field(default_factory=list)  # groups of peers that are not named

    @property
    def groups(self) -> set[str]:
        """The groups that begin in any of the files."""
        return {group for document in self.documents for group in document.groups}

    def register(self, group: str, options: Iterable[cfg.Opt]) -> None:
        """Makes the options of a group known."""
        every = list(options)
        self.conf.register_opts(every, group=None if group == DEFAULT else group)
        self.options.update({(group, option.dest): option for option in every})

    def get(self, group: str, key: str) -> Any:
        """The value of a key; None, and a fault, where it is not one of the option's type."""
        option, entry = self.options[group, key], self._written(group, key)
        wrong = _wrong_text(option, entry) if entry is not None else ""
        if wrong:
            self.fault(group, key, wrong)
            return None
        try:
            value = self.conf[key] if group == DEFAULT else self.conf[group][key]
        except (cfg.Error, ValueError, RecursionError, AttributeError, KeyError, TypeError):
            self.fault(group, key, _what_is_wrong(option, entry or ""))
            return None
        left = isinstance(value, str) and "$" in value
        if left and entry is not None and "$$" not in entry and r"\$" not in entry:
            self.fault(group, key, _what_is_wrong(option, entry))
        if value is None and option.default is not None:
            self.fault(group, key, f"is empty, and has to be {_due(option) or 'set'}")
        return value

    def parse(self, group: str, key: str, parse: Callable[[str], T]) -> T | None:
        """The value of a key through `parse`, whose ValueError says what is wrong with it; None
        where it is empty."""
        text = self.get(group, key)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.fault(group, key, str(error))
            return None

    def fault(self, group: str, key: str, message: str) -> None:
        """Remembers what is wrong, once."""
        entry = Fault(self._place(group, key), group, key, message)
        if entry not in self.faults:
            self.faults.append(entry)

    def _written(self, group: str, key: str) -> str | None:
        """The text of a value where it comes from, None where it is the default."""
        if _variable(group, key) in os.environ:
            return os.environ[_variable(group, key)]
        for document in reversed(self.documents):
            if key in document.groups.get(group, ()):
                return document.groups[group][key].text
        return None

    def _place(self, group: str, key: str) -> str:
        if _variable(group, key) in os.environ:
            return f"environment {_variable(group, key)}"
        latest = list(reversed(self.documents))
        holders = [d.path for d in latest if key in d.groups.get(group, ())]
        holders += [d.path for d in latest if group in d.groups]
        return next(iter(holders), self.documents[0].path if self.documents else _NO_FILE)

    # -- what stands in the files and means nothing ---------------------------------------------

    def check_names(self, peers: Iterable[str]) -> None:
        """Finds groups and keys that nobody reads, and keys that stand in a file twice.

        The group of a peer that is not named is no fault: that is how a peer is put aside.
        """
        of_peers = {PEER_PREFIX + name for name in peers}
        known = {*GROUPS, DEFAULT, *of_peers}
        self.put_aside = sorted(
            group
            for group in self.groups - of_peers
            if group.startswith(PEER_PREFIX) and any(d.groups.get(group) for d in self.documents)
        )
        for document in self.documents:
            for group, keys in document.groups.items():
                if group in known or group.startswith(PEER_PREFIX):
                    self._check_keys(document.path, group, keys)
                elif not _is_foreign(group):
                    message = _no_such_group(group, known)
                    self.faults.append(Fault(document.path, group, "", message))
            for group, key, lines in document.doubles:
                self._double(document.path, group, key, lines)

    def _check_keys(self, path: str, group: str, keys: Iterable[str]) -> None:
        own = {option.dest for option in PEER} if group.startswith(PEER_PREFIX) else None
        known = own or {key for where, key in self.options if where == group}
        for key in keys:
            if key not in known:
                message = f"there is no such key in this group{_instead(key, group, known)}"
                self.faults.append(Fault(path, group, key, message))

    def _double(self, path: str, group: str, key: str, lines: tuple[int, int]) -> None:
        option = self.options.get((group, key))
        if _is_foreign(group) or (option is not None and option.multi):
            return
        message = f"is set twice, in lines {lines[0]} and {lines[1]}"
        self.faults.append(Fault(path, group, key, message))


def open_files(files: Sequence[str]) -> Reader:
    """A reader of these files, which override one another in their order.

    Raises BadConfigurationError where one of them cannot be read or is not of this form.
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
    words = [f"--config-file={path}" for path in files]
    try:
        reader.conf(words, project="porter-ryu", default_config_files=[], default_config_dirs=[])
    except (cfg.Error, OSError, ValueError) as error:  # it was replaced since it was read above
        why = " ".join(str(error).split())
        raise BadConfigurationError((Fault(files[0], "", "", why),)) from error
    for document in documents:
        for key in document.groups.get(DEFAULT, ()):
            if (DEFAULT, key) in reader.options:
                reader.get(DEFAULT, key)
    port = reader.get(DEFAULT, "wsapi_port")
    if port is not None and not 0 < port <= _PORT_MOST:
        reader.fault(DEFAULT, "wsapi_port", f"{port} is not a port number")
    return reader


def files_of(conf: cfg.ConfigOpts) -> list[str]:
    """The files that a configuration is read from now, in order."""
    directories = conf.config_dir or []
    if isinstance(directories, str):
        directories = [directories]
    found: list[str] = []
    for directory in directories:
        found += sorted(glob.glob(os.path.join(os.path.expanduser(directory), "*.conf")))
    return [*(conf.config_file or []), *found]


def _variable(group: str, key: str) -> str:
    """The environment variable that overrides a key, in oslo.config's form."""
    return f"OS_{group.upper()}__{key.upper()}"


def _wrong_text(option: cfg.Opt, text: str) -> str:
    """What oslo.config takes in silence, and who wrote it surely did not mean; '' for nothing."""
    if _COMMENT.search(text):
        return f"{shown(text)}: a comment needs a line of its own"
    if isinstance(option.type, types.List):
        return ""
    if "\n" in text:
        return f"the line {shown(text.split(chr(10))[1])} is indented, so it is of this value"
    if not text.isprintable():
        return f"{shown(text)} has a control character in it"
    if isinstance(option.type, types.Integer) and not _NUMBER.fullmatch(text):
        return _what_is_wrong(option, text)
    return ""


def _what_is_wrong(option: cfg.Opt, text: str) -> str:
    if "$" in text:
        return f"{shown(text)}: there is nothing that $ could stand for; $$ is a dollar sign"
    return f"{shown(text)} is not {_due(option) or 'a value of this key'}"


def _due(option: cfg.Opt) -> str:
    """What a value of an option has to be."""
    kind = option.type
    if isinstance(kind, types.Boolean):
        return "true or false"
    if isinstance(kind, types.Integer):
        if kind.min is not None and kind.max is not None:
            return f"a whole number from {kind.min} to {kind.max}"
        return "a whole number" + (f", at least {kind.min}" if kind.min is not None else "")
    choices = getattr(kind, "choices", None)
    return f"one of {', '.join(str(choice) for choice in choices)}" if choices else ""


def _is_foreign(group: str) -> bool:
    """Whether a group is some other library's."""
    return group in FOREIGN_GROUPS or group.startswith("oslo_")


def _no_such_group(group: str, known: Iterable[str]) -> str:
    return f"there is no such group{_close(group.strip(), known, '[{}]')}"


def _instead(key: str, group: str, known: Iterable[str]) -> str:
    elsewhere = [g for g, options in GROUPS.items() if key in {option.dest for option in options}]
    if elsewhere and group != elsewhere[0]:
        return f"; it is of [{elsewhere[0]}]"
    return _close(key.replace("-", "_"), known, "{}")


def _close(name: str, known: Iterable[str], form: str) -> str:
    by_small = {entry.lower(): entry for entry in known}
    close = difflib.get_close_matches(name.lower(), by_small, 1)
    return f"; did you mean {form.format(by_small[close[0]])}?" if close else ""
