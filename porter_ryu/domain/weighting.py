"""The weights of paths ([bgp] weights): all paths of a prefix have one, or none has.

A router that gets one path without a bandwidth among others that have one uses none of them
(RFC 10005).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from porter_ryu.domain.announcement import NextHop, PathAttributes
from porter_ryu.domain.model import Address, Family, Service
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.nodes.weights import levels, steady_levels
from porter_ryu.domain.paths import Paths

EndpointCounts = frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Weighed:
    """That the paths of an address have weights; `endpoints` are those of all its holders by node,
    empty if they are not counted."""

    endpoints: EndpointCounts


_NOT_COUNTED = _Weighed(frozenset())


class Weighting:
    """The `PathRule` of weights."""

    def __init__(self, policy: NextHopPolicy, resolver: NextHopResolver) -> None:
        self._policy = policy
        self._resolver = resolver

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        """The endpoints of the holders; None where the paths have no weights.

        Nodes that host no endpoint pass the traffic on to nodes that do, so a weight would say
        nothing about who does the work.
        """
        policy = self._policy
        if not any(policy.mode.only_endpoint_nodes(s.local_traffic) for s in holders):
            return None
        if not policy.weights.counts_endpoints:
            return _NOT_COUNTED
        family = Family(address.version)
        counts = [self._resolver.endpoint_counts(service, family) for service in holders]
        return _Weighed(counts[0] if len(counts) == 1 else _sum(counts))

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        """The paths with their weights; without, if that of a node is not known."""
        if not isinstance(facts, _Weighed):
            return paths
        endpoints = dict(facts.endpoints)
        central = self._policy.mode.central
        names = [path.next_hop.node for path in paths] if central else self._all_nodes(endpoints)
        weights: dict[str, int] = {}
        for name in names:
            weight = self._policy.weights.weight(self._resolver.node(name), endpoints.get(name, 0))
            if weight is None:
                return paths
            weights[name] = weight
        level = levels(weights) if central else steady_levels(weights)
        return tuple(
            replace(
                path,
                attributes=PathAttributes(bandwidth=level[path.next_hop.node]).over(
                    path.attributes
                ),
            )
            for path in paths
        )

    def _all_nodes(self, endpoints: Mapping[str, int]) -> Iterable[str]:
        """The nodes that every instance compares its own with, where each announces one node:
        their paths meet on the routers."""
        if self._policy.weights.counts_endpoints:
            return endpoints
        return self._resolver.nodes()


def _sum(counts: Iterable[EndpointCounts]) -> EndpointCounts:
    total: Counter[str] = Counter()
    for of_one in counts:
        total.update(dict(of_one))
    return frozenset(total.items())
