"""Which peers keep routes of a Service without a session (RFC 4724), and whether these still lead
to it: the nodes that they were sent last may not be usable any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Family, Network, Service
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.reach import prefixes_of
from porter_ryu.domain.text import listed, printable

KeptBy = Callable[[Network], Mapping[str, Collection[Address]]]
"""The next hops that peers keep for a prefix without a session, by name of the peer."""


def nothing_kept(_prefix: Network) -> Mapping[str, Collection[Address]]:
    """For callers without BGP sessions."""
    return {}


class Kept(Struct, frozen=True):
    """What peers keep of a Service: `peers` are those whose routes lead to it, in order of name.
    `astray`: by each other one, where its routes lead instead, and why that is of no use, as a part
    of a sentence."""

    peers: tuple[str, ...]
    astray: Mapping[str, str]


class KeptRoutes:
    """Answers for the Services of one report."""

    def __init__(self, planner: Planner, kept_by: KeptBy) -> None:
        self._planner = planner
        self._kept_by = kept_by

    def of(self, decision: Decision) -> Kept:
        """What peers keep of a Service, as of now."""
        reached: set[str] = set()
        astray: dict[str, str] = {}
        for held in decision.outcome.held:
            for peer, hops in self._longest(held.address).items():
                objections = self._objections(decision.service, held.address, hops)
                if None in objections.values():
                    reached.add(peer)
                else:
                    astray.setdefault(peer, _only_to(objections))
        return Kept(tuple(sorted(reached)), {p: astray[p] for p in sorted(astray.keys() - reached)})

    def _longest(self, address: Address) -> Mapping[str, Collection[Address]]:
        """The next hops of the longest prefix for an address that each peer keeps."""
        found: dict[str, Collection[Address]] = {}
        for prefix in prefixes_of(self._planner, address):
            found = {**self._kept_by(prefix), **found}
        return found

    def _objections(
        self, service: Service, address: Address, hops: Collection[Address]
    ) -> dict[str, str | None]:
        """By the name of each node that next hops lead to, or by a next hop that no node has, why
        it does not carry a Service; None if it does."""
        nodes, family = self._planner.nodes, Family(address.version)
        policy = self._planner.policy.next_hops
        found: dict[str, str | None] = {}
        own = () if policy.mode.central else (policy.node_name,)  # by its address in the session
        for hop in sorted(hops, key=lambda hop: (hop.version, int(hop))):
            names = sorted(nodes.with_address(hop)) or own
            found |= {name: self._objection(service, name, family) for name in names}
            if not names:
                found[str(hop)] = "it belongs to no node"
        return found

    def _objection(self, service: Service, node: str, family: Family) -> str | None:
        verdict = self._planner.nodes.verdict(node, family)
        if verdict.next_hop is None:
            return verdict.verdict.message
        resolver = self._planner.resolver
        if service.local_traffic and not resolver.is_candidate(node, service, family):
            return "it has no ready endpoint"
        return None


def _only_to(objections: Mapping[str, str | None]) -> str:
    """Next hops that are all of no use, each with the reason."""
    if len(objections) > 1:
        return listed([f"{printable(name)} ({why})" for name, why in objections.items()])
    [(name, why)] = objections.items()
    why = why or ""
    it = "it "
    clause = f", which {why.removeprefix(it)}" if why.startswith(it) else f": {why}"
    return f"{printable(name)}{clause}"
