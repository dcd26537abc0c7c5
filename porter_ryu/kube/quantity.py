"""Quantities of the Kubernetes API (k8s.io/apimachinery/pkg/api/resource): `4`, `3920m`, `0.5`.

quantity:  [+-] number [suffix]
number:    digits | digits.digits | digits. | .digits
suffix:    n u m k M G T P E | Ki Mi Gi Ti Pi Ei | e or E, and a signed number
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,3}))?"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_MAX_CHARACTERS = 64
_MAX = 2**63 - 1  # of a quantity and of its thousandths, as in the API


def thousandths(value: Any) -> int | None:
    """A quantity in thousandths, rounded up and at most 2^63-1; None for anything that is no
    quantity or is negative.  The API also accepts a number in place of the text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value) > _MAX_CHARACTERS:
        return None
    found = _QUANTITY.fullmatch(value)
    if found is None:
        return None
    exact = Fraction(found["number"].removesuffix(".")) * _factor(found) * 1000
    if found["sign"] == "-" and exact:
        return None
    return min(-(-exact.numerator // exact.denominator), _MAX)


def _factor(found: re.Match[str]) -> Fraction:
    """The factor of a suffix."""
    suffix, exponent = found["suffix"], found["exponent"]
    if suffix in _BINARY:
        return Fraction(2) ** _BINARY[suffix]
    return Fraction(10) ** (_DECIMAL[suffix] if suffix else int(exponent or 0))
