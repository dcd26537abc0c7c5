"""Decides: the state of the cluster goes in, the wanted routes and statuses come out.

One `turn` decides every Service that something touched since the last one and returns only what is
wanted of those.  It is the same function for one changed endpoint, a burst, the first list and the
periodic resync.  It does no I/O: `explain` and `plan` run it exactly as the process does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.changes import PendingChanges
from porter_ryu.domain.cluster import Cluster
from porter_ryu.domain.deciding import Deciding
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.due import earliest
from porter_ryu.domain.eip_problems import EipProblems
from porter_ryu.domain.guard import Guard
from porter_ryu.domain.model import Address, Kind, Node, ObjectKey
from porter_ryu.domain.nodes.drain import NodeDrains
from porter_ryu.domain.nodes.health import NodeHealth
from porter_ryu.domain.nodes.node_verdicts import NodeVerdicts
from porter_ryu.domain.nodes.probed import ProbedNodes
from porter_ryu.domain.nodes.resolver import NextHopResolver
from porter_ryu.domain.objects import ObjectStatus, Reading, WithStatus
from porter_ryu.domain.orphans import Orphans
from porter_ryu.domain.path_rules import path_rules
from porter_ryu.domain.paths import PathAssembly
from porter_ryu.domain.routing import Routing
from porter_ryu.domain.sending import PeerTerms, Sending
from porter_ryu.domain.statuses import Statuses
from porter_ryu.domain.turn import Policy, Turn
from porter_ryu.domain.verdict import AddressReason, Verdict

__all__ = ["MOST_DECIDED", "MOST_MOVED", "Planner", "Policy", "Turn"]

MOST_MOVED = 500
"""How many Services that a node or an EndpointSlice moves are taken by one turn: some ten
milliseconds, and about a slice of the output."""
MOST_DECIDED = 1000
"""How many Services one turn decides, if there are more: some forty milliseconds."""


_KINDS = len(Kind)


class Planner:
    """Holds the cluster, the address assignments and the decisions.

    `leading` says whether this instance assigns addresses and writes status.  `most_decided`: how
    many Services one turn decides at most, if there are no switches.
    """

    def __init__(self, policy: Policy, leading: bool, most_decided: int = MOST_DECIDED) -> None:
        self.policy = policy
        self.cluster = Cluster()
        self._guard = Guard()
        self.allocator = Allocator(self._guard)
        self.decisions: dict[ObjectKey, Decision] = {}
        self._leading = leading
        self._lists_in_progress = 0
        self._orphans = Orphans(self.cluster)
        health = NodeHealth(policy.panic_percent, policy.loss_delays)
        self.drains = NodeDrains(policy.drain)
        self.probed_nodes = ProbedNodes(policy.probing)
        self.weights = policy.next_hops.weights
        self.nodes = NodeVerdicts(
            self.cluster,
            policy.next_hops,
            health,
            self.drains,
            self.probed_nodes,
            self._address_conflict,
            self._guard,
        )
        self.resolver = NextHopResolver(self.cluster, policy.next_hops, self.nodes, self._guard)
        self._changes = PendingChanges(
            self.cluster,
            self.allocator,
            self.nodes,
            self.resolver,
            self.decisions.keys(),
            # a switch changes one group, and no flow, if all addresses that use it move together
            None if policy.by_port else MOST_MOVED,
        )
        rules = path_rules(policy, self.allocator, self.nodes, self.resolver, self.drains)
        self._routing = Routing(
            self.cluster,
            self.allocator,
            self.resolver,
            PathAssembly(rules),
            self._guard,
            policy.announce,
            policy.by_port,
        )
        self._deciding = Deciding(
            self.cluster,
            self.allocator,
            self.resolver,
            self._routing,
            self._guard,
            self.decisions,
            None if policy.by_port else most_decided,
        )
        self.aggregation = self._routing.aggregation
        self.eip_problems = EipProblems(self.cluster, self.allocator, policy.announce)
        self.sending = Sending()
        self.owners: Mapping[Address, Sequence[str]] = {}
        self._statuses = Statuses(self.cluster, self.allocator, self._guard)
        # whose routes the present turn computes, or the last one did
        self._touched: dict[Address, None] = {}
        self._again: dict[Address, None] = {}

    @property
    def ready(self) -> bool:
        """Whether every kind has been listed and no list is being stored; otherwise a turn decides
        nothing."""
        return len(self.cluster.listed) == _KINDS and not self._lists_in_progress

    @property
    def idle(self) -> bool:
        """Whether a turn would find nothing to decide."""
        return (
            self._changes.empty and not self._deciding.unfinished and not self.probed_nodes.pending
        )

    @property
    def due(self) -> float | None:
        """When a turn has to run although nothing changed, on the clock of `turn`; None: never."""
        if not self.ready:
            return None
        return earliest(self.nodes.due, self._guard.due, self._orphans.due)

    @property
    def doubted(self) -> bool:
        """Whether so many nodes were lost at once that their loss is not believed."""
        return self.nodes.health.doubted

    @property
    def leading(self) -> bool:
        """Whether this instance assigns addresses and writes status."""
        return self._leading

    @property
    def cached_entries(self) -> int:
        """How many entries are kept from turn to turn; an object that is gone leaves none."""
        parts = (
            self.nodes,
            self.resolver,
            self.allocator,
            self._changes,
            self._deciding,
            self._routing,
            self._statuses,
            self._orphans,
        )
        return sum(part.cached_entries for part in parts)

    def lead(self, leading: bool) -> None:
        """Starts or stops assigning addresses; a change marks everything."""
        if leading != self._leading:
            self.resync()
        self._leading = leading

    def node(self, name: str) -> Node | None:
        """The Node of this name; None where there is none."""
        return self.cluster.node(name)

    def pool_of(self, address: Address) -> str:
        """The name of the Eip that an address is from; empty if there is none."""
        eip = self.allocator.eip_of(address)
        return eip.name if eip is not None else ""

    def why_not(self, key: ObjectKey) -> str:
        """The reason why a Service is not to be announced; empty if it is, or is not ours."""
        decision = self.decisions.get(key)
        return "" if decision is None or decision.verdict.ok else decision.state

    def announcements(self, address: Address) -> Announcements:
        """What is wanted for an address once every holder has it on record."""
        return self._routing.wanted(address)

    def reserve(
        self,
        host: Iterable[Address],
        peers: Iterable[Address],
        unattributed: frozenset[Address] = frozenset(),
        terms: Sequence[PeerTerms] = (),
        owners: Mapping[Address, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Sets the addresses of this host and of the peers, which are assigned to no Service;
        those of peers are no next hops either.  `unattributed` addresses are on this host and may
        belong to a Service: only one that has such an address on record may hold it.
        `terms` are those of all configured peers.  `owners` say who has these addresses, and others
        that may be asked for, as text."""
        self.owners = owners
        sending = Sending(terms)
        if sending.terms != self.sending.terms:
            self.sending = sending
        if sending.peers != self._routing.peers:
            self.eip_problems.peers = self._routing.peers = sending.peers
            self._changes.mark_all()
        self.allocator.set_unattributed(unattributed)
        self._changes.reserve(frozenset(host), frozenset(peers))

    def resync(self) -> None:
        """Marks everything to be decided again."""
        self._changes.mark_all()
        self._statuses.forget_reported()

    def recover(self) -> None:
        """A turn failed, or what it returned was not applied: everything is marked to be decided
        again, also the routes of addresses that nobody holds any more."""
        self._again |= self._touched
        self._routing.recover()
        self._changes.mark_all(self._deciding.known)
        self._statuses.forget_reported()

    def replace(
        self,
        kind: Kind,
        objects: Collection[Reading],
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        """Stores a complete list of a kind.  `give_way` is called for each object, to let other
        greenthreads run; no turn decides anything until the whole list is stored."""
        self._lists_in_progress += 1
        try:
            for key in self.cluster.keys(kind) - {obj.key for obj in objects}:
                give_way()
                self.remove(kind, key)
            for obj in objects:
                give_way()
                self.put(obj)
        finally:
            self._lists_in_progress -= 1
        self.cluster.listed.add(kind)

    def put(self, obj: Reading) -> None:
        """Stores one object and marks what depends on it."""
        self._changes.put(obj)

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        """Removes one object and marks what depended on it."""
        self._changes.remove(kind, key)

    def turn(self, give_way: Callable[[], None], now: float) -> Turn:
        """Decides everything that is marked, or a part of it if that is very much: then the next
        turn goes on.  Who keeps which address is always settled for all of it first.  `give_way` is
        called for every piece of work, to let other greenthreads run; what they report meanwhile is
        for the next turn.  `now` is of a monotonic clock, in seconds."""
        if not self.ready:
            return Turn()
        self._deciding.assigning = self._leading
        batch = self._changes.collect(self._guard.begin(now), now)
        batch |= self._deciding.settle(batch, give_way)
        occupied_or_freed = self.allocator.pop_occupancy_changes()
        self._changes.mark_nodes(self.resolver.addresses_changed(occupied_or_freed))
        moved = self._changes.pop_moved(batch)
        touched, self._again = self._again, {}
        self._touched = touched
        self._deciding.move(moved, batch, touched, give_way)
        batch = self._deciding.next_part(batch)
        self._deciding.decide(batch, touched, give_way)
        if self._changes.pop_any_node():
            # an aggregate depends on every node
            aggregated = self.allocator.aggregated()
            self._deciding.locate_left(aggregated)
            touched.update(dict.fromkeys(aggregated))
            self.eip_problems.nodes_changed()
        routes = {}
        for address in touched:
            give_way()
            route = self._routing.route(address)
            if route is not None:
                routes[address] = route
        aggregates = self._routing.changed_aggregates(give_way)
        self._routing.end_turn()
        statuses: list[tuple[WithStatus, ObjectStatus]] = []
        if self._deciding.assigning:
            statuses += self._statuses.of_services(batch, self.decisions, give_way)
        statuses += self._statuses.of_eips(give_way)
        changed = (self._deciding.address_changes.pop(), self.nodes.changes.pop())
        warnings = (*self._warnings(batch, now, give_way), *self._guard.end())
        notices = tuple(self.drains.pop_notices())
        problems = self.eip_problems.all()
        return Turn(
            statuses,
            routes,
            warnings,
            self.doubted,
            notices,
            aggregates,
            problems,
            *changed,
            unfinished=moved.unfinished or self._deciding.unfinished,
        )

    def decide_all(self) -> None:
        """Takes turns until nothing is left to decide, for a question: what they find is not
        applied."""
        while self.turn(lambda: None, now=0.0).unfinished:
            pass

    def _address_conflict(self, address: Address) -> Verdict[AddressReason] | None:
        """Why an address that a node reports is not the node's own to use as a next hop."""
        if address in self._changes.peers:
            return Verdict(False, AddressReason.PEER, f"{address} is a peer's")
        if self.allocator.is_held(address):
            return Verdict(False, AddressReason.EIP, f"{address} is an EIP that is held")
        return None

    def _warnings(
        self, batch: Iterable[ObjectKey], now: float, give_way: Callable[[], None]
    ) -> Iterator[str]:
        """Warnings about the nodes that changed, and about EndpointSlices without a Service."""
        for name in sorted(self._changes.pop_nodes()):
            give_way()
            with self._guard(Kind.NODE, ObjectKey("", name)):
                yield from self.nodes.warnings(name)
        for key in batch:
            give_way()
            self._orphans.observe(key, now)
        for text in self._orphans.warnings(now):
            give_way()
            yield text
