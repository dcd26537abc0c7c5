"""What a scalar of YAML means to Kubernetes.

kubectl reads YAML with sigs.k8s.io/yaml, which is go-yaml v2 and then JSON: mostly YAML 1.1, yet
without base 60 numbers, with octal numbers in both spellings, and with times as strings.  The
rules are those of go-yaml's resolve.go; the tests hold what kubectl 1.36 makes of each text.
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
# beyond 64 bits go-yaml takes a number for a float, and JSON writes floats below 1e21 as integers
_INT_DIGITS = 19
_INT_MOST, _INT_LEAST = 2**64 - 1, -(2**63)
_WHOLE_BELOW = 1e21


class ScalarError(ValueError):
    """A text that is not what its tag says."""


def scalar(text: str, tag: str | None, plain: bool) -> Scalar:
    """The value of a scalar.  `tag` is None where there is none; `plain`: it is not quoted.

    A tag that YAML does not know (`!Ref`, `!!python/name`) makes a string.  Raises ScalarError.
    """
    if tag is None:
        return _resolved(text) if plain else text
    short = tag.removeprefix(_PREFIX)
    if short == _BINARY:
        try:
            octets = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ScalarError("a !!binary value is no base64") from error
        return octets.decode("utf-8", "replace")
    if short not in _RESOLVED or short == tag:
        return text
    value = _resolved(text)
    if short == "timestamp" and _DATE.match(text):
        return text
    if short == "float" and _kind(value) == "int":
        return value
    if _kind(value) != short:
        raise ScalarError(f"{text[:40]!r} is no !!{short}")
    return value


def key(value: Scalar) -> str:
    """The name of a field, as JSON has it; raises ScalarError for null."""
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
    """What a plain text without a tag is."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    digits = text.replace("_", "") if text[0] != "." else text
    if _DECIMAL.fullmatch(digits) and len(digits) <= _INT_DIGITS:
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
    return _INT_LEAST <= number <= _INT_MOST


def _float(digits: str, text: str) -> Scalar:
    """A number, or the text as it stands where no float is that great."""
    value = float(digits)
    if math.isinf(value):
        return text  # as go-yaml: ParseFloat reports a range error
    if value.is_integer() and abs(value) < _WHOLE_BELOW:
        exact = int(digits) if _DECIMAL.fullmatch(digits) else int(value)
        return exact if _in_range(exact) else value
    return value
