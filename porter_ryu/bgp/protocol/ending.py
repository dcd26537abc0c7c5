"""Why a session ended: one word of a fixed list for metrics, one sentence for people.

The sentence may contain text that the peer sent, so it is never a metric label: a peer that sends a
new text each time would create a new time series each time.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from porter_ryu.bgp.protocol.negotiation import Negotiated
from porter_ryu.bgp.protocol.notification import CEASE, Cease, Notification


class Side(enum.Enum):
    """Who ended a session; the values are public.  NETWORK: one side, because it heard nothing
    from the other, or the connection itself."""

    US = "us"
    PEER = "peer"
    NETWORK = "network"


class Cause(enum.Enum):
    """The causes.  Their values are public: label `reason` of `porter_bgp_session_drops_total`."""

    PEER_CLOSED = "closed-by-peer"
    CONNECTION_BROKE = "connection-broke"
    HOLD_TIMER = "hold-timer"
    SEND_HOLD_TIMER = "send-hold-timer"
    HEADER_ERROR = "header-error"
    OPEN_ERROR = "open-error"
    UPDATE_ERROR = "update-error"
    FSM_ERROR = "fsm-error"
    REFRESH_ERROR = "route-refresh-error"
    COLLISION = "collision"
    REPLACED = "replaced-by-peer"
    BFD = "bfd"
    DECONFIGURED = "deconfigured"
    STOPPED = "stopped"
    REJECTED = "rejected"
    FAULT = "internal-fault"
    PEER_HEADER_ERROR = "peer-header-error"
    PEER_OPEN_ERROR = "peer-open-error"
    PEER_UPDATE_ERROR = "peer-update-error"
    PEER_HOLD_TIMER = "peer-hold-timer"
    PEER_FSM_ERROR = "peer-fsm-error"
    PEER_CEASE = "peer-cease"
    PEER_MAXIMUM_PREFIXES = "peer-maximum-prefixes"
    PEER_SHUTDOWN = "peer-shutdown"
    PEER_COLLISION = "peer-collision"
    PEER_BFD = "peer-bfd"
    PEER_REFRESH_ERROR = "peer-route-refresh-error"
    PEER_SEND_HOLD_TIMER = "peer-send-hold-timer"
    PEER_OTHER = "peer-other"

    @property
    def by(self) -> Side:
        """Who ended the session."""
        if self in _BY_NETWORK:
            return Side.NETWORK
        return Side.PEER if self in _BY_PEER or self.name.startswith("PEER_") else Side.US


_BY_NETWORK = frozenset(
    [Cause.CONNECTION_BROKE, Cause.HOLD_TIMER, Cause.PEER_HOLD_TIMER, Cause.BFD, Cause.PEER_BFD]
)
_PEER_MAY_BE_AWAY = frozenset([Cause.PEER_CLOSED, Cause.HOLD_TIMER, Cause.BFD])
_BY_PEER = frozenset([Cause.REPLACED])
_CAUSE_OF_OUR_CODE = {
    1: Cause.HEADER_ERROR,
    2: Cause.OPEN_ERROR,
    3: Cause.UPDATE_ERROR,
    5: Cause.FSM_ERROR,
    7: Cause.REFRESH_ERROR,
}
_CAUSE_OF_PEER_CODE = {
    1: Cause.PEER_HEADER_ERROR,
    2: Cause.PEER_OPEN_ERROR,
    3: Cause.PEER_UPDATE_ERROR,
    4: Cause.PEER_HOLD_TIMER,
    5: Cause.PEER_FSM_ERROR,
    CEASE: Cause.PEER_CEASE,
    7: Cause.PEER_REFRESH_ERROR,
    8: Cause.PEER_SEND_HOLD_TIMER,
}
_CAUSE_OF_PEER_CEASE: dict[int, Cause] = {
    Cease.MAXIMUM_PREFIXES: Cause.PEER_MAXIMUM_PREFIXES,
    Cease.ADMINISTRATIVE_SHUTDOWN: Cause.PEER_SHUTDOWN,
    Cease.COLLISION: Cause.PEER_COLLISION,
    Cease.BFD_DOWN: Cause.PEER_BFD,
}


class End(Struct, frozen=True):
    """How a session ended: `text` for people, and the NOTIFICATION that was sent or received."""

    cause: Cause
    text: str
    sent: Notification | None = None
    received: Notification | None = None


def by_error(notification: Notification, why: str) -> End:
    """The end of a session because of a protocol error of the peer; `notification` is sent."""
    return End(_CAUSE_OF_OUR_CODE.get(notification.code, Cause.FAULT), why, sent=notification)


def by_peer(notification: Notification) -> End:
    """The end of a session by a NOTIFICATION of the peer.  The cause of a Hard Reset is that of the
    NOTIFICATION inside it (RFC 8538, 3.1)."""
    inner = notification.inner or notification
    cause = _CAUSE_OF_PEER_CODE.get(inner.code, Cause.PEER_OTHER)
    if inner.code == CEASE:
        cause = _CAUSE_OF_PEER_CEASE.get(inner.subcode, cause)
    return End(cause, f"the peer sent {notification}", received=notification)


def keeps_routes(end: End, negotiated: Negotiated) -> bool:
    """Whether the peer keeps our routes for our restart time after this end of an Established
    session: one without a NOTIFICATION (RFC 4724, 4.2), or, if both sides agreed on that, with any
    but a Hard Reset (RFC 8538, 4).  What a peer still has that restarts itself, or is silent, is
    not known."""
    if not negotiated.graceful or end.cause in _PEER_MAY_BE_AWAY:
        return False
    told = end.sent or end.received
    if told is None:
        return True
    return negotiated.graceful_notification and not told.is_hard_reset
