"""Builds the parts that the settings ask for, and starts and ends them in order."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from porter_ryu.bgp import transport
from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.model import Address
from porter_ryu.domain.nodes.health import OF_A_CLUSTER, OF_A_DIRECTORY
from porter_ryu.domain.nodes.next_hops import NextHopMode
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig
from porter_ryu.domain.planner import Planner, Policy
from porter_ryu.kube.api import Api
from porter_ryu.kube.client import Client
from porter_ryu.kube.codec import Codec
from porter_ryu.kube.lease import Lease
from porter_ryu.kube.manifests import Manifests
from porter_ryu.kube.writer import Writer
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.iproute import IpError, IpRoute
from porter_ryu.node.journal import Journal
from porter_ryu.reconciler import Reconciler
from porter_ryu.settings import BgpSettings, Settings
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

BAD_CONFIGURATION = 2
_IPVS_DEVICE = "kube-ipvs0"
_ANYWHERE = IPv4Address("192.0.2.1")  # RFC 5737: only asks which address would be the source


@dataclass(slots=True)
class Parts:
    """The running parts; one that the settings do not ask for is None."""

    supervisor: Supervisor
    reconciler: Reconciler
    source: Manifests | Api
    writer: Writer | None
    speaker: Speaker | None
    bound_ips: BoundIps | None
    lease: Lease | None
    bgp: BgpSettings
    peering: dict[str, PeerConfig] = field(default_factory=dict)
    ended: bool = False

    def start(self) -> None:
        """Starts them; the source last, when everybody listens."""
        if self.writer is not None:
            self.writer.start(self.reconciler)
        if self.bound_ips is not None:
            self.bound_ips.start()
        if self.speaker is not None:
            self.match_peers()
        if self.lease is not None:
            self.lease.start()
        self.source.start(self.reconciler)

    def stop(self, withdraw: bool) -> None:
        """Ends them: no session is left open, and bindings stay unless `withdraw`."""
        self.ended = True
        self.reconciler.retire()
        self.source.stop()
        if self.speaker is not None:
            self.speaker.stop(withdraw)
        if self.bound_ips is not None:
            self.bound_ips.stop(withdraw)
        if self.lease is not None:
            self.lease.stop()

    def change(self, old: Settings, new: Settings) -> None:
        """Applies changed peers; other sessions are not touched.  Says what needs a restart."""
        for (group, key), value in new.fixed.items():
            if old.fixed.get((group, key)) != value:
                LOG.warning("[%s] %s was changed: that needs a restart", group, key)
        if old.bgp.next_hops.ipv4_over_ipv6 != new.bgp.next_hops.ipv4_over_ipv6:
            LOG.warning("[bgp] peers: the first over IPv6: IPv4 by it (RFC 8950) needs a restart")
        self.bgp = replace(self.bgp, peers=new.bgp.peers)
        self.match_peers()

    def match_peers(self) -> None:
        """Peers with those that are configured; a node instance only with those that select its
        node."""
        if self.speaker is None or self.ended:
            return
        wanted = {peer.name: peer for peer in self.bgp.peers if self._selects_us(peer)}
        for name in [name for name, peer in self.peering.items() if wanted.get(name) != peer]:
            self.speaker.remove_peer(name, comes_back=name in wanted)
            del self.peering[name]
        for name, peer in wanted.items():
            if name not in self.peering:
                self.speaker.add_peer(peer)
                self.peering[name] = peer

    def _selects_us(self, peer: PeerConfig) -> bool:
        own = self.bgp.next_hops
        if own.mode is not NextHopMode.SELF or not peer.node_selector.requirements:
            return True
        node = self.reconciler.planner.cluster.nodes.get(own.node_name)
        return node is not None and peer.node_selector.matches(node.labels)


def assemble(settings: Settings, supervisor: Supervisor) -> Parts:
    """Builds everything and opens nothing yet but what cannot wait; ends the process with
    status 2 where this host cannot do what it is told."""
    ip = IpRoute()
    planner = make_planner(settings, ip)
    bindings = _bound_ips(settings, ip, supervisor)
    speaker = _speaker(settings, supervisor) if settings.bgp.enabled else None
    source = make_source(settings, supervisor)
    writer = Writer(source, supervisor) if settings.allocate else None
    reconciler = Reconciler(
        planner,
        speaker,
        bindings,
        writer,
        settings.resync_seconds,
        bind_only_leading=settings.bind_mode == "address" and _by_lease(settings),
    )
    lease = _lease(settings, source, reconciler, supervisor)
    parts = Parts(supervisor, reconciler, source, writer, speaker, bindings, lease, settings.bgp)
    reconciler.after_turn = parts.match_peers
    return parts


def make_source(settings: Settings, supervisor: Supervisor) -> Manifests | Api:
    """Where the objects are read from."""
    codec = Codec(settings.annotation, settings.annotation_values, settings.load_balancer_class)
    if settings.manifests:
        return Manifests(
            settings.manifests, codec, keeps_status=settings.allocate, supervisor=supervisor
        )
    return Api(Client(settings.kubeconfig), codec, supervisor)


def make_planner(settings: Settings, ip: IpRoute) -> Planner:
    """The planner of these settings, with the addresses of peers and this host set aside."""
    bgp = settings.bgp
    patience = OF_A_DIRECTORY if settings.manifests else OF_A_CLUSTER
    planner = Planner(
        Policy(bgp.next_hops, bgp.enabled, settings.panic_percent, patience),
        leading=settings.allocate and not _by_lease(settings),
    )
    own, found = _host(settings, ip)
    planner.reserve(own, [peer.address for peer in bgp.peers])
    planner.allocator.set_found(found)
    return planner


def _host(settings: Settings, ip: IpRoute) -> tuple[frozenset[Address], frozenset[Address]]:
    """The addresses of this host, and those that are found here but may be some Service's.

    The latter are what kube-proxy in its IPVS mode keeps on its own device, and lone addresses
    beside a subnet's on the interface that we bind to: an earlier run whose journal is lost, or
    Porter before us, left them.  What the journal has is in neither.
    """
    journal = Journal(settings.state_dir)
    journal.load()
    try:
        device = settings.interface or ip.main_interface()
        every = ip.interface_addresses()
    except IpError as error:
        LOG.warning("the addresses of this host are not known: %s", error)
        return frozenset(), frozenset()
    found = {
        entry.address
        for entry in every
        if entry.device == _IPVS_DEVICE or (entry.extra and entry.device == device)
    }
    own = {entry.address for entry in every}
    bound = journal.bound(every)
    return frozenset(own - found - bound), frozenset(found - bound)


def _bound_ips(settings: Settings, ip: IpRoute, supervisor: Supervisor) -> BoundIps:
    journal = Journal(settings.state_dir)
    journal.load()
    return BoundIps(settings.bind_mode, settings.interface, settings.table, journal, ip, supervisor)


def _speaker(settings: Settings, supervisor: Supervisor) -> Speaker:
    bgp = settings.bgp
    router_id = bgp.router_id or _own_ipv4(bgp)
    if router_id is None:
        text = "this host has no IPv4 address to take, so it has to be set"
        print(f"{settings.file}: [bgp] router_id: {text}", file=sys.stderr, flush=True)
        sys.exit(BAD_CONFIGURATION)
    return Speaker(
        SpeakerConfig(
            local_as=bgp.local_as,
            router_id=router_id,
            listen_addresses=bgp.listen_addresses,
            listen_port=bgp.listen_port,
            max_next_hops=bgp.max_next_hops,
            restart_time=bgp.restart_time,
            state_dir=settings.state_dir,
        ),
        supervisor,
    )


def _own_ipv4(bgp: BgpSettings) -> IPv4Address | None:
    """The address that this host speaks to its peers from, or to anywhere."""
    towards = [peer.address for peer in bgp.peers if isinstance(peer.address, IPv4Address)]
    for address in (*towards, _ANYWHERE):
        own = transport.address_towards(address)
        if isinstance(own, IPv4Address):
            return own
    return None


def _by_lease(settings: Settings) -> bool:
    """Whether several instances settle by the Lease who leads: without an API server there is
    none, and an instance always does."""
    return settings.allocate and not settings.manifests


def _lease(
    settings: Settings,
    source: Manifests | Api,
    reconciler: Reconciler,
    supervisor: Supervisor,
) -> Lease | None:
    if not _by_lease(settings) or not isinstance(source, Api):
        return None
    return Lease(source.client, settings.namespace, source.relist, reconciler.lead, supervisor)
