"""What is wrong with Eips that serve nevertheless: entries of spec.advertisements that ask for
something that cannot be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.text import listed


class EipProblems:
    """Answers for all Eips, and works it out only when they or the peers have changed.

    `peers` are the names of all configured peers.  Without `announce` there is no problem.
    """

    def __init__(self, allocator: Allocator, announce: bool) -> None:
        self.peers: frozenset[str] = frozenset()
        self._allocator = allocator
        self._announce = announce
        self._judged: tuple[list[Pool], frozenset[str]] | None = None
        self._found: Mapping[str, str] = {}

    def found(self) -> Mapping[str, str]:
        """A sentence for each Eip that has a problem, by name."""
        pools, peers = self._allocator.serving, self.peers
        if not self._announce:
            return {}
        if self._judged is None or self._judged[0] is not pools or self._judged[1] != peers:
            self._judged = (pools, peers)
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
