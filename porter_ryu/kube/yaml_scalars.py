"""The values of YAML scalars as Kubernetes reads them.

kubectl reads YAML with sigs.k8s.io/yaml, that is go-yaml v2 followed by JSON: mostly YAML 1.1, but
without base 60 numbers, with octal numbers in both spellings, and with times as strings.  The rules
are those of go-yaml's resolve.go; the tests compare with the results of kubectl 1.36.
"""

from __future__ import annotations

import base64
import math
import re

Scalar = str | int | float | bool | None

_PREFIX = "tag:yaml.org,2002:"
_STR, _BINARY = "str", "binary"
_RESOLVED = ("bool", "int", "float", "null", "timestamp")

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(
        ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True
    ),
    **dict.fromkeys(
        ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False
    ),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_BASED = re.compile(r"([-+]?)0(?:[xX]([0-9a-fA-F]+)|[bB]([01]+)|[oO]?([0-7]+))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-")
# go-yaml reads numbers beyond 64 bits as floats, and JSON writes floats below 1e21 as integers
_MAX_INT_DIGITS = 19
_MAX_INT, _MIN_INT = 2**64 - 1, -(2**63)
_WHOLE_BELOW = 1e21


class ScalarError(ValueError):
    """A text that does not match its tag."""


def scalar(text: str, tag: str | None, plain: bool) -> Scalar:
    """The value of a scalar with a tag (or None); `plain`: the scalar is not quoted.

    With a tag that YAML does not define (`!Ref`, `!!python/name`) it is a string.  Raises
    ScalarError.
    """
    if tag is None:
        return _resolved(text) if plain else text
    short = tag.removeprefix(_PREFIX)
    if short == _BINARY:
        try:
            octets = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ScalarError("a !!binary value is not base64") from error
        return octets.decode("utf-8", "replace")
    if short not in _RESOLVED or short == tag:
        return text
    value = _resolved(text)
    if short == "timestamp" and _DATE.match(text):
        return text
    if short == "float" and _kind(value) == "int":
        return value
    if _kind(value) != short:
        raise ScalarError(f"{text[:40]!r} is not a valid !!{short}")
    return value


def key(value: Scalar) -> str:
    """The name of a field as in JSON; raises ScalarError for null."""
    if value is None:
        raise ScalarError("a key is null")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _INFINITE.get(repr(value), repr(value))
    return str(value)


_INFINITE = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}


def _kind(value: Scalar) -> str:
    if value is None:
        return "null"
    return type(value).__name__


def _resolved(text: str) -> Scalar:
    """The value of a plain scalar without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if _DECIMAL.fullmatch(digits) and len(digits) <= _MAX_INT_DIGITS:
        return int(digits)
    based = _BASED.fullmatch(digits)
    if based is not None:
        sign, sixteen, two, eight = based.groups()
        for number, base in ((sixteen, 16), (two, 2), (eight, 8)):
            if number is not None:
                value = int(sign + number, base)  # linear in these bases, whatever the length
                return value if _in_range(value) else text
    if _FLOAT.fullmatch(digits):
        return _float(digits, text)
    return text


def _in_range(number: int) -> bool:
    return _MIN_INT <= number <= _MAX_INT


def _float(digits: str, text: str) -> Scalar:
    """The value of a number; the text itself if it is too large for a float."""
    value = float(digits)
    if math.isinf(value):
        return text  # as go-yaml: ParseFloat reports a range error
    if value.is_integer() and abs(value) < _WHOLE_BELOW:
        exact = int(digits) if _DECIMAL.fullmatch(digits) else int(value)
        return exact if _in_range(exact) else value
    return value
