"""Reads single values off oslo.config, and remembers in which file, group and key one was wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from oslo_config import cfg

from porter_ryu.options import GROUPS, PEER

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and where."""

    file: str
    group: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: [{self.group}] {self.key}: {self.message}"


class BadConfigurationError(Exception):
    """The configuration cannot be used; `faults` has at least one entry."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


@dataclass
class Reader:
    """Reads values off a ConfigOpts and remembers what was wrong with them."""

    conf: cfg.ConfigOpts
    faults: list[Fault] = field(default_factory=list)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)  # group -> key -> file

    def __post_init__(self) -> None:
        for path in files_of(self.conf):
            sections: dict[str, dict[str, list[str]]] = {}
            try:
                cfg.ConfigParser(path, sections).parse()
            except (cfg.ParseError, OSError, UnicodeDecodeError) as error:
                self.faults.append(Fault(path, "-", "-", " ".join(str(error).split())))
                continue
            for group, keys in sections.items():
                self.groups.setdefault(group, {}).update(dict.fromkeys(keys, path))

    def check_keys(self) -> None:
        """Finds keys that no option of the group has."""
        for group, keys in self.groups.items():
            options = PEER if group.startswith("peer:") else GROUPS.get(group)
            if options is None:
                continue
            known = {option.name for option in options}
            for key in keys:
                if key not in known:
                    self.fault(group, key, "there is no such key in this group")

    def get(self, group: str, key: str) -> Any:
        """The value of a key; None, and a fault, where it is not of the option's type."""
        try:
            return self.conf[group][key]
        except (cfg.ConfigFileValueError, ValueError) as error:
            self.fault(group, key, " ".join(str(error).split()))
            return None

    def parse(self, group: str, key: str, parse: Callable[[str], T], what: str) -> T | None:
        """The value of a key through `parse`; None where it is empty."""
        text = self.get(group, key)
        if not text:
            return None
        try:
            return parse(text)
        except ValueError:
            self.fault(group, key, f"{text!r} is not {what}")
            return None

    def fault(self, group: str, key: str, message: str) -> None:
        """Remembers what is wrong, once."""
        file = self.groups.get(group, {}).get(key) or next(iter(files_of(self.conf)), "(no file)")
        entry = Fault(file, group, key, message)
        if entry not in self.faults:
            self.faults.append(entry)


def files_of(conf: cfg.ConfigOpts) -> list[str]:
    """The files that a configuration was read from, in order."""
    directories = conf.config_dir or []
    if isinstance(directories, str):
        directories = [directories]
    found = [
        os.path.join(directory, name)
        for directory in directories
        if os.path.isdir(directory)
        for name in sorted(os.listdir(directory))
        if name.endswith(".conf")
    ]
    return [*(conf.config_file or []), *found]
