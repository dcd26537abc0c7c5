"""Label selectors: metav1.LabelSelector, and the textual form that `kubectl -l` takes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from porter_ryu.domain.text import quoted

_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?"
_LISTED = re.compile(_VALUE)
_TERM = re.compile(
    rf"\s*(?:(?P<not>!)\s*(?P<absent>{_NAME})"
    rf"|(?P<key>{_NAME})\s*(?:(?P<op>==|=|!=)\s*(?P<value>{_VALUE})"
    rf"|\s(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|$)"
)


class SelectorError(ValueError):
    """A selector that does not parse; the message says where."""


class Requirement(Struct, frozen=True):
    """One entry of matchExpressions.  Raises SelectorError for an unknown operator, and for values
    that do not fit the operator."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.operator not in _OPERATORS:
            raise SelectorError(
                f"unknown operator {quoted(self.operator)} for label {quoted(self.key)}"
            )
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise SelectorError(
                f"operator {self.operator} of label {quoted(self.key)}: wrong values"
            )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """As labels.Requirement of apimachinery: NotIn also matches if the key is absent."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return self.key not in labels or labels[self.key] not in self.values
        return (self.key in labels) == (self.operator == "Exists")


class LabelSelector(Struct, frozen=True):
    """All requirements must match; a selector without any matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the selector matches an object with these labels."""
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = LabelSelector()


def match_labels(labels: Mapping[str, str]) -> tuple[Requirement, ...]:
    """The requirements of a matchLabels map."""
    return tuple(Requirement(k, "In", frozenset([v])) for k, v in sorted(labels.items()))


def parse_selector(text: str) -> LabelSelector:
    """Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k`; raises SelectorError."""
    requirements: list[Requirement] = []
    position = 0
    while position < len(text.rstrip()):
        term = _TERM.match(text, position)
        if term is None or term.end() == position:
            raise SelectorError(f"not a label selector from {quoted(text[position:].strip())} on")
        requirements.append(_requirement(term))
        position = term.end()
    return LabelSelector(tuple(requirements))


def _requirement(term: re.Match[str]) -> Requirement:
    if term["absent"]:
        return Requirement(term["absent"], "DoesNotExist")
    if term["set"]:
        values = frozenset(value.strip() for value in term["values"].split(","))
        for value in sorted(values):
            if not _LISTED.fullmatch(value):
                raise SelectorError(f"{quoted(value)} is not the value of a label")
        return Requirement(term["key"], "In" if term["set"] == "in" else "NotIn", values)
    if term["op"]:
        operator = "NotIn" if term["op"] == "!=" else "In"
        return Requirement(term["key"], operator, frozenset([term["value"]]))
    return Requirement(term["key"], "Exists")
