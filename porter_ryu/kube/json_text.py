"""JSON text to the structs of the API, whatever the text is.

One odd object must not cost the list that it stands in, and what is wrong is named by its field.
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
"""JSON as octets, or where it stands in a larger text."""

ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_DEPTH_MOST = 64
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}"  # a surrogate pair
    rb"|(?P<half>\\u[dD][89a-fA-F][\da-fA-F]{2})|\\."
)
_AT = re.compile(r"(?P<what>.*) - at `\$\.?(?P<path>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(\w+)(?: \| null)?`, got ")
_BOUND = re.compile(r"Expected `int` ([<>]=) (-?\d+)")
_NAMES = {
    "str": "a string",
    "int": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
_OF_A_MAP = "[...]"


def decoded(decoder: msgspec.json.Decoder[T], text: Text, place: str = "") -> T:
    """The value of a text, which stands at a dotted path (`place`) of an object; raises
    CodecError that names the field.

    As in Go, what is no character is U+FFFD.  What lies deeper than 64 levels is null where the
    text is too deep for the parser: nothing that is read here lies deeper than ten.
    """
    try:
        return _decoded(decoder, text)
    except msgspec.ValidationError as error:
        raise CodecError(_reason(str(error), place, text)) from error
    except (ValueError, RecursionError) as error:
        raise CodecError(f"{place or 'it'} is not JSON: {error}") from error


def part(decoder: msgspec.json.Decoder[T | None], text: Text, place: str) -> T | None:
    """The value of a part of an object that was left as it stands (msgspec.Raw): None where it is
    absent or null; raises CodecError as `decoded` does."""
    return decoded(decoder, text, place) if len(text) else None


def converted(kind: type[T], value: Any) -> T:
    """A value of the JSON types as a struct; raises CodecError that names the field."""
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
        return decoder.decode(_mended(bytes(text)))


def _reason(message: str, place: str, text: Text) -> str:
    """What is wrong, as a user is told."""
    found = _AT.fullmatch(message)
    what, path = (found["what"], found["path"]) if found else (message, "")
    if path.endswith(_OF_A_MAP):
        path = path.removesuffix(_OF_A_MAP)
        key = _odd_key(text, path)
        return f"{_joined(place, path)}: {key} or its value is not text: put it in quotes"
    where = _joined(place, path) or "it"
    expected = _EXPECTED.match(what)
    if expected and expected[1] in _NAMES:
        return f"{where} is not {_NAMES[expected[1]]}"
    bound = _BOUND.fullmatch(what)
    if bound:
        return f"{where} is {'more' if bound[1] == '<=' else 'less'} than {bound[2]}"
    if "out of range" in what:
        return f"{where} is out of range"
    return f"{where}: {what}"


def _joined(place: str, path: str) -> str:
    return f"{place}.{path}" if place and path and not path.startswith("[") else place + path


def _odd_key(text: Text, path: str) -> str:
    """The first key of a map whose value is no string."""
    try:
        value = _decoded(ANY, text)
        for part in path.split("."):
            value = value[part]
        return next(quoted(key) for key, below in value.items() if not isinstance(below, str))
    except (ValueError, RecursionError):
        return "a key"


def _mended(text: bytes) -> bytes:
    """The text with U+FFFD for what is no character, and null for what lies too deep."""
    whole = text.decode(errors="replace").encode()
    return _shallow(_ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], whole))


def _shallow(text: bytes) -> bytes:
    """The text with null for whatever lies deeper than 64 levels."""
    pieces, depth, kept_from = [], 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth == _DEPTH_MOST + 1:
                pieces += [text[kept_from : token.start()], b"null"]
        elif token[0] in (b"}", b"]"):
            if depth == _DEPTH_MOST + 1:
                kept_from = token.end()
            depth -= 1
    return b"".join([*pieces, text[kept_from:]]) if depth == 0 else b"{"
