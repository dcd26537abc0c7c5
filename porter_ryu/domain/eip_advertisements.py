"""spec.advertisements of an Eip, as values: to which peers, from which nodes and with which
attributes its addresses are announced."""

from __future__ import annotations

from collections.abc import Mapping, Set

from msgspec import Struct

from porter_ryu.domain.communities import NO_COMMUNITIES, Communities
from porter_ryu.domain.labels import EVERYTHING, LabelSelector

# what an Eip may have, so that the attributes of a path always fit into a message (RFC 4271, 4)
MAX_ENTRIES, MAX_PEERS, MAX_PEER_NAME = 32, 64, 63
MAX_COMMUNITIES = 64
MAX_PREPEND = 32
_IPV4 = 4


class AdvertisementEntry(Struct, frozen=True, gc=False, cache_hash=True):
    """One entry of spec.advertisements.

    `peers` are names of [peer:NAME] groups, empty for all.  `nodes` selects the nodes that may be
    next hops.  `aggregation_length` and `aggregation_length_v6` are the lengths of the prefixes
    that are announced for the addresses in them; None: the addresses are announced themselves.
    """

    peers: frozenset[str] = frozenset()
    nodes: LabelSelector = EVERYTHING
    communities: Communities = NO_COMMUNITIES
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int = 0
    aggregation_length: int | None = None
    aggregation_length_v6: int | None = None

    def names(self, peer: str) -> bool:
        """Whether a peer gets the paths to which the entry applies."""
        return not self.peers or peer in self.peers

    def is_heard(self, peers: Set[str]) -> bool:
        """Whether one of these peers gets the paths to which the entry applies."""
        return not self.peers or not self.peers.isdisjoint(peers)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels may be a next hop."""
        return self.nodes.matches(labels)

    def aggregation_of(self, version: int) -> int | None:
        """The aggregation length of a family, 4 or 6."""
        return self.aggregation_length if version == _IPV4 else self.aggregation_length_v6
