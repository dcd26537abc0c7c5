"""What is told of a neighbour: to people, over HTTP and in the log."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import PeerConfig


@dataclass(frozen=True, slots=True)
class PeerReport:
    """A peer as it is told about; times in seconds."""

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


def not_set(peer: PeerConfig, why: str) -> PeerReport:
    """A peer that is wanted and does not run, or not yet with these settings."""
    address = str(peer.address)
    return PeerReport(peer.name, address, peer.remote_as, "Idle", 0, 0, (), (), False, {}, why)


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
