"""Reads API JSON by type, so that a wrong one is a clear CodecError and never a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

Json = dict[str, Any]


class CodecError(ValueError):
    """An object that cannot be understood; the message names the field."""


def field(obj: Mapping[str, Any], path: str, kind: type[T], default: T) -> T:
    """The value at a dotted path, `default` where it or what is above it is absent or null;
    raises CodecError where something on the way is not of its type."""
    value: Any = obj
    parts = path.split(".")
    for number, part in enumerate(parts):
        if not isinstance(value, Mapping):
            raise CodecError(f"{'.'.join(parts[:number])} is not an object")
        value = value.get(part)
        if value is None:
            return default
    wrong = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or wrong:
        raise CodecError(f"{path} is not {_NAMES.get(kind, kind.__name__)}")
    return value


_NAMES: dict[type, str] = {
    str: "a string",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def objects(obj: Mapping[str, Any], path: str) -> list[Json]:
    """A list of objects at a path; raises CodecError."""
    entries = field(obj, path, list, [])
    if not all(isinstance(entry, dict) for entry in entries):
        raise CodecError(f"{path} is not a list of objects")
    return entries


def strings(obj: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """A list of strings at a path; raises CodecError."""
    entries = field(obj, path, list, [])
    if not all(isinstance(entry, str) for entry in entries):
        raise CodecError(f"{path} is not a list of strings")
    return tuple(entries)


def string_map(obj: Mapping[str, Any], path: str) -> dict[str, str]:
    """A map of strings at a path; raises CodecError."""
    entries = field(obj, path, dict, {})
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in entries.items()):
        raise CodecError(f"{path} is not a map of strings")
    return entries
