"""Whether a session with each peer can come up: addresses, routes, hops, and somebody who answers.

A peer is connected to only if no process of this host has a connection with it: FRR ends a session
with graceful restart if its peer opens a second one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from eventlet import GreenPool
from msgspec import Struct

from porter_ryu.bgp import transport
from porter_ryu.check.finding import Finding, Results, command
from porter_ryu.check.ports import port_is_free
from porter_ryu.check.running import Running, is_connected
from porter_ryu.domain.model import Address
from porter_ryu.domain.peering import ConnectMode, PeerConfig
from porter_ryu.log import reason_of
from porter_ryu.node.ip_output import Hop
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.settings import BgpSettings, Settings

_CONNECT_SECONDS = 3.0
_AT_ONCE = 64


class Way(Struct, frozen=True):
    """How this host reaches a peer: from which of its addresses, and by which hop."""

    peer: PeerConfig
    local: Address
    hop: Hop

    @property
    def where(self) -> str:
        """The group of the peer."""
        return f"[peer:{self.peer.peer}]"


def ways(settings: Settings, ip: IpRoute) -> tuple[list[Way], list[Finding]]:
    """How this host reaches each peer, and a finding for each that it does not reach."""
    found: list[Way] = []
    problems: list[Finding] = []
    try:
        own = ip.host_addresses()
    except IpError as error:
        what = f"the addresses of this host cannot be read: {error}"
        return [], [Finding("ip", what, "install iproute2, and run this as root")]
    for peer in settings.bgp.peers if settings.bgp.enabled else ():
        group, local = f"[peer:{peer.peer}]", peer.local_address
        if local is not None and local not in own:
            what = f"this host does not have {local}"
            mend = "use an address that `ip -br address` shows"
            problems.append(Finding(f"{group} {peer.local_option}", what, mend))
            continue
        mend = command("ip", "route", "get", str(peer.address))
        try:
            hop = ip.way_to(peer.address, local)
        except IpError as error:
            what = f"there is no route to {peer.address} ({error})"
            problems.append(Finding(f"{group} address", what, mend))
            continue
        source = local or transport.source_address(peer.address)
        if source is None:  # the kernel refuses it though it has a route
            what = f"{peer.address} is the address of no single host (a broadcast address?)"
            problems.append(Finding(f"{group} address", what, mend))
            continue
        found.append(Way(peer, source, hop))
    return found, problems


def listening(settings: Settings, reached: Iterable[Way], running: Running, ip: IpRoute) -> Results:
    """The addresses and the port of the listener."""
    bgp = settings.bgp
    if not bgp.enabled or bgp.listen_addresses is None:
        return
    try:
        own = ip.host_addresses()
    except IpError:
        return  # `ways` reports it
    for address in sorted(set(bgp.listen_addresses or (way.local for way in reached)), key=str):
        if not address.is_unspecified and address not in own:
            what = f"this host does not have {address}"
            mend = "use an address that `ip -br address` shows"
            yield Finding("[bgp] listen_addresses", what, mend)
            continue
        yield from port_is_free("[bgp] listen_port", address, bgp.listen_port, running)


def hops(settings: Settings, reached: Iterable[Way]) -> Results:
    """Peers behind a router whose settings are for a direct neighbour."""
    told = set()
    for way in reached:
        peer, gateway = way.peer, way.hop.gateway
        if gateway is None or peer.peer in told:
            continue
        told.add(peer.peer)
        external = peer.remote_as != settings.bgp.local_as
        far = f"{peer.address} is on no network of this host, but behind {gateway}"
        if peer.multihop_ttl == 1 and (external or peer.ttl_security):
            what = f"{far}, and a TTL of 1 ends there"
            if peer.ttl_security:
                what = f"{far}, and ttl_security accepts only packets that no router forwarded"
            mend = "set multihop_ttl = 2, or the number of hops, here and on the router"
            yield Finding(f"{way.where} multihop_ttl", what, mend)
        if peer.bfd:
            what = f"{far}, but BFD is for direct neighbours (RFC 5881)"
            yield Finding(f"{way.where} bfd", what, "set bfd = false")


def answers(settings: Settings, reached: Iterable[Way]) -> Results:
    """Peers at whose port nobody answers, of those that this host connects to."""
    bgp = settings.bgp
    asked = [way for way in reached if _is_asked(bgp, way.peer)]
    pool = GreenPool(_AT_ONCE)
    told: set[tuple[str, str]] = set()
    for way, problem in zip(asked, pool.imap(lambda way: _problem(bgp, way), asked), strict=True):
        if problem is not None and (way.peer.peer, problem.what) not in told:
            told.add((way.peer.peer, problem.what))
            yield problem


def _is_asked(bgp: BgpSettings, peer: PeerConfig) -> bool:
    """An instance on each node speaks to a peer only if its node matches, which is not known
    here."""
    if peer.mode is ConnectMode.PASSIVE:
        return False
    if not bgp.next_hops.mode.central and peer.node_selector.requirements:
        return False
    return not is_connected(peer.address, peer.port, bgp.listen_port)


def _problem(bgp: BgpSettings, way: Way) -> Finding | None:
    peer = way.peer
    try:
        transport.connect(peer, peer.remote_as == bgp.local_as, _CONNECT_SECONDS).close()
    except OSError as error:
        at = f"{peer.address} port {peer.port}"
        there = f"configure {way.local} with AS {bgp.local_as} as a neighbour on the router"
        timed_out = isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT
        if timed_out and peer.password is not None:
            what = f"nobody answers at {at}; a wrong key is one reason for that"
            return Finding(f"{way.where} password_file", what, "compare the key with the router's")
        if timed_out:
            what = f"nobody answers at {at}"
            return Finding(f"{way.where} address", what, command("ping", "-c3", str(peer.address)))
        if error.errno == errno.ECONNREFUSED:
            what = f"no BGP speaker listens at {at}: the connection is refused"
            return Finding(f"{way.where} address", what, f"start BGP there; {there}")
        if error.errno == errno.ECONNRESET:
            what = f"{at} ends each connection"
            return Finding(f"{way.where} address", what, there)
        what = f"{at} cannot be connected to: {reason_of(error)}"
        return Finding(f"{way.where} address", what, command("ping", "-c3", str(peer.address)))
    return None
