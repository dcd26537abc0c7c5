"""What is told of a neighbour: to people, over HTTP and in the log."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import PeerConfig

_OF_COLLISIONS = (Cause.COLLISION, Cause.PEER_COLLISION, Cause.REJECTED, Cause.REPLACED)


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer as it is told about; times in seconds.

    `last_error`: why it is not up now, empty while it is.  `last_down_reason`, `last_down_cause`
    (one of `protocol.ending.Cause`) and `last_down_at` (Unix time, 0 for never): of the last
    session that was Established and ended, also after the next one came up.  `damped_seconds`: for
    how long it is still kept idle because its sessions did not last.
    """

    name: str
    address: str
    remote_as: int
    state: str
    established_seconds: float
    hold_time: float
    families: tuple[str, ...]
    add_path: tuple[str, ...]
    graceful_restart: bool
    paths: dict[str, int]
    last_error: str
    last_down_reason: str
    last_down_cause: str
    last_down_at: float
    damped_seconds: float


class History:
    """Why a peer is not up: what it said last outlasts that it cannot be reached since."""

    def __init__(self) -> None:
        self.down_reason = ""
        self.down_cause = ""
        self.down_at = 0.0
        self._said = ""
        self._tried = ""

    @property
    def why_down(self) -> str:
        """Both, where there are both."""
        return "; now: ".join(text for text in (self._said, self._tried) if text)

    def came_up(self) -> None:
        """A session is Established."""
        self._said = self._tried = ""

    def went_down(self, end: End, at: float) -> None:
        """An Established session ended; `at` in Unix time."""
        self.down_reason, self.down_cause, self.down_at = end.text, end.cause.value, at
        self._said, self._tried = end.text, ""

    def attempt_ended(self, end: End) -> None:
        """A connection ended before it was Established.  A collision says nothing of the peer."""
        if end.cause in _OF_COLLISIONS:
            return
        if end.received is not None or end.sent is not None:
            self._said, self._tried = end.text, ""
        else:
            self._tried = end.text

    def attempt_failed(self, why: str) -> None:
        """There was no connection."""
        self._tried = why


def not_set(peer: PeerConfig, why: str) -> PeerReport:
    """A peer that is wanted and does not run, or not yet with these settings."""
    return PeerReport(
        name=peer.name,
        address=str(peer.address),
        remote_as=peer.remote_as,
        state="Idle",
        established_seconds=0,
        hold_time=0,
        families=(),
        add_path=(),
        graceful_restart=False,
        paths={},
        last_error=why,
        last_down_reason="",
        last_down_cause="",
        last_down_at=0.0,
        damped_seconds=0.0,
    )


def negotiated(session: Session) -> str:
    """What two sides agreed on, as a sentence for the log."""
    plain = [family_name(f) for f in sorted(session.families - session.add_path)]
    several = [family_name(f) for f in sorted(session.add_path)]
    parts = [f"hold time {session.hold_time} s"]
    if several:
        parts.append(f"ADD-PATH for {', '.join(several)}")
    if plain:
        parts.append(
            f"no ADD-PATH for {', '.join(plain)}: one next hop per address, spread over the "
            "nodes by rendezvous hash"
        )
    if session.graceful:
        parts.append("graceful restart")
    if not session.families:
        parts.append("no address family in common")
    return ", ".join(parts)


def family_name(family: Family) -> str:
    """A family as the configuration and the metrics spell it."""
    return f"ipv{family.value}"
