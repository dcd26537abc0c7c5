"""The whole chain for one Service, as a value: what `explain`, `plan` and the HTTP API tell."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.domain.addresses.outcome import PoolVerdict
from porter_ryu.domain.decision import Decision
from porter_ryu.domain.model import Address, Family, Kind, ObjectKey, Service
from porter_ryu.domain.nodes.next_hops import NodeVerdict
from porter_ryu.domain.planner import Planner


@dataclass(frozen=True, slots=True)
class AddressExplanation:
    """One address: where from, whether recorded in status, and every node's verdict."""

    address: Address
    eip: str
    recorded: bool
    sharers: tuple[ObjectKey, ...]
    nodes: tuple[NodeVerdict, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """`service` is None where there is none of that name; `decision` is None where it is not
    ours.  `unreadable` says why the object cannot be read now: then this is of its last good form,
    or, where there is none, of what is on record for it."""

    key: ObjectKey
    service: Service | None
    decision: Decision | None
    addresses: tuple[AddressExplanation, ...]
    pools: tuple[PoolVerdict, ...]
    unreadable: str = ""


def explain(planner: Planner, key: ObjectKey) -> Explanation:
    """Explains one Service from the state of the planner, without changing it."""
    service = planner.cluster.services.get(key)
    decision = planner.decisions.get(key)
    unreadable = planner.cluster.why_unreadable(Kind.SERVICE, key)
    if decision is None:
        return Explanation(key, service, None, (), (), unreadable)
    if service is None:
        return Explanation(key, decision.service, decision, (), (), unreadable)
    addresses = tuple(
        AddressExplanation(
            held.address,
            held.eip,
            held.address in service.ingress,
            tuple(k for k in planner.allocator.holders(held.address) if k != key),
            planner.view.verdicts(service, Family(held.address.version)),
        )
        for held in decision.outcome.held
    )
    pools = planner.allocator.candidates(service)
    return Explanation(key, service, decision, addresses, pools, unreadable)
