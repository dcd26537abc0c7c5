"""BGPSpeaker with ADD-PATH: configures the neighbours on Ryu's core and feeds their tables.

Ryu's own tables keep one path a prefix, so they stay empty; the Loc-RIB here holds all of them.
Ryu is not patched: its core runs as it is, and on the seams of that one instance hang our
PeerManager, which builds our Peers, and our Listener.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from ryu.services.protocols.bgp import core_managers
from ryu.services.protocols.bgp.bgpspeaker import BGPSpeaker
from ryu.services.protocols.bgp.core_manager import CORE_MANAGER

from porter_ryu import metrics
from porter_ryu.bgp import transport
from porter_ryu.bgp.bfd.keeper import Bfd
from porter_ryu.bgp.journal import Journals
from porter_ryu.bgp.listener import Listener, refuse
from porter_ryu.bgp.outbound import Outbound
from porter_ryu.bgp.output_rounds import OutputRounds
from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.protocol.rib_out import PathIds
from porter_ryu.bgp.session_output import LocRib
from porter_ryu.domain.model import Address, Family, Network, NextHop
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_NO_RYU_LISTENER = 0


class PeerManager(core_managers.PeerManager):  # type: ignore[misc]
    """Ryu's PeerManager, building our Peers; `configs` by address, as text."""

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
        self._loc_rib = rib
        self._journals = Journals(speaker.state_dir, supervisor)

    def add_peer(self, neigh_conf: Any, common_conf: Any) -> None:
        """Called by Ryu's ConfigurationManager for every neighbour that is added."""
        peer = Peer(common_conf, neigh_conf, self._core_service, self._signal_bus, self)
        self._peers[neigh_conf.ip_address] = peer
        self._core_service.on_peer_added(peer)

    def outbound(self, name: str) -> Outbound:
        """What goes out to the peer of that name; the journal of an earlier one is its own."""
        journal = self._journals.of(name)
        return Outbound(name, self._loc_rib, journal, self.supervisor, self.rounds)

    def by_address(self, address: Address) -> Peer | None:
        """The peer of an address."""
        peer: Peer | None = self._peers.get(str(address))
        return peer


class Speaker(BGPSpeaker):  # type: ignore[misc]
    """The BGP side of this instance: a RouteTarget over any number of peers."""

    def __init__(self, config: SpeakerConfig, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._config = config
        self._rib = LocRib({}, PathIds())
        self._peers: dict[str, PeerConfig] = {}
        self._manager: PeerManager | None = None
        super().__init__(
            as_number=config.local_as,
            router_id=str(config.router_id),
            bgp_server_port=_NO_RYU_LISTENER,
        )
        self._listener = Listener(config.listen_port, self._accept, supervisor)
        self._bfd = Bfd(self._path_is_up, supervisor)
        if config.restart_time:
            # half of it is left for the sessions to come up again
            supervisor.after(config.restart_time / 2, "replay", self._replay)

    def _core_start(self, settings: dict[str, Any]) -> None:
        """Starts Ryu's core and hangs our PeerManager on it."""
        super()._core_start(settings)
        core = CORE_MANAGER.get_core_service()
        manager = PeerManager(
            core, CORE_MANAGER.neighbors_conf, self._config, self._rib, self._supervisor
        )
        core._peer_manager = manager
        core._conf_manager._peer_manager = manager
        self._manager = manager

    @property
    def manager(self) -> PeerManager:
        """Our PeerManager in Ryu's running core."""
        if self._manager is None:
            raise RuntimeError("Ryu's core has not started")
        return self._manager

    # -- peers ----------------------------------------------------------------------------------

    def add_peer(self, peer: PeerConfig) -> None:
        """Adds a neighbour and listens where it may call; its session comes up by itself."""
        address = str(peer.address)
        self.manager.configs[address] = peer
        self._peers[peer.name] = peer
        for _, sock in self._listener.sockets:
            self._set_key(sock, peer)
        self.neighbor_add(
            address,
            peer.remote_as,
            remote_port=peer.port,
            enable_ipv4=Family.IPV4 in peer.families,
            enable_ipv6=Family.IPV6 in peer.families,
            connect_mode=peer.mode.value,
        )
        if peer.mode is not ConnectMode.ACTIVE:
            self._listen_for(peer)
        self._bfd.watch(self._peers.values())

    def remove_peer(self, name: str, comes_back: bool) -> None:
        """Ends a neighbour's session and forgets it; Cease, Peer De-configured unless
        `comes_back` with other settings: then the peer keeps our routes where it can."""
        peer = self._peers.pop(name)
        running = self.manager.by_address(peer.address)
        if running is not None and comes_back:
            running.pause()
        elif running is not None:
            running.outbound.forget()
        self.neighbor_del(str(peer.address))
        del self.manager.configs[str(peer.address)]
        self._bfd.watch(self._peers.values())
        if peer.password is not None:
            for _, sock in self._listener.sockets:
                if sock.family == transport.family_of(peer.address):
                    transport.set_md5(sock, peer.address, None)

    def stop(self, withdraw: bool) -> None:
        """Ends all sessions so that peers keep our routes where they can; with `withdraw` takes
        everything back, and Cease, Administrative Shutdown."""
        self._listener.stop()
        for peer in self.manager.iterpeers:
            peer.end(withdraw)
        self._bfd.stop()

    def reports(self) -> tuple[PeerReport, ...]:
        """What there is to tell about each peer, by name."""
        peers = sorted(self.manager.iterpeers, key=lambda peer: peer.config.name)
        return tuple(peer.report for peer in peers)

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """The next hops that each peer was sent for a prefix, by its name."""
        return {peer.config.name: peer.outbound.sent(prefix) for peer in self.manager.iterpeers}

    # -- routes (RouteTarget) ----------------------------------------------------------------

    def set_routes(
        self, routes: Mapping[Network, frozenset[NextHop]], read_at: float | None
    ) -> None:
        """Sets the wanted next hops of these prefixes, none withdraws, and tells every peer."""
        for prefix, hops in routes.items():
            if hops:
                self._rib.routes[prefix] = hops
            else:
                self._rib.routes.pop(prefix, None)
        all_sent = all([peer.outbound.send(routes) for peer in self.manager.iterpeers])
        if read_at is None:
            return
        if all_sent:
            _observe(read_at)
        else:
            self.manager.rounds.when_sent(lambda: _observe(read_at))

    def complete(self) -> None:
        """Everything known is set: End-of-RIB may go out (RFC 4724, 2)."""
        self._rib.complete = True
        for peer in self.manager.iterpeers:
            peer.outbound.complete()

    def _path_is_up(self, name: str, up: bool) -> None:
        config = self._peers.get(name)
        peer = self.manager.by_address(config.address) if config is not None else None
        if peer is not None:
            peer.path_is_up(up)

    def _replay(self) -> None:
        """The cluster cannot be read and peers are about to forget: what was announced by an
        earlier run is announced as it was."""
        if not self._rib.complete:
            LOG.warning("the cluster cannot be read: what was announced before is announced again")
            self._rib.replaying = True
            for peer in self.manager.iterpeers:
                peer.outbound.replay()

    # -- listening --------------------------------------------------------------------------------

    def _listen_for(self, peer: PeerConfig) -> None:
        if self._config.listen_addresses is None:
            return
        if self._config.listen_addresses:
            wanted = list(self._config.listen_addresses)
        else:
            towards = peer.local_address or transport.address_towards(peer.address)
            if towards is None:
                LOG.error("peer %s: no route to %s, so nothing listens", peer.name, peer.address)
                return
            wanted = [towards]
        for address in wanted:
            self._listener.want(address, self._set_keys)

    def _set_keys(self, sock: socket.socket) -> None:
        for peer in self._peers.values():
            self._set_key(sock, peer)

    def _set_key(self, sock: socket.socket, peer: PeerConfig) -> None:
        if peer.password is None or sock.family != transport.family_of(peer.address):
            return
        try:
            transport.set_md5(sock, peer.address, peer.password)
        except OSError as error:
            LOG.error("peer %s: cannot set its TCP MD5 key: %s", peer.name, error.strerror)

    def _accept(self, sock: socket.socket, remote: Address, local: Address) -> None:
        peer = self.manager.by_address(remote)
        if peer is None or self._is_announced(local):
            refuse(sock)
        else:
            peer.accept(sock)

    def _is_announced(self, local: Address) -> bool:
        """Whether a connection came to an EIP: nothing of ours answers there."""
        return ip_network(local) in self._rib.routes


def _observe(read_at: float) -> None:
    metrics.event_to_wire.observe(time.monotonic() - read_at)
