"""Fan-out: several sessions with one peer, each with one path of a prefix.

Which session gets which node is decided by rendezvous hashing of pairs: of all pairs of a session
and a node, the one with the highest weight belongs together, then the highest of the rest, and so
on.  So every run finds the same pairs, a prefix has each node on one session, and a node that is
lost or comes back changes few other pairs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

from msgspec import Struct

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.nodes.rendezvous import choose, weights

# so many candidates that a lost one is seldom replaced by one that displaces others
_CANDIDATES_LEAST, _CANDIDATES_PER_SESSION = 32, 2
_MASK = (1 << 64) - 1

Pairs = dict[Address, NextHop]


class FanOut(Struct, frozen=True):
    """One of the sessions with a peer, as its export policy needs it.

    `own` is the local address of this session and `sessions` are those of all; `down` are those of
    the others that have not brought their routes to the peer.
    """

    own: Address
    sessions: tuple[Address, ...]
    down: frozenset[Address] = frozenset()

    def choose(
        self, prefix: Network, hops: Iterable[NextHop], reserve: Iterable[NextHop], limit: int
    ) -> NextHop:
        """The next hop of this session.  All sessions choose from the first `limit` by rank (0: no
        limit); those in `reserve` are used only if there are more sessions than `hops`.

        A session that has none of its own, because there are fewer than sessions, takes that of a
        session that is down, or one that another session has, too.
        """
        pairs = _share(prefix, self.sessions, tuple(hops), tuple(reserve), limit)
        if self.own in pairs:
            return pairs[self.own]
        down = self.down - {self.own}
        free = [session for session in self.sessions if session not in pairs.keys() | down]
        stand_ins = _pair(prefix, free, [pairs[session] for session in pairs if session in down])
        if self.own in stand_ins:
            return stand_ins[self.own]
        return _pair(prefix, [self.own], list(pairs.values()))[self.own]


# the sessions ask for the pairs of the same prefixes one after the other
@lru_cache(maxsize=1 << 14)
def _share(
    prefix: Network,
    sessions: tuple[Address, ...],
    hops: tuple[NextHop, ...],
    reserve: tuple[NextHop, ...],
    limit: int,
) -> Pairs:
    count = len(sessions)
    most = max(_CANDIDATES_PER_SESSION * count, _CANDIDATES_LEAST)
    candidates = choose(prefix, hops, min(limit, most) if limit else most)
    lacking = min(limit, count) - len(candidates) if limit else count - len(candidates)
    if lacking > 0:
        candidates += choose(prefix, reserve, lacking)
    return _pair(prefix, sessions, tuple(candidates))


def _pair(prefix: Network, sessions: Sequence[Address], hops: Sequence[NextHop]) -> Pairs:
    """The next hop of each session; no two have the same."""
    numbers = weights(prefix, hops)
    factors = [_factor(session) for session in sessions]
    left = set(range(len(hops)))

    def best(session: int) -> tuple[int, int, int]:
        factor = factors[session]
        weight, hop = max((numbers[hop] * factor & _MASK, hop) for hop in left)
        return -weight, session, hop

    found: Pairs = {}
    pairs = [best(session) for session in range(len(sessions))] if left else []
    heapq.heapify(pairs)
    while pairs and left:
        _, session, hop = heapq.heappop(pairs)
        if hop in left:
            found[sessions[session]] = hops[hop]
            left.remove(hop)
        else:
            heapq.heappush(pairs, best(session))
    return found


@lru_cache(maxsize=1 << 10)
def _factor(session: Address) -> int:
    """An odd number, so that its multiples of different weights differ."""
    return int.from_bytes(blake2b(session.packed, digest_size=8).digest(), "big") | 1
