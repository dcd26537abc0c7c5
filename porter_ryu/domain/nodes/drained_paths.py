"""What a drain changes in the paths of a prefix (RFC 8326), and how that is explained."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

from porter_ryu.domain.announcement import Announcement, NextHop, PathAttributes
from porter_ryu.domain.communities import WELL_KNOWN
from porter_ryu.domain.model import Address, Service
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.verdict import NodeReason, Verdict

_GRACEFUL_SHUTDOWN = WELL_KNOWN["graceful-shutdown"]


class DrainedPaths:
    """A PathRule: a path to a drained node has the community GRACEFUL_SHUTDOWN, LOCAL_PREF 0,
    which RFC 8326 (4.3) wants from an internal peer, and the MULTI_EXIT_DISC `med`.

    It leaves out no path: a target may use some nodes only, so which of them it loses is its own
    question (`announcement.in_use`).
    """

    def __init__(self, drains: NodeDrains, med: int) -> None:
        self._drains = drains
        self._attributes = PathAttributes((_GRACEFUL_SHUTDOWN,), local_pref=0, med=med)

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        """Nothing but its next hops matters."""
        return None

    def apply(self, paths: tuple[Announcement, ...], facts: Hashable) -> tuple[Announcement, ...]:
        """The paths with what the drains of their nodes change."""
        if not self._drains.count:
            return paths
        return tuple(map(self._drained, paths))

    def _drained(self, path: Announcement) -> Announcement:
        drain = self._drains.of(path.next_hop.node)
        if drain is None:
            return path
        return replace(path, attributes=self._attributes.over(path.attributes), drain=drain)


def drained_verdict(
    verdict: NodeVerdict, path: Announcement, used: Sequence[Announcement], cause: str, now: float
) -> NodeVerdict:
    """The verdict on a drained node that would be a next hop, with its `path` among those of a
    prefix that are `used` (`in_use`).  `cause` drains it; `now` is of the clock of the turns."""
    drain = path.drain
    if drain is None:
        return verdict
    if path not in used:
        gone = Verdict(False, NodeReason.DRAINED, f"drained ({cause})")
        return NodeVerdict(verdict.node, None, gone)
    if all(other.drain is not None for other in used):
        reason, state = NodeReason.LAST_NEXT_HOP, "drained" if drain.over else "being drained"
        text = f"{state} ({cause}), but the last next hop: announced with GRACEFUL_SHUTDOWN"
    else:
        left = max(0, math.ceil(drain.ends - now))
        reason = NodeReason.DRAINING
        text = (
            f"being drained ({cause}): announced with GRACEFUL_SHUTDOWN for {left} more "
            f"{'second' if left == 1 else 'seconds'}, then withdrawn"
        )
    why = f"{verdict.verdict.message}; {text}" if verdict.verdict.message else text
    return replace(verdict, verdict=Verdict(True, reason, why))
