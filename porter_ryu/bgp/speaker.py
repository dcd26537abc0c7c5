"""BGPSpeaker with ADD-PATH: configures the neighbours in Ryu's core and sends them our routes.

Ryu's own tables keep one path per prefix, so they stay empty; the Loc-RIB here has all paths.  Ryu
is not patched: its core runs unchanged, and that one instance gets our PeerManager, which creates
our Peers, and our Listener.

The complete set of peers is one value (`set_peers`).  Sessions, listeners, TCP MD5 keys, BFD and
metrics follow it; what fails is retried.
"""

from __future__ import annotations

import collections
import logging
import math
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import Any

from msgspec.structs import replace
from ryu.lib import hub
from ryu.services.protocols.bgp.bgpspeaker import BGPSpeaker
from ryu.services.protocols.bgp.core_manager import CORE_MANAGER

from porter_ryu import metrics
from porter_ryu.backoff import Backoff
from porter_ryu.bgp import transport
from porter_ryu.bgp.bfd.monitor import BfdMonitor
from porter_ryu.bgp.listener import Listener, reject
from porter_ryu.bgp.md5_keys import Md5Keys
from porter_ryu.bgp.offer import configured_policy
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.peer_manager import PeerManager, SessionObserver
from porter_ryu.bgp.peer_report import PeerReport, report_not_running
from porter_ryu.bgp.peer_table import NO_TABLE, LastTable, PeerTable
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig
from porter_ryu.domain.text import counted, listed
from porter_ryu.supervisor import Supervisor, Task
from porter_ryu.unix_clock import unix_zero

LOG = logging.getLogger(__name__)

_NO_RYU_LISTENER = 0
_WAIT_TO_OPEN, _WAIT_TO_OPEN_MAX_SECONDS = 0.1, 60.0  # of the restart time, and at most
_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS = 1.0, 30.0
_WITHDRAW_MAX_SECONDS = 10.0


class Speaker(BGPSpeaker):  # type: ignore[misc]
    """The RouteTarget that announces routes to BGP peers."""

    def __init__(self, config: SpeakerConfig, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._config = config
        self._rib = LocRib({}, PathIds())
        self._setup_errors: dict[str, str] = {}
        self._applying = hub.Semaphore(1)
        self._retry_task: Task | None = None
        self._backoff = Backoff(_RETRY_FIRST_SECONDS, _RETRY_MAX_SECONDS)
        self._stopped = False
        self._manager: PeerManager | None = None
        super().__init__(
            as_number=config.local_as,
            router_id=str(config.router_id),
            bgp_server_port=_NO_RYU_LISTENER,
        )
        # connections to an EIP are rejected; the caller may set a rule that knows all EIPs
        self.is_eip: Callable[[Address], bool] = self._is_announced
        # called with when the cause of changes was read and how long it took to send these to all
        # peers that are up, if there is one; the caller may keep a record of it
        self.on_sent: Callable[[float, float], None] = lambda _read_at, _seconds: None
        # called with the number of paths of an earlier run that are announced again, unless none
        self.on_replay: Callable[[int], None] = lambda _paths: None
        self._replays_at = time.monotonic() + config.restart_time / 2
        self._replayed = 0
        self._listener = Listener(config.listen_port, self._accept, supervisor)
        self._keys = Md5Keys(lambda: [sock for _, sock in self._listener.sockets])
        self._bfd = BfdMonitor(self._set_path_usable, supervisor)
        if config.restart_time:
            # the other half is for the sessions to come up
            supervisor.after(config.restart_time / 2, "replay", self._replay)
        # not for long: the time of the routers runs, and they wait four minutes for an OPEN
        longest = min(config.restart_time * _WAIT_TO_OPEN, _WAIT_TO_OPEN_MAX_SECONDS)
        self.manager.opens_at += longest
        supervisor.after(longest, "open", self.manager.open_sessions)

    def observe_sessions(self, observer: SessionObserver) -> None:
        """Sets what is called for each session that comes up or goes down."""
        self.manager.on_session = observer

    def _core_start(self, settings: dict[str, Any]) -> None:
        """Starts Ryu's core with our PeerManager."""
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
        """Sets the complete list of peers.  The session of a peer that did not change is not
        touched; if only the attributes of its paths or its node_selector did, it stays up and is
        sent the difference.  A peer that cannot be set affects no other; it is retried with
        backoff."""
        configs = {peer.key: peer for peer in peers}
        if configs == self.manager.configs or self._stopped:
            return
        self.manager.configs = configs
        self._backoff.reset()
        self._apply_peers()

    def _apply_peers(self) -> None:
        """Removes and adds neighbours, listeners, keys and BFD until they match the wanted peers;
        schedules a retry of what failed."""
        with self._applying:
            if self._stopped:
                return
            wanted = {peer.name: peer for peer in self.manager.configs.values()}
            for running in list(self.manager.iterpeers):
                config = wanted.get(running.config.name)
                if config is None:
                    self._remove_peer(running)
                    running.outbound.forget()
                elif changed := config.changed_session_options(running.config):
                    running.close_for_restart(f"ended by us: {listed(changed)} changed")
                    self._remove_peer(running)
                    self.manager.history(config.name).settings_changed()
                else:
                    running.set_export(config)
            self.manager.forget_others(wanted.keys())
            present = {running.config.name for running in self.manager.iterpeers}
            self._setup_errors = {}
            for peer in wanted.values():
                if peer.name not in present:
                    self._add_peer(peer)
                elif self._keys.is_missing(peer):
                    self._keys.set(peer)
            unreachable = [peer.name for peer in wanted.values() if not self._listen_for(peer)]
            without_bfd = self._bfd.set_peers(wanted.values())
            failed = self._setup_errors or unreachable or without_bfd
            if failed or not self._keys.complete:
                self._schedule_retry()

    def _schedule_retry(self) -> None:
        if self._retry_task is None:
            delay = self._backoff.next()
            self._retry_task = self._supervisor.after(delay, "peers again", self._retry)

    def _retry(self) -> None:
        self._retry_task = None
        self._apply_peers()

    def _add_peer(self, peer: PeerConfig) -> None:
        """Adds a neighbour to Ryu, which starts it."""
        self._keys.set(peer)
        try:
            self.add_neighbor(peer)
        except Exception as error:  # an error of Ryu about one peer must not affect the others
            LOG.error("peer %s cannot be set, it is retried: %s", peer.name, error)
            self._setup_errors[peer.name] = f"cannot be set: {error}"
            self._delete_neighbor(peer)

    def add_neighbor(self, peer: PeerConfig) -> None:
        """Adds a neighbour to Ryu's core; raises what Ryu raises."""
        self.manager.add(peer)

    def _remove_peer(self, running: Peer) -> None:
        """Removes a neighbour; sessions that it has end with Cease, Peer De-configured."""
        self._delete_neighbor(running.config)
        self._keys.remove(running.config, self.manager.configs.values())

    def _delete_neighbor(self, peer: PeerConfig) -> None:
        try:
            self.manager.remove(peer)
        except Exception as error:  # a neighbour that was added in part is unknown to parts of Ryu
            LOG.debug("peer %s: Ryu cannot delete it: %s", peer.name, error)

    def stop(self, withdraw: bool, seconds: float = _WITHDRAW_MAX_SECONDS) -> str:
        """Ends all sessions so that the peers keep our routes if they can.  With `withdraw` all
        routes are withdrawn and Cease, Administrative Shutdown is sent; a peer that keeps routes
        without a session gets one for that, if it comes up in so many `seconds`.  Returns a text
        about what peers may still keep, empty if nothing is left."""
        self._stopped = True
        self.manager.fan_outs.stop()
        peers = list(self.manager.iterpeers)
        announced = {r.name: sum(r.paths.values()) for r in self.reports() if r.is_up}
        for peer in peers:
            peer.shut_down(withdraw)
        deadline = time.monotonic() + seconds
        left = [peer.config.name for peer in peers if not peer.ends_withdrawal(deadline)]
        self._listener.stop()
        self._bfd.stop()
        for name in sorted(announced.keys() - set(left)) if withdraw else ():
            LOG.info("peer %s: %s withdrawn", name, counted(announced[name], "path"))
        if not left:
            return ""
        text = (
            f"no session came up with {listed(left)}, which may keep routes of ours for "
            f"{self._config.restart_time} s after its last session ended"
        )
        LOG.error("not everything is withdrawn: %s", text)
        return text

    def reports(self) -> tuple[PeerReport, ...]:
        """The state of each peer, sorted by name."""
        reports = {}
        for peer in self.manager.configs.values():
            running = self.manager.running(peer)
            if running is not None and running.config == peer:
                report = running.report
            else:
                error = self._setup_errors.get(peer.name, "")
                report = report_not_running(peer, error, self.manager.known_history(peer.name))
            reports[peer.name] = replace(report, bfd=self._bfd.report(peer))
        return tuple(report for _, report in sorted(reports.items()))

    def is_sent(self, prefix: Network) -> bool:
        """Whether a peer was announced a prefix."""
        return self.manager.groups.have(prefix)

    def kept_by(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """The next hops that peers keep for a prefix without a session (RFC 4724), for as long as
        they do, by name of the peer, each once."""
        hops: dict[str, dict[Address, None]] = collections.defaultdict(dict)
        for peer in self.manager.iterpeers:
            paths = peer.outbound.left.get(prefix)
            if paths and peer.kept_until is not None:
                hops[peer.config.peer] |= {path.next_hop: None for path in paths.values()}
        return {name: tuple(found) for name, found in hops.items()}

    def routes(self, name: str) -> PeerTable | None:
        """What is announced in a session now; None if there is no session of this name."""
        config = next((c for c in self.manager.configs.values() if c.name == name), None)
        running = self.manager.running(config) if config is not None else None
        if config is None:
            return None
        table = running.outbound.table() if running is not None else None
        up_at = running.established_at if running is not None else None
        if table is None or up_at is None:
            return NO_TABLE
        return PeerTable(table, self._rib.routes, up_at, unix_zero())

    def last_routes(self, name: str) -> LastTable | None:
        """What was sent last in a session of which none is up, in this process or, by the journal,
        in an earlier one; None if there is no session of this name."""
        config = next((c for c in self.manager.configs.values() if c.name == name), None)
        if config is None:
            return None
        running, last = self.manager.running(config), self.manager.last_sent.get(name)
        if last is not None:
            return LastTable(last.paths, last.policy, self._rib.routes)
        policy = configured_policy(config, self._config)
        left = running.outbound.left if running is not None else {}
        up = running is not None and running.established_at is not None
        return LastTable({} if up else left, policy, self._rib.routes)

    def left(self) -> Mapping[str, Mapping[Network, SentPaths]]:
        """What the journals of the peers say that they may have from earlier runs, by peer."""
        return {peer.config.name: peer.outbound.left for peer in self.manager.iterpeers}

    @property
    def state_dir_writable(self) -> bool:
        """Whether the journals of announced paths can be written."""
        return self.manager.journals.writable

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """The next hops that were announced for a prefix, by name of the peer, each once."""
        hops: dict[str, dict[Address, None]] = collections.defaultdict(dict)
        for peer in self.manager.iterpeers:
            hops[peer.config.peer] |= dict.fromkeys(peer.outbound.sent(prefix))
        return {name: tuple(found) for name, found in hops.items()}

    def unsent(self, prefix: Network) -> Mapping[str, str]:
        """Why a prefix was not sent to a peer, by name of each peer that has not got it."""
        sent = self.sent(prefix)
        found: dict[str, str] = {}
        for config in self.manager.configs.values():
            if sent.get(config.peer) or config.peer in found:
                continue
            running = self.manager.running(config)
            error = self._setup_errors.get(config.name, "")
            found[config.peer] = running.unsent(prefix) if running is not None else error
        return {name: why or "its session has not started yet" for name, why in found.items()}

    # -- routes (RouteTarget) ----------------------------------------------------------------

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Sets the announcements of these prefixes (an empty set withdraws) and sends the changes
        to every peer."""
        if not self._rib.begun:
            self._rib.begun = True
            self._resume()
        for prefix, announcements in routes.items():
            if announcements:
                self._rib.routes[prefix] = announcements
            else:
                self._rib.routes.pop(prefix, None)
        all_sent = self.manager.groups.change(routes)
        if read_at is None:
            return
        if all_sent:
            self._sent(read_at)
        else:
            self.manager.rounds.when_sent(lambda: self._sent(read_at))

    def _sent(self, read_at: float) -> None:
        if all(peer.established_at is None for peer in self.manager.iterpeers):
            return  # it was sent to nobody
        seconds = time.monotonic() - read_at
        metrics.event_to_wire.observe(seconds)
        self.on_sent(read_at, seconds)

    def announces(self, prefix: Network) -> bool:
        """Whether a prefix has announcements (RouteTarget)."""
        return prefix in self._rib.routes

    def complete(self) -> None:
        """Allows End-of-RIB, because all routes are set (RFC 4724, 2)."""
        self._rib.complete = True
        self.manager.groups.complete()
        self._resume()
        self.manager.open_sessions()

    def _resume(self) -> None:
        """What may be sent is more now."""
        for peer in self.manager.iterpeers:
            peer.outbound.resume()

    def _set_path_usable(self, name: str, usable: bool) -> None:
        for peer in list(self.manager.iterpeers):
            if peer.config.name == name:
                peer.set_path_usable(usable)

    def _replay(self) -> None:
        """Announces the routes of the earlier run again if the cluster could not be read yet: the
        peers would soon remove them."""
        if not self._rib.complete:
            LOG.warning("the cluster cannot be read: the routes of the earlier run are announced")
            self._rib.begun, self._rib.replaying = False, True
            self._replayed = self._left_count
            if self._replayed:
                self.on_replay(self._replayed)
            for peer in self.manager.iterpeers:
                peer.outbound.replay()

    @property
    def _left_count(self) -> int:
        return sum(peer.outbound.left_count for peer in self.manager.iterpeers)

    @property
    def earlier_run(self) -> str:
        """What becomes of the paths that an earlier run left with the peers, while the cluster was
        not read since the start; empty for nothing."""
        if self._rib.complete or not self._config.restart_time:
            return ""
        if self._rib.replaying:
            are = "is" if self._replayed == 1 else "are"
            what = f"{counted(self._replayed, 'path')} of the earlier run {are} announced again"
            return what if self._replayed else ""
        seconds = math.ceil(max(0.0, self._replays_at - time.monotonic()))
        left = self._left_count
        be = f"will be announced again in {seconds} s, if the cluster is not read before"
        return f"{counted(left, 'path')} of the earlier run {be}" if left else ""

    # -- listening --------------------------------------------------------------------------------

    def _listen_for(self, peer: PeerConfig) -> bool:
        """Listens on the addresses to which a peer may connect; False if no address is known."""
        if self._config.listen_addresses is None or peer.mode is ConnectMode.ACTIVE:
            return True
        addresses, option = self._config.listen_addresses, "[bgp] listen_addresses"
        if not addresses:
            option = f"[peer:{peer.peer}] {peer.local_option}"
            own = peer.local_address or transport.source_address(peer.address)
            if own is None:
                LOG.error("peer %s: no route to %s: cannot listen", peer.name, peer.address)
                return False
            addresses = (own,)
        for address in addresses:
            self._listener.listen(address, option, self._set_all_keys)
        return True

    def _set_all_keys(self, sock: socket.socket) -> None:
        self._keys.set_on(sock, self.manager.configs.values())
        if not self._keys.complete:
            self._schedule_retry()

    def _accept(self, sock: socket.socket, remote: Address, local: Address) -> None:
        peer = self.manager.between(remote, local)
        if peer is None or self._keys.is_missing(peer.config) or self.is_eip(local):
            reject(sock)
        else:
            peer.accept(sock)

    def _is_announced(self, local: Address) -> bool:
        return self.announces(ip_network(local))
