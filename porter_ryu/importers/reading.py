"""Reads manifests so that nothing in them is dropped in silence: a field that nobody asked for is
a field without counterpart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from porter_ryu.kube import documents
from porter_ryu.kube.fields import Json

_SUFFIXES = (".yaml", ".yml", ".json")
_NOT_SETTINGS = ("apiVersion", "kind", "metadata", "status")


class ImportingError(Exception):
    """A directory or a file of it that cannot be read."""


@dataclass
class Imported:
    """What comes out: Eips, the groups of an oslo file, keys by file name, commands that change
    Services, and a line for everything that has no counterpart."""

    eips: list[Json] = field(default_factory=list)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Manifest:
    """One object; `take` hands out a field and remembers that it did."""

    def __init__(self, document: Json) -> None:
        metadata = document.get("metadata")
        self.metadata: Json = metadata if isinstance(metadata, dict) else {}
        self.kind = str(document.get("kind", ""))
        self.name = str(self.metadata.get("name", ""))
        self.namespace = str(self.metadata.get("namespace", "default"))
        self.status = document.get("status")
        self._rest = _copy({k: v for k, v in document.items() if k not in _NOT_SETTINGS})

    def take(self, path: str, default: Any = None) -> Any:
        """The field at a dotted path, with all below it."""
        *parents, last = path.split(".")
        place = self._rest
        for parent in parents:
            place = place.get(parent, {}) if isinstance(place, dict) else {}
        if not isinstance(place, dict):
            return default
        value = place.pop(last, default)
        return default if value is None else value

    def lost(self) -> Iterator[str]:
        """A line for each field that was not taken."""
        for path, value in _leaves("", self._rest):
            yield f"{self.kind} {self.name}: {path} = {value!r} has no counterpart"


def read(directory: str) -> list[Manifest]:
    """All objects below a directory, in order of file name; raises ImportingError."""
    if not os.path.isdir(directory):
        raise ImportingError(f"there is no directory {directory}")
    found = []
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            if not name.endswith(_SUFFIXES):
                continue
            path = os.path.join(folder, name)
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                found += [Manifest(document) for _, document in documents.read(name, text)]
            except documents.BrokenFileError as error:
                raise ImportingError(f"{path}:{error.line}: {error}") from error
            except (OSError, UnicodeDecodeError) as error:
                raise ImportingError(f"{path}: {error}") from error
    return found


def selector_text(selector: Json) -> str | None:
    """A LabelSelector as text, None for one that cannot be read."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key"), ", ".join(expression.get("values") or ())
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        if expression.get("operator") not in forms:
            return None
        parts.append(forms[expression["operator"]])
    return ", ".join(parts)


def seconds(value: object) -> int:
    """A duration of Go's (`90s`, `1m30s`) or a number, in whole seconds; raises ValueError."""
    text, total, number = str(value), 0.0, ""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    for character in text:
        if character in units:
            total += float(number) * units[character]
            number = ""
        else:
            number += character
    return int(total + (float(number) if number else 0))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(below) for key, below in value.items()}
    return value


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), below)
    else:
        yield path, value
