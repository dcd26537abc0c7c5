"""A neighbour: Ryu's Peer with our sessions, our connecting and our Adj-RIB-Out.

Ryu's PeerState and signals stay what they are, so whatever watches a BGPSpeaker sees ours.
"""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from ryu.lib import hub
from ryu.services.protocols.bgp.constants import (
    BGP_FSM_ACTIVE,
    BGP_FSM_CONNECT,
    BGP_FSM_ESTABLISHED,
    BGP_FSM_IDLE,
    BGP_FSM_OPEN_CONFIRM,
    BGP_FSM_OPEN_SENT,
)
from ryu.services.protocols.bgp.peer import Peer as RyuPeer

from porter_ryu import metrics
from porter_ryu.bgp import transport
from porter_ryu.bgp.backoff import Backoff
from porter_ryu.bgp.listener import refuse
from porter_ryu.bgp.outbound import Outbound
from porter_ryu.bgp.peer_report import PeerReport, family_name, negotiated
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open
from porter_ryu.bgp.protocol.rib_out import View
from porter_ryu.bgp.protocol.wire import BgpError, MessageType, Notification
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 10.0
_RECONNECT = (0.1, 0.5)
_PENDING_MOST = 128
_ORDER = (BGP_FSM_IDLE, BGP_FSM_CONNECT, BGP_FSM_ACTIVE, BGP_FSM_OPEN_SENT, BGP_FSM_OPEN_CONFIRM)
_ADD_PATH_SEND = 2  # RFC 7911, 4


class Peer(RyuPeer):  # type: ignore[misc]
    """Owns the connections of one neighbour, at most one of them Established."""

    def __init__(
        self, common_conf: Any, neigh_conf: Any, core: Any, signal_bus: Any, manager: Any
    ) -> None:
        super().__init__(common_conf, neigh_conf, core, signal_bus, manager)
        self.config: PeerConfig = manager.configs[neigh_conf.ip_address]
        self._speaker: SpeakerConfig = manager.speaker
        self._supervisor: Supervisor = manager.supervisor
        self.outbound: Outbound = manager.outbound(self.config.name)
        self._protocol: Session | None = None
        self._sessions: list[Session] = []
        self._wake = hub.Event()
        self._backoff = Backoff(self.config.connect_retry)
        self._connect_at = 0.0
        self._last_error = ""
        self._silent = True
        self._path_is_down = False
        self._ended = False
        metrics.bgp_session_up.labels(peer=self.config.name).set(0)

    @property
    def internal(self) -> bool:
        """Whether the peer is of our own AS."""
        return self.config.remote_as == self._speaker.local_as

    @property
    def report(self) -> PeerReport:
        """What there is to tell about this peer now."""
        session = self._protocol
        families = session.families if session is not None else frozenset()
        several = session.add_path if session is not None else frozenset()
        seconds = time.monotonic() - session.established_at if session is not None else 0.0
        metrics.bgp_session_established_seconds.labels(peer=self.config.name).set(seconds)
        return PeerReport(
            self.config.name,
            str(self.config.address),
            self.config.remote_as,
            self.state.bgp_state,
            round(seconds, 3),
            session.hold_time if session is not None else 0,
            tuple(family_name(family) for family in sorted(families)),
            tuple(family_name(family) for family in sorted(several)),
            session is not None and session.graceful,
            {
                family_name(family): self.outbound.count(family)
                for family in sorted(self.config.families)
            },
            self._last_error,
        )

    # -- connecting ---------------------------------------------------------------------------

    def _run(self, start_protocol: Callable[[socket.socket], None]) -> None:
        """Connects for as long as the peer is configured (Ryu's Activity)."""
        del start_protocol  # our connections are told apart by who opened them, not by port
        while self.started:
            active = self.config.mode is not ConnectMode.PASSIVE and self._may_speak
            wait = self._connect_at - time.monotonic()
            idle = active and not self._busy
            if idle and wait <= 0:
                self._connect()
                continue
            self._wake.wait(timeout=wait if idle else None)
            self._wake.clear()

    @property
    def _may_speak(self) -> bool:
        return self.enabled and not self._path_is_down and not self._ended

    def path_is_up(self, up: bool) -> None:
        """What BFD says of the path: the session goes with it, and comes back with it."""
        self._path_is_down = not up
        if not up:
            self.shut(wire.BFD_DOWN, "BFD says that the path is down")
        self._wake.set()

    @property
    def _busy(self) -> bool:
        """Whether a connection may still come up; a silent inbound one keeps us from nothing."""
        return any(not s.is_reactive or s.state != BGP_FSM_OPEN_SENT for s in self._sessions)

    def _connect(self) -> None:
        self.state.bgp_state = BGP_FSM_CONNECT
        try:
            sock = transport.connect(self.config, self.internal, _CONNECT_TIMEOUT)
        except OSError as error:
            self._connect_at = time.monotonic() + self._backoff.failed(refused=False)
            self._note(f"cannot connect: {error.strerror or error}")
            self._show_state()
            return
        if not self.started:
            sock.close()
            return
        self._speak(sock, is_reactive=False)

    def accept(self, sock: socket.socket) -> None:
        """Takes an inbound connection; silent earlier ones give way to it."""
        if self.config.mode is ConnectMode.ACTIVE or not self._may_speak:
            refuse(sock)
            return
        try:
            transport.prepare(sock, self.config, self.internal)
        except OSError:
            sock.close()
            return
        waiting = [s for s in self._sessions if s.is_reactive and s.state == BGP_FSM_OPEN_SENT]
        for session in waiting[: max(0, len(waiting) - _PENDING_MOST + 1)]:
            session.close(wire.CONNECTION_REJECTED, "a newer connection takes its place")
        self._speak(sock, is_reactive=True)

    def _speak(self, sock: socket.socket, is_reactive: bool) -> None:
        session = Session(sock, self, self._open(), is_reactive, self._supervisor)
        self._sessions.append(session)
        self._show_state()
        self._supervisor.spawn("session", session.run)

    def _open(self) -> Open:
        families = self.config.families
        return Open(
            self._speaker.local_as,
            self.config.hold_time,
            self._speaker.router_id,
            families,
            four_octet_as=True,
            route_refresh=True,
            add_path=tuple((f, _ADD_PATH_SEND) for f in sorted(families))
            if self.config.add_path
            else (),
            enhanced_refresh=True,
            extended_message=True,
            ipv4_over_ipv6=self.config.ipv4_over_ipv6,
            graceful=self._graceful_restart(),
        )

    def _graceful_restart(self) -> GracefulRestart | None:
        if not self._speaker.restart_time:
            return None
        return GracefulRestart(
            self._speaker.restart_time,
            self.outbound.restarting,
            notification=True,
            families=self.config.families,
        )

    def on_update_enabled(self, conf_evt: Any) -> None:
        """Follows Ryu's neighbour configuration: one that is disabled has no session."""
        if not conf_evt.value:
            self.shut(wire.PEER_DECONFIGURED)
        self._wake.set()

    def stop(self) -> None:
        """Ends all connections, as de-configured (Ryu's Activity)."""
        self.shut(wire.PEER_DECONFIGURED)
        super().stop()
        self._wake.set()

    def pause(self) -> None:
        """Ends all connections so that the peer keeps our routes where it would: without a
        NOTIFICATION (RFC 4724, 4).  A peer without graceful restart is told."""
        for session in list(self._sessions):
            coming = session.state != BGP_FSM_ESTABLISHED and self._speaker.restart_time
            quiet = session.graceful or coming
            session.close(None if quiet else wire.ADMINISTRATIVE_SHUTDOWN, "ended by us")

    def end(self, withdraw: bool) -> None:
        """Speaks no more.  With `withdraw` everything is taken back, and Cease, Administrative
        Shutdown says so; else as `pause`."""
        self._ended = True
        if withdraw:
            self.outbound.withdraw_all()
            self.shut(wire.ADMINISTRATIVE_SHUTDOWN)
        else:
            self.pause()

    def shut(self, notification: Notification | None, reason: str = "ended by us") -> None:
        """Ends all connections with this NOTIFICATION, or without any."""
        for session in list(self._sessions):
            session.close(notification, reason)

    # -- what sessions tell (session.Owner) ----------------------------------------------------

    def check_open(self, session: Session, received: Open) -> None:
        """RFC 4271, 6.2 and 6.8; RFC 6286."""
        if received.asn != self.config.remote_as:
            raise BgpError(2, 2, why=f"AS {received.asn} where {self.config.remote_as} is due")
        if self.internal and received.identifier == self._speaker.router_id:
            raise BgpError(2, 3, why="an internal peer with our own BGP identifier")
        for other in list(self._sessions):
            if other is session or other.theirs is None:
                continue
            if other.is_dead or self._restarted(other, session):
                other.close(None, "the peer has ended it and calls again")
                continue
            if other.state == BGP_FSM_ESTABLISHED or not self._wins(session, received):
                raise BgpError(6, 7, why="another connection with this peer stays")
            other.close(wire.COLLISION, "another connection with this peer stays")

    @staticmethod
    def _restarted(old: Session, new: Session) -> bool:
        """Whether a peer that can restart gracefully calls again, so that the Established
        session is one it has lost (RFC 4724, 5)."""
        established = old.state == BGP_FSM_ESTABLISHED and old.graceful
        return established and new.is_reactive and new.opened_at > old.established_at

    def _wins(self, session: Session, received: Open) -> bool:
        """Of two connections the one that the higher identifier opened stays (by AS where the
        identifiers are equal, RFC 6286, 2.3)."""
        ours = (int(self._speaker.router_id), self._speaker.local_as)
        theirs = (int(received.identifier), received.asn)
        return session.is_reactive == (theirs > ours)

    def established(self, session: Session) -> None:
        """Sends the whole table, then End-of-RIB where everything is known."""
        self._protocol = session
        for other in list(self._sessions):
            if other is not session and other.opened_at <= session.opened_at:
                other.close(wire.COLLISION, "another connection with this peer is Established")
        self._backoff.succeeded()
        self._last_error = ""
        self._silent = False
        LOG.info("peer %s is Established: %s", self.config.name, negotiated(session))
        metrics.bgp_session_up.labels(peer=self.config.name).set(1)
        self.state.bgp_state = BGP_FSM_ESTABLISHED
        self.outbound.open(session, self._view(session))

    def _view(self, session: Session) -> View:
        config = self.config
        path = () if self.internal else (self._speaker.local_as,) * (1 + config.as_path_prepend)
        attributes = update.Attributes(
            path,
            session.four_octet_as,
            config.med,
            config.local_pref,
            config.communities,
            config.large_communities,
        )
        local = transport.canonical(session.local_name[0])
        return View(
            session.families,
            session.add_path,
            attributes,
            config.node_selector,
            self._speaker.max_next_hops,
            local,
            session.ipv4_over_ipv6,
            session.longest,
        )

    def refresh(self, session: Session, family: Family) -> None:
        """Sends a family again (RFC 2918)."""
        if session is self._protocol:
            self.outbound.refresh(family)

    def drained(self, session: Session) -> None:
        """Sends what changed while the peer was not reading."""
        if session is self._protocol:
            self.outbound.send(())

    def closed(self, session: Session, reason: str, notification: Notification | None) -> None:
        """Empties the Adj-RIB-Out with its session, and connects again."""
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        if session is self._protocol:
            self._protocol = None
            if notification is not None and notification.code == wire.UPDATE_ERROR:
                self.outbound.refused(notification)
            self.outbound.close()
            LOG.warning("peer %s is down: %s", self.config.name, reason)
            metrics.bgp_session_up.labels(peer=self.config.name).set(0)
            metrics.bgp_session_drops.labels(peer=self.config.name, reason=reason).inc()
            self._connect_at = time.monotonic() + random.uniform(*_RECONNECT)  # noqa: S311
        elif self._protocol is None:
            self._note(reason)
            if not session.is_reactive:
                self._connect_at = time.monotonic() + self._backoff.failed(refused=True)
        if self._protocol is None:
            self._last_error = str(notification) if notification is not None else reason
        self._show_state()
        self._wake.set()

    def count_received(self, kind: MessageType) -> None:
        """Counts a message that came in."""
        metrics.bgp_messages_received.labels(peer=self.config.name, type=kind.name.lower()).inc()

    def count_sent(self, octets: int) -> None:
        """Counts octets that went out."""
        metrics.bgp_bytes_sent.labels(peer=self.config.name).inc(octets)

    def publish(self) -> None:
        """Sets the gauges that count paths."""
        for family in self.config.families:
            labels = {"peer": self.config.name, "family": family_name(family)}
            metrics.bgp_paths_announced.labels(**labels).set(self.outbound.count(family))

    # -- what is told ----------------------------------------------------------------------------

    def _show_state(self) -> None:
        states = [session.state for session in self._sessions]
        if BGP_FSM_ESTABLISHED in states:
            self.state.bgp_state = BGP_FSM_ESTABLISHED
        else:
            waiting = BGP_FSM_ACTIVE if self.started else BGP_FSM_IDLE
            self.state.bgp_state = max(states, key=_ORDER.index, default=waiting)

    def _note(self, reason: str) -> None:
        """Logs why a peer does not come up when the reason is a new one."""
        if reason != self._last_error or self._silent:
            LOG.info("peer %s is not up: %s", self.config.name, reason)
        self._last_error = reason
        self._silent = False
