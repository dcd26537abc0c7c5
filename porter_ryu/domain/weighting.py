"""The weights of paths ([bgp] weights): all paths of a prefix have one, or none has.

A router that gets one path without a bandwidth among others that have one uses none of them
(RFC 10005).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.announcement import NextHop, PathAttributes
from porter_ryu.domain.model import Address, Family, Service
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.node_verdicts import NodeVerdicts
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.nodes.weights import levels, steady_levels
from porter_ryu.domain.paths import Paths

EndpointCounts = frozenset[tuple[str, int]]


class _Weighed(Struct, frozen=True):
    """That the paths of an address have weights; `endpoints` are those of all its holders by node,
    empty if they are not counted."""

    endpoints: EndpointCounts


_NOT_COUNTED = _Weighed(frozenset())


class Weighting:
    """The `PathRule` of weights."""

    def __init__(
        self, policy: NextHopPolicy, nodes: NodeVerdicts, resolver: NextHopResolver
    ) -> None:
        self._policy = policy
        self._nodes = nodes
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
        level = self._levels(paths, facts) if isinstance(facts, _Weighed) else {}
        if not level:
            return paths
        said = ((path, PathAttributes(bandwidth=level[path.next_hop.node])) for path in paths)
        return tuple(replace(path, attributes=own.over(path.attributes)) for path, own in said)

    def _levels(self, paths: Paths, facts: _Weighed) -> Mapping[str, int]:
        """The weight of each node as it is announced; empty if that of one node is not known."""
        endpoints, mode = dict(facts.endpoints), self._policy.weights
        names = {path.next_hop.node for path in paths}
        central = self._policy.mode.central
        if not central:
            # each instance compares its own node with all: their paths meet on the routers
            names.update(endpoints if mode.counts_endpoints else self._nodes.names())
        weights: dict[str, int] = {}
        for name in names:
            weight = mode.weight(self._nodes.node(name), endpoints.get(name, 0))
            if weight is None:
                return {}
            weights[name] = weight
        return levels(weights) if central else steady_levels(weights)


def _sum(counts: Iterable[EndpointCounts]) -> EndpointCounts:
    total: Counter[str] = Counter()
    for of_one in counts:
        total.update(dict(of_one))
    return frozenset(total.items())
