"""Reads manifests and keeps track of the fields that were used.

Every other field is reported as one without counterpart, and every field of a wrong type is named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from msgspec import Struct, field

from porter_ryu.domain.text import one_line
from porter_ryu.kube import documents
from porter_ryu.kube.json_text import Json

T = TypeVar("T")

_SUFFIXES = (".yaml", ".yml", ".json")
_NOT_SETTINGS = ("apiVersion", "kind", "metadata", "status")
_SECRET = re.compile(r"password|secret|token|key", re.IGNORECASE)
_MAX_QUOTED_CHARACTERS = 200
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class ImportingError(Exception):
    """A file cannot be read, or must not be overwritten."""


class Imported(Struct):
    """The result of an import: Eips, the groups of the configuration file, TCP MD5 keys by peer,
    commands that annotate Services, and a line for everything that has no counterpart."""

    eips: list[Json] = field(default_factory=list)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Manifest:
    """An object whose fields are removed as they are read.

    A field of a wrong type counts as missing, and `lost` names it.
    """

    def __init__(self, document: Json) -> None:
        metadata = document.get("metadata")
        self.metadata: Json = metadata if isinstance(metadata, dict) else {}
        self.kind = str(document.get("kind", ""))
        self.name = str(self.metadata.get("name", ""))
        self.namespace = str(self.metadata.get("namespace", "default"))
        self.labels = _string_map(self.metadata.get("labels"))
        self.annotations = _string_map(self.metadata.get("annotations"))
        self.status = document.get("status")
        self._rest = _copy({k: v for k, v in document.items() if k not in _NOT_SETTINGS})
        self._faults: list[str] = []

    def __str__(self) -> str:
        return one_line(f"{self.kind} {self.name}", _MAX_QUOTED_CHARACTERS)

    def pop(self, path: str, kind: type[T], default: T) -> T:
        """Removes and returns the field at a dotted path, or `default` if it is missing or of
        another type."""
        value = self._remove(path)
        if value is None:
            return default
        wrong = isinstance(value, bool) and kind is not bool
        if not isinstance(value, kind) or wrong:
            self._faults.append(f"{path} = {_quoted(path, value)} is of a wrong type")
            return default
        return value

    def _remove(self, path: str) -> Any:
        *parents, last = path.split(".")
        node: Any = self._rest
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        return node.pop(last, None) if isinstance(node, dict) else None

    def peek(self, path: str) -> Any:
        """The field at a path without removing it; None if it is missing."""
        node: Any = self._rest
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def text(self, path: str) -> str:
        """Removes and returns a string, or a number as a string; '' if it is missing."""
        value = self._remove(path)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._faults.append(f"{path} = {_quoted(path, value)} is of a wrong type")
            return ""
        return str(value)

    def strings(self, path: str) -> list[str]:
        """Removes and returns a list of strings."""
        return self._entries(path, str)

    def objects(self, path: str) -> list[Json]:
        """Removes and returns a list of objects."""
        return self._entries(path, dict)

    def seconds(self, path: str) -> int | None:
        """Removes and returns a Go duration (`1m30s`, `3000ms`) or a number of seconds, in whole
        seconds."""
        text = self.text(path)
        if not text:
            return None
        parts = _DURATION.findall(text)
        if "".join(number + unit for number, unit in parts) == text:
            return int(sum(float(number) * _UNITS[unit] for number, unit in parts))
        if text.isascii() and text.isdigit():
            return int(text)
        self._faults.append(f"{path} = {_quoted(path, text)} is not a duration")
        return None

    def lost(self) -> Iterator[str]:
        """A line for each field that was not read, or is of a wrong type."""
        yield from (f"{self}: {text}" for text in self._faults)
        for path, value in _leaves("", self._rest):
            yield f"{self}: {path} = {_quoted(path, value)} has no counterpart"

    def _entries(self, path: str, kind: type[T]) -> list[T]:
        entries: list[Any] = self.pop(path, list, [])
        if all(isinstance(entry, kind) for entry in entries):
            return entries
        self._faults.append(f"{path} = {_quoted(path, entries)} has entries of a wrong type")
        return []


def read(directory: str) -> list[Manifest]:
    """All objects below a directory, in order of file name; raises ImportingError."""
    if not os.path.isdir(directory):
        raise ImportingError(f"there is no directory {directory}")
    found = []
    for folder, _, names in sorted(os.walk(directory)):
        for name in sorted(names):
            if name.endswith(_SUFFIXES):
                found += _read_file(os.path.join(folder, name), name)
    return found


def _read_file(path: str, name: str) -> list[Manifest]:
    if not os.path.isfile(path):
        raise ImportingError(f"{path}: is not a file")
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return [Manifest(document) for _, document in documents.read(text)]
    except documents.BrokenFileError as error:
        raise ImportingError(f"{path}:{error.line}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ImportingError(f"{path}: {error}") from error


def selector_text(selector: Json) -> str | None:
    """A LabelSelector in the form of `kubectl -l`; None if it is invalid."""
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    if not isinstance(labels or {}, dict) or not isinstance(expressions or [], list):
        return None
    parts = [f"{key}={value}" for key, value in (labels or {}).items()]
    for expression in expressions or ():
        if not isinstance(expression, dict) or not isinstance(expression.get("values") or [], list):
            return None
        key, values = expression.get("key"), ", ".join(map(str, expression.get("values") or ()))
        forms = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": f"{key}",
            "DoesNotExist": f"!{key}",
        }
        operator = expression.get("operator")
        if not isinstance(operator, str) or operator not in forms:
            return None
        parts.append(forms[operator])
    return ", ".join(parts)


def _string_map(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(key): str(entry) for key, entry in value.items()}


def _quoted(path: str, value: object) -> str:
    """A value for a message, of limited length; the value of a secret is hidden."""
    return "(hidden)" if _SECRET.search(path) else one_line(repr(value), _MAX_QUOTED_CHARACTERS)


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
