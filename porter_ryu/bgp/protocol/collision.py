"""Collision detection: which of two connections with one peer is kept (RFC 4271, 6.8; RFC 6286,
2.3; RFC 4724, 5)."""

from __future__ import annotations

import enum
from ipaddress import IPv4Address

from msgspec import Struct

from porter_ryu.bgp.protocol.fsm import State


class Candidate(Struct, frozen=True):
    """A connection whose OPEN was received.

    `inbound`: the peer opened it.  `graceful`: graceful restart is negotiated.  `closed_by_peer`:
    the peer has closed it, we have not handled that yet.  Times are in seconds of one clock;
    `established_at` is 0 before the session is Established.
    """

    inbound: bool
    state: State
    opened_at: float
    established_at: float = 0.0
    graceful: bool = False
    closed_by_peer: bool = False


class Identity(Struct, frozen=True):
    """What is compared of a speaker: its BGP identifier, then its AS (RFC 6286, 2.3)."""

    identifier: IPv4Address
    asn: int

    @property
    def rank(self) -> tuple[int, int]:
        """The connection that the speaker of higher rank opened is kept."""
        return int(self.identifier), self.asn


class Resolution(enum.Enum):
    """What happens to the older connection when the OPEN of a newer one is received.

    Each value is the reason for the connection that is closed.
    """

    REPLACE_OLD = "the peer has lost this session and connected again"
    KEEP_OLD = "collision: an older connection with this peer is kept"
    KEEP_NEW = "collision: a newer connection with this peer is kept"


def resolve(old: Candidate, new: Candidate, local: Identity, remote: Identity) -> Resolution:
    """Decides which of two connections is kept."""
    if old.closed_by_peer or _is_lost(old, new):
        return Resolution.REPLACE_OLD
    new_wins = new.inbound == (remote.rank > local.rank)
    if old.state is State.ESTABLISHED or not new_wins:
        return Resolution.KEEP_OLD
    return Resolution.KEEP_NEW


def _is_lost(old: Candidate, new: Candidate) -> bool:
    """Whether the peer has lost the old session: it connects again although the old session, with
    graceful restart, is Established (RFC 4724, 5)."""
    established = old.state is State.ESTABLISHED and old.graceful
    return established and new.inbound and new.opened_at > old.established_at
