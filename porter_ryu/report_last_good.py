"""The objects that count in their last good form, as JSON and text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from porter_ryu.domain.text import listed

if TYPE_CHECKING:
    from porter_ryu.domain.last_good import LastGood

Json = dict[str, Any]


def entries(found: Iterable[LastGood]) -> list[Json]:
    """One entry for each object; `namespace` is empty for one of the cluster."""
    return [
        {
            "kind": one.kind.singular,
            "namespace": one.key.namespace,
            "name": one.key.name,
            "why": one.why,
        }
        for one in found
    ]


def lines(told: Iterable[Json]) -> Iterator[str]:
    """The text of entries: a line for each reason, which is that of all objects in a file."""
    by_reason: dict[str, list[str]] = {}
    for entry in told:
        name = "/".join(filter(None, (entry["namespace"], entry["name"])))
        by_reason.setdefault(entry["why"], []).append(f"{entry['kind']} {name}")
    for why, names in by_reason.items():
        counts = "its last good form counts" if len(names) == 1 else "their last good forms count"
        yield f"  {listed(names)}: {counts}: {why}"
