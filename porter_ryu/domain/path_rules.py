"""Which rules give paths their attributes, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.advertising import ServiceCommunities
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.drained_paths import DrainedPaths
from porter_ryu.domain.nodes.node_verdicts import NodeVerdicts
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.paths import PathRule
from porter_ryu.domain.turn import Policy
from porter_ryu.domain.weighting import Weighting


def path_rules(
    policy: Policy,
    allocator: Allocator,
    nodes: NodeVerdicts,
    resolver: NextHopResolver,
    drains: NodeDrains,
) -> Sequence[PathRule]:
    """The rules for these parts, in the order in which they apply."""
    rules: list[PathRule] = [ServiceCommunities(allocator)]
    if policy.next_hops.weights.weighs:
        rules.append(Weighting(policy.next_hops, nodes, resolver))
    rules.append(DrainedPaths(drains, policy.drain.med, resolver))
    return rules
