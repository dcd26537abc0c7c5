"""Reads API JSON by type, so that a wrong one is a clear CodecError and never a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar

from porter_ryu.domain.model import Address
from porter_ryu.domain.text import quoted

T = TypeVar("T")

Json = dict[str, Any]

_INT64_MOST = 2**63
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


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
    if isinstance(value, str) and not _is_text(value):
        raise CodecError(f"{path} has a character that does not exist")
    if isinstance(value, int) and not -_INT64_MOST <= value < _INT64_MOST:
        raise CodecError(f"{path} is not a number of 64 bits")
    return value


def _is_text(text: str) -> bool:
    """Whether it could be written as UTF-8: a lone surrogate could not."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_NAMES: dict[type, str] = {
    str: "a string",
    int: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def timestamp(obj: Mapping[str, Any], path: str) -> str:
    """A time as the API writes it (RFC 3339), empty where there is none; raises CodecError."""
    text = field(obj, path, str, "")
    return text if _TIME.fullmatch(text) else ""


def objects(obj: Mapping[str, Any], path: str) -> list[Json]:
    """A list of objects at a path; raises CodecError."""
    entries = field(obj, path, list, [])
    if not all(isinstance(entry, dict) for entry in entries):
        raise CodecError(f"{path} is not a list of objects")
    return entries


def strings(obj: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """A list of strings at a path; raises CodecError."""
    entries = field(obj, path, list, [])
    if not all(isinstance(entry, str) and _is_text(entry) for entry in entries):
        raise CodecError(f"{path} is not a list of strings")
    return tuple(entries)


def string_map(obj: Mapping[str, Any], path: str) -> dict[str, str]:
    """A map of strings at a path; raises CodecError."""
    entries = field(obj, path, dict, {})
    for name, value in entries.items():
        if not all(isinstance(text, str) and _is_text(text) for text in (name, value)):
            key = quoted(name) if isinstance(name, str) else "a key"
            raise CodecError(f"{path}: {key} or its value is not text: put it in quotes")
    return entries


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Names where the entries stand that are read within: `port` of what is inside spec.ports."""
    try:
        yield
    except CodecError as error:
        raise CodecError(f"{path}: {error}") from error


def address_of(text: str) -> Address | None:
    """An IP address that a Service can have or a node can be reached by; None for any other text,
    for an IPv4-mapped one and for one with a zone."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    odd = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id)
    return None if odd else address
