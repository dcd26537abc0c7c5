"""The state machine of one BGP session (RFC 4271, 8).

Its input is octets and the time; its output is octets to send and events.  It opens no socket,
reads no clock and stores no route of the peer.  It starts with a TCP connection, in Connect: our
OPEN may have to wait (DelayOpen).  `bgp.peer` makes the connection and says when the wait is over.
"""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Mapping

from msgspec import Struct, field

from porter_ryu.bgp.protocol import ending, notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.inbound import check_update
from porter_ryu.bgp.protocol.negotiation import Negotiated, negotiate
from porter_ryu.bgp.protocol.notification import BgpError, Notification
from porter_ryu.bgp.protocol.open_message import Open, decode_open, encode_open
from porter_ryu.bgp.protocol.roles import check_roles
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.domain.model import Family

_LARGE_HOLD_TIME_SECONDS = 240.0  # RFC 4271, 8.2.2: until the hold time is negotiated
_KEEPALIVES_PER_HOLD_TIME = 3
_HELD_MAX_OCTETS = 2 * wire.MAX_LENGTH  # an OPEN and a NOTIFICATION


class State(enum.Enum):
    """RFC 4271, 8.2.2."""

    IDLE = "Idle"
    CONNECT = "Connect"
    OPEN_SENT = "OpenSent"
    OPEN_CONFIRM = "OpenConfirm"
    ESTABLISHED = "Established"


_UNEXPECTED_MESSAGE = {State.OPEN_SENT: 1, State.OPEN_CONFIRM: 2, State.ESTABLISHED: 3}  # RFC 6608


class Step(Struct, frozen=True):
    """The output of the machine for one input.

    `send`: octets for the peer.  `received`: number of messages of each type.  `refresh`: families
    that the peer requested again.  `malformed`: the error in the last UPDATE that was treated as
    withdraw (RFC 7606), empty if there was none.  `open_received`: a valid OPEN waits for `confirm`
    or `close`.  `established`: the session has become Established.  `more`: call `receive` again,
    octets after a change of state wait in the buffer.  `end`: the session is over; its `sent`
    replaces all output that still waits.
    """

    send: bytes = b""
    received: Mapping[MessageType, int] = field(default_factory=dict)
    refresh: frozenset[Family] = frozenset()
    malformed: str = ""
    open_received: bool = False
    established: bool = False
    more: bool = False
    end: End | None = None


class Fsm:
    """One session over one connection; every `now` is in seconds of one monotonic clock.

    `remote_as` is the AS that the peer must have.
    """

    def __init__(self, remote_as: int) -> None:
        self.state = State.CONNECT
        self.remote_open: Open | None = None
        self.negotiated = Negotiated()
        self.malformed_updates = 0
        self._local_open: Open | None = None
        self._remote_as = remote_as
        self._buffer = bytearray()
        self._received_at = self._sent_at = math.inf
        self._blocked_at: float | None = None

    def start(self, local_open: Open, now: float) -> Step:
        """Sends our OPEN; what has arrived before is handled after it."""
        self.state = State.OPEN_SENT
        self._local_open = local_open
        self._received_at = self._sent_at = now
        return Step(send=encode_open(local_open), more=bool(self._buffer))

    # -- octets ---------------------------------------------------------------------------------

    def receive(self, octets: bytes, now: float) -> Step:
        """Handles received octets up to the next change of state.  Raises nothing."""
        self._buffer += octets
        if self.state is State.CONNECT:
            return self._hold()
        step = _StepBuilder()
        if self.state is State.IDLE or self._open_waits:
            return step.build()
        before = self.state
        try:
            for kind, body in wire.split(self._buffer, self.negotiated.max_message_length):
                step.received[kind] += 1
                self._receive_message(kind, body, now, step)
                if self.state is not before or self._open_waits:
                    break
        except BgpError as error:
            step.end = self.close(ending.by_error(error.notification, str(error)))
        step.established = before is State.OPEN_CONFIRM and self.state is State.ESTABLISHED
        step.more = step.established and bool(self._buffer)
        return step.build()

    def _hold(self) -> Step:
        """What arrives before our OPEN waits for it.  Only a NOTIFICATION ends the session before,
        and more octets than a peer may send then."""
        step = _StepBuilder()
        try:
            for kind, body in wire.split(bytearray(self._buffer)):
                if kind is MessageType.NOTIFICATION:
                    step.received[kind] += 1
                    step.end = self.close(ending.by_peer(notification.decode_notification(body)))
                    return step.build()
        except BgpError:
            pass  # a NOTIFICATION answers it, after our OPEN
        if len(self._buffer) > _HELD_MAX_OCTETS:
            text = "the peer sends more than its OPEN before it has ours"
            step.end = self.close(End(Cause.FSM_ERROR, text))
        return step.build()

    @property
    def _open_waits(self) -> bool:
        """Whether a received OPEN waits for `confirm`."""
        return self.state is State.OPEN_SENT and self.remote_open is not None

    def _receive_message(
        self, kind: MessageType, body: bytes, now: float, step: _StepBuilder
    ) -> None:
        if kind is MessageType.NOTIFICATION:
            step.end = self.close(ending.by_peer(notification.decode_notification(body)))
        elif self.state is State.OPEN_SENT and kind is MessageType.OPEN:
            assert self._local_open is not None
            self.remote_open = self._check_open(self._local_open, decode_open(body))
            self.negotiated = negotiate(self._local_open, self.remote_open)
            step.open_received = True
        elif self.state is State.OPEN_CONFIRM and kind is MessageType.KEEPALIVE:
            self._received_at = now
            self.state = State.ESTABLISHED
        elif self.state is State.ESTABLISHED and kind is not MessageType.OPEN:
            self._receive_established(kind, body, now, step)
        else:
            why = f"{kind.name} in {self.state.value}"
            # RFC 6608, 4: the data is the type of the message
            raise BgpError(5, _UNEXPECTED_MESSAGE[self.state], bytes([kind]), why)

    def _check_open(self, local: Open, received: Open) -> Open:
        """Returns the OPEN; raises BgpError (RFC 4271, 6.2; RFC 6286, 2.2; RFC 9234, 4.2)."""
        if received.asn != self._remote_as:
            raise BgpError(2, 2, why=f"AS {received.asn}, expected {self._remote_as}")
        internal = self._remote_as == local.asn
        if internal and received.identifier == local.identifier:
            raise BgpError(2, 3, why="an internal peer with our own BGP identifier")
        check_roles(local.roles, received.roles)
        return received

    def _receive_established(
        self, kind: MessageType, body: bytes, now: float, step: _StepBuilder
    ) -> None:
        if kind is MessageType.ROUTE_REFRESH:
            family = wire.decode_refresh_request(body)
            if family is not None and family in self.negotiated.families:
                step.refresh.add(family)
            return
        self._received_at = now
        if kind is MessageType.UPDATE:
            malformed = check_update(body)
            if malformed:
                self.malformed_updates += 1
                step.malformed = malformed

    # -- decisions ------------------------------------------------------------------------------

    def confirm(self, now: float) -> Step:
        """Accepts the received OPEN: the session goes to OpenConfirm."""
        self.state = State.OPEN_CONFIRM
        self._received_at = now
        return Step(send=wire.KEEPALIVE, more=bool(self._buffer))

    def close(self, end: End) -> End:
        """Ends the session; returns `end` with the NOTIFICATION as it has to be sent: a Hard Reset
        where RFC 8538, 3 asks for one, and none before our OPEN (RFC 4271, 8.2.2: in Connect the
        connection is dropped)."""
        sent = end.sent if self.state is not State.CONNECT else None
        self.state = State.IDLE
        self._buffer.clear()
        if sent is not None and self.negotiated.graceful_notification:
            sent = notification.hard_reset(sent)
        return End(end.cause, end.text, sent, end.received)

    # -- time -----------------------------------------------------------------------------------

    def record_sent(self, now: float) -> None:
        """Restarts the keepalive timer, because other messages (UPDATEs) were sent."""
        self._sent_at = now

    def record_output(self, now: float, waiting: bool) -> None:
        """Restarts the send hold timer if output is `waiting` for the kernel, else stops it.

        To be called when output begins to wait, and each time the kernel accepted some of it.
        """
        self._blocked_at = now if waiting else None

    @property
    def hold_expires(self) -> float:
        """When the hold timer expires; infinite if it does not run (RFC 4271, 4.2)."""
        negotiated = float(self.negotiated.hold_time)
        if self.state is State.ESTABLISHED:
            return self._received_at + (negotiated or math.inf)
        if self.state is State.OPEN_CONFIRM:
            # a peer that negotiated no hold timer must not keep an unfinished session for ever
            return self._received_at + (negotiated or _LARGE_HOLD_TIME_SECONDS)
        return self._received_at + _LARGE_HOLD_TIME_SECONDS  # it does not run before our OPEN

    @property
    def deadline(self) -> float:
        """When `tick` must be called next; infinite if never."""
        if self.state is State.IDLE:
            return math.inf
        return min(self.hold_expires, self._send_hold_expires, self._keepalive_due)

    @property
    def _send_hold_expires(self) -> float:
        """RFC 9687; the send hold time is the hold time."""
        if self._blocked_at is None or not self.negotiated.hold_time:
            return math.inf
        return self._blocked_at + self.negotiated.hold_time

    @property
    def _keepalive_due(self) -> float:
        sends_keepalives = self.state in (State.OPEN_CONFIRM, State.ESTABLISHED)
        if not sends_keepalives or not self.negotiated.hold_time:
            return math.inf
        return self._sent_at + self.negotiated.hold_time / _KEEPALIVES_PER_HOLD_TIME

    def tick(self, now: float, caught_up: bool = True) -> Step:
        """Handles the timers that have expired by `now`.

        The hold timer expires only if `caught_up`: all octets that had arrived before its end were
        passed to `receive`.  A KEEPALIVE that waits in the socket has arrived in time.
        """
        if self.state is State.IDLE:
            return Step()
        if caught_up and now >= self.hold_expires:
            return self._expired(
                Cause.HOLD_TIMER, notification.HOLD_TIMER_EXPIRED, "the hold timer expired"
            )
        if now >= self._send_hold_expires:
            return self._expired(
                Cause.SEND_HOLD_TIMER,
                notification.SEND_HOLD_TIMER_EXPIRED,
                "the send hold timer expired: the peer does not read",
            )
        if now >= self._keepalive_due:
            self._sent_at = now
            return Step(send=wire.KEEPALIVE)
        return Step()

    def _expired(self, cause: Cause, sent: Notification, text: str) -> Step:
        return Step(end=self.close(End(cause, text, sent=sent)))


class _StepBuilder:
    """Collects the output while messages are handled."""

    def __init__(self) -> None:
        self.received: collections.Counter[MessageType] = collections.Counter()
        self.refresh: set[Family] = set()
        self.malformed = ""
        self.open_received = self.established = self.more = False
        self.end: End | None = None

    def build(self) -> Step:
        """The output as a value."""
        return Step(
            received=dict(self.received),
            refresh=frozenset(self.refresh),
            malformed=self.malformed,
            open_received=self.open_received,
            established=self.established,
            more=self.more,
            end=self.end,
        )
