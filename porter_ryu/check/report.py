"""Runs all checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address

from porter_ryu.check import cluster, host, networks, peers, ports
from porter_ryu.check.finding import Finding, NotChecked, Result, silent
from porter_ryu.check.kernel import Duties, kernel
from porter_ryu.check.networks import Facts, Neighbour
from porter_ryu.check.outcome import Report, of_fault
from porter_ryu.check.peers import Way
from porter_ryu.check.running import Running
from porter_ryu.domain.editing import Editing
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.node.host import HostMonitor
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.planning import read_journal, reserved_owners
from porter_ryu.settings import Settings


def inspect(settings: Settings, ip: IpRoute | None = None) -> Report:
    """Checks everything; `ip` runs the commands that ask this host."""
    ip = ip or IpRoute()
    running = Running(settings.state_dir)
    results: list[Result] = [of_fault(remark) for remark in settings.remarks]
    reached, problems = peers.ways(settings, ip)
    results += problems
    results += peers.hops(settings, reached)
    results += peers.listening(settings, reached, running, ip)
    results += ports.http_port(settings, running)
    results += ports.controller_port(settings, running)
    results += host.binding(settings, ip)
    results += host.echo(settings)
    results += host.directories(settings, running)
    facts, found = cluster.inspect(settings)
    results += found
    results += kernel(_duties(settings, ip, facts or Facts()))
    if facts is not None:
        results += cluster.compare(facts, settings)
        subnets = _subnets(ip)
        answers_arp = settings.bind_mode == "address"
        editing, owners = Editing(settings.manifests), _owners(settings, ip)
        results += networks.eip_networks(facts, subnets, answers_arp, editing, owners)
        neighbours = _neighbours(settings, reached, subnets)
        results += networks.next_hops(facts, settings.bgp.next_hops, neighbours)
    results += peers.answers(settings, reached)
    return Report(
        tuple(dict.fromkeys(r for r in results if isinstance(r, Finding))),
        tuple(dict.fromkeys(r for r in results if isinstance(r, NotChecked))),
    )


def _subnets(ip: IpRoute) -> frozenset[Network]:
    try:
        return ip.subnets()
    except IpError:
        return frozenset()  # what asked `ip` before has reported it


def _owners(settings: Settings, ip: IpRoute) -> Mapping[Address, Sequence[str]]:
    """Who has the addresses of this host and of the peers."""
    # what is wrong with the journal or with `ip` was found before
    with silent("porter_ryu.node.binding_journal", "porter_ryu.node.host"):
        host = HostMonitor(ip, settings.interface, read_journal(settings).bound_among)
        host.scan()
    return reserved_owners(host.addresses, settings.bgp, settings.openflow.gateways)


def _neighbours(
    settings: Settings, reached: Iterable[Way], subnets: frozenset[Network]
) -> list[Neighbour]:
    """The external peers on a network of this host that take no recursive next hops."""
    found: dict[str, Neighbour] = {}
    for way in reached:
        peer = way.peer
        around = [subnet for subnet in subnets if peer.address in subnet]
        external = peer.remote_as != settings.bgp.local_as
        if around and external and peer.multihop_ttl == 1 and way.hop.gateway is None:
            network = max(around, key=lambda subnet: subnet.prefixlen)
            found[peer.peer] = Neighbour(peer.peer, network, peer.node_selector)
    return list(found.values())


def _duties(settings: Settings, ip: IpRoute, facts: Facts) -> Duties:
    bgp = settings.bgp
    sessions = bgp.peers if bgp.enabled else ()
    try:
        own = ip.host_addresses()
    except IpError:
        own = frozenset()
    local_router = any(peer.address in own for peer in sessions)
    forwards = ""
    if local_router:
        forwards = "a router on this host forwards packets to EIPs"
    elif settings.bind_mode == "blackhole" or (bgp.enabled and not bgp.next_hops.mode.central):
        forwards = "this host is a next hop, and forwards packets to Pods"
    ends = [*(peer.address for peer in sessions), *(bgp.listen_addresses or ())]
    six = [str(end) for end in ends if isinstance(end, IPv6Address)] if bgp.enabled else []
    needs = f"a BGP session or listener needs it ({six[0]})" if six else ""
    if not needs and settings.bind_mode != "none" and Family.IPV6 in facts.families:
        needs = "there are Eips with IPv6 addresses to bind"
    interface = host.interface_of(settings, ip)
    return Duties(interface, forwards, local_router, facts.families, needs)
