"""On which nodes a Service has usable endpoints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from porter_ryu.domain.model import Endpoint, EndpointSlice, Family


class Backends(Struct, frozen=True, gc=False):
    """Where the usable endpoints of a Service are, for one family.

    `anywhere`: there is one at all; an endpoint need not name its node.  `counts`: how many there
    are on each node, empty if they were not counted.
    """

    nodes: frozenset[str]
    anywhere: bool
    counts: frozenset[tuple[str, int]] = frozenset()


NO_BACKENDS = Backends(frozenset(), anywhere=False)


def backends(
    slices: Iterable[EndpointSlice],
    family: Family,
    assumed_ready: frozenset[str] = frozenset(),
    *,
    counted: bool = False,
) -> Backends:
    """The usable endpoints in all slices of a Service.

    Usable are ready endpoints and, on the nodes of `assumed_ready`, all that are not terminating.
    Only where there is none of these, endpoints that still serve while terminating count (KEP-1669,
    as in kube-proxy).  `counted`: they are counted, too.
    """
    ready: list[Endpoint] = []
    terminating: list[Endpoint] = []
    for piece in slices:
        if piece.family is not family:
            continue
        for endpoint in piece.endpoints:
            if endpoint.ready or (endpoint.node in assumed_ready and not endpoint.terminating):
                ready.append(endpoint)
            elif endpoint.serving and endpoint.terminating:
                terminating.append(endpoint)
    usable = ready or terminating
    if not usable:
        return NO_BACKENDS
    nodes = frozenset(endpoint.node for endpoint in usable if endpoint.node)
    return Backends(nodes, anywhere=True, counts=_counts(usable) if counted else frozenset())


class EndpointStates(Struct, frozen=True, gc=False):
    """How many endpoints of a Service a node hosts (None: those that name no node): ready ones,
    those that still serve while terminating, and all others."""

    node: str | None
    ready: int
    terminating: int
    not_ready: int


def endpoint_states(slices: Iterable[EndpointSlice], family: Family) -> tuple[EndpointStates, ...]:
    """All endpoints of a Service by node, in order of name, those without one last."""
    kinds: dict[str | None, list[int]] = {}
    for piece in slices:
        if piece.family is not family:
            continue
        for endpoint in piece.endpoints:
            ending = endpoint.serving and endpoint.terminating
            counts = kinds.setdefault(endpoint.node, [0, 0, 0])
            counts[0 if endpoint.ready else 1 if ending else 2] += 1
    names = sorted(kinds, key=lambda node: (node is None, node or ""))
    return tuple(EndpointStates(node, *kinds[node]) for node in names)


def _counts(endpoints: Iterable[Endpoint]) -> frozenset[tuple[str, int]]:
    """How many endpoints each node hosts.  A Pod that moves from one slice to another is in both
    for a moment, and counts once."""
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for endpoint in endpoints:
        if endpoint.target in seen:
            continue
        if endpoint.target:
            seen.add(endpoint.target)
        if endpoint.node:
            counts[endpoint.node] += 1
    return frozenset(counts.items())


def unready_nodes(slices: Iterable[EndpointSlice], family: Family) -> frozenset[str]:
    """The nodes with endpoints of a Service that are neither ready nor terminating."""
    return frozenset(
        endpoint.node
        for piece in slices
        if piece.family is family
        for endpoint in piece.endpoints
        if endpoint.node and not endpoint.ready and not endpoint.terminating
    )
