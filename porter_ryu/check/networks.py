"""Compares the Eips, the nodes and the peers with one another and with the networks around them.

Pure: facts in, findings out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field

from porter_ryu.check.finding import Finding, Results, command
from porter_ryu.domain.addresses.address_pool import AddressPool, Interval, PoolError
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Address, Family, Kind, Network, Node, ObjectId, ObjectKey
from porter_ryu.domain.nodes.next_hops import NextHopPolicy, next_hop_address, node_objection
from porter_ryu.domain.reserved_addresses import contained
from porter_ryu.domain.text import listed, printable
from porter_ryu.domain.verdict import AddressReason, Verdict

_KUBECTL = Editing()


class Facts(Struct, frozen=True):
    """What a cluster has.

    `eips`: spec.address by name, `advertisements`: their entries.  `pod_networks`: the node that
    each belongs to.  `cluster_ips`: the Service that has each, empty if the Service networks are
    known.
    `unreadable`: why an object cannot be read; `broken_files`: the same of a file of manifests, or
    of a part of it.
    """

    nodes: tuple[Node, ...] = ()
    eips: Mapping[str, str] = field(default_factory=dict)
    pod_networks: Mapping[Network, str] = field(default_factory=dict)
    service_networks: Mapping[Network, str] = field(default_factory=dict)
    cluster_ips: Mapping[Address, str] = field(default_factory=dict)
    advertisements: Mapping[str, Sequence[AdvertisementEntry]] = field(default_factory=dict)
    unreadable: Mapping[ObjectId, str] = field(default_factory=dict)
    broken_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def families(self) -> frozenset[Family]:
        """The families of the addresses in the Eips."""
        pools = filter(None, (_pool(text) for text in self.eips.values()))
        return frozenset[Family]().union(*(pool.families for pool in pools))


class Neighbour(Struct, frozen=True):
    """A peer that is on a network of this host, and takes only next hops on networks of its own
    (RFC 4271, 5.1.3)."""

    name: str
    network: Network
    selector: LabelSelector


def eip_networks(
    facts: Facts,
    subnets: Iterable[Network],
    answers_arp: bool,
    editing: Editing = _KUBECTL,
    owners: Mapping[Address, Sequence[str]] = MappingProxyType({}),
) -> Results:
    """Eips that contain addresses which have another meaning.

    `subnets` are those of this host.  `answers_arp`: EIPs in a subnet of the nodes are bound on a
    host in it, which answers for them.  `owners` are those who have the addresses of this host and
    of the peers.
    """
    with_nodes = [
        subnet
        for subnet in sorted(subnets, key=str)
        if any(a in subnet for node in facts.nodes for _, a in node.addresses)
    ]
    for name, text in sorted(facts.eips.items()):
        where = f"Eip {printable(name)}"
        mend = editing.mend(command("kubectl", "edit", "eip", name), where)
        try:
            pool = AddressPool.parse(text)
        except PoolError as error:
            yield Finding(where, str(error), mend)
            continue
        for what in _overlaps(pool, facts, [] if answers_arp else with_nodes):
            yield Finding(where, what, mend)
        reserved = contained(entry for entry in owners.items() if pool.contains(entry[0]))
        if reserved:
            yield Finding(where, reserved, mend)


def _overlaps(pool: AddressPool, facts: Facts, subnets: Sequence[Network]) -> Iterable[str]:
    holders = [node for node in facts.nodes for _, a in node.addresses if pool.contains(a)]
    if holders:
        names = listed(list(dict.fromkeys(node.name for node in holders)))
        yield f"contains addresses of nodes ({names}): it may contain those of other hosts, too"
    for subnet in subnets:
        if _meets(pool, subnet):
            yield f"overlaps the network {subnet} of nodes, where hosts ask for an EIP by ARP or ND"
    pods = {str(net): node for net, node in facts.pod_networks.items() if _meets(pool, net)}
    if pods:
        of = listed(list(dict.fromkeys(pods.values())))
        yield f"overlaps the Pod networks {listed(list(pods))} (of {of})"
    services = [f"{n} ({name})" for n, name in facts.service_networks.items() if _meets(pool, n)]
    if services:
        yield f"overlaps the Service networks {listed(services)}"
    taken = [f"{a} ({name})" for a, name in facts.cluster_ips.items() if pool.contains(a)]
    if taken:
        yield f"contains ClusterIPs of Services: {listed(taken)}"


def _meets(pool: AddressPool, network: Network) -> bool:
    first, last = int(network.network_address), int(network.broadcast_address)
    return any(_meets_interval(i, network.version, first, last) for i in pool.intervals)


def _meets_interval(interval: Interval, version: int, first: int, last: int) -> bool:
    return interval.version == version and interval.first <= last and first <= interval.last


def _pool(text: str) -> AddressPool | None:
    try:
        return AddressPool.parse(text)
    except PoolError:
        return None


def next_hops(facts: Facts, policy: NextHopPolicy, neighbours: Iterable[Neighbour]) -> Results:
    """Next hops that are on no network of a peer that needs that."""
    if not policy.mode.central:
        return  # the next hop is the address of this host in the session
    usable = [node for node in facts.nodes if node_objection(node) is None]
    for neighbour in neighbours:
        network, family = neighbour.network, Family(neighbour.network.version)
        there, away = [], []
        for node in usable:
            if not neighbour.selector.matches(node.labels):
                continue
            there += [node.name for _, address in node.addresses if address in network]
            address, _ = next_hop_address(node, family, policy.networks, _no_conflict)
            if address is not None and address not in network:
                away.append(f"{address} ({printable(node.name)})")
        if away:
            what = (
                f"{listed(away)} cannot be next hops for [peer:{neighbour.name}], which is on "
                f"{network}, unless it has their network as well"
            )
            mend = f"set next_hop_networks to a network of the nodes that the peer has: {network}"
            if not there:
                mend = f"connect the nodes to {network}, or the peer to the network of the nodes"
            yield Finding("[bgp] next_hop_networks", what, mend)


def _no_conflict(_address: Address) -> Verdict[AddressReason] | None:
    return None


def own_node(facts: Facts, name: str, editing: Editing = _KUBECTL) -> Results:
    """[porter] node_name, if no Node has that name; one that cannot be read has a finding of its
    own."""
    names = [node.name for node in facts.nodes]
    if not name or name in names or (Kind.NODE, ObjectKey("", name)) in facts.unreadable:
        return
    by_short_name = {each.partition(".")[0].lower(): each for each in names}
    near = difflib.get_close_matches(name.partition(".")[0].lower(), by_short_name, 1, 0.5)
    mend = editing.mend("kubectl get nodes", f"Node {printable(name)}", "there is none")
    if near:
        mend = f"set node_name = {by_short_name[near[0]]}"
    yield Finding("[porter] node_name", f"there is no Node {printable(name)}", mend)


def selectors(
    facts: Facts, wanted: Iterable[tuple[str, LabelSelector]], editing: Editing = _KUBECTL
) -> Results:
    """Peers whose node_selector matches no Node; `wanted` has the names of the peers."""
    for name, selector in wanted:
        if facts.nodes and not any(selector.matches(node.labels) for node in facts.nodes):
            what = f"matches none of {len(facts.nodes)} Nodes"
            show = "kubectl get nodes --show-labels"
            mend = editing.mend(show, "a Node", "add the labels that it selects")
            yield Finding(f"[peer:{name}] node_selector", what, mend)
