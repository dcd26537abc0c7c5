"""A neighbour: Ryu's Peer with our connections, sessions and Adj-RIB-Out.

Ryu's PeerState and signals are kept up to date, so code that observes a BGPSpeaker works as usual.
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
from porter_ryu.bgp.fan_out import FanOuts
from porter_ryu.bgp.listener import reject
from porter_ryu.bgp.offer import export_policy, is_internal
from porter_ryu.bgp.opening import Opening
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.peer_connections import PeerConnections
from porter_ryu.bgp.peer_report import (
    OPEN_WAITS,
    Output,
    PeerReport,
    describe_negotiated,
    report_running,
)
from porter_ryu.bgp.protocol import notification
from porter_ryu.bgp.protocol.collision import Identity
from porter_ryu.bgp.protocol.ending import Cause, End, keeps_routes
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.fsm import Fsm
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.bgp.retry import ConnectRetry, Damping
from porter_ryu.bgp.session import Session
from porter_ryu.bgp.session_history import SessionHistory
from porter_ryu.domain.model import Family, Network
from porter_ryu.domain.peering import ConnectMode, PeerConfig, SpeakerConfig
from porter_ryu.supervisor import Beat, Supervisor
from porter_ryu.unix_clock import unix_zero

LOG = logging.getLogger(__name__)

_CONNECT_TIMEOUT_SECONDS = 10.0


class Peer(RyuPeer):  # type: ignore[misc]
    """Owns the connections with one neighbour.  At most one of them is Established: `_protocol`,
    as Ryu calls it."""

    def __init__(
        self, common_conf: Any, neigh_conf: Any, core: Any, signal_bus: Any, manager: Any
    ) -> None:
        super().__init__(common_conf, neigh_conf, core, signal_bus, manager)
        self.config: PeerConfig = neigh_conf.config
        self._speaker: SpeakerConfig = manager.speaker
        self._supervisor: Supervisor = manager.supervisor
        self._fan_outs: FanOuts = manager.fan_outs
        self._manager = manager
        self.outbound: Outbound = manager.outbound(self.config.name)
        self._octets_sent = metrics.bgp_bytes_sent.labels(peer=self.config.name)
        self._received = {
            kind: metrics.bgp_messages_received.labels(self.config.name, kind.name.lower())
            for kind in MessageType
        }
        self._protocol: Session | None = None
        self._connections = PeerConnections()
        self._opening = Opening(
            self._speaker, manager, self.outbound, self._supervisor, self._connections
        )
        self._wake = hub.Event()
        self._stopped = hub.Event()
        self._retry = ConnectRetry(self.config.connect_retry)
        self._damping = Damping()
        self._history: SessionHistory = manager.history(self.config.name)
        self._connect_at = 0.0
        self._path_is_down = False
        self._shut_down = False
        self._withdrawn = hub.Event()

    @property
    def internal(self) -> bool:
        """Whether the peer is an internal one: its AS is ours."""
        return is_internal(self.config, self._speaker)

    @property
    def established_at(self) -> float | None:
        """When the session came up, on the monotonic clock; None if it is not Established."""
        return self._protocol.established_at if self._protocol is not None else None

    @property
    def report(self) -> PeerReport:
        """The state of this peer."""
        now = time.monotonic()
        updated_at = self.outbound.updated_at
        output = Output(
            paths={family: self.outbound.count(family) for family in sorted(self.config.families)},
            last_update=None if updated_at is None else unix_zero() + updated_at,
            withheld=len(self.outbound.refused_now),
            left=self.outbound.left_count,
        )
        return report_running(
            self.config,
            self._speaker.local_as,
            state=self.state.bgp_state,
            session=self._protocol,
            established_seconds=now - (self.established_at or now),
            output=output,
            history=self._history,
            kept_until=self.kept_until,
            damped_seconds=self._damping.idle_seconds(now),
            waiting=self._opening.waiting(now),
            may_keep=self._may_keep,
        )

    @property
    def kept_until(self) -> float | None:
        """About until when the peer keeps our routes without a session (Unix time); None: it has
        one, or does not keep them (any more), or that is not known."""
        down = self._history.last_down
        if self._protocol is not None or down is None or down.kept_until is None:
            return None
        kept = self.outbound.left_count and down.kept_until > time.time()
        return down.kept_until if kept else None

    @property
    def _may_keep(self) -> bool:
        """Whether the peer may keep routes without a session: those of the last one, or, if there
        was none, of an earlier run."""
        if self._protocol is not None or self._history.last_down is not None:
            return self.kept_until is not None
        until = self._history.since + self._speaker.restart_time
        return self.outbound.left_count > 0 and time.time() < until

    def unsent(self, prefix: Network) -> str:
        """Why the peer has no path of a prefix."""
        if self._protocol is not None:
            return self.outbound.unsent(prefix)
        waiting = self._opening.waiting(time.monotonic())
        error = (waiting and waiting.reason) or self._history.last_error
        return f"its session is {self.state.bgp_state}{f': {error}' if error else ''}"

    # -- connecting ---------------------------------------------------------------------------

    def _run(self, start_protocol: Callable[[socket.socket], None]) -> None:
        """Connects for as long as the peer is configured (Ryu's Activity)."""
        del start_protocol  # Ryu's way to start a session; ours is `_start_session`
        self._supervisor.keep_running(f"peer {self.config.name}", self._connect_loop, kind="peer")
        while self.started:
            self._stopped.wait()

    def _connect_loop(self, _beat: Beat) -> None:
        while self.started:
            active = self.config.mode is not ConnectMode.PASSIVE and self._may_have_session
            wait = self._connect_at - time.monotonic()
            must_connect = active and not self._has_promising_connection
            if must_connect and wait <= 0:
                self._connect()
                continue
            self._wake.wait(timeout=wait if must_connect else None)
            self._wake.clear()

    @property
    def _may_have_session(self) -> bool:
        ended = self._shut_down and not self._opening.withdraws
        return self.enabled and not self._path_is_down and not ended

    def set_path_usable(self, usable: bool) -> None:
        """Reports the state of the path by BFD.  The session ends with the path; it comes up again
        when the path is usable."""
        self._path_is_down = not usable
        if not usable:
            text = "BFD reports that the path is down"
            self._connections.close(notification.BFD_DOWN, Cause.BFD, text)
        self._wake.set()

    def set_export(self, config: PeerConfig) -> None:
        """Sets a configuration that differs from the present one in what is exported alone; the
        session stays up, and the peer is sent the difference."""
        if config != self.config:
            self.config = config
            self.export()

    def export(self) -> None:
        """Sends the difference that another export policy makes, if it changed."""
        if self._protocol is not None:
            self.outbound.set_policy(self._export_policy(self._protocol))

    def _export_policy(self, session: Session) -> ExportPolicy:
        fan_out = self._fan_outs.of(self.config)
        return export_policy(self.config, self._speaker, session, fan_out)

    @property
    def _has_promising_connection(self) -> bool:
        """Whether a connection may still become Established.  An inbound one without an OPEN does
        not count for long: a silent caller must not keep us from connecting."""
        return self._connections.has_opened_or_ours or any(
            map(self._opening.goes_first, self._connections)
        )

    def _connect(self) -> None:
        self.state.bgp_state = BGP_FSM_CONNECT
        try:
            sock = transport.connect(self.config, self.internal, _CONNECT_TIMEOUT_SECONDS)
        except OSError as error:
            if not self.started:
                return
            self._connect_at = time.monotonic() + self._retry.next_delay(refused=False)
            self._history.connect_failed(error)
            self._tell_last_error()
            self._update_ryu_state()
            return
        if not self.started:
            sock.close()
            return
        self._start_session(sock, is_reactive=False)

    def accept(self, sock: socket.socket) -> None:
        """Accepts an inbound connection.  If too many of them have sent no OPEN yet, the oldest are
        closed."""
        if not transport.passes_gtsm(sock, self.config):
            self._history.refused_by_gtsm()
            LOG.warning(
                "peer %s: connection refused by GTSM: the caller is too far away", self.config.name
            )
            sock.close()
            return
        damped = self._damping.idle_seconds(time.monotonic()) > 0
        if self.config.mode is ConnectMode.ACTIVE or not self._may_have_session or damped:
            reject(sock)
            return
        try:
            transport.prepare(sock, self.config, self.internal)
        except OSError:
            sock.close()
            return
        if self._opening.must_wait:
            self._connections.replace_unopened()
        self._connections.make_room()
        self._start_session(sock, is_reactive=True)

    def _start_session(self, sock: socket.socket, is_reactive: bool) -> None:
        session = Session(sock, self, Fsm(self.config.remote_as), is_reactive, self._supervisor)
        self._connections.add(session)
        if self._opening.must_wait:
            LOG.info("peer %s: connected; %s", self.config.name, OPEN_WAITS)
        self._update_ryu_state()
        self._supervisor.spawn("session", session.run)

    def on_update_enabled(self, conf_evt: Any) -> None:
        """Follows Ryu's neighbour configuration: a disabled neighbour has no session."""
        if not conf_evt.value:
            self._deconfigure()
        self._wake.set()

    def stop(self) -> None:
        """Ends all connections with Cease, Peer De-configured (Ryu's Activity)."""
        self._deconfigure()
        super().stop()
        self._wake.set()
        self._stopped.set()

    def _deconfigure(self) -> None:
        self._connections.close(notification.PEER_DECONFIGURED, Cause.DECONFIGURED, "ended by us")

    def close_for_restart(self, text: str = "ended by us") -> None:
        """Ends all connections so that the peer keeps our routes if it can; `text` says why
        (`PeerConnections.close_for_restart`)."""
        self._connections.close_for_restart(text, bool(self._speaker.restart_time))

    def shut_down(self, withdraw: bool) -> None:
        """Ends all connections for good.  With `withdraw` all routes are withdrawn first and Cease,
        Administrative Shutdown is sent; else as `close_for_restart`.

        A peer that keeps routes without a session removes them when one without graceful restart
        comes up (RFC 4724, 4.2).  That one is made; `ends_withdrawal` waits for it.
        """
        self._shut_down = True
        if not withdraw:
            self.close_for_restart()
            self.outbound.save()
        elif self._may_keep:
            self._opening.withdraws = True
            self._retry.reset()
            self._connect_at = 0.0
            self._wake.set()
            self.look_again()
        else:
            self.outbound.withdraw_all()
            self._close_for_good()

    def ends_withdrawal(self, deadline: float) -> bool:
        """Waits until the peer keeps no routes, at most until `deadline` (on the monotonic clock);
        returns whether that is so, as far as it is known.  Then no connection is left."""
        if not self._opening.withdraws:
            return True
        in_time = self._withdrawn.wait(timeout=max(0.0, deadline - time.monotonic()))
        self._opening.withdraws = False
        self._close_for_good()
        return bool(in_time)

    def _close_for_good(self) -> None:
        shutdown = notification.ADMINISTRATIVE_SHUTDOWN
        self._connections.close(shutdown, Cause.STOPPED, "ended by us")

    # -- events of the sessions (session.Owner) --------------------------------------------------

    def our_open(self, session: Session) -> Open | None:
        """Our OPEN; None while it has to wait (session.Owner)."""
        return self._opening.our_open(session, self.config, self.look_again)

    def look_again(self) -> None:
        """An OPEN that waits may perhaps be sent now, or another connection be made."""
        self._wake.set()
        self._look_again_for_opens()

    def _look_again_for_opens(self) -> None:
        for session in self._connections:
            session.look_again()

    def state_changed(self) -> None:
        """Tells Ryu (session.Owner)."""
        self._update_ryu_state()

    def resolve_collision(self, session: Session) -> Notification | None:
        """Closes the other connections that lose against this one (session.Owner)."""
        local = Identity(self._speaker.router_id, self._speaker.local_as)
        return self._connections.resolve_collision(session, local)

    def established(self, session: Session) -> None:
        """Starts to send the table (session.Owner)."""
        if self._opening.withdraws:
            # the peer has removed what it kept, and with graceful restart it does so at the Cease
            self._opening.withdraws = False
            self.outbound.forget()
            self._close_for_good()
            self._withdrawn.set()
            return
        self._protocol = session
        self._connections.close_others(session)
        self._retry.reset()
        self._history.came_up(time.time())
        self._manager.last_sent.pop(self.config.name, None)
        LOG.info(
            "peer %s is Established: %s; session %d",
            self.config.name,
            describe_negotiated(session, len(self.config.fan_out)),
            self._history.count,
        )
        self._update_ryu_state()
        self.outbound.open(session, self._export_policy(session))
        self._fan_outs.came_up(self.config)
        self._look_again_for_opens()
        by = "the peer" if session.is_reactive else "us"
        self._manager.on_session(self.config, True, f"connected by {by}")

    def refresh_requested(self, session: Session, family: Family) -> None:
        """Sends a family again (RFC 2918)."""
        if session is self._protocol:
            self.outbound.refresh(family)

    def output_drained(self, session: Session) -> None:
        """Sends what changed while the output of the session was blocked."""
        if session is self._protocol:
            self.outbound.resume()

    def closed(self, session: Session, end: End) -> None:
        """Forgets the session, and its Adj-RIB-Out if it was Established; connects again."""
        if not self._connections.remove(session):
            return
        try:
            if session is self._protocol:
                self._session_went_down(session, end)
            elif self._protocol is None:
                self._attempt_ended(session, end)
        finally:
            self._update_ryu_state()
            self._wake.set()
            self.look_again()

    def _session_went_down(self, session: Session, end: End) -> None:
        now = time.monotonic()
        lifetime = now - session.established_at
        self._protocol = None
        self._connect_at = now + self._damping.session_ended(lifetime, now)
        ended_at = time.time()
        kept = keeps_routes(end, session.negotiated)
        kept_until = ended_at + self._speaker.restart_time if kept else None
        self._history.went_down(end, ended_at, kept_until)
        LOG.warning("peer %s is down after %.1f s: %s", self.config.name, lifetime, end.text)
        idle = self._damping.idle_seconds(now)
        if idle:
            LOG.warning(
                "peer %s is kept idle for %.0f s: its sessions end soon after they come up",
                self.config.name,
                idle,
            )
        metrics.bgp_session_drops.labels(peer=self.config.name, reason=end.cause.value).inc()
        if end.cause is Cause.PEER_UPDATE_ERROR and end.received is not None:
            self.outbound.refused(end.received)
        self.outbound.close()
        if self.outbound.last is not None:
            self._manager.last_sent[self.config.name] = self.outbound.last
        self._fan_outs.went_down(self.config)
        self._manager.on_session(self.config, False, end.text)

    def _attempt_ended(self, session: Session, end: End) -> None:
        if self._history.attempt_ended(end):
            self._tell_last_error()
        if not session.is_reactive:
            self._connect_at = time.monotonic() + self._retry.next_delay(refused=True)

    def count_received(self, received: Mapping[MessageType, int]) -> None:
        """Counts received messages."""
        for kind, count in received.items():
            self._received[kind].inc(count)

    def count_sent(self, octets: int) -> None:
        """Counts sent octets."""
        self._octets_sent.inc(octets)

    # -- state and log ---------------------------------------------------------------------------

    def _update_ryu_state(self) -> None:
        """Sets Ryu's state of the peer to that of its most advanced connection."""
        state = self._connections.state
        if state is not None:
            self.state.bgp_state = state.value
        else:
            self.state.bgp_state = BGP_FSM_ACTIVE if self.started else BGP_FSM_IDLE

    def _tell_last_error(self) -> None:
        news = self._history.news()
        if news:
            self._manager.on_session(self.config, False, news)
        LOG.info("peer %s is not up: %s", self.config.name, self._history.last_error)
