"""A running instance: its parts and the settings in force.

Start and reload are one call, `Instance.apply`.  Whenever the settings, the nodes or this host
change, the set of peers and the reserved addresses are computed anew from all three.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ryu.lib import hub

from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain import overview
from porter_ryu.domain.address_states import is_holder_unknown
from porter_ryu.domain.node_traffic import Routes
from porter_ryu.domain.peering import wanted_peers
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.pool_growth import SAMPLE_SECONDS, PoolGrowths
from porter_ryu.domain.ports import Role
from porter_ryu.history.observers import Observers
from porter_ryu.history.record import History
from porter_ryu.history.reload import record_refused_reload, record_reload
from porter_ryu.history.restart import Earlier
from porter_ryu.history.turns import Cluster, TurnRecorder
from porter_ryu.kube.writer import Writer
from porter_ryu.leadership import Leadership
from porter_ryu.node.bound_ips import BoundIps
from porter_ryu.node.host import HostMonitor
from porter_ryu.null_parts import NoLease, NoLiveness, NoSpeaker, NoSwitches, NoWriter
from porter_ryu.planning import reserve
from porter_ryu.reconciler import Reconciler
from porter_ryu.settings import Settings
from porter_ryu.settings_pending import pending
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.time_slice import TimeSlice
from porter_ryu.turn_log import TurnLog

if TYPE_CHECKING:
    from porter_ryu.kube.api import Api
    from porter_ryu.kube.lease import Lease
    from porter_ryu.kube.manifests import Manifests
    from porter_ryu.liveness.monitor import LivenessMonitor
    from porter_ryu.openflow.target import Switches

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Instance:
    """The running parts; one that the configuration turns off is from `null_parts`.

    `initial_settings` are those that the parts were built from, `settings` those read last, whose
    peers are in force.  `not_loaded`: what is wrong with settings that were read later.  `pending`:
    a sentence for each setting that was read and needs a restart.
    """

    supervisor: Supervisor
    planner: Planner
    reconciler: Reconciler
    source: Manifests | Api
    writer: Writer | NoWriter
    speaker: Speaker | NoSpeaker
    bound_ips: BoundIps
    lease: Lease | NoLease
    leadership: Leadership
    host: HostMonitor
    liveness: LivenessMonitor | NoLiveness
    switches: Switches | NoSwitches
    initial_settings: Settings
    history: History = field(default_factory=History, init=False)
    settings: Settings = field(init=False)
    ended: bool = field(default=False, init=False)
    not_loaded: tuple[str, ...] = field(default=(), init=False)
    pending: tuple[str, ...] = field(default=(), init=False)
    pool_growths: PoolGrowths = field(default_factory=PoolGrowths, init=False)
    _recorder: TurnRecorder = field(init=False)

    def __post_init__(self) -> None:
        self.settings = self.initial_settings
        planner = self.planner
        cluster = Cluster(
            planner.allocator.holders,
            lambda: {eip.name for eip in planner.cluster.eips.values()},
            planner.why_not,
            lambda: {
                entry.address: node.name
                for node in planner.cluster.nodes.values()
                for entry in node.addresses
            },
            lambda address: is_holder_unknown(planner, address),
        )
        causes = self.reconciler.causes
        self._recorder = TurnRecorder(self.history, causes, cluster, TimeSlice())

    @property
    def role(self) -> Role:
        """Whether this instance leads.  Without a Lease one that assigns addresses always does."""
        if isinstance(self.lease, NoLease):
            return Role.LEADER if self.planner.leading else Role.FOLLOWER
        return self.leadership.role

    @property
    def routes(self) -> Routes:
        """What is announced of each address and aggregate."""
        return self._recorder.routes

    def start(self) -> None:
        """Starts the parts, the source last, because it reports to the others."""
        if not self.initial_settings.bgp.next_hops.mode.central:
            # which peers it speaks to depends on the labels of its node
            self.reconciler.subscribe(lambda _turn: self._set_peers())
        self.reconciler.subscribe(TurnLog().log)
        self.reconciler.subscribe(lambda _turn: self._set_probed_nodes())
        self._observe()
        recorder = self._recorder
        self.reconciler.subscribe(recorder.record)
        self.writer.start(self.reconciler)
        self.bound_ips.start()
        self.apply(self.initial_settings)
        recorder.restarted(self._earlier())
        self.supervisor.keep_running("host", lambda beat: self.host.run(self._reserve, beat))
        self.supervisor.keep_running("pools", self._observe_pools)
        self.lease.start()
        self.liveness.start()
        self.source.start(self.reconciler)

    def _earlier(self) -> Earlier:
        left, peers = self.speaker.left(), self.settings.bgp.peers
        forgetful = tuple(peer.name for peer in peers if peer.bfd and left.get(peer.name))
        return Earlier(left, self._sends_every_path, forgetful)

    def _observe(self) -> None:
        """Has the parts report to the history."""
        observers = Observers(self.history)
        self.speaker.on_sent = self._recorder.sent
        self.speaker.on_replay = observers.replay
        self.speaker.observe_sessions(observers.session)
        self.bound_ips.on_change = self._recorder.bound
        self.leadership.on_role = observers.role

    def _observe_pools(self, beat: Beat) -> None:
        """Keeps how full the Eips are, from the first turn on."""
        while not self.reconciler.synced:
            beat()
            hub.sleep(1.0)
        while not self.ended:
            beat()
            self.pool_growths.observe(overview.pool_uses(self.planner), time.monotonic())
            hub.sleep(SAMPLE_SECONDS)

    @property
    def _sends_every_path(self) -> bool:
        """Whether every peer with ADD-PATH gets all paths of a prefix."""
        bgp = self.settings.bgp
        chosen = any(peer.node_selector.requirements for peer in bgp.peers)
        return not bgp.max_next_hops and not chosen

    def stop(self, withdraw: bool) -> str:
        """Stops the parts: sessions are closed, and bindings and flows stay unless `withdraw`.
        Returns a text about what could not be removed, empty if nothing is left."""
        self.ended = True
        self.reconciler.retire()
        self.source.stop()
        self.liveness.stop()
        left = (
            self.speaker.stop(withdraw),
            self.switches.stop(withdraw),
            self.bound_ips.stop(withdraw),
        )
        self.lease.stop()
        return "; ".join(filter(None, left))

    def reload(self, settings: Settings, cause: str) -> None:
        """Puts settings in force that were read again because of `cause`."""
        before = self.settings.bgp.peers
        self.not_loaded = ()
        self.reconciler.causes.happened(f"a reload ({cause})", None)
        self.apply(settings)
        record_reload(self.history, before, settings.bgp.peers, self.pending, cause)

    def refuse_reload(self, faults: Iterable[object], cause: str) -> None:
        """The settings that were read again are invalid: those before stay in force."""
        self.not_loaded = tuple(map(str, faults))
        record_refused_reload(self.history, self.not_loaded, cause)

    def apply(self, settings: Settings) -> None:
        """Puts settings in force; sessions whose settings did not change stay up.  A change that
        needs a restart is logged and has no effect."""
        self.pending = tuple(pending(self.initial_settings, settings))
        for text in self.pending:
            LOG.warning("%s", text)
        for remark in settings.remarks:
            LOG.warning("%s", remark)
        self.settings = settings
        self._reserve()
        self._set_peers()

    def _reserve(self) -> None:
        gateways = self.initial_settings.openflow.gateways
        reserve(self.planner, self.host.addresses, self.settings.bgp, gateways)

    def _set_probed_nodes(self) -> None:
        changed = self.planner.nodes.pop_addresses_to_probe()
        if changed:
            self.liveness.update(changed)

    def _set_peers(self) -> None:
        if self.ended:
            return
        policy = self.initial_settings.bgp.next_hops
        own = self.planner.node(policy.node_name)
        self.speaker.set_peers(wanted_peers(self.settings.bgp.peers, policy, own))
