"""One session as a machine (RFC 4271, 8): octets and the clock go in, octets to send and what
happened come out.  It opens nothing, reads no clock and keeps nothing that a peer announces.

From OpenSent on: what leads to a TCP connection (Connect, Active) is the peer's.
"""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from porter_ryu.bgp.protocol import ending, notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.inbound import check_update
from porter_ryu.bgp.protocol.negotiation import Negotiated, negotiate
from porter_ryu.bgp.protocol.notification import BgpError, Notification
from porter_ryu.bgp.protocol.open_message import Open, decode_open, encode_open
from porter_ryu.bgp.protocol.wire import MessageType
from porter_ryu.domain.model import Family

_LARGE_HOLD_TIME = 240.0  # RFC 4271, 8.2.2: until the hold time is negotiated
_KEEPALIVES_PER_HOLD_TIME = 3


class State(enum.Enum):
    """RFC 4271, 8.2.2."""

    IDLE = "Idle"
    OPEN_SENT = "OpenSent"
    OPEN_CONFIRM = "OpenConfirm"
    ESTABLISHED = "Established"


_UNEXPECTED = {State.OPEN_SENT: 1, State.OPEN_CONFIRM: 2, State.ESTABLISHED: 3}  # RFC 6608, 3


@dataclass(frozen=True, slots=True)
class Step:
    """What came of some octets, or of time that went by.

    `send`: octets for the peer.  `received`: how many messages of each type came in.  `refresh`:
    the families that were asked for again, each once however often it was.  `malformed`: what was
    wrong with the last UPDATE that was treated as withdraw (RFC 7606), empty if none was.
    `opened`: a good OPEN is in, and waits for `confirm` or `close`.  `more`: what follows a change
    of state waits for the next call of `receive`.  With `end`, the session is over; its `sent` is
    still to be sent, in place of whatever waits to be.
    """

    send: bytes = b""
    received: Mapping[MessageType, int] = field(default_factory=dict)
    refresh: frozenset[Family] = frozenset()
    malformed: str = ""
    opened: bool = False
    established: bool = False
    more: bool = False
    end: End | None = None


class Fsm:
    """One session from its OPEN on; `now` everywhere in seconds of one steady clock.

    `remote_as` is the AS that the peer must have.
    """

    def __init__(self, ours: Open, remote_as: int, now: float) -> None:
        self.state = State.OPEN_SENT
        self.ours = ours
        self.theirs: Open | None = None
        self.negotiated = Negotiated()
        self.malformed = 0
        self._remote_as = remote_as
        self._buffer = bytearray()
        self._heard_at = self._sent_at = now
        self._blocked_at: float | None = None

    def start(self) -> bytes:
        """Our OPEN."""
        return encode_open(self.ours)

    # -- octets ---------------------------------------------------------------------------------

    def receive(self, octets: bytes, now: float) -> Step:
        """Takes in what was read, up to the next change of state.  Raises nothing."""
        self._buffer += octets
        taken = _Taken()
        if self.state is State.IDLE or self._is_waiting:
            return taken.step()
        before = self.state
        try:
            for kind, body in wire.split(self._buffer, self.negotiated.longest):
                taken.received[kind] += 1
                self._take(kind, body, now, taken)
                if self.state is not before or self._is_waiting:
                    break
        except BgpError as error:
            taken.end = self.close(ending.by_error(error.notification, str(error)))
        taken.established = before is State.OPEN_CONFIRM and self.state is State.ESTABLISHED
        taken.more = taken.established and bool(self._buffer)
        return taken.step()

    @property
    def _is_waiting(self) -> bool:
        """Whether an OPEN is in that is not confirmed yet."""
        return self.state is State.OPEN_SENT and self.theirs is not None

    def _take(self, kind: MessageType, body: bytes, now: float, taken: _Taken) -> None:
        if kind is MessageType.NOTIFICATION:
            taken.end = self.close(ending.by_peer(notification.decode_notification(body)))
        elif self.state is State.OPEN_SENT and kind is MessageType.OPEN:
            self.theirs = self._checked(decode_open(body))
            self.negotiated = negotiate(self.ours, self.theirs)
            taken.opened = True
        elif self.state is State.OPEN_CONFIRM and kind is MessageType.KEEPALIVE:
            self._heard_at = now
            self.state = State.ESTABLISHED
        elif self.state is State.ESTABLISHED and kind is not MessageType.OPEN:
            self._take_established(kind, body, now, taken)
        else:
            why = f"{kind.name} in {self.state.value}"
            # RFC 6608, 4: the data is the type of the message
            raise BgpError(5, _UNEXPECTED[self.state], bytes([kind]), why)

    def _checked(self, received: Open) -> Open:
        """RFC 4271, 6.2; RFC 6286, 2.2."""
        if received.asn != self._remote_as:
            raise BgpError(2, 2, why=f"AS {received.asn} where {self._remote_as} is due")
        internal = self._remote_as == self.ours.asn
        if internal and received.identifier == self.ours.identifier:
            raise BgpError(2, 3, why="an internal peer with our own BGP identifier")
        return received

    def _take_established(self, kind: MessageType, body: bytes, now: float, taken: _Taken) -> None:
        if kind is MessageType.ROUTE_REFRESH:
            family = wire.decode_refresh_request(body)
            if family is not None and family in self.negotiated.families:
                taken.refresh.add(family)
            return
        self._heard_at = now
        if kind is MessageType.UPDATE:
            malformed = check_update(body)
            self.malformed += bool(malformed)
            taken.malformed = malformed or taken.malformed

    # -- decisions ------------------------------------------------------------------------------

    def confirm(self, now: float) -> Step:
        """The OPEN that is in is accepted: the session goes to OpenConfirm."""
        self.state = State.OPEN_CONFIRM
        self._heard_at = now
        return Step(send=wire.KEEPALIVE, more=bool(self._buffer))

    def close(self, end: End) -> End:
        """Ends the session; returns `end` with the NOTIFICATION in the form in which it goes out
        (RFC 8538, 3)."""
        self.state = State.IDLE
        self._buffer.clear()
        sent = end.sent
        if sent is not None and self.negotiated.keeps_over_notification:
            sent = notification.hard_reset(sent)
        return End(end.cause, end.text, sent, end.received)

    # -- time -----------------------------------------------------------------------------------

    def sent(self, now: float) -> None:
        """Messages of others (UPDATEs) were handed over: no KEEPALIVE is due before its time."""
        self._sent_at = now

    def output(self, now: float, waiting: bool) -> None:
        """The kernel took octets, or took none and output begins to wait; `waiting` says whether
        there is output that it has not taken."""
        self._blocked_at = now if waiting else None

    @property
    def hold_expires(self) -> float:
        """When the hold timer expires, infinite where none runs (RFC 4271, 4.2)."""
        negotiated = float(self.negotiated.hold_time)
        if self.state is State.ESTABLISHED:
            return self._heard_at + (negotiated or math.inf)
        if self.state is State.OPEN_CONFIRM:
            # a peer that asked for no hold timer may not hold an unfinished session for ever
            return self._heard_at + (negotiated or _LARGE_HOLD_TIME)
        return self._heard_at + _LARGE_HOLD_TIME

    @property
    def deadline(self) -> float:
        """When `tick` is due, infinite where it is not."""
        if self.state is State.IDLE:
            return math.inf
        return min(self.hold_expires, self._send_hold_expires, self._keepalive_due)

    @property
    def _send_hold_expires(self) -> float:
        """RFC 9687, at the hold time."""
        if self._blocked_at is None or not self.negotiated.hold_time:
            return math.inf
        return self._blocked_at + self.negotiated.hold_time

    @property
    def _keepalive_due(self) -> float:
        speaking = self.state in (State.OPEN_CONFIRM, State.ESTABLISHED)
        if not speaking or not self.negotiated.hold_time:
            return math.inf
        return self._sent_at + self.negotiated.hold_time / _KEEPALIVES_PER_HOLD_TIME

    def tick(self, now: float, caught_up: bool = True) -> Step:
        """Lets time pass.  The hold timer is judged only when what had arrived by its end was
        taken in (`caught_up`): a KEEPALIVE that waits in the socket is one that came in time."""
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
                "the peer reads nothing any more",
            )
        if now >= self._keepalive_due:
            self._sent_at = now
            return Step(send=wire.KEEPALIVE)
        return Step()

    def _expired(self, cause: Cause, told: Notification, text: str) -> Step:
        return Step(end=self.close(End(cause, text, sent=told)))


class _Taken:
    """What piles up while octets are taken in."""

    def __init__(self) -> None:
        self.received: collections.Counter[MessageType] = collections.Counter()
        self.refresh: set[Family] = set()
        self.malformed = ""
        self.opened = self.established = self.more = False
        self.end: End | None = None

    def step(self) -> Step:
        """As a value."""
        return Step(
            received=dict(self.received),
            refresh=frozenset(self.refresh),
            malformed=self.malformed,
            opened=self.opened,
            established=self.established,
            more=self.more,
            end=self.end,
        )
