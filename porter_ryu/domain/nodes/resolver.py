"""Resolves Services to next hops: where their endpoints run, and which nodes routes may lead to.

`node_verdicts` says of each node whether it may be a next hop at all.  Services with equal backends
share the result within a turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.backends import NO_BACKENDS, Backends, backends, unready_nodes
from porter_ryu.domain.nodes.next_hops import NextHopPolicy, NodeVerdict, why_no_next_hop
from porter_ryu.domain.nodes.node_verdicts import NodeVerdicts
from porter_ryu.domain.verdict import ServiceVerdict

_NO_NODES: frozenset[str] = frozenset()
_ANYWHERE = Backends(_NO_NODES, anywhere=True)


class _KnownBackends(Struct, frozen=True, gc=False):
    """The backends of a Service in one family, and the nodes that had some when they were lost."""

    current: Backends = NO_BACKENDS
    lost_nodes: frozenset[str] = _NO_NODES


_NOTHING_KNOWN = _KnownBackends()


@lru_cache(1024)
def _shared(known: _KnownBackends) -> _KnownBackends:
    """One object for equal ones: ten thousand Services have only a few different backends."""
    return known


class NextHopResolver:
    """The next hops of the Services of a Cluster."""

    def __init__(
        self, cluster: Cluster, policy: NextHopPolicy, nodes: NodeVerdicts, guard: Guard
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._counted = policy.weights.counts_endpoints
        self._nodes = nodes
        self._guard = guard
        self._backends: dict[Family, dict[ObjectKey, _KnownBackends]] = {f: {} for f in Family}
        self._next_hops_of_backends: dict[tuple[Backends, bool, Family], frozenset[NextHop]] = {}
        self._next_hops_elsewhere: dict[tuple[Backends, bool, Family], frozenset[NextHop]] = {}
        self._next_hops_of_nodes: dict[tuple[frozenset[str], Family], frozenset[NextHop]] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns."""
        next_hops = len(self._next_hops_of_backends) + len(self._next_hops_of_nodes)
        next_hops += len(self._next_hops_elsewhere)
        return sum(map(len, self._backends.values())) + next_hops

    def begin_turn(self, now: float) -> set[str]:
        """Begins a turn of the nodes; returns those whose routes may change without a change of
        their own.  `now` is of a monotonic clock, in seconds."""
        self._forget_next_hops()
        return self._nodes.begin_turn(now)

    def addresses_changed(self, addresses: Iterable[Address]) -> set[str]:
        """Invalidates what depends on nodes that report these addresses; returns the nodes."""
        self._forget_next_hops()
        return self._nodes.addresses_changed(addresses)

    def _forget_next_hops(self) -> None:
        self._next_hops_of_backends.clear()
        self._next_hops_elsewhere.clear()
        self._next_hops_of_nodes.clear()

    def depends_on(self, name: str) -> bool:
        """Whether the next hops of Services depend on a node that hosts no endpoint of them."""
        policy = self._policy
        if policy.mode.depends_on(name, policy.node_name):
            return True
        # every instance compares its own node with the others
        compared = policy.weights.weighs and not policy.weights.counts_endpoints
        drained = self._nodes.is_drained(policy.node_name)
        return (compared or drained) and not policy.mode.central

    def endpoint_counts(self, service: Service, family: Family) -> frozenset[tuple[str, int]]:
        """How many usable endpoints of a Service each node hosts, if the weights need it."""
        return self._backends_of(service, family).counts

    def update_backends(self, key: ObjectKey) -> None:
        """Reads from the cluster where a Service runs.  Nodes that were lost are remembered while
        their loss may turn out to be wrong."""
        slices = self._cluster.slices_of(key)
        present = {piece.family for piece in slices}
        for family, of_family in self._backends.items():
            before = of_family.get(key, _NOTHING_KNOWN)
            if before is not _NOTHING_KNOWN or family in present:
                current = backends(slices, family, counted=self._counted)
                self._know(key, family, before, current)

    def update_lost_nodes(self, key: ObjectKey) -> None:
        """Does what `update_backends` does, for a Service of which no EndpointSlice changed since:
        only nodes did."""
        for family, of_family in self._backends.items():
            before = of_family.get(key)
            if before is not None:
                self._know(key, family, before, before.current)

    def _know(
        self, key: ObjectKey, family: Family, before: _KnownBackends, current: Backends
    ) -> None:
        """Stores where a Service runs now, with the nodes that were lost."""
        lost = self._nodes.health.lagging(before.current.nodes | before.lost_nodes)
        if lost:
            lost &= unready_nodes(self._cluster.slices_of(key), family)
        if current is before.current and lost == before.lost_nodes:
            return
        after = _KnownBackends(current, lost)
        if after != _NOTHING_KNOWN:
            self._backends[family][key] = _shared(after)
        elif before is not _NOTHING_KNOWN:
            del self._backends[family][key]

    def supposing(self, cluster: Cluster, nodes: NodeVerdicts) -> NextHopResolver:
        """A copy, for a question, over other objects and other nodes.  Services whose endpoints
        differ need `update_backends`."""
        supposed = NextHopResolver(cluster, self._policy, nodes, Guard())
        supposed._backends = {family: dict(known) for family, known in self._backends.items()}
        return supposed

    def forget(self, key: ObjectKey) -> None:
        """Removes all that is cached for a Service."""
        for of_family in self._backends.values():
            of_family.pop(key, None)

    def next_hops(self, service: Service, family: Family) -> frozenset[NextHop]:
        """The next hops of a Service."""
        local = service.local_traffic
        known = self._backends[family].get(service.key, _NOTHING_KNOWN)
        cached = self._next_hops_of_backends.get((known.current, local, family))
        if cached is not None and not known.lost_nodes:
            return cached
        with self._guard(Kind.SERVICE, service.key):
            located = self._backends_of(service, family)
            hops = self._resolve_nodes(self._candidates_of(located, local), family)
            self._next_hops_of_backends[located, local, family] = hops
            return hops
        return frozenset()

    def next_hops_elsewhere(self, service: Service, family: Family) -> frozenset[NextHop]:
        """The next hops of a Service that other instances announce, each its own node."""
        return self._elsewhere(self._backends_of(service, family), service.local_traffic, family)

    def next_hops_of_aggregate_elsewhere(self, family: Family) -> frozenset[NextHop]:
        """The next hops of an aggregate that other instances announce."""
        return self._elsewhere(_ANYWHERE, False, family)

    def _elsewhere(self, located: Backends, local: bool, family: Family) -> frozenset[NextHop]:
        known = self._next_hops_elsewhere.get((located, local, family))
        if known is None:
            policy = self._policy
            names = policy.mode.elsewhere(located, local, self._nodes.names(), policy.node_name)
            known = self._resolve_nodes(frozenset(names), family)
            self._next_hops_elsewhere[located, local, family] = known
        return known

    def _resolve_nodes(self, names: frozenset[str], family: Family) -> frozenset[NextHop]:
        """The next hops that these nodes offer; the same object for the same nodes."""
        cached = self._next_hops_of_nodes.get((names, family))
        if cached is None:
            verdicts = (self._nodes.verdict(name, family) for name in names)
            cached = frozenset(v.next_hop for v in verdicts if v.next_hop is not None)
            self._next_hops_of_nodes[names, family] = cached
        return cached

    def next_hops_of_aggregate(self, family: Family) -> frozenset[NextHop]:
        """The next hops of an aggregate: every usable node."""
        policy = self._policy
        names = frozenset(policy.mode.of_aggregate(self._nodes.names(), policy.node_name))
        return self._resolve_nodes(names, family)

    def why_none(self, service: Service, family: Family) -> ServiceVerdict:
        """Why a Service has no next hop."""
        nodes = [
            self._nodes.verdict(name, family) for name in sorted(self._candidates(service, family))
        ]
        return why_no_next_hop(self._backends_of(service, family), nodes, self._policy)

    def verdicts(self, service: Service, family: Family) -> tuple[NodeVerdict, ...]:
        """For every node, whether it is a next hop of a Service, in order of name."""
        candidates = self._candidates(service, family)
        names = sorted(candidates | self._nodes.names())
        return tuple(self._verdict(name, candidates, family) for name in names)

    def verdict(self, name: str, service: Service, family: Family) -> NodeVerdict:
        """Whether a node is a next hop of a Service."""
        return self._verdict(name, self._candidates(service, family), family)

    def _verdict(self, name: str, candidates: frozenset[str], family: Family) -> NodeVerdict:
        if name in candidates:
            return self._nodes.verdict(name, family)
        why = self._policy.mode.why_not(name, self._policy.node_name)
        return NodeVerdict(name, None, why)

    def is_candidate(self, name: str, service: Service, family: Family) -> bool:
        """Whether a node is a next hop of a Service, or would be if it were usable."""
        return name in self._candidates(service, family)

    def _candidates(self, service: Service, family: Family) -> frozenset[str]:
        """The nodes that are next hops of a Service if they are usable."""
        return self._candidates_of(self._backends_of(service, family), service.local_traffic)

    def _candidates_of(self, located: Backends, local: bool) -> frozenset[str]:
        policy = self._policy
        return frozenset(
            policy.mode.candidates(located, local, self._nodes.names(), policy.node_name)
        )

    def _backends_of(self, service: Service, family: Family) -> Backends:
        """Where a Service runs, counting the endpoints of nodes whose loss is not believed."""
        known = self._backends[family].get(service.key, _NOTHING_KNOWN)
        assumed_ready = frozenset(
            filter(self._nodes.health.assumes_endpoints_ready, known.lost_nodes)
        )
        if not assumed_ready:
            return known.current
        slices = self._cluster.slices_of(service.key)
        return backends(slices, family, assumed_ready, counted=self._counted)
