"""Each node as a possible next hop: the verdict on it, whatever the Service.

`next_hops` has the rules, `health` decides whether the loss of nodes is believed, `drain` which of
them are drained, and `probed` what probes found.  Nodes are read from the cluster at the start of a
turn, never within one: a loss is judged before a route follows it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Set

from msgspec.structs import replace

from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.due import earliest
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, Node, ObjectKey
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.next_hops import (
    AddressConflict,
    NextHopPolicy,
    NodeVerdict,
    address_objection,
    judge,
    probed_addresses,
)
from porter_ryu.domain.nodes.node_changes import NodeChanges
from porter_ryu.domain.nodes.probed import ProbedNodes
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import NodeReason, Verdict


class NodeVerdicts:
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
        self.health = health
        self._cluster = cluster
        self._policy = policy
        self._drains = drains
        self._probed = probed
        self._conflict = conflict
        self._guard = guard
        self._changed: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._with_address: dict[Address, set[str]] = {}
        self._verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self._last_verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self.changes = NodeChanges(self.verdict, drains, self._nodes.__contains__)

    @property
    def due(self) -> float | None:
        """When `begin_turn` has to be called although nothing changed; None: never."""
        return earliest(self.health.due, self._drains.due)

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns, the existing nodes aside."""
        own = len(self._verdicts) + len(self._last_verdicts)
        parts = (self._drains, self._probed, self.changes)
        return own + sum(part.cached_entries for part in parts)

    def changed(self, name: str) -> None:
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
        names = self.health.observe(ready, silent, now)
        for name in names:
            self._forget_verdict(name)
        self.changes.mark(drained)
        return affected | names | drained

    def addresses_changed(self, addresses: Iterable[Address]) -> set[str]:
        """Invalidates the verdicts of the nodes that report these addresses; returns the nodes."""
        names: set[str] = set()
        for address in addresses:
            names |= self._with_address.get(address, set())
        for name in names:
            self._forget_verdict(name)
        self._probed.readdressed(names)
        return names

    def node(self, name: str) -> Node | None:
        """A Node as it was when the turn began."""
        return self._nodes.get(name)

    def names(self) -> Set[str]:
        """The names of all Nodes as they were when the turn began."""
        return self._nodes.keys()

    def supposing(self, supposed: Mapping[str, Node | None]) -> NodeVerdicts:
        """A copy, for a question, in which these nodes are otherwise (None: gone), and nothing is
        known of them from probes."""
        made = copy.copy(self)
        made._guard = Guard()
        made._nodes = {n: node for n, node in self._nodes.items() if n not in supposed}
        made._nodes |= {n: node for n, node in supposed.items() if node is not None}
        made._probed = self._probed.without(supposed)
        made._verdicts = {
            k: verdict for k, verdict in self._verdicts.items() if k[0] not in supposed
        }
        made._last_verdicts = dict(self._last_verdicts)
        return made

    def is_drained(self, name: str) -> bool:
        """Whether a node is drained, or being drained."""
        return self._drains.of(name) is not None

    def addresses(self) -> Iterable[Address]:
        """All addresses that nodes report."""
        return self._with_address.keys()

    def with_address(self, address: Address) -> Set[str]:
        """The names of the nodes that report an address."""
        return self._with_address.get(address, set())

    def verdict(self, name: str, family: Family) -> NodeVerdict:
        """What a node offers, cached until it changes; not cached for a node that does not
        exist."""
        cached = self._verdicts.get((name, family))
        if cached is not None:
            return cached
        node = self._nodes.get(name)
        if node is None:
            return NodeVerdict(name, None, self._missing(name))
        with self._guard(Kind.NODE, ObjectKey("", name)):
            if self.health.assumes_ready(name):
                node = replace(node, ready=True)
            probed = self._probed.of(name)
            verdict = judge(node, family, self._policy, self._conflict, probed)
            self._verdicts[name, family] = self._last_verdicts[name, family] = verdict
            return verdict
        undecided = Verdict(False, NodeReason.UNDECIDED, "it cannot be judged")
        return self._last_verdicts.get((name, family), NodeVerdict(name, None, undecided))

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
        for address in probed_addresses(node, self._policy, self._conflict):
            others = sorted(self._with_address[address] - {name})
            if others:
                yield f"node {name} reports {address}, which {listed(others)} reports as well"
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

    def _missing(self, name: str) -> Verdict[NodeReason]:
        """Why a node is not known."""
        why = self._cluster.why_unreadable(Kind.NODE, ObjectKey("", name))
        if why:
            return Verdict(False, NodeReason.UNREADABLE, f"its Node cannot be read: {why}")
        return Verdict(False, NodeReason.NO_SUCH_NODE, "there is no such Node")

    def _forget_verdict(self, name: str) -> None:
        self.changes.mark([name])
        for family in Family:
            self._verdicts.pop((name, family), None)
            if name not in self._nodes:
                self._last_verdicts.pop((name, family), None)
