"""The state of a peer as it is reported over HTTP and in the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from porter_ryu.bgp import hints
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.protocol.fsm import State
from porter_ryu.bgp.protocol.roles import role_name
from porter_ryu.bgp.session import Session
from porter_ryu.bgp.session_history import Failure, LastDown, SessionHistory
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.socket_address import canonical

_NO_ROLE = "none"
_SILENT_SECONDS = 5.0
ESTABLISHED = State.ESTABLISHED.value
OPEN_WAITS = "our OPEN waits until the cluster is read"


class PeerReport(Struct, frozen=True):
    """The state of a session that is wanted with a peer; durations in seconds, times are Unix
    times, None for never.

    `peer` is the name of the peer, and `name` that of the session: the same, unless the peer has
    several.  `local_address`: of this host, in the Established session or as configured, empty if
    neither is known.
    `since`: when the session came up, or the last one ended.  `last_update_sent`: in any session.
    `role`: ours in this peering; `peer_role`: that of the peer in the Established session (RFC
    9234); each `none` if there is none.
    `last_error`: why the session is not Established now, empty if it is.  `last_down` is about the
    last Established session that ended, also after the next one has come up.
    `kept_until`: about until when the peer keeps our routes without a session; None if it has one,
    or does not keep them, or that is not known.  `paths_left`: so many paths may an earlier session
    have left with the peer.
    `damped_seconds`: how long the peer is still kept idle because its sessions did not last.
    `bfd` is None if BFD is not configured.  `hint`: what to look at, empty if there is nothing.
    """

    name: str
    peer: str
    address: str
    local_address: str
    remote_as: int
    state: str
    role: str
    since: float | None = None
    established_seconds: float = 0.0
    hold_time: float = 0.0
    families: tuple[str, ...] = ()
    add_path: tuple[str, ...] = ()
    graceful_restart: bool = False
    peer_role: str = _NO_ROLE
    paths: Mapping[str, int] = field(default_factory=dict)
    last_up: float | None = None
    last_update_sent: float | None = None
    last_error: str = ""
    last_down: LastDown | None = None
    kept_until: float | None = None
    paths_left: int = 0
    damped_seconds: float = 0.0
    bfd: BfdReport | None = None
    hint: str = ""

    @property
    def is_up(self) -> bool:
        """Whether the session is Established."""
        return self.state == ESTABLISHED


class Output(Struct, frozen=True):
    """What a peer is sent: the number of paths of each family, when the last UPDATE was sent (Unix
    time, None: never), how many next hops and prefixes are withheld because it refuses them, and
    how many paths earlier sessions left with it."""

    paths: Mapping[Family, int]
    last_update: float | None
    withheld: int
    left: int = 0


class Waiting(Struct, frozen=True):
    """What a connection that is not Established waits for: our OPEN, which is sent within so many
    seconds at the latest, or the peer, which has had our OPEN for so many seconds."""

    our_open_within: float | None = None
    since_our_open: float = 0.0

    @property
    def reason(self) -> str:
        """Why we are the one that is waited for; empty if we are not."""
        return OPEN_WAITS if self.our_open_within is not None else ""


def report_running(
    peer: PeerConfig,
    local_as: int,
    state: str,
    session: Session | None,
    established_seconds: float,
    output: Output,
    history: SessionHistory,
    kept_until: float | None,
    damped_seconds: float,
    waiting: Waiting | None,
    may_keep: bool,
) -> PeerReport:
    """The report of a running peer; `session` is the Established one, if any.  `waiting`: what a
    connection waits for, None without one.  `may_keep`: the peer may keep our routes without a
    session, perhaps those of an earlier run."""
    report = PeerReport(
        name=peer.name,
        peer=peer.peer,
        address=str(peer.address),
        local_address=_local_address(peer, session),
        remote_as=peer.remote_as,
        state=state,
        role=_our_role(peer),
        since=history.since,
        paths={family_name(family): count for family, count in output.paths.items()},
        last_up=history.last_up,
        last_update_sent=output.last_update,
        last_down=history.last_down,
        kept_until=kept_until,
        paths_left=output.left,
        damped_seconds=round(damped_seconds, 3),
    )
    if session is None:
        internal = peer.remote_as == local_as
        if waiting is not None and waiting.our_open_within is not None:
            hint = hints.of_waiting(waiting.our_open_within)
            return replace(report, last_error=waiting.reason, hint=hint)
        silent = waiting is not None and waiting.since_our_open > _SILENT_SECONDS
        failure = Failure.SILENT if silent else history.failure
        connected = waiting is not None
        hint = hints.of_failure(peer, local_as, internal, failure, connected, may_keep)
        return replace(report, last_error=history.last_error, hint=hint)
    families, add_path = _names(session.families), _names(session.add_path)
    single = _names(session.families - session.add_path)
    return replace(
        report,
        established_seconds=round(established_seconds, 3),
        hold_time=float(session.hold_time),
        families=families,
        add_path=add_path,
        graceful_restart=session.graceful,
        peer_role=_peer_role(session),
        hint=hints.of_refusals(output.withheld) or hints.of_session(peer, single, families),
    )


def report_not_running(
    peer: PeerConfig, why: str, history: SessionHistory | None = None
) -> PeerReport:
    """The report of a configured peer that does not run with these settings (yet); `history`: of
    its sessions with earlier settings."""
    return PeerReport(
        name=peer.name,
        peer=peer.peer,
        address=str(peer.address),
        local_address=_local_address(peer, None),
        remote_as=peer.remote_as,
        state="Idle",
        role=_our_role(peer),
        paths={family_name(family): 0 for family in sorted(peer.families)},
        since=history.since if history is not None else None,
        last_up=history.last_up if history is not None else None,
        last_down=history.last_down if history is not None else None,
        last_error=why,
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
