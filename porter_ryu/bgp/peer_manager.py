"""Ryu's PeerManager with our Peers.

It takes the place of Ryu's own in the one running core; Ryu's ConfigurationManager calls it.
"""

from __future__ import annotations

from typing import Any

from ryu.lib import hub
from ryu.services.protocols.bgp import core_managers

from porter_ryu.bgp.output.journal import Journals
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.update_groups import UpdateGroups
from porter_ryu.bgp.peer import Peer
from porter_ryu.domain.model import Address
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig
from porter_ryu.supervisor import Supervisor


class PeerManager(core_managers.PeerManager):  # type: ignore[misc]
    """Creates and removes our Peers.  `configs`: all wanted peers, by address as text."""

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
        self.groups = UpdateGroups(rib, self.rounds, supervisor)
        self._loc_rib = rib
        self.journals = Journals(speaker.state_dir, supervisor)

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

    def by_address(self, address: Address) -> Peer | None:
        """The running peer with an address, if any."""
        peer: Peer | None = self._peers.get(str(address))
        return peer
