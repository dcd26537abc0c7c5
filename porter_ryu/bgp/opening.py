"""When a peer gets our OPEN.

A router that keeps our routes without a session (RFC 4724, 4.2) removes those that it is not sent
again.  So one that may keep routes of an earlier run gets our OPEN when the table can follow it,
and on one connection at a time: with OPENs on two at once, the router may be Established in the one
that is closed because of the other (RFC 4271, 6.8), and remove what it keeps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from porter_ryu.bgp.offer import our_open
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.peer_connections import PeerConnections
from porter_ryu.bgp.peer_report import Waiting
from porter_ryu.bgp.protocol.fsm import State
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.bgp.session import Session
from porter_ryu.domain.peering import PeerConfig, SpeakerConfig
from porter_ryu.supervisor import Supervisor

_FIRST_SECONDS = 2.0  # how long others wait for what comes of a connection


class Gate(Protocol):
    """Whether peers that keep routes of an earlier run may get our OPEN, which they do at
    `opens_at` (on the monotonic clock) in any case: the table is complete."""

    may_open: bool
    opens_at: float


class Opening:
    """The OPENs on the connections with one peer, which are `connections`.

    `withdraws`: the next session is there to take away what the peer keeps, so it is without
    graceful restart and waits for no table.
    """

    def __init__(
        self,
        speaker: SpeakerConfig,
        gate: Gate,
        outbound: Outbound,
        supervisor: Supervisor,
        connections: PeerConnections,
    ) -> None:
        self.withdraws = False
        self._speaker = speaker
        self._gate = gate
        self._outbound = outbound
        self._supervisor = supervisor
        self._connections = connections

    @property
    def must_wait(self) -> bool:
        """Whether no connection gets our OPEN before the table is complete."""
        may_open = self._gate.may_open or self.withdraws
        return self._outbound.left_count > 0 and not may_open

    def goes_first(self, session: Session) -> bool:
        """Whether the other connections wait for what comes of this one, with a peer that keeps
        routes: our OPEN waits in it, or was just sent."""
        if not self._outbound.left_count:
            return False
        if session.state in (State.OPEN_SENT, State.OPEN_CONFIRM):
            return time.monotonic() < session.open_sent_at + _FIRST_SECONDS
        return session.state is State.CONNECT

    def our_open(
        self, session: Session, peer: PeerConfig, look_again: Callable[[], None]
    ) -> Open | None:
        """Our OPEN for a connection; None while it has to wait.  `look_again` is called when the
        other connections need not wait for this one any longer."""
        if self.must_wait or (self._outbound.left_count and not self._is_next(session)):
            return None
        if self._outbound.left_count:
            self._supervisor.after(_FIRST_SECONDS, "open", look_again)
        return our_open(peer, self._speaker, self._outbound.restarting, self.withdraws)

    def _is_next(self, session: Session) -> bool:
        """Whether a connection is the one that gets our OPEN now, with a peer that keeps routes:
        one on which the peer has spoken goes before silent ones, and a newer one before others."""
        waiting = [s for s in self._connections if s.state is State.CONNECT]
        if any(self.goes_first(s) for s in self._connections if s not in waiting):
            return False
        return session is max(waiting, key=lambda s: (s.has_spoken, s.opened_at))

    def waiting(self, now: float) -> Waiting | None:
        """What the connections wait for, at a time on the monotonic clock; None without one."""
        if not self._connections:
            return None
        if self.must_wait and any(s.state is State.CONNECT for s in self._connections):
            return Waiting(our_open_within=max(0.0, self._gate.opens_at - now))
        sent = [s.open_sent_at for s in self._connections if s.state is State.OPEN_SENT]
        return Waiting(since_our_open=now - min(sent, default=now))
