"""One BGP session over one connection: drives the state machine (`protocol.fsm`) and reports its
events to the peer.

It has the interface of Ryu's BgpProtocol (`is_reactive`, `recv_open_msg`, …).  One greenthread
reads, one runs the timers, and one more sends while output waits, so that neither a full socket nor
a silent peer delays a timer.  An exception in one of them ends this session, with a NOTIFICATION,
and no other.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ryu.lib import hub

from porter_ryu.bgp.connection import READ_MAX_OCTETS, BrokenConnectionError, Connection
from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.fsm import Fsm, State, Step
from porter_ryu.bgp.protocol.negotiation import Negotiated
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.domain.model import Family
from porter_ryu.supervisor import Supervisor
from porter_ryu.time_slice import TimeSlice

LOG = logging.getLogger(__name__)

_TIMER_MIN_SECONDS, _TIMER_MAX_SECONDS = 0.01, 60.0


class Owner(Protocol):
    """Receives the events of a session: its peer."""

    def our_open(self, session: Session) -> Open | None:
        """Our OPEN, to be sent now in this session; None while it waits (`Session.look_again`)."""

    def state_changed(self) -> None:
        """A session went on to OpenSent or OpenConfirm."""

    def resolve_collision(self, session: Session) -> Notification | None:
        """A valid OPEN was received.  Returns the NOTIFICATION with which this session must end
        because another connection is kept, or None."""

    def established(self, session: Session) -> None:
        """The session is Established."""

    def refresh_requested(self, session: Session, family: Family) -> None:
        """The peer requests a family again (RFC 2918)."""

    def output_drained(self, session: Session) -> None:
        """The kernel has accepted all output that waited."""

    def closed(self, session: Session, end: End) -> None:
        """The session is over."""

    def count_received(self, received: Mapping[MessageType, int]) -> None:
        """Messages were received."""

    def count_sent(self, octets: int) -> None:
        """The kernel has accepted octets."""


class OpenMessage:
    """A received OPEN, with the attribute names that Ryu's speaker reads."""

    def __init__(self, received: Open) -> None:
        self.bgp_identifier = str(received.identifier)
        self.my_as = received.asn


class Session:
    """The session over one connection with a configured peer."""

    def __init__(
        self,
        sock: socket.socket,
        owner: Owner,
        fsm: Fsm,
        is_reactive: bool,
        supervisor: Supervisor,
    ) -> None:
        self.is_reactive = is_reactive
        self.recv_open_msg: OpenMessage | None = None
        self.opened_at = time.monotonic()
        self.open_sent_at = self.established_at = 0.0
        self._supervisor = supervisor
        self._fsm = fsm
        self._owner = owner
        self._connection = Connection(sock)
        self._wake = hub.Event()
        self._is_over = False
        self._octets_handled = 0
        self._octets_arrived: int | None = None
        self._octets_counted = 0

    # -- state and negotiated values ------------------------------------------------------------

    @property
    def state(self) -> State:
        """RFC 4271, 8.2.2; Connect until our OPEN is sent."""
        return State.IDLE if self._is_over else self._fsm.state

    @property
    def has_spoken(self) -> bool:
        """Whether the peer has sent anything."""
        return self._connection.octets_read > 0

    @property
    def remote_open(self) -> Open | None:
        """The OPEN of the peer; None until it is received."""
        return self._fsm.remote_open

    @property
    def negotiated(self) -> Negotiated:
        """What both sides can do."""
        return self._fsm.negotiated

    @property
    def local_name(self) -> tuple[str, int]:
        """Local address and port."""
        return self._connection.local_name

    @property
    def congested(self) -> bool:
        """Whether output waits because the peer does not read fast enough."""
        return self._connection.output_waits

    @property
    def hold_time(self) -> int:
        """The negotiated hold time in seconds; 0: no hold timer."""
        return self.negotiated.hold_time

    @property
    def families(self) -> frozenset[Family]:
        """Families that both sides offered."""
        return self.negotiated.families

    @property
    def add_path(self) -> frozenset[Family]:
        """Families in which we send several paths for one prefix (RFC 7911)."""
        return self.negotiated.add_path

    @property
    def four_octet_as(self) -> bool:
        """Whether AS numbers have four octets (RFC 6793)."""
        return self.negotiated.four_octet_as

    @property
    def graceful(self) -> bool:
        """Whether the peer keeps our routes over a restart (RFC 4724)."""
        return self.negotiated.graceful

    @property
    def enhanced_refresh(self) -> bool:
        """Whether a route refresh is marked by BoRR and EoRR (RFC 7313)."""
        return self.negotiated.enhanced_refresh

    @property
    def ipv4_over_ipv6(self) -> bool:
        """Whether IPv4 routes may have IPv6 next hops (RFC 8950)."""
        return self.negotiated.ipv4_over_ipv6

    @property
    def peer_role(self) -> int | None:
        """The role of the peer (RFC 9234); None if one side has sent none."""
        return self.negotiated.peer_role

    @property
    def max_message_length(self) -> int:
        """The longest message, in octets (RFC 8654)."""
        return self.negotiated.max_message_length

    @property
    def is_closed_by_peer(self) -> bool:
        """Whether the peer has closed the connection and `run` has not handled that yet."""
        return self._connection.is_closed_by_peer

    # -- the greenthreads -----------------------------------------------------------------------

    def run(self) -> None:
        """Reads until the session is over; to be run in a greenthread of its own."""
        self._supervisor.spawn("session timer", self._guarded, self._run_timers)
        try:
            self._guarded(self._read)
        finally:
            self._connection.linger()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Ends the session when a part of it raises, and leaves the exception to the supervisor."""
        try:
            work()
        except Exception:
            text = "internal fault, see the traceback in the log"
            self._end(End(Cause.FAULT, text, sent=notification.UNSPECIFIC))
            raise

    def _read(self) -> None:
        give_way = TimeSlice()
        self._open()
        while not self._is_over:
            try:
                octets = self._connection.read()
            except BrokenConnectionError as broken:
                self._end(End(Cause.CONNECTION_BROKE, f"the connection broke: {broken}"))
                return
            if not octets:
                self._end(End(Cause.PEER_CLOSED, "the peer closed the connection"))
                return
            self._apply(self._fsm.receive(octets, time.monotonic()))
            self._octets_handled += len(octets)
            if len(octets) < READ_MAX_OCTETS:
                give_way()  # all that had arrived was read, so the next read waits, as a rule
            else:
                hub.sleep(0)

    def _run_timers(self) -> None:
        while not self._is_over:
            now = time.monotonic()
            self._open()
            self._apply(self._fsm.tick(now, self._is_caught_up(now)))
            wait = max(_TIMER_MIN_SECONDS, min(self._fsm.deadline - now, _TIMER_MAX_SECONDS))
            self._wake.wait(timeout=wait)
            self._wake.clear()

    def look_again(self) -> None:
        """Asks again for our OPEN, if it has not been sent."""
        if self.state is State.CONNECT:
            self._wake.set()

    def _open(self) -> None:
        """Sends our OPEN unless that is done or has to wait."""
        if self._fsm.state is not State.CONNECT:
            return
        local_open = self._owner.our_open(self)
        if local_open is not None:
            self.open_sent_at = time.monotonic()
            self._apply(self._fsm.start(local_open, self.open_sent_at))
            self._owner.state_changed()

    def _is_caught_up(self, now: float) -> bool:
        """Whether all octets that had arrived when the hold timer expired were handled."""
        if now < self._fsm.hold_expires:
            self._octets_arrived = None
            return True
        if self._octets_arrived is None:
            self._octets_arrived = self._connection.octets_read + self._connection.unread
        return self._octets_handled >= self._octets_arrived

    def _flush(self) -> None:
        while self._connection.output_waits and not self._is_over:
            progress = self._connection.flush()
            self._count_sent()
            if self._is_over:
                return
            if progress:
                self._fsm.record_output(time.monotonic(), self._connection.output_waits)
            else:
                hub.sleep(_TIMER_MIN_SECONDS)  # the connection is broken: `_read` ends the session
        if not self._is_over:
            self._owner.output_drained(self)

    # -- output of the state machine ------------------------------------------------------------

    def _apply(self, step: Step) -> None:
        """Carries out a step and the steps that follow from it."""
        following: Step | None = step
        while following is not None and not self._is_over:
            following = self._apply_one(following)

    def _apply_one(self, step: Step) -> Step | None:
        if step.received:
            self._owner.count_received(step.received)
        if step.malformed:
            LOG.warning("an UPDATE was treated as withdraw (RFC 7606): %s", step.malformed)
        self.send(step.send)
        if step.open_received:
            return self._open_received()
        if step.established:
            self.established_at = time.monotonic()
            self._owner.established(self)
        for family in sorted(step.refresh):
            if not self._is_over:
                self._owner.refresh_requested(self, family)
        if step.end is not None:
            self._end(step.end)
        return self._fsm.receive(b"", time.monotonic()) if step.more else None

    def _open_received(self) -> Step:
        assert self._fsm.remote_open is not None
        self.recv_open_msg = OpenMessage(self._fsm.remote_open)
        collision = self._owner.resolve_collision(self)
        self._wake.set()
        if collision is not None:
            text = "collision: another connection with this peer is kept"
            return Step(end=End(Cause.COLLISION, text, sent=collision))
        if self._is_over:
            return Step()
        step = self._fsm.confirm(time.monotonic())
        self._owner.state_changed()
        return step

    # -- sending and ending ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Sends whole messages; does not block.  What the kernel does not accept now is sent when
        it does."""
        if self._is_over or not data:
            return
        now = time.monotonic()
        self._fsm.record_sent(now)
        begins_to_wait = self._connection.write(data)
        self._count_sent()
        if begins_to_wait:
            self._fsm.record_output(now, True)
            self._wake.set()
            self._supervisor.spawn("session sender", self._guarded, self._flush)

    def close(self, sent: Notification | None, cause: Cause, text: str) -> None:
        """Ends the session from our side; `sent` is the NOTIFICATION to send, if any."""
        self._end(End(cause, text, sent=sent))

    def _end(self, end: End) -> None:
        if self._is_over:
            return
        self._is_over = True
        end = self._fsm.close(end)
        last_message = b""
        if end.sent is not None:
            last_message = wire.encode_notification(end.sent, self.max_message_length)
        self._connection.end(last_message)
        self._count_sent()
        self._wake.set()
        self._owner.closed(self, end)

    def _count_sent(self) -> None:
        octets = self._connection.octets_written - self._octets_counted
        self._octets_counted += octets
        if octets:
            self._owner.count_sent(octets)
