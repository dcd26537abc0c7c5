"""What became of the sessions with a peer: when one was up, who ended the last one, and why the
present attempts fail.

The reason that a session ended with is kept until the next one is up: a later "connection refused"
is told beside it.
"""

from __future__ import annotations

import enum
import errno

from msgspec import Struct

from porter_ryu.bgp.protocol.ending import Cause, End, Side
from porter_ryu.bgp.protocol.notification import CEASE, Cease, Notification
from porter_ryu.log import reason_of

_NO_ERRORS = (
    Cause.COLLISION,
    Cause.PEER_COLLISION,
    Cause.REJECTED,
    Cause.REPLACED,
    Cause.STOPPED,
    Cause.DECONFIGURED,
)


class Failure(enum.Enum):
    """Why attempts fail, as far as it can be told apart; `hints` says what to do."""

    TIMED_OUT = enum.auto()
    REFUSED = enum.auto()
    UNREACHABLE = enum.auto()
    NO_LOCAL_ADDRESS = enum.auto()
    CLOSED_EARLY = enum.auto()
    SILENT = enum.auto()
    TOO_FAR = enum.auto()
    OTHER_AS = enum.auto()
    OUR_AS_REFUSED = enum.auto()
    ROLE = enum.auto()
    IDENTIFIER = enum.auto()
    HOLD_TIME = enum.auto()
    SHUT_DOWN = enum.auto()
    REJECTED = enum.auto()
    TOO_MANY_PREFIXES = enum.auto()
    RECONFIGURED = enum.auto()
    RESET = enum.auto()
    OUT_OF_RESOURCES = enum.auto()
    BFD = enum.auto()
    UNHEARD = enum.auto()
    BROKEN = enum.auto()
    PROTOCOL = enum.auto()
    PEER_SAID = enum.auto()


_OF_ERROR = {
    errno.ETIMEDOUT: Failure.TIMED_OUT,
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNRESET: Failure.CLOSED_EARLY,
    errno.EHOSTUNREACH: Failure.UNREACHABLE,
    errno.ENETUNREACH: Failure.UNREACHABLE,
    errno.EADDRNOTAVAIL: Failure.NO_LOCAL_ADDRESS,
}
_SENT = {
    (2, 2): Failure.OTHER_AS,
    (2, 3): Failure.IDENTIFIER,
    (2, 6): Failure.HOLD_TIME,
    (2, 11): Failure.ROLE,
}
_RECEIVED = {
    (2, 2): Failure.OUR_AS_REFUSED,
    (2, 3): Failure.IDENTIFIER,
    (2, 6): Failure.HOLD_TIME,
    (2, 11): Failure.ROLE,
    (CEASE, Cease.MAXIMUM_PREFIXES): Failure.TOO_MANY_PREFIXES,
    (CEASE, Cease.ADMINISTRATIVE_SHUTDOWN): Failure.SHUT_DOWN,
    (CEASE, Cease.PEER_DECONFIGURED): Failure.REJECTED,
    (CEASE, Cease.CONNECTION_REJECTED): Failure.REJECTED,
    (CEASE, Cease.ADMINISTRATIVE_RESET): Failure.RESET,
    (CEASE, Cease.OTHER_CONFIGURATION_CHANGE): Failure.RECONFIGURED,
    (CEASE, Cease.OUT_OF_RESOURCES): Failure.OUT_OF_RESOURCES,
}
# where a NOTIFICATION does not say more
_OF_CAUSE = {
    Cause.PEER_CLOSED: Failure.BROKEN,
    Cause.CONNECTION_BROKE: Failure.BROKEN,
    Cause.HOLD_TIMER: Failure.UNHEARD,
    Cause.SEND_HOLD_TIMER: Failure.UNHEARD,
    Cause.PEER_HOLD_TIMER: Failure.UNHEARD,
    Cause.PEER_SEND_HOLD_TIMER: Failure.UNHEARD,
    Cause.BFD: Failure.BFD,
    Cause.PEER_BFD: Failure.BFD,
    Cause.HEADER_ERROR: Failure.PROTOCOL,
    Cause.OPEN_ERROR: Failure.PROTOCOL,
    Cause.UPDATE_ERROR: Failure.PROTOCOL,
    Cause.FSM_ERROR: Failure.PROTOCOL,
    Cause.REFRESH_ERROR: Failure.PROTOCOL,
    Cause.PEER_HEADER_ERROR: Failure.PROTOCOL,
    Cause.PEER_OPEN_ERROR: Failure.PROTOCOL,
    Cause.PEER_UPDATE_ERROR: Failure.PROTOCOL,
    Cause.PEER_FSM_ERROR: Failure.PROTOCOL,
    Cause.PEER_REFRESH_ERROR: Failure.PROTOCOL,
    Cause.PEER_CEASE: Failure.PEER_SAID,
    Cause.PEER_OTHER: Failure.PEER_SAID,
}


class LastDown(Struct, frozen=True):
    """The end of the last Established session: when (Unix time), why, and by whom.

    `kept_until`: about when the peer removes our routes if no session comes up before (Unix time);
    None if it removed them with the session.
    """

    time: float
    reason: str
    cause: Cause
    kept_until: float | None = None

    @property
    def by(self) -> Side:
        """Who ended it."""
        return self.cause.by


class SessionHistory:
    """Of one session that is wanted, also while its settings change; all times are Unix times, in
    seconds.

    `since`: when a session came up, or the last one ended; before the first one, when the peer was
    set.  `last_up`: when a session came up last; None: never.  `count`: how many came up.
    `failure`: why the latest attempt failed, while no session is up; None if that is not known.
    """

    def __init__(self, now: float) -> None:
        self.since = now
        self.count = 0
        self.last_up: float | None = None
        self.last_down: LastDown | None = None
        self.failure: Failure | None = None
        self._said: Failure | None = None  # by the last NOTIFICATION
        self._told: set[bool] = set()
        self._session_error = ""
        self._attempt_error = ""

    @property
    def last_error(self) -> str:
        """Why the last session ended, and why the latest attempt failed; empty for neither."""
        return "; now: ".join(text for text in (self._session_error, self._attempt_error) if text)

    def news(self) -> str:
        """Why no session came up yet, if that is new: the first reason of all, and the first that
        one of the routers gave; else empty."""
        given = bool(self._session_error)
        if self.last_up is not None or not self.last_error or given in self._told:
            return ""
        self._told.add(given)
        return self.last_error

    def came_up(self, now: float) -> None:
        """Records that a session is Established."""
        self.since = self.last_up = now
        self.count += 1
        self.failure = self._said = None
        self._session_error = self._attempt_error = ""

    def went_down(self, end: End, now: float, kept_until: float | None = None) -> None:
        """Records the end of an Established session; `kept_until`: as in `LastDown`."""
        self.since = now
        self.last_down = LastDown(now, end.text, end.cause, kept_until)
        self._said = _said_by(end)
        self.failure = _failure_of(end)
        self._session_error, self._attempt_error = end.text, ""

    def settings_changed(self) -> None:
        """The session gets other settings: why attempts failed with those before says nothing of
        the next ones."""
        self.failure = self._said = None
        self._told.clear()
        down = self.last_down
        self._session_error = down.reason if down is not None else ""
        self._attempt_error = ""

    def attempt_ended(self, end: End) -> bool:
        """Records the end of a connection before Established.  Returns whether it is an error: a
        collision is none, and neither is what we end ourselves."""
        if end.cause in _NO_ERRORS:
            return False
        failure = _failure_before_established(end)
        if end.received is not None or end.sent is not None:
            self.failure = self._said = failure
            self._session_error, self._attempt_error = end.text, ""
        else:
            self._attempt_failed(failure, end.text)
        return True

    def connect_failed(self, error: OSError) -> None:
        """Records that no TCP connection could be made."""
        timed_out = isinstance(error, TimeoutError)
        failure = Failure.TIMED_OUT if timed_out else _OF_ERROR.get(error.errno or 0)
        self._attempt_failed(failure, f"cannot connect: {reason_of(error)}")

    def _attempt_failed(self, failure: Failure | None, text: str) -> None:
        """Many routers close the next connections at once, and do not listen any more for a peer
        that was shut down: that says less than their NOTIFICATION."""
        shut_down = self._said is Failure.SHUT_DOWN and failure is Failure.REFUSED
        if shut_down or (failure is Failure.CLOSED_EARLY and self._said is not None):
            failure = self._said
        self.failure, self._attempt_error = failure, text

    def refused_by_gtsm(self) -> None:
        """Records that a connection of the peer came from too far away (RFC 5082)."""
        self.failure = Failure.TOO_FAR
        self._attempt_error = "connection refused by GTSM: the caller is too far away"


def _failure_before_established(end: End) -> Failure | None:
    if end.cause in (Cause.PEER_CLOSED, Cause.CONNECTION_BROKE):
        return Failure.CLOSED_EARLY
    if end.cause is Cause.HOLD_TIMER:
        return Failure.SILENT
    return _failure_of(end)


def _failure_of(end: End) -> Failure | None:
    """What the end of a session says about the next attempts."""
    return _said_by(end) or _OF_CAUSE.get(end.cause)


def _said_by(end: End) -> Failure | None:
    """What a NOTIFICATION says about the next attempts."""
    for notification, known in ((end.received, _RECEIVED), (end.sent, _SENT)):
        if notification is not None:
            return known.get(_innermost(notification))
    return None


def _innermost(notification: Notification) -> tuple[int, int]:
    inner = notification.inner or notification
    return inner.code, inner.subcode
