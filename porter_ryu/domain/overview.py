"""Read-only queries about all Eips and addresses, for reports, metrics and the HTTP server.

So they need not know how the planner stores them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from porter_ryu.domain.model import Address, Eip, EipStatus, Kind
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.pool_growth import PoolUse


def eips(planner: Planner) -> Iterator[tuple[Eip, EipStatus]]:
    """Every Eip that a turn has processed, and its wanted status, in order of name.

    The planner may change between two entries.
    """
    for eip in sorted(planner.cluster.eips.values(), key=lambda eip: eip.name):
        try:
            status = planner.allocator.pool_status(eip.name)
        except KeyError:
            continue  # no turn has processed it yet, or it is gone meanwhile
        yield eip, status


def unread_eips(planner: Planner) -> Mapping[str, str]:
    """Why an Eip cannot be read that never was readable, by name: how many addresses it has, and
    which of them are held, is not known."""
    return {eip.key.name: eip.reason for eip in planner.cluster.never_read(Kind.EIP)}


def is_disabled(planner: Planner, eip: Eip) -> bool:
    """Whether spec.disable of an Eip is true, in the form that is in force."""
    pool = planner.allocator.pools.get(eip.name)
    return (eip if pool is None else pool.eip).disable


def pool_uses(planner: Planner) -> dict[str, PoolUse]:
    """How full each Eip is, by name."""
    return {eip.name: PoolUse(status.usage, status.pool_size) for eip, status in eips(planner)}


def nodes_without_weight(planner: Planner) -> int:
    """How many nodes have no weight ([bgp] weights); routes that lead to one have none either."""
    weights = planner.weights
    nodes = tuple(planner.cluster.nodes.values()) if weights.weighs else ()
    return sum(weights.weight(node, 1) is None for node in nodes)


def is_held(planner: Planner, address: Address) -> bool:
    """Whether a Service holds an address."""
    return planner.allocator.is_held(address)


def is_in_pool(planner: Planner, address: Address) -> bool:
    """Whether a serving Eip contains an address."""
    return planner.allocator.pool_of(address) is not None


def recorded_addresses(planner: Planner) -> Iterator[Address]:
    """The addresses of pools that Services of ours have on record, held or not."""
    for service in planner.cluster.services.values():
        if service.ours:
            yield from (a for a in service.ingress if is_in_pool(planner, a))
