"""What is wrong with Eips that serve nevertheless: entries of spec.advertisements that ask for
something that cannot be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.text import listed


class EipProblems:
    """Answers for all Eips, and works it out only when they or the peers have changed."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator
        self._pools: list[Pool] | None = None
        self._peers: Collection[str] = ()
        self._found: Mapping[str, str] = {}

    def find(self, peers: Collection[str]) -> Mapping[str, str]:
        """A sentence for each Eip that has a problem, by name; `peers` are the names of the
        configured peers."""
        pools = self._allocator.serving
        if pools is not self._pools or peers != self._peers:
            self._pools, self._peers = pools, peers
            problems = {pool.eip.name: _problem(pool, peers) for pool in pools}
            self._found = {name: text for name, text in problems.items() if text}
        return self._found


def _problem(pool: Pool, peers: Collection[str]) -> str:
    named = {name for entry in pool.eip.advertisements for name in entry.peers}
    unknown = sorted(named.difference(peers))
    texts = [pool.problem]
    if unknown:
        texts.append(f"spec.advertisements names peers that are not configured: {listed(unknown)}")
    return "; ".join(filter(None, texts))
