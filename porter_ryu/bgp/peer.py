"""A neighbour: Ryu's Peer with our sessions, our connecting and our Adj-RIB-Out.

Ryu's PeerState and signals stay what they are, so whatever watches a BGPSpeaker sees ours.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from ryu.lib import hub
from ryu.services.protocols.bgp.constants import BGP_FSM_ACTIVE, BGP_FSM_CONNECT, BGP_FSM_IDLE
from ryu.services.protocols.bgp.peer import Peer as RyuPeer

from porter_ryu import metrics
from porter_ryu.bgp import transport
from porter_ryu.bgp.listener import refuse
from porter_ryu.bgp.offer import export_policy, is_internal, our_open
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.peer_report import History, PeerReport, family_name, negotiated
from porter_ryu.bgp.protocol import collision, notification
from porter_ryu.bgp.protocol.collision import Candidate, Identity, Resolution
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.fsm import Fsm, State
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.bgp.retry import ConnectRetry, Damping
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig
from porter_ryu.log import reason_of
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 10.0
_PENDING_MOST = 128
_ORDER = tuple(State)


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
        self._stopped = hub.Event()
        self._retry = ConnectRetry(self.config.connect_retry)
        self._damping = Damping()
        self._history = History()
        self._came_up = 0
        self._connect_at = 0.0
        self._path_is_down = False
        self._ended = False

    @property
    def internal(self) -> bool:
        """Whether the peer is of our own AS."""
        return is_internal(self.config, self._speaker)

    @property
    def report(self) -> PeerReport:
        """What there is to tell about this peer now."""
        session = self._protocol
        families = session.families if session is not None else frozenset()
        several = session.add_path if session is not None else frozenset()
        seconds = time.monotonic() - session.established_at if session is not None else 0.0
        return PeerReport(
            self.config.name,
            str(self.config.address),
            self.config.remote_as,
            self.state.bgp_state,
            round(seconds, 3),
            float(session.hold_time) if session is not None else 0.0,
            tuple(family_name(family) for family in sorted(families)),
            tuple(family_name(family) for family in sorted(several)),
            session is not None and session.graceful,
            {
                family_name(family): self.outbound.count(family)
                for family in sorted(self.config.families)
            },
            "" if session is not None else self._history.why_down,
            self._history.down_reason,
            self._history.down_cause,
            self._history.down_at,
            round(self._damping.remaining(time.monotonic()), 3),
        )

    # -- connecting ---------------------------------------------------------------------------

    def _run(self, start_protocol: Callable[[socket.socket], None]) -> None:
        """Connects for as long as the peer is configured (Ryu's Activity)."""
        del start_protocol  # our connections are told apart by who opened them, not by port
        self._supervisor.keep_running(f"peer {self.config.name}", self._call)
        while self.started:
            self._stopped.wait()

    def _call(self, _beat: Beat) -> None:
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
            self.shut(notification.BFD_DOWN, Cause.BFD, "BFD says that the path is down")
        self._wake.set()

    @property
    def _busy(self) -> bool:
        """Whether a connection may still come up; a silent inbound one keeps us from nothing."""
        return any(not s.is_reactive or s.state is not State.OPEN_SENT for s in self._sessions)

    def _connect(self) -> None:
        self.state.bgp_state = BGP_FSM_CONNECT
        try:
            sock = transport.connect(self.config, self.internal, _CONNECT_TIMEOUT)
        except OSError as error:
            self._connect_at = time.monotonic() + self._retry.failed(refused=False)
            self._history.attempt_failed(f"cannot connect: {reason_of(error)}")
            self._tell_why()
            self._show_state()
            return
        if not self.started:
            sock.close()
            return
        self._speak(sock, is_reactive=False)

    def accept(self, sock: socket.socket) -> None:
        """Takes an inbound connection; silent earlier ones give way to it."""
        if not transport.is_near_enough(sock, self.config):
            LOG.warning(
                "peer %s: a connection from too far away is not taken (GTSM)", self.config.name
            )
            sock.close()
            return
        idle = self._damping.remaining(time.monotonic())
        if self.config.mode is ConnectMode.ACTIVE or not self._may_speak or idle:
            refuse(sock)
            return
        try:
            transport.prepare(sock, self.config, self.internal)
        except OSError:
            sock.close()
            return
        waiting = [s for s in self._sessions if s.is_reactive and s.state is State.OPEN_SENT]
        for session in waiting[: max(0, len(waiting) - _PENDING_MOST + 1)]:
            text = "a newer connection takes its place"
            session.close(notification.CONNECTION_REJECTED, Cause.REJECTED, text)
        self._speak(sock, is_reactive=True)

    def _speak(self, sock: socket.socket, is_reactive: bool) -> None:
        ours = our_open(self.config, self._speaker, self.outbound.restarting)
        fsm = Fsm(ours, self.config.remote_as, time.monotonic())
        session = Session(sock, self, fsm, is_reactive, self._supervisor)
        self._sessions.append(session)
        self._show_state()
        self._supervisor.spawn("session", session.run)

    def on_update_enabled(self, conf_evt: Any) -> None:
        """Follows Ryu's neighbour configuration: one that is disabled has no session."""
        if not conf_evt.value:
            self._deconfigure()
        self._wake.set()

    def stop(self) -> None:
        """Ends all connections, as de-configured (Ryu's Activity)."""
        self._deconfigure()
        super().stop()
        self._wake.set()
        self._stopped.set()

    def _deconfigure(self) -> None:
        self.shut(notification.PEER_DECONFIGURED, Cause.DECONFIGURED, "ended by us")

    def pause(self) -> None:
        """Ends all connections so that the peer keeps our routes where it would: without a
        NOTIFICATION (RFC 4724, 4).  A peer without graceful restart is told."""
        for session in list(self._sessions):
            coming = session.state is not State.ESTABLISHED and self._speaker.restart_time
            quiet = session.graceful or coming
            told = None if quiet else notification.ADMINISTRATIVE_SHUTDOWN
            session.close(told, Cause.STOPPED, "ended by us")

    def end(self, withdraw: bool) -> None:
        """Speaks no more.  With `withdraw` everything is taken back, and Cease, Administrative
        Shutdown says so; else as `pause`."""
        self._ended = True
        if withdraw:
            self.outbound.withdraw_all()
            self.shut(notification.ADMINISTRATIVE_SHUTDOWN, Cause.STOPPED, "ended by us")
        else:
            self.pause()
            self.outbound.save()

    def shut(self, told: Notification | None, cause: Cause, text: str) -> None:
        """Ends all connections with this NOTIFICATION, or without any."""
        for session in list(self._sessions):
            session.close(told, cause, text)

    # -- what sessions tell (session.Owner) ----------------------------------------------------

    def collides(self, session: Session) -> Notification | None:
        """Settles what becomes of this connection and the others (RFC 4271, 6.8)."""
        assert session.remote_open is not None
        ours = Identity(self._speaker.router_id, self._speaker.local_as)
        theirs = Identity(session.remote_open.identifier, session.remote_open.asn)
        for other in list(self._sessions):
            if other is session or other.remote_open is None:
                continue
            resolution = collision.resolve(_candidate(other), _candidate(session), ours, theirs)
            if resolution is Resolution.KEEP_OLD:
                return notification.COLLISION
            if resolution is Resolution.REPLACE_OLD:
                other.close(None, Cause.REPLACED, resolution.value)
            else:
                other.close(notification.COLLISION, Cause.COLLISION, resolution.value)
        return None

    def established(self, session: Session) -> None:
        """Sends the whole table, then End-of-RIB where everything is known."""
        self._protocol = session
        for other in list(self._sessions):
            if other is not session and other.opened_at <= session.opened_at:
                text = "another connection with this peer is Established"
                other.close(notification.COLLISION, Cause.COLLISION, text)
        self._retry.succeeded()
        self._history.came_up()
        self._came_up += 1
        told = negotiated(session)
        LOG.info("peer %s is Established: %s; session %d", self.config.name, told, self._came_up)
        self._show_state()
        self.outbound.open(session, export_policy(self.config, self._speaker, session))

    def refresh(self, session: Session, family: Family) -> None:
        """Sends a family again (RFC 2918)."""
        if session is self._protocol:
            self.outbound.refresh(family)

    def drained(self, session: Session) -> None:
        """Sends what changed while the peer was not reading."""
        if session is self._protocol:
            self.outbound.send(())

    def closed(self, session: Session, end: End) -> None:
        """Empties the Adj-RIB-Out with its session, and connects again."""
        if session not in self._sessions:
            return
        self._sessions.remove(session)
        try:
            if session is self._protocol:
                self._went_down(session, end)
            elif self._protocol is None:
                self._did_not_come_up(session, end)
        finally:
            self._show_state()
            self._wake.set()

    def _went_down(self, session: Session, end: End) -> None:
        now = time.monotonic()
        self._protocol = None
        self._connect_at = now + self._damping.ended(now - session.established_at, now)
        self._history.went_down(end, time.time())
        lived = now - session.established_at
        LOG.warning("peer %s is down after %.1f s: %s", self.config.name, lived, end.text)
        if self._damping.remaining(now):
            LOG.warning(
                "peer %s is damped: its sessions end as soon as they are up", self.config.name
            )
        metrics.bgp_session_drops.labels(peer=self.config.name, reason=end.cause.value).inc()
        if end.cause is Cause.PEER_UPDATE_ERROR and end.received is not None:
            self.outbound.refused(end.received)
        self.outbound.close()

    def _did_not_come_up(self, session: Session, end: End) -> None:
        self._history.attempt_ended(end)
        self._tell_why()
        if not session.is_reactive:
            self._connect_at = time.monotonic() + self._retry.failed(refused=True)

    def count_received(self, received: Mapping[MessageType, int]) -> None:
        """Counts messages that came in."""
        for kind, count in received.items():
            name = kind.name.lower()
            metrics.bgp_messages_received.labels(peer=self.config.name, type=name).inc(count)

    def count_sent(self, octets: int) -> None:
        """Counts octets that went out."""
        metrics.bgp_bytes_sent.labels(peer=self.config.name).inc(octets)

    # -- what is told ----------------------------------------------------------------------------

    def _show_state(self) -> None:
        """Ryu's state of the peer: that of its most advanced connection."""
        states = [s.state for s in self._sessions if s.state is not State.IDLE]
        if states:
            self.state.bgp_state = max(states, key=_ORDER.index).value
        else:
            self.state.bgp_state = BGP_FSM_ACTIVE if self.started else BGP_FSM_IDLE

    def _tell_why(self) -> None:
        LOG.info("peer %s is not up: %s", self.config.name, self._history.why_down)


def _candidate(session: Session) -> Candidate:
    return Candidate(
        session.is_reactive,
        session.state,
        session.opened_at,
        session.established_at,
        session.graceful,
        session.is_dead,
    )
