"""A running instance: its parts, the settings in force, and what follows from them.

Start and reload are one call, `Instance.apply`: the set of peers, and the addresses that are given
to nobody, are made from the settings, the nodes and this host whenever one of the three changed,
and always all of it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.peering import PeerConfig, wanted_peers
from porter_ryu.domain.planner import Planner
from porter_ryu.kube.api import Api
from porter_ryu.kube.lease import Lease
from porter_ryu.kube.manifests import Manifests
from porter_ryu.kube.writer import Writer
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.host import HostAddresses, HostView
from porter_ryu.null_parts import NoLease, NoSpeaker, NoWriter
from porter_ryu.reconciler import Reconciler
from porter_ryu.settings import Settings
from porter_ryu.supervisor import Supervisor
from porter_ryu.turn_log import TurnLog

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Instance:
    """The running parts; for one that the settings do not ask for stands one of `null_parts`.

    `started`: the settings that the parts were built from; `settings`: those read last, of which
    the peers are in force.
    """

    supervisor: Supervisor
    planner: Planner
    reconciler: Reconciler
    source: Manifests | Api
    writer: Writer | NoWriter
    speaker: Speaker | NoSpeaker
    bound_ips: BoundIps
    lease: Lease | NoLease
    host: HostView
    started: Settings
    settings: Settings = field(init=False)
    ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.settings = self.started

    def start(self) -> None:
        """Starts the parts; the source last, when everybody listens."""
        self.reconciler.follow(lambda _turn: self._set_peers())
        self.reconciler.follow(TurnLog().follow)
        self.writer.start(self.reconciler)
        self.bound_ips.start()
        self.apply(self.started)
        self.supervisor.keep_running("host", lambda beat: self.host.watch(self._reserve, beat))
        self.lease.start()
        self.source.start(self.reconciler)

    def stop(self, withdraw: bool) -> str:
        """Ends them: no session is left open, and bindings stay unless `withdraw`.  Returns what
        could not be taken back, in one sentence; empty where nothing is left."""
        self.ended = True
        self.reconciler.retire()
        self.source.stop()
        self.speaker.stop(withdraw)
        left = self.bound_ips.stop(withdraw)
        self.lease.stop()
        return left

    def apply(self, settings: Settings) -> None:
        """Makes these the settings in force: sessions whose settings did not change are not
        touched.  What needs a restart is said, and stays as it was."""
        for (group, key), value in settings.fixed.items():
            if self.started.fixed.get((group, key)) != value:
                LOG.warning("[%s] %s was changed: that needs a restart", group, key)
        if settings.bgp.next_hops.ipv4_over_ipv6 != self.started.bgp.next_hops.ipv4_over_ipv6:
            LOG.warning("[bgp] peers: the first over IPv6: IPv4 by it (RFC 8950) needs a restart")
        for group in settings.unused_peer_groups:
            LOG.warning("[%s] is not used: [bgp] peers does not list it", group)
        self.settings = settings
        self._reserve()
        self._set_peers()

    def _reserve(self) -> None:
        reserve(self.planner, self.host.addresses, self.settings.bgp.peers)

    def _set_peers(self) -> None:
        if self.ended:
            return
        policy = self.started.bgp.next_hops
        own = self.planner.node(policy.node_name)
        self.speaker.set_peers(wanted_peers(self.settings.bgp.peers, policy, own))


def reserve(planner: Planner, host: HostAddresses, peers: tuple[PeerConfig, ...]) -> None:
    """Tells the planner which addresses are given to nobody.  All configured peers count, also
    those that another node speaks to: they are routers of this network all the same."""
    addresses = [peer.address for peer in peers]
    planner.reserve(host.own | host.gateways, addresses, host.found)
