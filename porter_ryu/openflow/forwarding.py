"""The flows that forward packets: of an address to its groups, and of a next hop to its port."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Address

from msgspec import Struct

from porter_ryu.domain.model import Address, Port
from porter_ryu.openflow import affinity, flows, oxm, replies, responder, wire
from porter_ryu.openflow.config import Affinity, Base, OpenFlowSettings
from porter_ryu.openflow.flows import Flow
from porter_ryu.openflow.neighbours import Location
from porter_ryu.openflow.next_hop_sets import NextHopNumbers, number_of_text

_PROTOCOLS = {"TCP": (6, oxm.TCP_DST), "UDP": (17, oxm.UDP_DST), "SCTP": (132, oxm.SCTP_DST)}
Role = Port | None
"""What of an address a set of next hops is for: a port, or all the rest."""


class Shape(Struct, frozen=True):
    """What the flows of an address depend on: its pool and the group of each role."""

    pool: str
    groups: tuple[tuple[Role, int], ...]


def always(settings: OpenFlowSettings, version: int, meter: bool) -> Iterator[Flow]:
    """The flows that do not depend on any address, for a switch that speaks this version of
    OpenFlow; `meter`: it has our meter."""
    if settings.base is Base.NORMAL:
        # an equal flow of somebody else stays
        yield Flow(
            flows.CLASSIFY,
            flows.PRIORITY_BASE,
            b"",
            wire.apply(oxm.output(oxm.PORT_NORMAL)),
            wire.CHECK_OVERLAP,
            "the packets of others ([openflow] base)",
        )
    yield from responder.answers(version, settings.virtual_mac)
    yield from responder.claims()
    yield from responder.learning(version, settings.virtual_mac, meter)
    for address in (*settings.gateways, responder.link_local(settings.virtual_mac)):
        yield from responder.of_address(address)
    if settings.affinity is Affinity.CONNTRACK:
        yield affinity.other_connections()


def of_address(settings: OpenFlowSettings, address: Address, shape: Shape) -> Iterator[Flow]:
    """The flows of an address: who has it, and where its packets go."""
    if address not in settings.gateways:
        yield from responder.of_address(address)
    if settings.affinity is Affinity.CONNTRACK and settings.base is Base.NORMAL:
        yield affinity.reply(address)
    pool = oxm.set_field(oxm.POOL_REGISTER, number_of_text(shape.pool))
    for role, group in shape.groups:
        match = _to_address(settings.virtual_mac, address, role)
        if match is None:
            continue
        priority = flows.PRIORITY_ADDRESS if role is None else flows.PRIORITY_PORT
        about = str(address) if role is None else f"{address} {role.protocol} {role.port}"
        spread = oxm.group(group)
        if settings.affinity is Affinity.CONNTRACK:
            instructions = wire.apply(spread)
            yield Flow(flows.SPREAD, priority, match, instructions, about=about)
            spread = affinity.find()
        instructions = wire.apply(pool + spread)
        yield Flow(flows.CLASSIFY, priority, match, instructions, about=about)


def _to_address(mac: bytes, address: Address, role: Role) -> bytes | None:
    """The match of packets to an address, or to a port of it; None for a protocol that a switch
    cannot tell apart."""
    version4 = isinstance(address, IPv4Address)
    match = oxm.ETH_DST.is_(mac)
    match += oxm.ETH_TYPE.is_(oxm.ETHERTYPE_IPV4 if version4 else oxm.ETHERTYPE_IPV6)
    destination = (oxm.IPV4_DST if version4 else oxm.IPV6_DST).is_(address)
    if role is None:
        return match + destination
    if role.protocol not in _PROTOCOLS:
        return None
    protocol, port = _PROTOCOLS[role.protocol]
    return match + destination + oxm.IP_PROTO.is_(protocol) + port.is_(role.port)


def of_node(
    settings: OpenFlowSettings, pool: str, address: Address, number: int, where: Location
) -> Iterator[Flow]:
    """The flows of a next hop, which has this number, for the addresses of a pool."""
    of_pool = number_of_text(pool)
    about = f"next hop {address}"
    match = oxm.NODE_REGISTER.is_(number) + oxm.POOL_REGISTER.is_(of_pool)
    actions = (
        oxm.set_field(oxm.ETH_DST, where.mac)
        + oxm.set_field(oxm.NXM_IN_PORT, 0)  # a packet may go out where it came in
        + oxm.output(where.port)
    )
    yield Flow(flows.NODES, 1, match, wire.apply(actions), about=about)
    if settings.affinity is Affinity.CONNTRACK:
        yield affinity.remembered(of_pool, number, about)


def seeds(
    found: Collection[replies.FlowOnSwitch], next_hops: Collection[Address], numbers: NextHopNumbers
) -> dict[Address, Location]:
    """Where next hops were, by the flows that an earlier process left in the table of nodes."""
    by_number = {numbers.of(address).to_bytes(4, "big"): address for address in next_hops}
    where = {}
    for flow in found:
        if flow.table != flows.NODES:
            continue
        number = oxm.match_value(flow.match, oxm.NODE_REGISTER)
        address = by_number.get(number) if number is not None else None
        if address is None:
            continue
        try:
            actions = flow.actions
        except ValueError:
            continue
        macs = [m for a in actions if (m := oxm.set_value(a, oxm.ETH_DST)) is not None]
        ports = [p for a in actions if (p := oxm.output_port(a)) is not None]
        if macs and ports:
            where[address] = Location(macs[-1], ports[-1])
    return where
