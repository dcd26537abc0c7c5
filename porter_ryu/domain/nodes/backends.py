"""On which nodes a Service has usable endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from porter_ryu.domain.model import EndpointSlice, Family


@dataclass(frozen=True, slots=True)
class Backends:
    """Where the usable endpoints of a Service are, for one family.

    `anywhere`: there is one at all; an endpoint need not name its node.
    """

    nodes: frozenset[str]
    anywhere: bool


NO_BACKENDS = Backends(frozenset(), anywhere=False)


def backends(
    slices: Iterable[EndpointSlice], family: Family, assumed_ready: frozenset[str] = frozenset()
) -> Backends:
    """The usable endpoints in all slices of a Service.

    Usable are ready endpoints and, on the nodes of `assumed_ready`, all that are not terminating.
    Only where there is none of these, endpoints that still serve while terminating count (KEP-1669,
    as in kube-proxy).
    """
    ready: set[str] = set()
    terminating: set[str] = set()
    without_node = False
    for piece in slices:
        if piece.family is not family:
            continue
        for endpoint in piece.endpoints:
            if endpoint.ready or (endpoint.node in assumed_ready and not endpoint.terminating):
                nodes = ready
            elif endpoint.serving and endpoint.terminating:
                nodes = terminating
            else:
                continue
            if endpoint.node:
                nodes.add(endpoint.node)
            else:
                without_node = True
    usable = ready or terminating
    if not usable and not without_node:
        return NO_BACKENDS
    return Backends(frozenset(usable), anywhere=True)


def unready_nodes(slices: Iterable[EndpointSlice], family: Family) -> frozenset[str]:
    """The nodes with endpoints of a Service that are neither ready nor terminating."""
    return frozenset(
        endpoint.node
        for piece in slices
        if piece.family is family
        for endpoint in piece.endpoints
        if endpoint.node and not endpoint.ready and not endpoint.terminating
    )
