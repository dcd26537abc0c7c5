"""Where the endpoints of a Service are that count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from porter_ryu.domain.model import EndpointSlice, Family


@dataclass(frozen=True, slots=True)
class Backends:
    """Where the usable endpoints of a Service are, for one family.

    `anywhere` also counts endpoints that name no node.
    """

    nodes: frozenset[str]
    anywhere: bool


NOWHERE = Backends(frozenset(), anywhere=False)


def backends(
    slices: Iterable[EndpointSlice], family: Family, trusted: frozenset[str] = frozenset()
) -> Backends:
    """The usable endpoints of all slices of a Service.

    Ready ones, and those that are not on nodes of `trusted`; as long as no node has a ready one,
    those that still serve while terminating (KEP-1669, as kube-proxy does).
    """
    ready: set[str] = set()
    draining: set[str] = set()
    homeless = False
    for piece in slices:
        if piece.family is not family:
            continue
        for endpoint in piece.endpoints:
            if endpoint.ready or (endpoint.node in trusted and not endpoint.terminating):
                found = ready
            elif endpoint.serving and endpoint.terminating:
                found = draining
            else:
                continue
            homeless = homeless or not endpoint.node
            if endpoint.node:
                found.add(endpoint.node)
    nodes = ready or draining
    if not nodes and not homeless:
        return NOWHERE
    return Backends(frozenset(nodes), anywhere=True)


def unready(slices: Iterable[EndpointSlice], family: Family) -> frozenset[str]:
    """The nodes that have endpoints of a Service which are neither ready nor terminating."""
    return frozenset(
        endpoint.node
        for piece in slices
        if piece.family is family
        for endpoint in piece.endpoints
        if endpoint.node and not endpoint.ready and not endpoint.terminating
    )
