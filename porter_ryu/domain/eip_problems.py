"""What is wrong with Eips: why they are not Ready, and what entries of spec.advertisements ask for
that cannot be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.addresses.pools import Pool
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.text import listed


class EipProblems:
    """Answers for all Eips, and works it out only when they, the nodes or the peers have changed.

    `peers` are the names of all configured peers.  Without `announce` there is no problem.
    """

    def __init__(self, cluster: Cluster, allocator: Allocator, announce: bool) -> None:
        self.peers: frozenset[str] = frozenset()
        self._cluster = cluster
        self._allocator = allocator
        self._announce = announce
        self._judged: tuple[Mapping[str, Pool], frozenset[str]] | None = None
        self._selects: dict[LabelSelector, bool] = {}
        self._found: Mapping[str, str] = {}
        self._not_ready: Mapping[str, str] = {}

    def nodes_changed(self) -> None:
        """A node was added, changed or removed."""
        if self._selects:
            self._selects.clear()
            self._judged = None

    def found(self) -> Mapping[str, str]:
        """A sentence for each Eip that is Ready and has a problem, by name."""
        self._judge()
        return self._found

    def all(self) -> Mapping[str, str]:
        """The same, and why each other Eip is not Ready."""
        self._judge()
        return {**self._not_ready, **self._found}

    def _judge(self) -> None:
        pools, peers = self._allocator.pools, self.peers
        if self._judged is not None and self._judged[0] is pools and self._judged[1] == peers:
            return
        self._judged = (pools, peers)
        self._selects.clear()
        self._not_ready = {n: pool.verdict.message for n, pool in pools.items() if not pool.ready}
        ready = {n: pool for n, pool in pools.items() if pool.ready and self._announce}
        problems = {name: "; ".join(self._problems(pool)) for name, pool in ready.items()}
        self._found = {name: text for name, text in problems.items() if text}

    def selects_a_node(self, selector: LabelSelector) -> bool:
        """Whether a selector selects a node of the cluster."""
        known = self._selects.get(selector)
        if known is None:
            nodes = self._cluster.nodes.values()
            known = any(selector.matches(node.labels) for node in nodes)
            self._selects[selector] = known
        return known

    def _problems(self, pool: Pool) -> Iterator[str]:
        if pool.problem:
            yield pool.problem
        selects = self.selects_a_node if self._cluster.nodes else _selects_what_is_not_known
        yield from without_effect(pool.eip.advertisements, self.peers, selects)


def without_effect(
    entries: Sequence[AdvertisementEntry],
    peers: Set[str],
    selects_a_node: Callable[[LabelSelector], bool],
) -> Iterator[str]:
    """A sentence for each kind of thing that entries of an Eip say without any effect; `peers` are
    the names of all configured peers."""
    unknown = sorted({name for entry in entries for name in entry.peers}.difference(peers))
    if unknown:
        yield f"spec.advertisements names peers that are not configured: {listed(unknown)}"
    none = [
        f"spec.advertisements[{i}].nodeSelector"
        for i, entry in enumerate(entries)
        if entry.nodes.requirements and not selects_a_node(entry.nodes)
    ]
    if none:
        yield f"{listed(none)} selects no node of the cluster"


def _selects_what_is_not_known(_selector: LabelSelector) -> bool:
    return True
