"""BGPSpeaker with ADD-PATH: configures the neighbours on Ryu's core and feeds their tables.

Ryu's own tables keep one path a prefix, so they stay empty; the Loc-RIB here holds all of them.
Ryu is not patched: its core runs as it is, and on the seams of that one instance hang our
PeerManager, which builds our Peers, and our Listener.

Which peers there are is one value, set as a whole: `set_peers`.  The rest (sessions, listeners,
TCP MD5 keys, BFD, metrics) is made to follow it, and what cannot is tried again by itself.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from ryu.lib import hub
from ryu.services.protocols.bgp import core_managers
from ryu.services.protocols.bgp.bgpspeaker import BGPSpeaker
from ryu.services.protocols.bgp.core_manager import CORE_MANAGER

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.bgp import transport
from porter_ryu.bgp.bfd.monitor import BfdMonitor
from porter_ryu.bgp.listener import Listener, refuse
from porter_ryu.bgp.output.journal import Journals
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.session_output import LocRib
from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.peer_report import PeerReport, not_set
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.peering import ConnectMode, PeerConfig, Secret, SpeakerConfig
from porter_ryu.log import reason_of
from porter_ryu.supervisor import Supervisor, Task

LOG = logging.getLogger(__name__)

_NO_RYU_LISTENER = 0
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 30.0


class PeerManager(core_managers.PeerManager):  # type: ignore[misc]
    """Ryu's PeerManager, building our Peers.  `configs`: all wanted peers, by address as text."""

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
        self.journals = Journals(speaker.state_dir, supervisor)

    def add_peer(self, neigh_conf: Any, common_conf: Any) -> None:
        """Called by Ryu's ConfigurationManager for every neighbour that is added."""
        peer = Peer(common_conf, neigh_conf, self._core_service, self._signal_bus, self)
        self._peers[neigh_conf.ip_address] = peer
        self._core_service.on_peer_added(peer)

    def outbound(self, name: str) -> Outbound:
        """What goes out to the peer of that name; the journal of an earlier one is its own."""
        journal = self.journals.of(name)
        return Outbound(name, self._loc_rib, journal, self.supervisor, self.rounds)

    def remove_peer(self, neigh_conf: Any) -> None:
        """Called by Ryu's ConfigurationManager for every neighbour that is removed, even one
        that never came to be added."""
        peer: Peer | None = self._peers.pop(neigh_conf.ip_address, None)
        if peer is None:
            return
        if not peer.started:
            hub.sleep(0)  # it was added just now, and what is not started cannot be stopped
        peer.stop()
        self._core_service.on_peer_removed(peer)
        self._forget_listeners(peer)

    def _forget_listeners(self, peer: Peer) -> None:
        """Ryu's bus never lets go of who listens, and so of no peer that ever was."""
        listeners = self._signal_bus._listeners
        own = [identifier for identifier in listeners if identifier[-1] is peer]
        gone = {entry for identifier in own for entry in listeners.pop(identifier)}
        for identifier, entries in listeners.items():
            listeners[identifier] = [entry for entry in entries if entry not in gone]

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
        self._refused: dict[str, str] = {}
        self._keyless: set[str] = set()
        self._settling = hub.Semaphore(1)
        self._again: Task | None = None
        self._backoff = Backoff(_AGAIN_FIRST, _AGAIN_MOST)
        self._stopped = False
        self._manager: PeerManager | None = None
        super().__init__(
            as_number=config.local_as,
            router_id=str(config.router_id),
            bgp_server_port=_NO_RYU_LISTENER,
        )
        # nothing of ours answers on an EIP; who knows the others that are held sets a wider rule
        self.is_eip: Callable[[Address], bool] = self._is_announced
        self._listener = Listener(config.listen_port, self._accept, supervisor)
        self._bfd = BfdMonitor(self._path_is_up, supervisor)
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

    def set_peers(self, peers: Iterable[PeerConfig]) -> None:
        """Makes these the peers, whatever they were: a session whose peer did not change is not
        touched.  One that cannot be set costs itself alone, and is tried again with backoff."""
        configs = {str(peer.address): peer for peer in peers}
        if configs == self.manager.configs or self._stopped:
            return
        self.manager.configs = configs
        self._backoff.reset()
        self._settle()

    def _settle(self) -> None:
        """Makes everything follow the wanted peers; what cannot yet is tried again later."""
        with self._settling:
            if self._stopped:
                return
            wanted = {peer.name: peer for peer in self.manager.configs.values()}
            for running in list(self.manager.iterpeers):
                if wanted.get(running.config.name) != running.config:
                    self._remove_peer(running, comes_back=running.config.name in wanted)
            present = {running.config.name for running in self.manager.iterpeers}
            self._refused = {}
            for peer in wanted.values():
                if peer.name not in present:
                    self._add_peer(peer)
                elif peer.name in self._keyless:
                    self._set_keys_of(peer)
            deaf = [peer.name for peer in wanted.values() if not self._listens_for(peer)]
            without_bfd = self._bfd.set_peers(wanted.values())
            if self._refused or deaf or without_bfd or self._keyless:
                self._settle_again()

    def _settle_again(self) -> None:
        if self._again is None:
            delay = self._backoff.next()
            self._again = self._supervisor.after(delay, "peers again", self._try_again)

    def _try_again(self) -> None:
        self._again = None
        self._settle()

    def _add_peer(self, peer: PeerConfig) -> None:
        """Adds a neighbour; its session comes up by itself."""
        self._set_keys_of(peer)
        try:
            self.neighbor_add(
                str(peer.address),
                peer.remote_as,
                remote_port=peer.port,
                enable_ipv4=Family.IPV4 in peer.families,
                enable_ipv6=Family.IPV6 in peer.families,
                connect_mode=peer.mode.value,
            )
        except Exception as error:  # whatever Ryu has against one peer, the others are set
            LOG.error("peer %s cannot be set, and is tried again: %s", peer.name, error)
            self._refused[peer.name] = f"cannot be set: {error}"
            self._forget_neighbor(peer)

    def _remove_peer(self, running: Peer, comes_back: bool) -> None:
        """Ends a neighbour's session and forgets it; Cease, Peer De-configured unless
        `comes_back` with other settings: then the peer keeps our routes where it can."""
        if comes_back:
            running.pause()
        else:
            running.outbound.forget()
        self._forget_neighbor(running.config)
        self._keyless.discard(running.config.name)
        if running.config.password is not None:
            for _, sock in self._listener.sockets:
                self._set_key(sock, running.config, None)

    def _forget_neighbor(self, peer: PeerConfig) -> None:
        try:
            self.neighbor_del(str(peer.address))
        except Exception as error:  # one that was half added is not always known to all of Ryu
            LOG.debug("peer %s: Ryu does not forget it: %s", peer.name, error)

    def stop(self, withdraw: bool) -> None:
        """Ends all sessions so that peers keep our routes where they can; with `withdraw` takes
        everything back, and Cease, Administrative Shutdown."""
        self._stopped = True
        self._listener.stop()
        for peer in list(self.manager.iterpeers):
            peer.end(withdraw)
        self._bfd.stop()

    def reports(self) -> tuple[PeerReport, ...]:
        """What there is to tell about each peer, by name."""
        found = {}
        for peer in self.manager.configs.values():
            running = self.manager.by_address(peer.address)
            if running is not None and running.config == peer:
                found[peer.name] = running.report
            else:
                found[peer.name] = not_set(peer, self._refused.get(peer.name, ""))
        return tuple(report for _, report in sorted(found.items()))

    @property
    def state_dir_writable(self) -> bool:
        """Whether the journals of announced paths can be written."""
        return self.manager.journals.writable

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """The next hops that each peer was sent for a prefix, by its name."""
        return {peer.config.name: peer.outbound.sent(prefix) for peer in self.manager.iterpeers}

    # -- routes (RouteTarget) ----------------------------------------------------------------

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Sets what is announced of these prefixes, nothing withdraws, and tells every peer."""
        for prefix, announcements in routes.items():
            if announcements:
                self._rib.routes[prefix] = announcements
            else:
                self._rib.routes.pop(prefix, None)
        all_sent = all([peer.outbound.send(routes) for peer in self.manager.iterpeers])
        if read_at is None:
            return
        if all_sent:
            _observe(read_at)
        else:
            self.manager.rounds.when_sent(lambda: _observe(read_at))

    def announces(self, prefix: Network) -> bool:
        """Whether something is announced of a prefix (RouteTarget)."""
        return prefix in self._rib.routes

    def complete(self) -> None:
        """Everything known is set: End-of-RIB may go out (RFC 4724, 2)."""
        self._rib.complete = True
        for peer in self.manager.iterpeers:
            peer.outbound.complete()

    def _path_is_up(self, name: str, up: bool) -> None:
        for peer in list(self.manager.iterpeers):
            if peer.config.name == name:
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

    def _listens_for(self, peer: PeerConfig) -> bool:
        """Sees to it that a peer finds us where it may call; False where that is not known yet."""
        if self._config.listen_addresses is None or peer.mode is ConnectMode.ACTIVE:
            return True
        wanted = self._config.listen_addresses
        if not wanted:
            towards = peer.local_address or transport.address_towards(peer.address)
            if towards is None:
                LOG.error("peer %s: no route to %s, so nothing listens", peer.name, peer.address)
                return False
            wanted = (towards,)
        for address in wanted:
            self._listener.want(address, self._set_keys)
        return True

    def _set_keys(self, sock: socket.socket) -> None:
        for peer in self.manager.configs.values():
            if peer.password is not None and not self._set_key(sock, peer, peer.password):
                self._keyless.add(peer.name)
                self._settle_again()

    def _set_keys_of(self, peer: PeerConfig) -> None:
        """Sets a peer's key wherever we listen.  Where it cannot be set now the kernel takes
        segments without it, so the peer is not let in until it is."""
        self._keyless.discard(peer.name)
        if peer.password is not None:
            found = [self._set_key(sock, peer, peer.password) for _, sock in self._listener.sockets]
            if not all(found):
                self._keyless.add(peer.name)

    @staticmethod
    def _set_key(sock: socket.socket, peer: PeerConfig, key: Secret | None) -> bool:
        if sock.family != transport.family_of(peer.address):
            return True
        try:
            transport.set_md5(sock, peer.address, key)
        except OSError as error:
            LOG.error("peer %s: cannot set its TCP MD5 key: %s", peer.name, reason_of(error))
            return False
        return True

    def _accept(self, sock: socket.socket, remote: Address, local: Address) -> None:
        peer = self.manager.by_address(remote)
        keyless = peer is not None and peer.config.name in self._keyless
        if peer is None or keyless or self.is_eip(local):
            refuse(sock)
        else:
            peer.accept(sock)

    def _is_announced(self, local: Address) -> bool:
        return self.announces(ip_network(local))


def _observe(read_at: float) -> None:
    metrics.event_to_wire.observe(time.monotonic() - read_at)
