"""Which nodes a route may lead to, and for every other node why not.

Two questions are asked apart: which nodes *have* the Service, which the mode says, and which nodes
are *usable* at all.  A next hop is a node for which both hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.model import Address, Family, Network, Node
from porter_ryu.domain.nodes.backends import Backends
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NextHopMode
from porter_ryu.domain.special_purpose import never_a_next_hop
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import AddressReason, NodeReason, Reason, ServiceVerdict, Verdict

Taken = Callable[[Address], Verdict[AddressReason] | None]

_SHOWN = 5
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True, slots=True)
class NextHopPolicy:
    """How nodes become next hops; `node_name` is that of this host, which a mode needs that
    is not central.

    `networks` empty: a node's InternalIPs are its next hops; else its addresses inside them.
    `ipv4_over_ipv6`: a node without an IPv4 address may be the next hop of IPv4 routes by its
    IPv6 one (RFC 8950).
    """

    mode: NextHopMode = ENDPOINTS
    node_name: str = ""
    networks: tuple[Network, ...] = ()
    ipv4_over_ipv6: bool = False


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """Whether a node may be a next hop of an address, and which one it is then.

    With a next hop, the message says which of the node's addresses were passed over for it.
    """

    node: str
    next_hop: NextHop | None
    verdict: Verdict[NodeReason]


def node_objection(node: Node) -> Verdict[NodeReason] | None:
    """Why no route may lead to a node, whatever its addresses.  A cordoned node is usable."""
    if node.deleting:
        return Verdict(False, NodeReason.BEING_DELETED, "it is being deleted")
    if EXCLUDE_LABEL in node.labels:
        return Verdict(False, NodeReason.EXCLUDED, f"its label {EXCLUDE_LABEL} excludes it")
    if not node.ready:
        return Verdict(False, NodeReason.NOT_READY, "it is not Ready")
    if node.network_unavailable:
        text = "its condition NetworkUnavailable is true"
        return Verdict(False, NodeReason.NETWORK_UNAVAILABLE, text)
    return None


def address_objection(address: Address, taken: Taken) -> Verdict[AddressReason] | None:
    """Why no route may lead to an address that a node reports; `taken` is asked whether it is
    somebody else's."""
    purpose = never_a_next_hop(address)
    if purpose:
        return Verdict(False, AddressReason.SPECIAL_PURPOSE, f"{address} is {purpose}")
    return taken(address)


def next_hop_address(
    node: Node, family: Family, networks: tuple[Network, ...], taken: Taken
) -> tuple[Address | None, tuple[Verdict[AddressReason], ...]]:
    """The first address of the family that may be a next hop, in the node's own order, and why
    those before it may not."""
    passed: list[Verdict[AddressReason]] = []
    for kind, address in node.addresses:
        if address.version != family:
            continue
        if any(address in network for network in networks) or (
            not networks and kind == "InternalIP"
        ):
            objection = address_objection(address, taken)
            if objection is None:
                return address, tuple(passed)
            passed.append(objection)
    return None, tuple(passed)


def judge(node: Node, family: Family, policy: NextHopPolicy, taken: Taken) -> NodeVerdict:
    """The next hop that a node offers to routes of a family, or why none."""
    objection = node_objection(node)
    if objection is not None:
        return NodeVerdict(node.name, None, objection)
    address, passed = next_hop_address(node, family, policy.networks, taken)
    is_self = not policy.mode.central
    ipv6 = None
    if address is None and family is Family.IPV4 and policy.ipv4_over_ipv6:
        ipv6, more = next_hop_address(node, Family.IPV6, policy.networks, taken)
        passed += more
    why_passed = listed([verdict.message for verdict in passed])
    if address is None and ipv6 is None and not is_self:
        where = "next_hop_networks" if policy.networks else "its InternalIPs"
        what = "it has no other" if passed else "it has no"
        text = f"{what} IPv{family.value} address in {where}"
        text = "; ".join(filter(None, (why_passed, text)))
        return NodeVerdict(node.name, None, Verdict(False, NodeReason.NO_ADDRESS, text))
    hop = NextHop(node.name, address, frozenset(node.labels.items()), is_self, ipv6)
    return NodeVerdict(node.name, hop, Verdict(True, NodeReason.NEXT_HOP, why_passed))


def no_hops(found: Backends, nodes: Sequence[NodeVerdict], policy: NextHopPolicy) -> ServiceVerdict:
    """Why a Service has no next hop at all; `nodes` are those that have it."""
    if not found.anywhere:
        text = "no endpoint is ready: look at the Pods and EndpointSlices of the Service"
        return Verdict(False, Reason.NO_READY_ENDPOINTS, text)
    if not nodes:
        return policy.mode.why_none(policy.node_name)
    shown = "; ".join(f"{printable(n.node)}: {n.verdict.message}" for n in nodes[:_SHOWN])
    more = "; …" if len(nodes) > _SHOWN else ""
    text = f"no node that has it may be a next hop: {shown}{more}"
    return Verdict(False, Reason.NO_USABLE_NODE, text)


def combine(hops_of_holders: Iterable[tuple[bool, frozenset[NextHop]]]) -> frozenset[NextHop]:
    """Next hops of an address that several Services hold, from (is Local, next hops) of each.

    The union while all are Cluster; as soon as one is Local, the nodes that every Local one has.
    """
    union: frozenset[NextHop] = frozenset()
    common: frozenset[NextHop] | None = None
    for local, hops in hops_of_holders:
        union = union | hops if union else hops  # of one holder, as nearly always, the same object
        if local:
            common = hops if common is None else common & hops
    return union if common is None else common
