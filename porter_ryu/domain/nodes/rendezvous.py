"""A stable choice of some next hops out of many: rendezvous (highest random weight) hashing.

Each prefix ranks the nodes in its own order.  So prefixes spread over the nodes, and the loss of a
node changes the choice only of the prefixes that had chosen it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from functools import lru_cache
from hashlib import blake2b

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.model import Network


def choose(prefix: Network, hops: Collection[NextHop], count: int) -> list[NextHop]:
    """The `count` next hops that this prefix ranks first; the same on every instance."""
    if len(hops) <= count:
        return list(hops)
    candidates = list(hops)
    ranks = weights(prefix, candidates)
    best = heapq.nlargest(count, range(len(candidates)), key=ranks.__getitem__)
    return [candidates[index] for index in best]


def weights(prefix: Network, hops: Sequence[NextHop]) -> list[int]:
    """The weight of each next hop for a prefix, of 64 bits."""
    seed = prefix.network_address.packed
    return [
        int.from_bytes(blake2b(_name(hop), key=seed, digest_size=8).digest(), "big") for hop in hops
    ]


@lru_cache(maxsize=1 << 13)
def _name(hop: NextHop) -> bytes:
    return f"{hop.node} {hop.address}".encode()
