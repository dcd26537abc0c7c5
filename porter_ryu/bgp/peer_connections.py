"""The connections with one peer: how many there may be, and which of them is kept.

A peer and we may connect at the same time, and anybody may connect in the name of the peer and say
nothing.  At most one connection becomes Established (RFC 4271, 6.8).
"""

from __future__ import annotations

from collections.abc import Iterator

from porter_ryu.bgp.protocol import collision, notification
from porter_ryu.bgp.protocol.collision import Candidate, Identity, Resolution
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.bgp.protocol.fsm import State
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.session import Session

_UNOPENED_MAX = 128
_STATES_IN_ORDER = tuple(State)
_UNOPENED = (State.CONNECT, State.OPEN_SENT)


class PeerConnections:
    """The connections in the order in which they were made."""

    def __init__(self) -> None:
        self._all: list[Session] = []

    def __iter__(self) -> Iterator[Session]:
        """A connection may end while the caller goes through them."""
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session: Session) -> None:
        """A connection was made."""
        self._all.append(session)

    def remove(self, session: Session) -> bool:
        """A connection is over; returns whether that was not known."""
        if session not in self._all:
            return False
        self._all.remove(session)
        return True

    @property
    def state(self) -> State | None:
        """The state of the most advanced connection; None without one."""
        states = [s.state for s in self._all if s.state is not State.IDLE]
        return max(states, key=_STATES_IN_ORDER.index, default=None)

    @property
    def unopened(self) -> list[Session]:
        """Those on which the peer has sent no OPEN yet."""
        return [s for s in self._all if s.state in _UNOPENED]

    @property
    def has_opened_or_ours(self) -> bool:
        """Whether there is one on which the peer has sent an OPEN, or that we have made: a silent
        caller does not count."""
        return any(not s.is_reactive or s.state not in _UNOPENED for s in self._all)

    def make_room(self) -> None:
        """Closes the oldest of the peer's connections without an OPEN if there are too many, so
        that there is room for one more."""
        unopened = [s for s in self.unopened if s.is_reactive]
        for session in unopened[: max(0, len(unopened) - _UNOPENED_MAX + 1)]:
            text = "too many connections without an OPEN"
            session.close(notification.CONNECTION_REJECTED, Cause.REJECTED, text)

    def replace_unopened(self) -> None:
        """Closes those on which nobody has sent an OPEN, since a newer one takes their place."""
        for session in self.unopened:
            session.close(None, Cause.REPLACED, "the peer connects while our OPEN waits")

    def resolve_collision(self, session: Session, local: Identity) -> Notification | None:
        """Closes those that lose against one whose OPEN was received (RFC 4271, 6.8).  Returns the
        NOTIFICATION with which that one has to end because another is kept, or None."""
        assert session.remote_open is not None
        remote = Identity(session.remote_open.identifier, session.remote_open.asn)
        for other in self:
            if other is session or other.remote_open is None:
                continue
            resolution = collision.resolve(_candidate(other), _candidate(session), local, remote)
            if resolution is Resolution.KEEP_OLD:
                return notification.COLLISION
            if resolution is Resolution.REPLACE_OLD:
                other.close(None, Cause.REPLACED, resolution.value)
            else:
                other.close(notification.COLLISION, Cause.COLLISION, resolution.value)
        return None

    def close_others(self, established: Session) -> None:
        """Closes the others when one is Established, but for a newer one of the peer: its OPEN may
        say that the peer has lost the Established one."""
        for other in self:
            newer = other.is_reactive and other.opened_at > established.opened_at
            if other is not established and not newer:
                text = "collision: another connection with this peer is Established"
                other.close(notification.COLLISION, Cause.COLLISION, text)

    def close(self, sent: Notification | None, cause: Cause, text: str) -> None:
        """Closes all; `sent` is the NOTIFICATION to send, if any."""
        for session in self:
            session.close(sent, cause, text)

    def close_for_restart(self, text: str, graceful_restart: bool) -> None:
        """Closes all so that the peer keeps our routes if it can; `text` says why.

        With graceful restart no NOTIFICATION is sent (RFC 4724, 4); without it, Cease,
        Administrative Shutdown.  `graceful_restart`: whether we offer it to a peer whose session
        is coming up.
        """
        for session in self:
            coming_up = session.state is not State.ESTABLISHED and graceful_restart
            silent = session.graceful or coming_up
            sent = None if silent else notification.ADMINISTRATIVE_SHUTDOWN
            session.close(sent, Cause.STOPPED, text)


def _candidate(session: Session) -> Candidate:
    return Candidate(
        session.is_reactive,
        session.state,
        session.opened_at,
        session.established_at,
        session.graceful,
        session.is_closed_by_peer,
    )
