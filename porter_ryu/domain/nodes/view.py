"""Where the Services run and which nodes lead there, by a view of the nodes that may be doubted.

`next_hops` has the rules and `health` the doubt; here they meet what the cluster says, and
what is kept from one turn to the next.  Nodes are taken over from the cluster at the start of a
turn, never within one: what is lost then is weighed before a route follows it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Family, Kind, Node, ObjectKey, Service
from porter_ryu.domain.nodes.backends import NOWHERE, Backends, backends, unready
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.next_hops import (
    NextHopPolicy,
    NodeVerdict,
    Taken,
    address_objection,
    judge,
    no_hops,
)
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import NodeReason, ServiceVerdict, Verdict


@dataclass(frozen=True, slots=True)
class _Hosts:
    """Where the usable endpoints of a Service in one family are, and the nodes that had some when
    they were lost."""

    found: Backends = NOWHERE
    missed: frozenset[str] = frozenset()


_NO_HOSTS = _Hosts()


class NodeView:
    """The nodes of a Cluster as next hops.

    `taken` says whether an address is an EIP or a peer's; `address_changed` has to be called where
    its answer changes.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: NextHopPolicy,
        health: NodeHealth,
        taken: Taken,
        guard: Guard,
    ) -> None:
        self._cluster = cluster
        self._policy = policy
        self._health = health
        self._taken = taken
        self._guard = guard
        self._changed: set[str] = set()
        self._nodes: dict[str, Node] = {}
        self._with_address: dict[Address, set[str]] = {}
        self._hosts: dict[tuple[ObjectKey, Family], _Hosts] = {}
        self._verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self._last_verdicts: dict[tuple[str, Family], NodeVerdict] = {}
        self._backends_alike: dict[Backends, Backends] = {}
        self._hops_of_backends: dict[tuple[Backends, bool, Family], frozenset[NextHop]] = {}
        self._hops_of_nodes: dict[tuple[frozenset[str], Family], frozenset[NextHop]] = {}

    @property
    def due(self) -> float | None:
        """When `weigh` has to be called though nothing happened; None: not at all."""
        return self._health.due

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self._health.doubted

    @property
    def kept(self) -> int:
        """How many entries are kept between turns, beside the nodes that exist."""
        verdicts = len(self._verdicts) + len(self._last_verdicts)
        shared = len(self._hops_of_nodes) + len(self._hops_of_backends) + len(self._backends_alike)
        return len(self._hosts) + verdicts + shared

    def changed(self, name: str) -> None:
        """Takes note that a node is another, or gone."""
        self._changed.add(name)

    def weigh(self, now: float) -> set[str]:
        """A turn begins: takes over what changed of the nodes, and asks whether their loss is
        believed; returns those that count otherwise now though they did not change."""
        self._backends_alike.clear()
        self._forget_hops()
        due = self._health.due
        if not self._changed and (due is None or now < due):
            return set()
        changed, self._changed = self._changed, set()
        for name in changed:
            with self._guard(Kind.NODE, ObjectKey("", name)):
                self._take_over(name)
        silent = {name for name, node in self._nodes.items() if node.silent}
        ready = {name: node.ready for name, node in self._nodes.items()}
        names = self._health.observe(ready, silent, now)
        for name in names:
            self._forget_verdict(name)
        return names

    def address_changed(self, addresses: Iterable[Address]) -> set[str]:
        """Judges the nodes anew that report these addresses; returns them."""
        names: set[str] = set()
        for address in addresses:
            names |= self._with_address.get(address, set())
        for name in names:
            self._forget_verdict(name)
        self._forget_hops()
        return names

    def depends_on(self, name: str) -> bool:
        """Whether Services depend on a node without an endpoint on it."""
        return self._policy.mode.depends_on(name, self._policy.node_name)

    def addresses(self) -> Iterable[Address]:
        """What the nodes report as theirs."""
        return self._with_address.keys()

    def note(self, key: ObjectKey) -> None:
        """Keeps where a Service runs, for as long as the loss of those nodes may be doubted."""
        slices = self._cluster.slices_of(key)
        for family in Family:
            before = self._hosts.get((key, family), _NO_HOSTS)
            had = before.found.nodes | before.missed
            missed = unready(slices, family) & had if had else had
            missed = frozenset(filter(self._watched, missed)) if missed else _NO_HOSTS.missed
            found = backends(slices, family)
            after = _Hosts(self._backends_alike.setdefault(found, found), missed)
            if after != _NO_HOSTS:
                self._hosts[key, family] = after
            elif before is not _NO_HOSTS:
                del self._hosts[key, family]

    def forget(self, key: ObjectKey) -> None:
        """Lets go of what was kept of a Service."""
        for family in Family:
            self._hosts.pop((key, family), None)

    def next_hops(self, service: Service, family: Family) -> frozenset[NextHop]:
        """The nodes that lead to a Service."""
        local, hosts = service.local_traffic, self._hosts.get((service.key, family), _NO_HOSTS)
        known = self._hops_of_backends.get((hosts.found, local, family))
        if known is not None and not hosts.missed:
            return known
        with self._guard(Kind.SERVICE, service.key):
            found = self._backends(service, family)
            hops = self._of_nodes(self._candidates(found, local), family)
            self._hops_of_backends[found, local, family] = hops
            return hops
        return frozenset()

    def _of_nodes(self, names: frozenset[str], family: Family) -> frozenset[NextHop]:
        """The next hops that these nodes offer; one object for the same nodes."""
        known = self._hops_of_nodes.get((names, family))
        if known is None:
            verdicts = (self._verdict(name, family) for name in names)
            known = frozenset(v.next_hop for v in verdicts if v.next_hop is not None)
            self._hops_of_nodes[names, family] = known
        return known

    def why_none(self, service: Service, family: Family) -> ServiceVerdict:
        """Why no node leads to a Service."""
        nodes = [self._verdict(name, family) for name in sorted(self._having(service, family))]
        return no_hops(self._backends(service, family), nodes, self._policy)

    def verdicts(self, service: Service, family: Family) -> tuple[NodeVerdict, ...]:
        """What is thought of every node as a next hop of a Service."""
        having = self._having(service, family)
        verdicts = []
        for name in sorted(having | self._nodes.keys()):
            if name in having:
                verdicts.append(self._verdict(name, family))
            else:
                why = self._policy.mode.why_not(name, self._policy.node_name)
                verdicts.append(NodeVerdict(name, None, why))
        return tuple(verdicts)

    def oddities(self, name: str) -> Iterable[str]:
        """What is odd about a node's addresses."""
        node = self._nodes.get(name)
        if node is None:
            return
        if not node.addresses:
            yield f"node {name} has no address, so it is no next hop"
        internal = (entry.address for entry in node.addresses if entry.type == "InternalIP")
        objections = (address_objection(address, self._taken) for address in internal)
        passed = [objection.message for objection in objections if objection is not None]
        if passed:
            yield f"node {name} reports addresses that cannot be next hops: {listed(passed)}"

    def _take_over(self, name: str) -> None:
        """Makes a node what the cluster says now."""
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
        self._forget_verdict(name)

    def _having(self, service: Service, family: Family) -> frozenset[str]:
        """The nodes that have a Service, whether they may be next hops or not."""
        return self._candidates(self._backends(service, family), service.local_traffic)

    def _candidates(self, found: Backends, local: bool) -> frozenset[str]:
        policy = self._policy
        return frozenset(policy.mode.candidates(found, local, self._nodes, policy.node_name))

    def _backends(self, service: Service, family: Family) -> Backends:
        hosts = self._hosts.get((service.key, family), _NO_HOSTS)
        trusted = frozenset(filter(self._health.trusts_endpoints, hosts.missed))
        if not trusted:
            return hosts.found
        return backends(self._cluster.slices_of(service.key), family, trusted)

    def _forget_hops(self) -> None:
        self._hops_of_backends.clear()
        self._hops_of_nodes.clear()

    def _watched(self, name: str) -> bool:
        """Whether a node was lost, or is back from a loss that was not believed: what is told of
        its endpoints comes late."""
        return self._health.lost(name) or self._health.trusts_endpoints(name)

    def _verdict(self, name: str, family: Family) -> NodeVerdict:
        """What a node offers, kept until it changes; nothing is kept of one that does not exist."""
        known = self._verdicts.get((name, family))
        if known is not None:
            return known
        node = self._nodes.get(name)
        if node is None:
            return NodeVerdict(name, None, self._absent(name))
        with self._guard(Kind.NODE, ObjectKey("", name)):
            if self._health.trusts(name):
                node = replace(node, ready=True)
            verdict = judge(node, family, self._policy, self._taken)
            self._verdicts[name, family] = self._last_verdicts[name, family] = verdict
            return verdict
        undecided = Verdict(False, NodeReason.UNDECIDED, "it cannot be judged")
        return self._last_verdicts.get((name, family), NodeVerdict(name, None, undecided))

    def _absent(self, name: str) -> Verdict[NodeReason]:
        why = self._cluster.why_unreadable(Kind.NODE, ObjectKey("", name))
        if why:
            return Verdict(False, NodeReason.UNREADABLE, f"its Node cannot be read: {why}")
        return Verdict(False, NodeReason.NO_SUCH_NODE, "there is no such Node")

    def _forget_verdict(self, name: str) -> None:
        for family in Family:
            self._verdicts.pop((name, family), None)
            if name not in self._nodes:
                self._last_verdicts.pop((name, family), None)
