"""One BGP connection: framing, the state machine of RFC 4271 section 8, its timers, its sending.

It stands behind the interface of Ryu's BgpProtocol (`is_reactive`, `recv_open_msg`, …) but reads
in large pieces, keeps nothing of what a peer announces, and has three greenthreads so that
neither a full socket nor a silent peer can delay a timer: one reads, one sends what the kernel
did not take at once, one keeps time.
"""

from __future__ import annotations

import collections
import logging
import socket
import time
from typing import Protocol

from ryu.lib import hub
from ryu.services.protocols.bgp.constants import (
    BGP_FSM_ESTABLISHED,
    BGP_FSM_IDLE,
    BGP_FSM_OPEN_CONFIRM,
    BGP_FSM_OPEN_SENT,
)

from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.inbound import check_update
from porter_ryu.bgp.protocol.open_message import Open, decode_open, encode_open
from porter_ryu.bgp.protocol.wire import BgpError, MessageType, Notification
from porter_ryu.domain.model import Family
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_READ = 65536
_OPEN_HOLD_TIME = 240.0  # RFC 4271, 8.2.2: a large value until the OPEN is in
_KEEPALIVES_PER_HOLD_TIME = 3
_FSM_ERROR = {BGP_FSM_OPEN_SENT: 1, BGP_FSM_OPEN_CONFIRM: 2, BGP_FSM_ESTABLISHED: 3}  # RFC 6608


class Owner(Protocol):
    """The peer, as its sessions see it."""

    def check_open(self, session: Session, received: Open) -> None:
        """Raises BgpError where the OPEN, or its connection in a collision, is not accepted."""

    def established(self, session: Session) -> None:
        """The session carries routes from now on."""

    def refresh(self, session: Session, family: Family) -> None:
        """The peer asks for a family again (RFC 2918)."""

    def drained(self, session: Session) -> None:
        """Everything that was handed to `send` is in the kernel."""

    def closed(self, session: Session, reason: str, notification: Notification | None) -> None:
        """The connection is gone; `notification` is what the peer sent, if it did."""

    def count_received(self, kind: MessageType) -> None:
        """A message came in."""

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
        ours: Open,
        is_reactive: bool,
        supervisor: Supervisor,
    ) -> None:
        self._supervisor = supervisor
        self.is_reactive = is_reactive
        self.state = BGP_FSM_OPEN_SENT
        self.ours = ours
        self.theirs: Open | None = None
        self.recv_open_msg: OpenMessage | None = None
        self.hold_time = 0.0
        self.opened_at = time.monotonic()
        self.established_at = 0.0
        self.malformed = 0
        self._sock = sock
        self._owner = owner
        self._out: collections.deque[bytes] = collections.deque()
        self._writable = hub.Event()
        self._tick = hub.Event()
        self._heard_at = self._sent_at = self._progress_at = self.opened_at
        self._keepalive_every = 0.0
        self._hold = _OPEN_HOLD_TIME

    @property
    def local_name(self) -> tuple[str, int]:
        """Local address and port."""
        return _name(self._sock.getsockname())

    @property
    def congested(self) -> bool:
        """Whether the kernel has not yet taken all that was sent."""
        return bool(self._out)

    @property
    def families(self) -> frozenset[Family]:
        """Families that both sides offered; no capability at all means IPv4 (RFC 4760, 8)."""
        if self.theirs is None or self.ours.families is None:
            return frozenset()
        theirs = self.theirs.families
        return self.ours.families & (frozenset({Family.IPV4}) if theirs is None else theirs)

    @property
    def add_path(self) -> frozenset[Family]:
        """Families in which we send several paths: we offer to send, they to receive."""
        if self.theirs is None:
            return frozenset()
        receives = {family for family, mode in self.theirs.add_path if mode & 1}
        offered = {family for family, mode in self.ours.add_path if mode & 2}
        return self.families & receives & offered

    @property
    def four_octet_as(self) -> bool:
        """Whether both sides write AS numbers in four octets (RFC 6793)."""
        return self.ours.four_octet_as and self.theirs is not None and self.theirs.four_octet_as

    @property
    def graceful(self) -> bool:
        """Whether the peer keeps our routes over a restart (RFC 4724): both sides offered it."""
        return self.theirs is not None and bool(self.ours.graceful and self.theirs.graceful)

    @property
    def enhanced_refresh(self) -> bool:
        """Whether both sides mark the ends of a route refresh (RFC 7313)."""
        return self.ours.enhanced_refresh and bool(self.theirs and self.theirs.enhanced_refresh)

    @property
    def ipv4_over_ipv6(self) -> bool:
        """Whether IPv4 routes may have IPv6 next hops (RFC 8950)."""
        return self.ours.ipv4_over_ipv6 and bool(self.theirs and self.theirs.ipv4_over_ipv6)

    @property
    def longest(self) -> int:
        """Octets that a message may have (RFC 8654)."""
        both = self.ours.extended_message and bool(self.theirs and self.theirs.extended_message)
        return wire.EXTENDED_MAX_LENGTH if both else wire.MAX_LENGTH

    def run(self) -> None:
        """Speaks until the connection ends; to be run in a greenthread of its own."""
        self._supervisor.spawn("session sender", self._send_loop)
        self._supervisor.spawn("session timer", self._time_loop)
        self.send(encode_open(self.ours))
        buffer = bytearray()
        try:
            while self.state != BGP_FSM_IDLE:
                octets = self._sock.recv(_READ)
                if not octets:
                    self._end("the peer closed the connection")
                    return
                buffer += octets
                for kind, body in wire.split(buffer, self.longest):
                    self._take(kind, body)
                    if self.state == BGP_FSM_IDLE:
                        return
        except BgpError as error:
            self.close(error.notification, f"{error}")
        except OSError as error:
            self._end(f"the connection broke: {error.strerror or error}")
        except EOFError:
            self._end("closed while it was read")  # eventlet's word for a close by ourselves

    def send(self, data: bytes) -> None:
        """Hands octets to the kernel at once where it takes them, else when it does."""
        self._sent_at = time.monotonic()
        if not self._out:
            data = data[self._push(data) :]
        if data and self.state != BGP_FSM_IDLE:
            if not self._out:
                self._progress_at = self._sent_at
            self._out.append(data)
            self._writable.set()

    @property
    def is_dead(self) -> bool:
        """Whether the peer has ended the connection and we have not read that yet."""
        try:
            waiting = self._sock.fd.recv(1, socket.MSG_PEEK)  # type: ignore[attr-defined]
        except BlockingIOError:
            return False
        except OSError:
            return True
        return not waiting

    def close(self, notification: Notification | None, reason: str) -> None:
        """Ends the connection, with a NOTIFICATION where one is due and fits."""
        if self.state == BGP_FSM_IDLE:
            return
        if notification is not None and self._keeps_over_notification:
            notification = wire.hard_reset(notification)
        if notification is not None and not self._out:
            self._push(wire.encode_notification(notification))
        self._end(reason)

    @property
    def _keeps_over_notification(self) -> bool:
        """Whether both sides keep routes over a NOTIFICATION too (RFC 8538, 2)."""
        ours, theirs = self.ours.graceful, self.theirs.graceful if self.theirs else None
        return bool(ours and theirs and ours.notification and theirs.notification)

    def _push(self, data: bytes) -> int:
        """What the kernel takes now, without waiting; an error is found by the reader."""
        try:
            taken = self._sock.fd.send(data)  # type: ignore[attr-defined]
        except OSError:
            return 0
        self._owner.count_sent(taken)
        return int(taken)

    def _end(self, reason: str, notification: Notification | None = None) -> None:
        if self.state == BGP_FSM_IDLE:
            return
        self.state = BGP_FSM_IDLE
        self._out.clear()
        self._writable.set()
        self._tick.set()
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            LOG.debug("the connection was down before it was shut down")
        self._sock.close()
        self._owner.closed(self, reason, notification)

    def _send_loop(self) -> None:
        while self.state != BGP_FSM_IDLE:
            self._writable.wait()
            self._writable.clear()
            while self._out:
                data = self._out[0]
                try:
                    taken = self._sock.send(data)
                except OSError as error:
                    self._end(f"the connection broke: {error.strerror or error}")
                    return
                self._progress_at = time.monotonic()
                self._owner.count_sent(taken)
                if not self._out:
                    return
                if taken < len(data):
                    self._out[0] = data[taken:]
                else:
                    self._out.popleft()
                    if not self._out:
                        self._owner.drained(self)

    def _time_loop(self) -> None:
        while self.state != BGP_FSM_IDLE:
            now = time.monotonic()
            if self._hold and now >= self._heard_at + self._hold:
                self.close(wire.HOLD_TIMER_EXPIRED, "the hold timer expired")
                return
            if self._out and self.hold_time and now >= self._progress_at + self.hold_time:
                self.close(wire.SEND_HOLD_TIMER_EXPIRED, "the peer reads nothing any more")
                return
            if self._keepalive_every and now >= self._sent_at + self._keepalive_every:
                self.send(wire.KEEPALIVE)
            self._tick.wait(timeout=self._next_deadline() - now)
            self._tick.clear()

    def _next_deadline(self) -> float:
        deadlines = [time.monotonic() + _OPEN_HOLD_TIME]
        if self._hold:
            deadlines.append(self._heard_at + self._hold)
        if self._out and self.hold_time:
            deadlines.append(self._progress_at + self.hold_time)
        if self._keepalive_every:
            deadlines.append(self._sent_at + self._keepalive_every)
        return min(deadlines) + 0.001

    def _take(self, kind: MessageType, body: bytes) -> None:
        self._owner.count_received(kind)
        if kind is MessageType.NOTIFICATION:
            notification = wire.decode_notification(body)
            self._end(f"the peer sent {notification}", notification)
        elif self.state == BGP_FSM_OPEN_SENT and kind is MessageType.OPEN:
            self._take_open(body)
        elif self.state == BGP_FSM_OPEN_CONFIRM and kind is MessageType.KEEPALIVE:
            self._heard_at = time.monotonic()
            self.state = BGP_FSM_ESTABLISHED
            self.established_at = self._heard_at
            self._owner.established(self)
        elif self.state == BGP_FSM_ESTABLISHED and kind is not MessageType.OPEN:
            self._take_established(kind, body)
        else:
            raise BgpError(5, _FSM_ERROR[self.state], why=f"{kind.name} in {self.state}")

    def _take_open(self, body: bytes) -> None:
        received = decode_open(body)
        self.theirs = received
        self.recv_open_msg = OpenMessage(received)
        self._owner.check_open(self, received)
        self.hold_time = min(self.ours.hold_time, received.hold_time)
        self._hold = self.hold_time
        self._keepalive_every = self.hold_time / _KEEPALIVES_PER_HOLD_TIME
        self._heard_at = time.monotonic()
        self.state = BGP_FSM_OPEN_CONFIRM
        self.send(wire.KEEPALIVE)
        self._tick.set()

    def _take_established(self, kind: MessageType, body: bytes) -> None:
        if kind is MessageType.UPDATE:
            self._look_at_update(body)
        if kind is not MessageType.ROUTE_REFRESH:
            self._heard_at = time.monotonic()
            return
        family = wire.decode_refresh_request(body)
        if family in self.families and family is not None:
            self._owner.refresh(self, family)

    def _look_at_update(self, body: bytes) -> None:
        malformed = check_update(body)
        if malformed and not self.malformed:
            LOG.warning("an UPDATE was treated as withdraw (RFC 7606): %s", malformed)
        self.malformed += bool(malformed)


def _name(name: tuple[object, ...]) -> tuple[str, int]:
    return str(name[0]), int(str(name[1]))
