"""Records what happens outside the turns: sessions, and who leads."""

from __future__ import annotations

from porter_ryu.domain.peering import PeerConfig
from porter_ryu.domain.ports import Role
from porter_ryu.history import subject
from porter_ryu.history.change import ChangeKind
from porter_ryu.history.record import History

_INSTANCE = "this instance"
_UP, _DOWN, _NOT_YET = "Established", "down", "not up yet"
_ROLES = {
    Role.LEADER: "leads",
    Role.FOLLOWER: "follows",
    Role.UNKNOWN: "unknown",
}
_CAUSES = {
    Role.LEADER: "it holds the Lease",
    Role.FOLLOWER: "another instance holds the Lease",
    Role.UNKNOWN: "it cannot renew the Lease",
}


class Observers:
    """Functions that the parts call."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._up: set[str] = set()  # the sessions

    def session(self, config: PeerConfig, is_up: bool, why: str) -> None:
        """A session came up or went down, or the first attempts at it failed."""
        if is_up:
            before, after = _DOWN, _UP
            self._up.add(config.name)
        elif config.name in self._up:
            before, after = _UP, _DOWN
            self._up.discard(config.name)
        else:
            before, after = "", _NOT_YET
        names = dict.fromkeys([config.name, config.peer])
        about = tuple(map(subject.of_peer, names))
        self._history.add(ChangeKind.SESSION, config.name, before, after, why, about)

    def replay(self, paths: int) -> None:
        """The paths of an earlier run are announced again, because the cluster was not read."""
        are = "path is" if paths == 1 else "paths are"
        self._history.add(
            ChangeKind.RESTART,
            "routes",
            "",
            f"{paths:,} {are} announced again as an earlier run announced them",
            "the cluster has not been read",
            (subject.RESTART,),
        )

    def stop(self, withdraw: bool, stay: bool) -> None:
        """The operator stops this instance."""
        options = ("--withdraw" if withdraw else "", "--stay" if stay else "")
        command = " ".join(filter(None, ("porter-ryu stop", *options)))
        self._history.add(ChangeKind.LEADER, _INSTANCE, "runs", "stopped by the operator", command)

    def role(self, before: Role, after: Role) -> None:
        """This instance took, or lost, the lead."""
        self._history.add(
            ChangeKind.LEADER, _INSTANCE, _ROLES[before], _ROLES[after], _CAUSES[after]
        )
