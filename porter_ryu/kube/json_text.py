"""Decodes JSON text into the structs of the API, and names the field if that fails.

An unusual object does not affect the other objects of a list.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from porter_ryu.domain.text import quoted
from porter_ryu.kube.errors import CodecError

T = TypeVar("T")

Json = dict[str, Any]
Text = bytes | Raw
"""JSON text as octets, or as a part of a larger text."""

ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_MAX_DEPTH = 64
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}"  # a surrogate pair
    rb"|(?P<half>\\u[dD][89a-fA-F][\da-fA-F]{2})|\\."
)
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(\w+)(?: \| null)?`, got ")
_BOUND = re.compile(r"Expected `int` ([<>]=) (-?\d+)")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_NAMES = {
    "str": "a string",
    "int": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_OF_A_MAP = "[...]"
_PLACE = re.compile(r"[^.\[\]]+")


def decoded(decoder: msgspec.json.Decoder[T], text: Text, place: str = "") -> T:
    """The value of a text; `place` is the dotted path of the text in its object.  Raises
    CodecError, which names the field.

    Invalid UTF-8 and half surrogate pairs become U+FFFD, as in Go.  If the text is nested too
    deeply for the decoder, values below 64 levels become null; the program reads no field below
    ten levels.
    """
    try:
        return _decoded(decoder, text)
    except msgspec.ValidationError as error:
        raise CodecError(_reason(str(error), place, text)) from error
    except (ValueError, RecursionError) as error:
        raise CodecError(f"{place or 'it'} is not JSON: {error}") from error


def part(decoder: msgspec.json.Decoder[T | None], text: Text, place: str) -> T | None:
    """The value of a field that a struct has as JSON text (msgspec.Raw), None if it is absent or
    null; raises CodecError as `decoded` does."""
    return decoded(decoder, text, place) if len(text) else None


def converted(kind: type[T], value: Any) -> T:
    """Parsed JSON as a struct; raises CodecError, which names the field."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise CodecError(_reason(str(error), "", b"null")) from error


def _decoded(decoder: msgspec.json.Decoder[T], text: Text) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError):
        return decoder.decode(_repaired(bytes(text)))


def _reason(message: str, place: str, text: Text) -> str:
    """An error message of msgspec in the words of this program."""
    found = _AT.fullmatch(message)
    what, path = (found["what"], found["path"]) if found else (message, "")
    if path.endswith(_OF_A_MAP):
        path = path.removesuffix(_OF_A_MAP)
        key = _key_without_text(text, path)
        return f"{_joined(place, path)}: {key} or its value is not text: put it in quotes"
    where = _joined(place, path) or "it"
    expected = _EXPECTED.match(what)
    if expected and expected[1] in _NAMES:
        return f"{where} is not {_NAMES[expected[1]]}"
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        return f"{where} has no field {quoted(unknown[1])}"
    bound = _BOUND.fullmatch(what)
    if bound:
        return f"{where} is {'more' if bound[1] == '<=' else 'less'} than {bound[2]}"
    if "out of range" in what:
        return f"{where} is out of range"
    return f"{where}: {what}"


def _joined(place: str, path: str) -> str:
    return f"{place}.{path}" if place and path and not path.startswith("[") else place + path


def _key_without_text(text: Text, path: str) -> str:
    """The first key of a map whose value is not a string."""
    try:
        value = _decoded(ANY, text)
        for name in _PLACE.findall(path):
            value = value[int(name)] if isinstance(value, list) else value[name]
        wrong = (quoted(key) for key, below in value.items() if not isinstance(below, str))
        return next(wrong, "a key")
    except Exception:
        return "a key"  # the decoder met it in a duplicate field, or it has no value at all


def _repaired(text: bytes) -> bytes:
    """The text without invalid characters and without values that are nested too deeply."""
    whole = text.decode(errors="replace").encode()
    return _shallow(_ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], whole))


def _shallow(text: bytes) -> bytes:
    """The text with null in place of values below 64 levels."""
    pieces, depth, kept_from = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth == _MAX_DEPTH + 1:
                pieces += [text[kept_from : token.start()], b"null"]
        elif token[0] in (b"}", b"]"):
            if depth == _MAX_DEPTH + 1:
                kept_from = token.end()
            depth -= 1
    return b"".join([*pieces, text[kept_from:]]) if depth == 0 else b"{"
