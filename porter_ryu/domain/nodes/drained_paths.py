"""What a drain changes in the paths of a prefix (RFC 8326), and how that is explained."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from msgspec.structs import replace

from porter_ryu.domain.announcement import LEAVING, Announcement, Drain, NextHop
from porter_ryu.domain.model import Address, Family, Service
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.next_hops import NodeVerdict, combine
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.paths import Paths
from porter_ryu.domain.verdict import NodeReason, Verdict

_NONE: frozenset[NextHop] = frozenset()


class DrainedPaths:
    """A PathRule: a path to a drained node has the attributes of one that is left, with the
    MULTI_EXIT_DISC `med`.

    It leaves out no path: a target may use some nodes only, so which of them it loses is its own
    question (`announcement.in_use`).  For the same question it adds the paths that other instances
    announce, if each announces its own node.
    """

    def __init__(self, drains: NodeDrains, med: int, resolver: NextHopResolver) -> None:
        self._drains = drains
        self._resolver = resolver
        self._attributes = replace(LEAVING, med=med)

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        """The next hops that other instances announce, if the one of this instance is drained."""
        # an instance that announces its own node has no other next hop
        own = next(iter(hops)) if self._drains.count and len(hops) == 1 else None
        if own is None or not own.is_self or self._drains.of(own.node) is None:
            return _NONE
        family, resolver = Family(address.version), self._resolver
        if not holders:
            return resolver.next_hops_of_aggregate_elsewhere(family)
        return combine((s.local_traffic, resolver.next_hops_elsewhere(s, family)) for s in holders)

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        """The paths with what the drains of their nodes change."""
        if not self._drains.count:
            return paths
        elsewhere = facts if isinstance(facts, frozenset) else _NONE
        others = (Announcement(hop, elsewhere=True) for hop in elsewhere)
        return tuple(map(self._drained, (*paths, *others)))

    def _drained(self, path: Announcement) -> Announcement:
        drain = self._drains.of(path.next_hop.node)
        if drain is None:
            return path
        return replace(path, attributes=self._attributes.over(path.attributes), drain=drain)


def drained_verdict(
    verdict: NodeVerdict, drain: Drain, used: bool, last: bool, cause: str, now: float
) -> NodeVerdict:
    """The verdict on a drained node that would be a next hop of a prefix.

    `used`: its path is in use; `last`: every other node is drained, too.  `cause`: by what; `now`
    is of the clock of the turns, in seconds.
    """
    if not used:
        gone = Verdict(False, NodeReason.DRAINED, f"drained {cause}")
        return NodeVerdict(verdict.node, None, gone)
    if last:
        reason, state = NodeReason.LAST_NEXT_HOP, "drained" if drain.over else "being drained"
        text = f"{state} {cause}, but the last next hop: announced with GRACEFUL_SHUTDOWN"
    else:
        left = max(0, math.ceil(drain.ends - now))
        reason = NodeReason.DRAINING
        text = (
            f"being drained {cause}: announced with GRACEFUL_SHUTDOWN for {left} more "
            f"{'second' if left == 1 else 'seconds'}, then withdrawn"
        )
    why = f"{verdict.verdict.message}; {text}" if verdict.verdict.message else text
    return replace(verdict, verdict=Verdict(True, reason, why))
