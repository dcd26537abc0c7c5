"""Query parameters: each is known (`catalogue`), given once and valid, or the request is refused
with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from webob import Request

from porter_ryu.domain.text import quoted
from porter_ryu.history.subject import About

SEQUENCE = "the sequence number of a change"
_MAX_DIGITS = 18
_MAX_PARAMETERS = 20


class QueryError(ValueError):
    """The sentence that the client gets, with status 400."""


def check(query: str, known: Sequence[str]) -> None:
    """Raises QueryError for a parameter that is not `known`, and for one that is given twice."""
    found: set[str] = set()
    for name, _ in _pairs(query):
        if name not in known:
            allowed = f"only {', '.join(known)}" if known else "none"
            raise QueryError(f"{quoted(name)} is no parameter of this path, which has {allowed}")
        if name in found:
            raise QueryError(f"{name} is given twice")
        found.add(name)


def parameters(req: Request) -> dict[str, str]:
    """The parameters of a request that was checked, by name."""
    return dict(_pairs(req.query_string))


def _pairs(query: str) -> list[tuple[str, str]]:
    # WebOb raises an error for octets that are no UTF-8
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:
        raise QueryError(f"the query has more than {_MAX_PARAMETERS} parameters") from error


def number(name: str, text: str, what: str) -> int:
    """A number that is not negative; raises QueryError, which says that it is not `what`."""
    if not text.isascii() or not text.isdecimal() or len(text) > _MAX_DIGITS:
        raise QueryError(f"{name}: {quoted(text)} is not {what}")
    return int(text)


def count(name: str, text: str, what: str) -> int:
    """As `number`, and not 0."""
    found = number(name, text, f"{what}, 1 at least")
    if not found:
        raise QueryError(f"{name}: '0' is not {what}, 1 at least")
    return found


def subject(text: str | None) -> About | None:
    """The subject that a parameter `about` names, None without one; raises QueryError."""
    try:
        return None if text is None else About(text)
    except ValueError as error:
        raise QueryError(f"about: {error}") from error
