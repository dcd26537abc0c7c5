"""The state of a peer as it is reported over HTTP and in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.roles import role_name
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.socket_address import canonical

_NO_ROLE = "none"
_COLLISION_CAUSES = (Cause.COLLISION, Cause.PEER_COLLISION, Cause.REJECTED, Cause.REPLACED)


@dataclass(frozen=True, slots=True)
class PeerReport:
    """The state of a session that is wanted with a peer; times in seconds.

    `peer` is the name of the peer, and `name` that of the session: the same, unless the peer has
    several.  `local_address`: of this host, in the Established session or as configured, empty if
    neither is known.
    `role`: ours in this peering; `peer_role`: that of the peer in the Established session (RFC
    9234); each `none` if there is none.
    `last_error`: why the session is not Established now, empty if it is.  `last_down_reason`,
    `last_down_cause` (one of `protocol.ending.Cause`) and `last_down_at` (Unix time, 0 for never)
    are about the last Established session that ended, also after the next one has come up.
    `damped_seconds`: how long the peer is still kept idle because its sessions did not last.
    """

    name: str
    peer: str
    address: str
    local_address: str
    remote_as: int
    state: str
    established_seconds: float
    hold_time: float
    families: tuple[str, ...]
    add_path: tuple[str, ...]
    graceful_restart: bool
    role: str
    peer_role: str
    paths: dict[str, int]
    last_error: str
    last_down_reason: str
    last_down_cause: str
    last_down_at: float
    damped_seconds: float


class DownHistory:
    """Why a session is not Established.

    It keeps two texts, so that a later connect error does not hide why the last session ended.
    """

    def __init__(self) -> None:
        self.down_reason = ""
        self.down_cause = ""
        self.down_at = 0.0
        self._session_error = ""
        self._attempt_error = ""

    @property
    def last_error(self) -> str:
        """Why the last session ended, and why the latest attempt failed; empty for neither."""
        return "; now: ".join(text for text in (self._session_error, self._attempt_error) if text)

    def came_up(self) -> None:
        """Records that a session is Established."""
        self._session_error = self._attempt_error = ""

    def went_down(self, end: End, at: float) -> None:
        """Records the end of an Established session; `at` in Unix time."""
        self.down_reason, self.down_cause, self.down_at = end.text, end.cause.value, at
        self._session_error, self._attempt_error = end.text, ""

    def attempt_ended(self, end: End) -> None:
        """Records the end of a connection before Established.  A collision is not an error."""
        if end.cause in _COLLISION_CAUSES:
            return
        if end.received is not None or end.sent is not None:
            self._session_error, self._attempt_error = end.text, ""
        else:
            self._attempt_error = end.text

    def connect_failed(self, why: str) -> None:
        """Records that no TCP connection could be made."""
        self._attempt_error = why


def report_running(
    peer: PeerConfig,
    state: str,
    session: Session | None,
    established_seconds: float,
    paths: Mapping[Family, int],
    history: DownHistory,
    damped_seconds: float,
) -> PeerReport:
    """The report of a running peer; `session` is the Established one, if any."""
    return PeerReport(
        name=peer.name,
        peer=peer.peer,
        address=str(peer.address),
        local_address=_local_address(peer, session),
        remote_as=peer.remote_as,
        state=state,
        established_seconds=round(established_seconds, 3),
        hold_time=float(session.hold_time) if session is not None else 0.0,
        families=_names(session.families) if session is not None else (),
        add_path=_names(session.add_path) if session is not None else (),
        graceful_restart=session is not None and session.graceful,
        role=_our_role(peer),
        peer_role=_peer_role(session),
        paths={family_name(family): count for family, count in paths.items()},
        last_error="" if session is not None else history.last_error,
        last_down_reason=history.down_reason,
        last_down_cause=history.down_cause,
        last_down_at=history.down_at,
        damped_seconds=round(damped_seconds, 3),
    )


def report_not_running(peer: PeerConfig, why: str) -> PeerReport:
    """The report of a configured peer that does not run with these settings (yet)."""
    return PeerReport(
        name=peer.name,
        peer=peer.peer,
        address=str(peer.address),
        local_address=_local_address(peer, None),
        remote_as=peer.remote_as,
        state="Idle",
        established_seconds=0,
        hold_time=0,
        families=(),
        add_path=(),
        graceful_restart=False,
        role=_our_role(peer),
        peer_role=_NO_ROLE,
        paths={},
        last_error=why,
        last_down_reason="",
        last_down_cause="",
        last_down_at=0.0,
        damped_seconds=0.0,
    )


def _local_address(peer: PeerConfig, session: Session | None) -> str:
    if session is not None:
        return str(canonical(session.local_name[0]))
    return str(peer.local_address or "")


def _our_role(peer: PeerConfig) -> str:
    return peer.role.value if peer.role is not None else _NO_ROLE


def _peer_role(session: Session | None) -> str:
    role = session.peer_role if session is not None else None
    return role_name(role) if role is not None else _NO_ROLE


def describe_negotiated(session: Session, fan_out: int) -> str:
    """What both sides negotiated, as text for the log; `fan_out`: how many sessions the peer has,
    0 if no fan-out is configured."""
    with_add_path = _names(session.add_path)
    without = _names(session.families - session.add_path)
    parts = [f"hold time {session.hold_time} s"]
    if with_add_path:
        parts.append(f"ADD-PATH for {', '.join(with_add_path)}")
    if without and fan_out:
        parts.append(f"of {fan_out} sessions with the peer, each with other next hops")
    elif without:
        parts.append(
            f"no ADD-PATH for {', '.join(without)}: one next hop per address, spread over the "
            "nodes by rendezvous hash"
        )
    if session.graceful:
        parts.append("graceful restart")
    if session.peer_role is not None:
        parts.append(f"the peer is our {role_name(session.peer_role)}")
    if not session.families:
        parts.append("no address family in common")
    return ", ".join(parts)


def family_name(family: Family) -> str:
    """The name of a family in the configuration and in the metrics."""
    return f"ipv{family.value}"


def _names(families: Iterable[Family]) -> tuple[str, ...]:
    return tuple(family_name(family) for family in sorted(families))
