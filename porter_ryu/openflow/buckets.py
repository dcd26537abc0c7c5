"""Fills the buckets of a group with next hops, by weighted rendezvous hashing.

Every next hop has a score for every bucket that depends on the two alone, and the highest score
gets the bucket.  So when a next hop leaves, only its own buckets go to others, and when it comes,
it takes buckets only for itself.  Scores are weighted as -weight / ln(u) with u uniform in (0, 1),
so that the share of a next hop is its share of the weights.

For each next hop, u takes each of `count` equal parts of (0, 1) once: it ranks the buckets.  Shares
are more even that way than with independent numbers, by a third.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from porter_ryu.domain.model import Address

_OCTETS = 6  # a float has 53 bits
_SPAN = 2.0 ** (8 * _OCTETS)


def filled(hops: Sequence[tuple[Address, int]], count: int) -> tuple[Address, ...]:
    """The next hop of each of `count` buckets, for next hops with their weights (at least 1).
    No next hops: no buckets."""
    if not hops:
        return ()
    if len(hops) == 1:
        return (hops[0][0],) * count
    tables = [(address, weight, _scores(address, count)) for address, weight in hops]
    return tuple(
        max(tables, key=lambda entry: entry[1] * entry[2][index])[0] for index in range(count)
    )


@lru_cache(maxsize=4096)
def _scores(address: Address, count: int) -> tuple[float, ...]:
    """The score of a next hop of weight 1 for each bucket."""
    random = [_number(address.packed, index) for index in range(count)]
    scores = [0.0] * count
    for rank, index in enumerate(sorted(range(count), key=random.__getitem__)):
        scores[index] = -1.0 / math.log((rank + random[index]) / count)
    return tuple(scores)


def _number(address: bytes, index: int) -> float:
    """A number in (0, 1) for a next hop and a bucket."""
    digest = blake2b(address + index.to_bytes(2, "big"), digest_size=_OCTETS).digest()
    return (int.from_bytes(digest, "big") + 0.5) / _SPAN
