"""Addresses inside Eips that no Service gets, because a node, a peer or this host has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from porter_ryu.domain.model import Address
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.text import listed


def contained(owners: Iterable[tuple[Address, Sequence[str]]]) -> str:
    """That an Eip contains these addresses, each with those who have it, as the end of a sentence;
    empty if there is none."""
    ordered = sorted(owners, key=lambda entry: (entry[0].version, int(entry[0])))
    names = [f"{address} of {' and '.join(of)}" for address, of in ordered]
    them = "it" if len(names) == 1 else "them"
    return f"contains {listed(names)}: no Service gets {them}" if names else ""


def in_eips(planner: Planner) -> Mapping[str, str]:
    """The same as a whole sentence for each Eip that serves with such addresses, by name."""
    found: dict[str, list[tuple[Address, Sequence[str]]]] = {}
    for address in planner.allocator.reserved:
        eip = planner.pool_of(address)
        if eip:
            nodes = [f"node {name}" for name in sorted(planner.nodes.with_address(address))]
            found.setdefault(eip, []).append((address, [*planner.owners.get(address, ()), *nodes]))
    return {name: f"Eip {name} {contained(of)}" for name, of in sorted(found.items())}
