"""Ryu's PeerManager with our Peers.

It takes the place of Ryu's own in the one running core; Ryu's ConfigurationManager calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from ryu.lib import hub
from ryu.services.protocols.bgp import core_managers
from ryu.services.protocols.bgp.rtconf import neighbors

from porter_ryu.bgp.fan_out import FanOuts
from porter_ryu.bgp.output.journal import Journals
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.outbound import LastSent, Outbound
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.update_groups import UpdateGroups
from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.session_history import SessionHistory
from porter_ryu.domain.model import Address, Family
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig, session_key
from porter_ryu.supervisor import Supervisor

SessionObserver = Callable[[PeerConfig, bool, str], None]
"""Called with the configuration of a session that came up (true) or went down, and why."""


class Neighbor(neighbors.NeighborConf):  # type: ignore[misc]
    """A wanted session as Ryu's configuration of a neighbour."""

    def __init__(self, config: PeerConfig) -> None:
        self.config = config
        self._key = config.key
        settings = {
            neighbors.IP_ADDRESS: str(config.address),
            neighbors.REMOTE_AS: config.remote_as,
            neighbors.REMOTE_PORT: config.port,
            neighbors.CAP_MBGP_IPV4: Family.IPV4 in config.families,
            neighbors.CAP_MBGP_IPV6: Family.IPV6 in config.families,
            neighbors.CONNECT_MODE: config.mode.value,
        }
        super().__init__(**settings)

    @property
    def ip_address(self) -> str:
        """The key of the session, by which Ryu keeps its neighbours."""
        return self._key


class PeerManager(core_managers.PeerManager):  # type: ignore[misc]
    """Creates and removes our Peers.  `configs`: all wanted sessions, by their keys.
    `on_session` is called for each session that comes up or goes down, and for the first
    failures of one that was never up.  `may_open`: whether peers that keep routes of an earlier run
    may get our OPEN, which they do at `opens_at` (on the monotonic clock) in any case.  If this
    process ended between the OPEN and the table, they would remove these routes (RFC 4724, 4.2)."""

    def __init__(
        self,
        core: Any,
        neighbors_conf: Any,
        speaker: SpeakerConfig,
        rib: LocRib,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(core, neighbors_conf)
        self.supervisor = supervisor
        self.speaker = speaker
        self.rounds = OutputRounds(supervisor)
        self.configs: dict[str, PeerConfig] = {}
        self.fan_outs = FanOuts(supervisor, self._export_again)
        self.groups = UpdateGroups(rib, self.rounds, supervisor)
        self.on_session: SessionObserver = _ignore
        self.may_open = False
        self.opens_at = time.monotonic()
        self._loc_rib = rib
        self.journals = Journals(speaker.state_dir, supervisor)
        # by name, of peers without a session: a peer whose settings change keeps it
        self.last_sent: dict[str, LastSent] = {}
        self._histories: dict[str, SessionHistory] = {}

    def add_peer(self, neigh_conf: Any, common_conf: Any) -> None:
        """Creates a peer; Ryu's ConfigurationManager calls it for each neighbour that is added."""
        peer = Peer(common_conf, neigh_conf, self._core_service, self._signal_bus, self)
        self._peers[neigh_conf.ip_address] = peer
        self._core_service.on_peer_added(peer)

    def outbound(self, name: str) -> Outbound:
        """A new output side for the peer with this name.  It continues the journal of an earlier
        one."""
        journal = self.journals.of(name)
        return Outbound(name, self._loc_rib, self.groups, journal, self.supervisor, self.rounds)

    def history(self, name: str) -> SessionHistory:
        """What became of the sessions of this name: a peer whose settings change keeps it."""
        return self._histories.setdefault(name, SessionHistory(time.time()))

    def known_history(self, name: str) -> SessionHistory | None:
        """The same; None if there was no peer of this name yet."""
        return self._histories.get(name)

    def forget_others(self, names: Collection[str]) -> None:
        """Forgets what is kept of sessions that have none of these names: they are not wanted any
        more."""
        for kept in (self.last_sent, self._histories):
            for name in kept.keys() - set(names):
                del kept[name]

    def remove_peer(self, neigh_conf: Any) -> None:
        """Stops a peer; Ryu's ConfigurationManager calls it for each neighbour that is removed,
        also for one that could not be added."""
        peer: Peer | None = self._peers.pop(neigh_conf.ip_address, None)
        if peer is None:
            return
        if not peer.started:
            hub.sleep(0)  # it was just added: a peer can be stopped only after it has started
        peer.stop()
        self._core_service.on_peer_removed(peer)
        self._remove_signal_listeners(peer)

    def _remove_signal_listeners(self, peer: Peer) -> None:
        """Removes a peer from Ryu's signal bus, which would keep every removed peer in memory."""
        listeners = self._signal_bus._listeners
        own = [identifier for identifier in listeners if identifier[-1] is peer]
        removed = {entry for identifier in own for entry in listeners.pop(identifier)}
        for identifier, entries in listeners.items():
            listeners[identifier] = [entry for entry in entries if entry not in removed]

    def open_sessions(self) -> None:
        """From now on no OPEN waits (`may_open`)."""
        if not self.may_open:
            self.may_open = True
            for peer in list(self._peers.values()):
                peer.look_again()

    def add(self, config: PeerConfig) -> None:
        """Adds a neighbour to Ryu, which starts it."""
        self._neighbors_conf.add_neighbor_conf(Neighbor(config))

    def remove(self, config: PeerConfig) -> None:
        """Removes a neighbour from Ryu, which stops it."""
        neighbor = self._neighbors_conf.get_neighbor_conf(config.key)
        if neighbor is not None:
            neighbor.enabled = False
            self._neighbors_conf.remove_neighbor_conf(config.key)

    def running(self, config: PeerConfig) -> Peer | None:
        """The running peer for a wanted session, if any."""
        peer: Peer | None = self._peers.get(config.key)
        return peer

    def between(self, remote: Address, local: Address) -> Peer | None:
        """The running peer for a connection between these addresses, if any."""
        found: Peer | None = self._peers.get(session_key(remote, local))
        return found or self._peers.get(session_key(remote, None))

    def _export_again(self, peer: str) -> None:
        for running in list(self._peers.values()):
            if running.config.peer == peer:
                running.export()


def _ignore(_config: PeerConfig, _is_up: bool, _why: str) -> None:
    """Until there is an observer."""
