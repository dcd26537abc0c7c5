"""One BGP session over one connection: drives the machine of `protocol.fsm` and tells its peer.

It stands behind the interface of Ryu's BgpProtocol (`is_reactive`, `recv_open_msg`, …).  One
greenthread reads, one keeps time, and while output waits one sends it, so that neither a full
socket nor a silent peer can delay a timer.  Whatever one of them raises ends this session, in
order, and no other.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ryu.lib import hub

from porter_ryu.bgp.connection import BrokenConnectionError, Connection
from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.fsm import Fsm, State, Step
from porter_ryu.bgp.protocol.negotiation import Negotiated
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.domain.model import Family
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_TICK_LEAST, _TICK_MOST = 0.01, 60.0


class Owner(Protocol):
    """The peer, as its sessions see it."""

    def collides(self, session: Session) -> Notification | None:
        """The OPEN is good: whether another connection stays and this one must go."""

    def established(self, session: Session) -> None:
        """The session carries routes from now on."""

    def refresh(self, session: Session, family: Family) -> None:
        """The peer asks for a family again (RFC 2918)."""

    def drained(self, session: Session) -> None:
        """Everything that was handed to `send` is in the kernel."""

    def closed(self, session: Session, end: End) -> None:
        """The session is over."""

    def count_received(self, received: Mapping[MessageType, int]) -> None:
        """Messages came in."""

    def count_sent(self, octets: int) -> None:
        """Octets were handed to the kernel."""


class OpenMessage:
    """A received OPEN by the names that Ryu's speaker reads off it."""

    def __init__(self, received: Open) -> None:
        self.bgp_identifier = str(received.identifier)
        self.my_as = received.asn


class Session:
    """A connection to a configured peer, from its first octet to its last."""

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
        self.established_at = 0.0
        self._supervisor = supervisor
        self._fsm = fsm
        self._owner = owner
        self._connection = Connection(sock)
        self._wake = hub.Event()
        self._is_over = False
        self._handled = 0
        self._arrived: int | None = None
        self._counted = 0

    # -- what was agreed on ---------------------------------------------------------------------

    @property
    def state(self) -> State:
        """RFC 4271, 8.2.2."""
        return State.IDLE if self._is_over else self._fsm.state

    @property
    def remote_open(self) -> Open | None:
        """The peer's OPEN, None before it is in."""
        return self._fsm.remote_open

    @property
    def negotiated(self) -> Negotiated:
        """All that both sides agreed on."""
        return self._fsm.negotiated

    @property
    def local_name(self) -> tuple[str, int]:
        """Local address and port."""
        return self._connection.local_name

    @property
    def congested(self) -> bool:
        """Whether the kernel has not yet taken all that was sent."""
        return self._connection.waiting

    @property
    def hold_time(self) -> int:
        """Seconds, 0 for none."""
        return self.negotiated.hold_time

    @property
    def families(self) -> frozenset[Family]:
        """Families that both sides offered."""
        return self.negotiated.families

    @property
    def add_path(self) -> frozenset[Family]:
        """Families in which we send several paths (RFC 7911)."""
        return self.negotiated.add_path

    @property
    def four_octet_as(self) -> bool:
        """Whether both sides write AS numbers in four octets (RFC 6793)."""
        return self.negotiated.four_octet_as

    @property
    def graceful(self) -> bool:
        """Whether the peer keeps our routes over a restart (RFC 4724)."""
        return self.negotiated.graceful

    @property
    def enhanced_refresh(self) -> bool:
        """Whether both sides mark the ends of a route refresh (RFC 7313)."""
        return self.negotiated.enhanced_refresh

    @property
    def ipv4_over_ipv6(self) -> bool:
        """Whether IPv4 routes may have IPv6 next hops (RFC 8950)."""
        return self.negotiated.ipv4_over_ipv6

    @property
    def max_message_length(self) -> int:
        """Octets that a message may have (RFC 8654)."""
        return self.negotiated.max_message_length

    @property
    def is_dead(self) -> bool:
        """Whether the peer has ended the connection and we have not read that yet."""
        return self._connection.is_dead

    # -- the greenthreads -----------------------------------------------------------------------

    def run(self) -> None:
        """Speaks until the session is over; to be run in a greenthread of its own."""
        self._supervisor.spawn("session timer", self._guarded, self._keep_time)
        try:
            self._guarded(self._read)
        finally:
            self._connection.linger()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Whatever a part of the session raises ends it, and then reaches the supervisor."""
        try:
            work()
        except Exception:
            text = "an internal fault; the log has its traceback"
            self._end(End(Cause.FAULT, text, sent=notification.UNSPECIFIC))
            raise

    def _read(self) -> None:
        self.send(self._fsm.start())
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
            self._handled += len(octets)
            hub.sleep(0)

    def _keep_time(self) -> None:
        while not self._is_over:
            now = time.monotonic()
            self._apply(self._fsm.tick(now, self._is_caught_up(now)))
            wait = max(_TICK_LEAST, min(self._fsm.deadline - now, _TICK_MOST))
            self._wake.wait(timeout=wait)
            self._wake.clear()

    def _is_caught_up(self, now: float) -> bool:
        """Whether all that had arrived when the hold timer ran out was taken in."""
        if now < self._fsm.hold_expires:
            self._arrived = None
            return True
        if self._arrived is None:
            self._arrived = self._connection.taken + self._connection.unread
        return self._handled >= self._arrived

    def _flush(self) -> None:
        while self._connection.waiting and not self._is_over:
            progress = self._connection.flush()
            self._count()
            if self._is_over:
                return
            if progress:
                self._fsm.record_output(time.monotonic(), self._connection.waiting)
            else:
                hub.sleep(_TICK_LEAST)  # the connection is broken: the reader finds that out
        if not self._is_over:
            self._owner.drained(self)

    # -- what the machine says ------------------------------------------------------------------

    def _apply(self, step: Step) -> None:
        """Does what one step asks for, and the steps that follow from it."""
        following: Step | None = step
        while following is not None and not self._is_over:
            following = self._do(following)

    def _do(self, step: Step) -> Step | None:
        if step.received:
            self._owner.count_received(step.received)
        if step.malformed:
            LOG.warning("an UPDATE was treated as withdraw (RFC 7606): %s", step.malformed)
        self.send(step.send)
        if step.open_received:
            return self._opened()
        if step.established:
            self.established_at = time.monotonic()
            self._owner.established(self)
        for family in sorted(step.refresh):
            if not self._is_over:
                self._owner.refresh(self, family)
        if step.end is not None:
            self._end(step.end)
        return self._fsm.receive(b"", time.monotonic()) if step.more else None

    def _opened(self) -> Step:
        assert self._fsm.remote_open is not None
        self.recv_open_msg = OpenMessage(self._fsm.remote_open)
        refusal = self._owner.collides(self)
        self._wake.set()
        if refusal is not None:
            text = "another connection with this peer stays"
            return Step(end=End(Cause.COLLISION, text, sent=refusal))
        return Step() if self._is_over else self._fsm.confirm(time.monotonic())

    # -- sending and ending ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Hands whole messages to the kernel at once where it takes them, else when it does."""
        if self._is_over or not data:
            return
        now = time.monotonic()
        self._fsm.record_sent(now)
        begins_to_wait = self._connection.write(data)
        self._count()
        if begins_to_wait:
            self._fsm.record_output(now, True)
            self._wake.set()
            self._supervisor.spawn("session sender", self._guarded, self._flush)

    def close(self, sent: Notification | None, cause: Cause, text: str) -> None:
        """Ends the session from our side, with a NOTIFICATION where one is due."""
        self._end(End(cause, text, sent=sent))

    def _end(self, end: End) -> None:
        if self._is_over:
            return
        self._is_over = True
        end = self._fsm.close(end)
        last = b""
        if end.sent is not None:
            last = wire.encode_notification(end.sent, self.negotiated.max_message_length)
        self._connection.end(last)
        self._count()
        self._wake.set()
        self._owner.closed(self, end)

    def _count(self) -> None:
        octets = self._connection.handed_over - self._counted
        self._counted += octets
        if octets:
            self._owner.count_sent(octets)
