"""Resolves Services to next hops: where their endpoints run, and which nodes routes may lead to.

`next_hops` has the rules and `health` decides whether the loss of nodes is believed.  Here both
meet the cluster, and Services with equal backends share the result within a turn.  Nodes are read
from the cluster at the start of a turn, never within one: a loss is judged before a route follows
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, Node, ObjectKey, Service
from porter_ryu.domain.nodes.backends import NO_BACKENDS, Backends, backends, unready_nodes
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.next_hops import (
    AddressConflict,
    NextHopPolicy,
    NodeVerdict,
    address_objection,
    judge,
    probed_addresses,
    why_no_next_hop,
)
from porter_ryu.domain.nodes.probed import ProbedNodes
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import NodeReason, ServiceVerdict, Verdict

_NO_NODES: frozenset[str] = frozenset()
_ANYWHERE = Backends(_NO_NODES, anywhere=True)


@dataclass(frozen=True, slots=True)
class _KnownBackends:
    """The backends of a Service in one family, and the nodes that had some when they were lost."""

    current: Backends = NO_BACKENDS
    lost_nodes: frozenset[str] = _NO_NODES


_NOTHING_KNOWN = _KnownBackends()


class NextHopResolver:
    """The nodes of a Cluster as next hops.

    `conflict` says why an address is not a node's own (it is an EIP or a peer's); call
    `addresses_changed` when its answer changes.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: NextHopPolicy,
        health: NodeHealth,
        drains: NodeDrains,
        probed: ProbedNodes,
        conflict: AddressConflict,
        guard: Guard,
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._counted = policy.weights.counts_endpoints
        self._health = health
        self._drains = drains
        self._probed = probed
        self._conflict = conflict
        self._guard = guard
        self._changed: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._with_address: dict[Address, set[str]] = {}
        self._backends: dict[tuple[ObjectKey, Family], _KnownBackends] = {}
        self._verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self._last_verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self._equal_backends: dict[Backends, Backends] = {}
        self._next_hops_of_backends: dict[tuple[Backends, bool, Family], frozenset[NextHop]] = {}
        self._next_hops_elsewhere: dict[tuple[Backends, bool, Family], frozenset[NextHop]] = {}
        self._next_hops_of_nodes: dict[tuple[frozenset[str], Family], frozenset[NextHop]] = {}

    @property
    def due(self) -> float | None:
        """When `begin_turn` has to be called although nothing changed; None: never."""
        times = (self._health.due, self._drains.due)
        return min((time for time in times if time is not None), default=None)

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self._health.doubted

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns, the existing nodes aside."""
        verdicts = len(self._verdicts) + len(self._last_verdicts)
        next_hops = len(self._next_hops_of_backends) + len(self._next_hops_of_nodes)
        next_hops += len(self._next_hops_elsewhere)
        cached = len(self._backends) + len(self._equal_backends) + verdicts + next_hops
        return cached + self._drains.cached_entries + self._probed.cached_entries

    def node_changed(self, name: str) -> None:
        """Marks a node that changed or is gone."""
        self._changed.add(name)

    def pop_addresses_to_probe(self) -> dict[str, tuple[Address, ...]]:
        """The addresses to probe of each node for which they may have changed since this was called
        last; none: the node is gone, or is never a next hop."""
        nodes = {name: self._nodes.get(name) for name in self._probed.pop_readdressed()}
        return {
            name: probed_addresses(node, self._policy, self._conflict) if node is not None else ()
            for name, node in nodes.items()
        }

    def begin_turn(self, now: float) -> set[str]:
        """Reads the nodes that changed from the cluster and judges their readiness and drains, and
        puts in force what probes found.

        Returns the nodes whose routes may change without a change of their own.  `now` is of a
        monotonic clock, in seconds.
        """
        self._equal_backends.clear()
        self._forget_next_hops()
        found, affected = self._probed.begin_turn(lambda name: self._cluster.node(name) is not None)
        for name in found:
            self._forget_verdict(name)
        due = self.due
        if not self._changed and (due is None or now < due):
            return affected
        changed, self._changed = self._changed, set()
        for name in changed:
            with self._guard(Kind.NODE, ObjectKey("", name)):
                self._update_node(name)
        drained = self._drains.observe({name: self._nodes.get(name) for name in changed}, now)
        # of a dead node there is nothing to wait for
        silent = {name for name, node in self._nodes.items() if node.silent} - self._probed.dead
        ready = {name: node.ready for name, node in self._nodes.items()}
        names = self._health.observe(ready, silent, now)
        for name in names:
            self._forget_verdict(name)
        return affected | names | drained

    def addresses_changed(self, addresses: Iterable[Address]) -> set[str]:
        """Invalidates the verdicts of the nodes that report these addresses; returns the nodes."""
        names: set[str] = set()
        for address in addresses:
            names |= self._with_address.get(address, set())
        for name in names:
            self._forget_verdict(name)
        self._probed.readdressed(names)
        self._forget_next_hops()
        return names

    def depends_on(self, name: str) -> bool:
        """Whether the next hops of Services depend on a node that hosts no endpoint of them."""
        policy = self._policy
        if policy.mode.depends_on(name, policy.node_name):
            return True
        # every instance compares its own node with the others
        compared = policy.weights.weighs and not policy.weights.counts_endpoints
        drained = self._drains.of(policy.node_name) is not None
        return (compared or drained) and not policy.mode.central

    def node(self, name: str) -> Node | None:
        """A Node as it was when the turn began."""
        return self._nodes.get(name)

    def nodes(self) -> Collection[str]:
        """The names of all Nodes as they were when the turn began."""
        return self._nodes.keys()

    def endpoint_counts(self, service: Service, family: Family) -> frozenset[tuple[str, int]]:
        """How many usable endpoints of a Service each node hosts, if the weights need it."""
        return self._backends_of(service, family).counts

    def addresses(self) -> Iterable[Address]:
        """All addresses that nodes report."""
        return self._with_address.keys()

    def update_backends(self, key: ObjectKey) -> None:
        """Reads from the cluster where a Service runs.  Nodes that were lost are remembered while
        their loss may turn out to be wrong."""
        slices = self._cluster.slices_of(key)
        for family in Family:
            before = self._backends.get((key, family), _NOTHING_KNOWN)
            had = before.current.nodes | before.lost_nodes
            lost = unready_nodes(slices, family) & had if had else had
            lost = frozenset(filter(self._endpoints_may_lag, lost)) if lost else _NO_NODES
            current = backends(slices, family, counted=self._counted)
            after = _KnownBackends(self._equal_backends.setdefault(current, current), lost)
            if after != _NOTHING_KNOWN:
                self._backends[key, family] = after
            elif before is not _NOTHING_KNOWN:
                del self._backends[key, family]

    def forget(self, key: ObjectKey) -> None:
        """Removes all that is cached for a Service."""
        for family in Family:
            self._backends.pop((key, family), None)

    def next_hops(self, service: Service, family: Family) -> frozenset[NextHop]:
        """The next hops of a Service."""
        local = service.local_traffic
        known = self._backends.get((service.key, family), _NOTHING_KNOWN)
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
            names = policy.mode.elsewhere(located, local, self._nodes, policy.node_name)
            known = self._resolve_nodes(frozenset(names), family)
            self._next_hops_elsewhere[located, local, family] = known
        return known

    def _resolve_nodes(self, names: frozenset[str], family: Family) -> frozenset[NextHop]:
        """The next hops that these nodes offer; the same object for the same nodes."""
        cached = self._next_hops_of_nodes.get((names, family))
        if cached is None:
            verdicts = (self._verdict(name, family) for name in names)
            cached = frozenset(v.next_hop for v in verdicts if v.next_hop is not None)
            self._next_hops_of_nodes[names, family] = cached
        return cached

    def next_hops_of_aggregate(self, family: Family) -> frozenset[NextHop]:
        """The next hops of an aggregate: every usable node."""
        policy = self._policy
        names = frozenset(policy.mode.of_aggregate(self._nodes, policy.node_name))
        return self._resolve_nodes(names, family)

    def why_none(self, service: Service, family: Family) -> ServiceVerdict:
        """Why a Service has no next hop."""
        nodes = [self._verdict(name, family) for name in sorted(self._candidates(service, family))]
        return why_no_next_hop(self._backends_of(service, family), nodes, self._policy)

    def verdicts(self, service: Service, family: Family) -> tuple[NodeVerdict, ...]:
        """For every node, whether it is a next hop of a Service, in order of name."""
        candidates = self._candidates(service, family)
        verdicts = []
        for name in sorted(candidates | self._nodes.keys()):
            if name in candidates:
                verdicts.append(self._verdict(name, family))
            else:
                why = self._policy.mode.why_not(name, self._policy.node_name)
                verdicts.append(NodeVerdict(name, None, why))
        return tuple(verdicts)

    def warnings(self, name: str) -> Iterable[str]:
        """Warnings about the addresses and the weight of a node."""
        node = self._nodes.get(name)
        if node is None:
            return
        if not node.addresses:
            yield f"node {name} has no address, so it is no next hop"
        internal = (entry.address for entry in node.addresses if entry.type == "InternalIP")
        objections = (address_objection(address, self._conflict) for address in internal)
        rejected = [objection.message for objection in objections if objection is not None]
        if rejected:
            yield f"node {name} reports addresses that cannot be next hops: {listed(rejected)}"
        weight = self._policy.weights.warning(node)
        if weight:
            yield f"node {name}: {weight}"

    def _update_node(self, name: str) -> None:
        """Replaces a node by what the cluster has now."""
        before, after = self._nodes.get(name), self._cluster.node(name)
        reported = [entry.address for entry in after.addresses] if after is not None else []
        for entry in before.addresses if before is not None else ():
            names = self._with_address.get(entry.address, set())
            names.discard(name)
            if not names:
                self._with_address.pop(entry.address, None)
        for address in reported:
            self._with_address.setdefault(address, set()).add(name)
        if after is not None:
            self._nodes[name] = after
        else:
            self._nodes.pop(name, None)
            self._probed.forget(name)
        self._probed.readdressed([name])
        self._forget_verdict(name)

    def _candidates(self, service: Service, family: Family) -> frozenset[str]:
        """The nodes that are next hops of a Service if they are usable."""
        return self._candidates_of(self._backends_of(service, family), service.local_traffic)

    def _candidates_of(self, located: Backends, local: bool) -> frozenset[str]:
        policy = self._policy
        return frozenset(policy.mode.candidates(located, local, self._nodes, policy.node_name))

    def _backends_of(self, service: Service, family: Family) -> Backends:
        """Where a Service runs, counting the endpoints of nodes whose loss is not believed."""
        known = self._backends.get((service.key, family), _NOTHING_KNOWN)
        assumed_ready = frozenset(filter(self._health.assumes_endpoints_ready, known.lost_nodes))
        if not assumed_ready:
            return known.current
        slices = self._cluster.slices_of(service.key)
        return backends(slices, family, assumed_ready, counted=self._counted)

    def _forget_next_hops(self) -> None:
        self._next_hops_of_backends.clear()
        self._next_hops_elsewhere.clear()
        self._next_hops_of_nodes.clear()

    def _endpoints_may_lag(self, name: str) -> bool:
        """Whether a node was lost, or returned from a loss that was not believed: the state of its
        endpoints is reported late."""
        return self._health.lost(name) or self._health.assumes_endpoints_ready(name)

    def _verdict(self, name: str, family: Family) -> NodeVerdict:
        """What a node offers, cached until it changes; not cached for a node that does not
        exist."""
        cached = self._verdicts.get((name, family))
        if cached is not None:
            return cached
        node = self._nodes.get(name)
        if node is None:
            return NodeVerdict(name, None, self._missing(name))
        with self._guard(Kind.NODE, ObjectKey("", name)):
            if self._health.assumes_ready(name):
                node = replace(node, ready=True)
            probed = self._probed.of(name)
            verdict = judge(node, family, self._policy, self._conflict, probed)
            self._verdicts[name, family] = self._last_verdicts[name, family] = verdict
            return verdict
        undecided = Verdict(False, NodeReason.UNDECIDED, "it cannot be judged")
        return self._last_verdicts.get((name, family), NodeVerdict(name, None, undecided))

    def _missing(self, name: str) -> Verdict[NodeReason]:
        """Why a node is not known."""
        why = self._cluster.why_unreadable(Kind.NODE, ObjectKey("", name))
        if why:
            return Verdict(False, NodeReason.UNREADABLE, f"its Node cannot be read: {why}")
        return Verdict(False, NodeReason.NO_SUCH_NODE, "there is no such Node")

    def _forget_verdict(self, name: str) -> None:
        for family in Family:
            self._verdicts.pop((name, family), None)
            if name not in self._nodes:
                self._last_verdicts.pop((name, family), None)
