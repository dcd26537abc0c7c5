"""Which nodes a route may lead to, and for every other node why not.

There are two separate questions: which nodes are candidates for a Service, which the mode answers,
and which nodes are usable at all.  A next hop is a usable candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from porter_ryu.domain.announcement import NextHop
from porter_ryu.domain.model import Address, Family, Network, Node
from porter_ryu.domain.nodes.backends import Backends
from porter_ryu.domain.nodes.liveness import NOTHING_FOUND, Findings
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NextHopMode
from porter_ryu.domain.nodes.weights import UNWEIGHTED, WeightMode
from porter_ryu.domain.special_purpose import never_a_next_hop
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import AddressReason, NodeReason, Reason, ServiceVerdict, Verdict

AddressConflict = Callable[[Address], Verdict[AddressReason] | None]

NOT_PROBED: Mapping[Family, Findings] = {}

_MAX_NODES_SHOWN = 5
EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers"
OUT_OF_SERVICE_TAINT = "node.kubernetes.io/out-of-service"


class NextHopPolicy(Struct, frozen=True):
    """How nodes become next hops.

    `node_name` is the Node of this host, needed by a mode that is not central.  A next hop is one
    of the node's addresses in `networks`, or, where that is empty, one of its InternalIPs.
    `ipv4_over_ipv6`: a node without an IPv4 address may be the next hop of IPv4 routes with its
    IPv6 address (RFC 8950).  `weights`: what their shares depend on.
    """

    mode: NextHopMode = ENDPOINTS
    node_name: str = ""
    networks: tuple[Network, ...] = ()
    ipv4_over_ipv6: bool = False
    weights: WeightMode = UNWEIGHTED


class NodeVerdict(Struct, frozen=True, gc=False):
    """Whether a node may be a next hop of an address, and which next hop that is.

    With a next hop, the message says which of the node's addresses were rejected first, and which
    of its probes count for nothing.
    """

    node: str
    next_hop: NextHop | None
    verdict: Verdict[NodeReason]


def node_objection(node: Node) -> Verdict[NodeReason] | None:
    """Why a node is not usable, whatever its addresses; None if it is usable, as a cordoned node
    is."""
    if node.deleting:
        return Verdict(False, NodeReason.BEING_DELETED, "it is being deleted")
    if EXCLUDE_LABEL in node.labels:
        return Verdict(False, NodeReason.EXCLUDED, f"its label {EXCLUDE_LABEL} excludes it")
    if OUT_OF_SERVICE_TAINT in node.taints:
        text = f"its taint {OUT_OF_SERVICE_TAINT} says that it is shut down"
        return Verdict(False, NodeReason.OUT_OF_SERVICE, text)
    if not node.ready:
        return Verdict(False, NodeReason.NOT_READY, "it is not Ready")
    if node.network_unavailable:
        text = "its condition NetworkUnavailable is true"
        return Verdict(False, NodeReason.NETWORK_UNAVAILABLE, text)
    return None


def address_objection(address: Address, conflict: AddressConflict) -> Verdict[AddressReason] | None:
    """Why an address that a node reports cannot be a next hop; None if it can.  `conflict` says
    whether it is an EIP or a peer's address."""
    purpose = never_a_next_hop(address)
    if purpose:
        return Verdict(False, AddressReason.SPECIAL_PURPOSE, f"{address} is {purpose}")
    return conflict(address)


def next_hop_address(
    node: Node, family: Family, networks: tuple[Network, ...], conflict: AddressConflict
) -> tuple[Address | None, tuple[Verdict[AddressReason], ...]]:
    """The first address of the family that can be a next hop, in the node's order, and why each
    address before it cannot."""
    rejected: list[Verdict[AddressReason]] = []
    for kind, address in node.addresses:
        if address.version != family:
            continue
        if networks:
            selected = any(address in network for network in networks)
        else:
            selected = kind == "InternalIP"
        if not selected:
            continue
        objection = address_objection(address, conflict)
        if objection is None:
            return address, tuple(rejected)
        rejected.append(objection)
    return None, tuple(rejected)


def probed_addresses(
    node: Node, policy: NextHopPolicy, conflict: AddressConflict
) -> tuple[Address, ...]:
    """The addresses by which a node is a next hop while it is usable; none if it never is."""
    if EXCLUDE_LABEL in node.labels:
        return ()
    found = (next_hop_address(node, f, policy.networks, conflict)[0] for f in Family)
    return tuple(address for address in found if address is not None)


def judge(
    node: Node,
    family: Family,
    policy: NextHopPolicy,
    conflict: AddressConflict,
    probed: Mapping[Family, Findings] = NOT_PROBED,
) -> NodeVerdict:
    """The next hop that a node offers for routes of a family, or why it offers none; `probed` is
    what probes of its addresses found."""
    objection = node_objection(node)
    if objection is not None:
        return NodeVerdict(node.name, None, objection)
    address, rejected = next_hop_address(node, family, policy.networks, conflict)
    is_self = not policy.mode.central
    ipv6 = None
    if address is None and family is Family.IPV4 and policy.ipv4_over_ipv6:
        ipv6, more = next_hop_address(node, Family.IPV6, policy.networks, conflict)
        rejected += more
    why_rejected = listed([verdict.message for verdict in rejected])
    if address is None and ipv6 is None and not is_self:
        where = "next_hop_networks" if policy.networks else "its InternalIPs"
        what = "it has no other" if rejected else "it has no"
        text = f"{what} IPv{family.value} address in {where}"
        if why_rejected:
            text = f"{why_rejected}; {text}"
        return NodeVerdict(node.name, None, Verdict(False, NodeReason.NO_ADDRESS, text))
    found = probed.get(family if ipv6 is None else Family.IPV6, NOTHING_FOUND)
    if found.dead:
        dead = Verdict(False, NodeReason.DEAD, f"it is dead: {found.dead}")
        return NodeVerdict(node.name, None, dead)
    hop = NextHop(node.name, address, frozenset(node.labels.items()), is_self, ipv6)
    notes = [why_rejected] if why_rejected else []
    if found.unanswered:
        notes.append(f"never answered, so it counts for nothing: {listed(found.unanswered)}")
    return NodeVerdict(node.name, hop, Verdict(True, NodeReason.NEXT_HOP, "; ".join(notes)))


def why_no_next_hop(
    backends: Backends, nodes: Sequence[NodeVerdict], policy: NextHopPolicy
) -> ServiceVerdict:
    """Why a Service has no next hop at all; `nodes` are its candidates."""
    if not backends.anywhere:
        text = "no endpoint is ready: look at the Pods and EndpointSlices of the Service"
        return Verdict(False, Reason.NO_READY_ENDPOINTS, text)
    if not nodes:
        return policy.mode.why_none(policy.node_name)
    shown = "; ".join(f"{printable(n.node)}: {n.verdict.message}" for n in nodes[:_MAX_NODES_SHOWN])
    more = "; …" if len(nodes) > _MAX_NODES_SHOWN else ""
    text = f"none of its nodes can be a next hop: {shown}{more}"
    return Verdict(False, Reason.NO_USABLE_NODE, text)


def combine(hops_of_holders: Iterable[tuple[bool, frozenset[NextHop]]]) -> frozenset[NextHop]:
    """The next hops of an address that several Services hold, from (is Local, next hops) of each.

    While every holder has externalTrafficPolicy Cluster, they are the union.  Otherwise they are
    the next hops that all Local holders have in common.
    """
    union: frozenset[NextHop] = frozenset()
    common: frozenset[NextHop] | None = None
    for local, hops in hops_of_holders:
        union = union | hops if union else hops  # of one holder, as nearly always, the same object
        if local:
            common = hops if common is None else common & hops
    return union if common is None else common
