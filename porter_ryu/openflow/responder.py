"""The flows by which the switch itself answers ARP and neighbour solicitation (RFC 826, RFC 4861),
also while we are down, those by which nobody else does, and those by which it tells us what nodes
answer.

An answer is the question with its fields exchanged, so it is the same flow for all addresses.  An
ARP request becomes its reply in one table.  Of a solicitation the type has to be changed first:
only then may its option be changed from a source to a target link-layer address.

Who says that an address of ours is his own would take it away from the others at the switch, by
mistake or not.  An ARP request with such a sender goes on without one, as a probe (RFC 5227), so
that a node whose own address is an EIP still finds its clients.  Anything else that says so is
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from porter_ryu.domain.model import Address
from porter_ryu.openflow import flows, oxm, wire
from porter_ryu.openflow.flows import Flow

METER = 0x5059
_ARP_REQUEST, _ARP_REPLY = 1, 2
_SOLICITATION, _ADVERTISEMENT = 135, 136
_TARGET_LINK_LAYER = 2  # the type of the option
_SOLICITED, _OVERRIDE = 1 << 30, 1 << 29
_ALL_NODES = IPv6Address("ff02::1")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_UNSPECIFIED = IPv6Address("::")
_NO_SENDER = IPv4Address("0.0.0.0")  # noqa: S104 - no socket is bound to it
_FRAME_OCTETS = 128  # of an answer that we get


def link_local(mac: bytes) -> IPv6Address:
    """The link-local address of an interface with this MAC (RFC 4291, appendix A)."""
    identifier = bytes([mac[0] ^ 2, *mac[1:3], 0xFF, 0xFE, *mac[3:]])
    return IPv6Address(bytes.fromhex("fe80000000000000") + identifier)


def of_address(address: Address) -> Iterable[Flow]:
    """The flows for an address for which the switch answers, and nobody else."""
    yield _question(address)
    about = f"who claims to be {address}"
    if isinstance(address, IPv4Address):
        claim = oxm.ETH_TYPE.is_(oxm.ETHERTYPE_ARP) + oxm.ARP_SPA.is_(address)
        to_claims = wire.go_to(flows.ARP_CLAIM)
        yield Flow(flows.CLASSIFY, flows.PRIORITY_CLAIM, claim, to_claims, about=about)
        return
    for claim in (
        _neighbour(_ADVERTISEMENT) + oxm.ND_TARGET.is_(address),
        _neighbour(_SOLICITATION, oxm.IPV6_SRC.is_(address)),
    ):
        yield Flow(flows.CLASSIFY, flows.PRIORITY_CLAIM, claim, b"", about=about)


def _question(address: Address) -> Flow:
    """The flow that finds the questions for an address."""
    if isinstance(address, IPv4Address):
        match = (
            oxm.ETH_TYPE.is_(oxm.ETHERTYPE_ARP)
            + oxm.ARP_OP.is_(_ARP_REQUEST)
            + oxm.ARP_TPA.is_(address)
        )
        answer = flows.ARP_ANSWER
    else:
        match = _neighbour(_SOLICITATION) + oxm.ND_TARGET.is_(address)
        answer = flows.ND_ANSWER
    about = f"answers for {address}"
    return Flow(flows.CLASSIFY, flows.PRIORITY_RESPONDER, match, wire.go_to(answer), about=about)


def _neighbour(kind: int, source: bytes = b"") -> bytes:
    return (
        oxm.ETH_TYPE.is_(oxm.ETHERTYPE_IPV6)
        + source
        + oxm.IP_PROTO.is_(oxm.ICMPV6)
        + oxm.ICMPV6_TYPE.is_(kind)
        + oxm.ICMPV6_CODE.is_(0)
    )


def answers(version: int, mac: bytes) -> Iterable[Flow]:
    """The flows that make the answers, with this MAC, for a switch of this version."""
    about = "the answer to ARP requests"
    yield Flow(
        flows.ARP_ANSWER,
        1,
        oxm.ETH_TYPE.is_(oxm.ETHERTYPE_ARP),
        wire.apply(
            oxm.move(version, oxm.ETH_SRC, oxm.ETH_DST)
            + oxm.set_field(oxm.ETH_SRC, mac)
            + oxm.set_field(oxm.ARP_OP, _ARP_REPLY)
            + oxm.move(version, oxm.ARP_TPA, oxm.SPARE_REGISTER)
            + oxm.move(version, oxm.ARP_SPA, oxm.ARP_TPA)
            + oxm.move(version, oxm.SPARE_REGISTER, oxm.ARP_SPA)
            + oxm.move(version, oxm.ARP_SHA, oxm.ARP_THA)
            + oxm.set_field(oxm.ARP_SHA, mac)
            + oxm.output(oxm.PORT_IN_PORT)
        ),
        about=about,
    )
    about = "the answer to neighbour solicitations"
    yield Flow(
        flows.ND_ANSWER,
        2,
        _neighbour(_SOLICITATION, oxm.IPV6_SRC.is_(_UNSPECIFIED)),
        wire.apply(
            oxm.set_field(oxm.SPARE_REGISTER, _OVERRIDE)
            + oxm.set_field(oxm.ETH_DST, _ALL_NODES_MAC)
            + oxm.set_field(oxm.IPV6_DST, _ALL_NODES)
            + oxm.set_field(oxm.ETH_SRC, mac)
            + oxm.move(version, oxm.ND_TARGET, oxm.IPV6_SRC)
            + oxm.set_field(oxm.ICMPV6_TYPE, _ADVERTISEMENT)
            + oxm.resubmit(flows.ND_ADVERTISE)
        ),
        about=about,
    )
    yield Flow(
        flows.ND_ANSWER,
        1,
        _neighbour(_SOLICITATION),
        wire.apply(
            oxm.set_field(oxm.SPARE_REGISTER, _SOLICITED | _OVERRIDE)
            + oxm.move(version, oxm.ETH_SRC, oxm.ETH_DST)
            + oxm.move(version, oxm.IPV6_SRC, oxm.IPV6_DST)
            + oxm.set_field(oxm.ETH_SRC, mac)
            + oxm.move(version, oxm.ND_TARGET, oxm.IPV6_SRC)
            + oxm.set_field(oxm.ICMPV6_TYPE, _ADVERTISEMENT)
            + oxm.resubmit(flows.ND_ADVERTISE)
        ),
        about=about,
    )
    yield Flow(
        flows.ND_ADVERTISE,
        1,
        _neighbour(_ADVERTISEMENT),
        wire.apply(
            oxm.move(version, oxm.SPARE_REGISTER, oxm.ND_RESERVED)
            + oxm.set_field(oxm.ND_OPTION_TYPE, _TARGET_LINK_LAYER)
            + oxm.set_field(oxm.ND_TLL, mac)
            + oxm.output(oxm.PORT_IN_PORT)
        ),
        about=about,
    )


def claims() -> Iterable[Flow]:
    """The flow for ARP requests whose sender says that he has an address of ours."""
    yield Flow(
        flows.ARP_CLAIM,
        1,
        oxm.ETH_TYPE.is_(oxm.ETHERTYPE_ARP) + oxm.ARP_OP.is_(_ARP_REQUEST),
        wire.apply(oxm.set_field(oxm.ARP_SPA, _NO_SENDER) + oxm.resubmit(flows.CLASSIFY)),
        about="ARP requests of who claims an address",
    )


def learning(version: int, mac: bytes, meter: bool) -> Iterable[Flow]:
    """The flows that tell us what nodes answer to our own questions; `meter`: at most as many a
    second as the meter allows."""
    to_controller = oxm.output(oxm.PORT_CONTROLLER, _FRAME_OCTETS)
    instructions = wire.apply(to_controller)
    if meter:
        instructions = wire.apply_metered(version, METER, to_controller)
    to_us = oxm.ETH_DST.is_(mac)
    arp = to_us + oxm.ETH_TYPE.is_(oxm.ETHERTYPE_ARP) + oxm.ARP_OP.is_(_ARP_REPLY)
    for match in (arp, to_us + _neighbour(_ADVERTISEMENT)):
        about = "the answers of nodes"
        yield Flow(flows.CLASSIFY, flows.PRIORITY_LEARN, match, instructions, about=about)
