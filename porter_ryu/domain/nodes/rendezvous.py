"""A stable choice of some next hops out of many: rendezvous (highest random weight) hashing.

Each prefix ranks the nodes in its own order.  So prefixes spread over the nodes, and the loss of a
node changes the choice only of the prefixes that had chosen it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from hashlib import blake2b

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.model import Network


def choose(prefix: Network, hops: Collection[NextHop], count: int) -> list[NextHop]:
    """The `count` next hops that this prefix ranks first; the same on every instance."""
    if len(hops) <= count:
        return list(hops)
    seed = prefix.network_address.packed

    def rank(hop: NextHop) -> bytes:
        name = f"{hop.node} {hop.address}".encode()
        return blake2b(name, key=seed, digest_size=8).digest()

    return heapq.nlargest(count, hops, key=rank)
