"""Which of two connections with one peer stays (RFC 4271, 6.8; RFC 6286, 2.3; RFC 4724, 5)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address

from porter_ryu.bgp.protocol.fsm import State


@dataclass(frozen=True, slots=True)
class Contender:
    """A connection whose OPEN is in.  `inbound`: the peer opened it; `dead`: the peer has closed
    it already.  Times in seconds of one clock; `established_at` 0 before it is Established."""

    inbound: bool
    state: State
    opened_at: float
    established_at: float = 0.0
    graceful: bool = False
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A speaker as collisions compare it: by identifier, then by AS (RFC 6286, 2.3)."""

    identifier: IPv4Address
    asn: int

    @property
    def rank(self) -> tuple[int, int]:
        """The greater one's connection stays."""
        return int(self.identifier), self.asn


class Verdict(enum.Enum):
    """What becomes of the older connection when the OPEN of a newer one is in."""

    OLD_IS_GONE = "the peer has ended it and calls again"
    OLD_STAYS = "another connection with this peer stays"
    NEW_STAYS = "a connection of the other side stays"


def judge(old: Contender, new: Contender, ours: Identity, theirs: Identity) -> Verdict:
    """Decides between two connections."""
    if old.dead or _is_lost(old, new):
        return Verdict.OLD_IS_GONE
    wins = new.inbound == (theirs.rank > ours.rank)
    if old.state is State.ESTABLISHED or not wins:
        return Verdict.OLD_STAYS
    return Verdict.NEW_STAYS


def _is_lost(old: Contender, new: Contender) -> bool:
    """Whether a peer that can restart gracefully calls again, so that the Established session is
    one it has lost (RFC 4724, 5)."""
    established = old.state is State.ESTABLISHED and old.graceful
    return established and new.inbound and new.opened_at > old.established_at
