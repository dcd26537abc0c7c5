"""Where the Services run and which nodes lead there, by a view of the nodes that may be doubted.

`next_hops` has the rules and `health` the doubt; here they meet what the cluster says, and
what is kept from one turn to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.model import Family, NextHop, NodeVerdict, ObjectKey, Refusal, Service
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.next_hops import (
    Backends,
    NextHopMode,
    NextHopPolicy,
    backends,
    candidates,
    judge,
    no_hops,
    unready,
)


@dataclass(frozen=True, slots=True)
class _Hosts:
    """The nodes with ready endpoints of a Service in one family, and those that had some when
    they were lost."""

    ready: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()


class NodeView:
    """The nodes of a Cluster as next hops."""

    def __init__(self, cluster: Cluster, policy: NextHopPolicy, health: NodeHealth) -> None:
        self._cluster = cluster
        self._policy = policy
        self._health = health
        self._changed = True
        self._hosts: dict[tuple[ObjectKey, Family], _Hosts] = {}
        self._verdicts: dict[tuple[str, Family], NodeVerdict] = {}

    @property
    def due(self) -> float | None:
        """When `weigh` has to be called though nothing happened; None: not at all."""
        return self._health.due

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self._health.doubted

    def changed(self, name: str) -> None:
        """Takes note that a node is another, or gone."""
        self._changed = True
        self._forget_verdict(name)

    def weigh(self, now: float) -> set[str]:
        """Asks whether the loss of nodes is believed; returns those that count otherwise now."""
        due = self._health.due
        if not self._changed and (due is None or now < due):
            return set()
        self._changed = False
        nodes = self._cluster.nodes
        silent = {name for name, node in nodes.items() if node.silent}
        names = self._health.observe({n: node.ready for n, node in nodes.items()}, silent, now)
        for name in names:
            self._forget_verdict(name)
        return names

    def note(self, key: ObjectKey) -> None:
        """Keeps where a Service runs, for as long as the loss of those nodes may be doubted."""
        for family in Family:
            slices = self._cluster.slices_of(key)
            before = self._hosts.get((key, family), _Hosts())
            had = before.ready | before.missed
            missed = frozenset(n for n in unready(slices, family) & had if self._watched(n))
            self._hosts[key, family] = _Hosts(backends(slices, family).nodes, missed)

    def forget(self, key: ObjectKey) -> None:
        """Lets go of what was kept of a Service."""
        for family in Family:
            self._hosts.pop((key, family), None)

    def next_hops(self, service: Service, family: Family) -> frozenset[NextHop]:
        """The nodes that lead to a Service."""
        verdicts = (self._verdict(name, family) for name in self._having(service, family))
        return frozenset(v.next_hop for v in verdicts if v.next_hop is not None)

    def why_none(self, service: Service, family: Family) -> Refusal:
        """Why no node leads to a Service."""
        nodes = [self._verdict(name, family) for name in sorted(self._having(service, family))]
        return no_hops(self._backends(service, family), nodes, self._policy)

    def verdicts(self, service: Service, family: Family) -> tuple[NodeVerdict, ...]:
        """What is thought of every node as a next hop of a Service."""
        having = self._having(service, family)
        verdicts = []
        for name in sorted(having | self._cluster.nodes.keys()):
            verdict = self._verdict(name, family)
            if name not in having:
                other = self._policy.mode is NextHopMode.SELF and name != self._policy.node_name
                why = "this instance announces itself alone" if other else "it hosts no endpoint"
                verdict = NodeVerdict(name, None, f"{why} that could be used")
            verdicts.append(verdict)
        return tuple(verdicts)

    def _having(self, service: Service, family: Family) -> set[str]:
        """The nodes that have a Service, whether they may be next hops or not."""
        found, nodes = self._backends(service, family), self._cluster.nodes
        return set(candidates(found, service.local_traffic, nodes, self._policy))

    def _backends(self, service: Service, family: Family) -> Backends:
        missed = self._hosts.get((service.key, family), _Hosts()).missed
        trusted = frozenset(name for name in missed if self._health.trusts_endpoints(name))
        return backends(self._cluster.slices_of(service.key), family, trusted)

    def _watched(self, name: str) -> bool:
        """Whether a node was lost, or is back from a loss that was not believed: what is told of
        its endpoints comes late."""
        return self._health.lost(name) or self._health.trusts_endpoints(name)

    def _verdict(self, name: str, family: Family) -> NodeVerdict:
        """What a node offers, kept until it changes."""
        known = self._verdicts.get((name, family))
        if known is None:
            known = self._verdicts[name, family] = self._judge(name, family)
        return known

    def _judge(self, name: str, family: Family) -> NodeVerdict:
        node = self._cluster.nodes.get(name)
        if node is None:
            return NodeVerdict(name, None, "there is no such Node")
        if self._health.trusts(name):
            node = replace(node, ready=True)
        return judge(node, family, self._policy)

    def _forget_verdict(self, name: str) -> None:
        for family in Family:
            self._verdicts.pop((name, family), None)
