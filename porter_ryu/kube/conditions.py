"""status.conditions of the API, read and written: Services and Eips carry them alike.

A condition's lastTransitionTime moves when its status does, and never else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from sys import intern

from msgspec.json import Decoder

from porter_ryu.domain.model import Condition
from porter_ryu.kube import metav1
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Json, Text, decoded
from porter_ryu.kube.shared import CACHED

_TYPE, _CONDITION = Decoder(metav1.ConditionType), Decoder(metav1.Condition)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def select(
    entries: Iterable[Text] | None, wanted: Callable[[str], bool]
) -> Iterator[metav1.Condition]:
    """The entries of status.conditions whose type is wanted; raises CodecError, but not for other
    fields of other entries."""
    for number, entry in enumerate(entries or ()):
        place = f"status.conditions[{number}]"
        try:
            found = decoded(_CONDITION, entry, place)
        except CodecError:
            if wanted(decoded(_TYPE, entry, place).type or ""):
                raise
            continue
        if wanted(found.type or ""):
            yield found


@lru_cache(CACHED)
def decode(entry: metav1.Condition) -> Condition:
    """An entry of status.conditions."""
    since = entry.last_transition_time or ""
    return Condition(
        intern(entry.type or ""),
        entry.status == "True",
        intern(entry.reason or ""),
        entry.message or "",
        intern(since) if _TIME.fullmatch(since) else "",
    )


def encode(wanted: Iterable[Condition], before: Iterable[Condition], now: str) -> list[Json]:
    """Entries that take the place of those `before`; `now` is an RFC 3339 time."""
    known = {condition.type: condition for condition in before}
    return [
        {**_entry(condition), "lastTransitionTime": _since(condition, known) or now}
        for condition in wanted
    ]


def merge_patch(wanted: Iterable[Condition], before: Iterable[Condition], now: str) -> list[Json]:
    """Entries of a strategic merge patch, which merges conditions by their type: those that are
    wanted, and the removal of those `before` that are not; `now` is an RFC 3339 time."""
    gone = {condition.type: condition for condition in before}
    entries = []
    for condition in wanted:
        entry = _entry(condition)
        known = gone.pop(condition.type, None)
        if known is None or known.status != condition.status:
            entry["lastTransitionTime"] = now
        entries.append(entry)
    return [*entries, *({"$patch": "delete", "type": name} for name in gone)]


def _since(condition: Condition, before: Mapping[str, Condition]) -> str:
    """Since when a condition has its status; empty where it is about to move."""
    known = before.get(condition.type)
    return known.since if known is not None and known.status == condition.status else ""


def _entry(condition: Condition) -> Json:
    return {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
    }
