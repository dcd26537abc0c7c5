"""Which sessions with a fan-out peer have brought their routes to it.

If a prefix has fewer next hops than there are sessions, a session to spare takes the next hop of
one that is down.  It gives it back only when the other session has been up for some seconds: the
peer has then certainly read the routes from it, and is never without the next hop.
"""

from __future__ import annotations

import collections
from collections.abc import Callable

from msgspec import Struct, field

from porter_ryu.domain.model import Address
from porter_ryu.domain.nodes.fan_out import FanOut
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.supervisor import Supervisor

_SETTLE_SECONDS = 5.0


class _Sessions(Struct):
    """The sessions with one peer, by local address; `settling` have come up a short time ago, the
    last one at number `came_up`."""

    settled: set[Address] = field(default_factory=set)
    settling: set[Address] = field(default_factory=set)
    came_up: int = 0


class FanOuts:
    """The sessions of all fan-out peers.  `changed` is called with the name of a peer whose
    sessions have to be exported to anew."""

    def __init__(self, supervisor: Supervisor, changed: Callable[[str], None]) -> None:
        self._supervisor = supervisor
        self._changed = changed
        self._peers: dict[str, _Sessions] = collections.defaultdict(_Sessions)
        self._stopped = False

    def stop(self) -> None:
        """All sessions end: none takes over from another."""
        self._stopped = True

    def of(self, config: PeerConfig) -> FanOut | None:
        """What the export policy of a session needs; None for the only session of a peer."""
        own = config.local_address
        if not config.fan_out or own is None:
            return None
        down = frozenset(config.fan_out) - self._peers[config.peer].settled - {own}
        return FanOut(own, config.fan_out, down)

    def came_up(self, config: PeerConfig) -> None:
        """A session is Established."""
        if config.fan_out and config.local_address is not None:
            sessions = self._peers[config.peer]
            sessions.settling.add(config.local_address)
            self._settle_later(config.peer, sessions)

    def went_down(self, config: PeerConfig) -> None:
        """A session is not Established any more."""
        if config.fan_out and config.local_address is not None:
            sessions = self._peers[config.peer]
            sessions.settling.discard(config.local_address)
            if config.local_address in sessions.settled and not self._stopped:
                sessions.settled.remove(config.local_address)
                self._changed(config.peer)

    def _settle_later(self, peer: str, sessions: _Sessions) -> None:
        """Sessions that come up one after the other settle together, so that the others are
        exported to anew only once."""
        sessions.came_up = number = sessions.came_up + 1

        def settle() -> None:
            if number == sessions.came_up and not self._stopped:
                sessions.settled |= sessions.settling
                sessions.settling.clear()
                self._changed(peer)

        self._supervisor.after(_SETTLE_SECONDS, "fan-out", settle)
