"""Which nodes carry the traffic of each Service, as far as the announcements say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner

Routes = Mapping[Address | Network, Announcements]
"""What is announced of each address and aggregate."""


class NodeTraffic:
    """Answers for one question about `routes`: it is not for later ones, because it remembers what
    it found."""

    def __init__(self, planner: Planner, routes: Routes) -> None:
        self._planner = planner
        self._routes = routes
        # by identity, because most prefixes share their announcements; these are kept, so that no
        # other set gets the identity of one
        self._known: dict[int, tuple[Announcements, frozenset[str]]] = {}

    def nodes(self, decision: Decision) -> frozenset[str]:
        """The nodes to which a peer or a switch sends the traffic of a Service."""
        found = [self._of(one) for one in self.announced(decision)]
        return found[0] if len(found) == 1 else frozenset().union(*found)

    def announced(self, decision: Decision) -> Iterator[Announcements]:
        """What is announced of the addresses of a Service, or for aggregates in their place."""
        for held in decision.outcome.held:
            own = self._routes.get(held.address)
            if own:
                yield own
                continue
            for prefix in self._planner.aggregation.aggregates_of(held.address):
                if prefix in self._routes:
                    yield self._routes[prefix]

    def _of(self, announcements: Announcements) -> frozenset[str]:
        known = self._known.get(id(announcements))
        if known is None:
            planner = self._planner
            used = planner.sending.in_use(tuple(announcements), planner.policy.by_port)
            nodes = frozenset(path.next_hop.node for path in used)
            known = self._known[id(announcements)] = (announcements, nodes)
        return known[1]
