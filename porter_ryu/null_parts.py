"""Parts that the settings do not ask for: they take every wish and do nothing, so that nobody has
to ask whether a part is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Kind, Network, ObjectKey, ObjectStatus, WithStatus
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.domain.ports import Observer


class NoSpeaker:
    """In the place of `bgp.speaker.Speaker` where [bgp] enabled is false."""

    state_dir_writable = True
    is_eip: Callable[[Address], bool]

    def set_peers(self, peers: Iterable[PeerConfig]) -> None:
        """Speaks to none of them."""

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Announces nothing (RouteTarget)."""

    def announces(self, prefix: Network) -> bool:
        """Nothing is announced (RouteTarget)."""
        del prefix
        return False

    def complete(self) -> None:
        """There is nothing to end (RouteTarget)."""

    def stop(self, withdraw: bool) -> None:
        """There is no session."""

    def reports(self) -> tuple[PeerReport, ...]:
        """There is no peer."""
        return ()

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """Nothing is sent."""
        del prefix
        return {}


class NoWriter:
    """In the place of `kube.writer.Writer` where [porter] allocate is false."""

    def start(self, observer: Observer) -> None:
        """There is nothing to write."""

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """Nothing is written (StatusTarget)."""

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """No write waits (StatusTarget)."""

    def drop(self) -> None:
        """No write waits (StatusTarget)."""


class NoLease:
    """In the place of `kube.lease.Lease` where one instance alone assigns."""

    def start(self) -> None:
        """Nobody else is asked."""

    def stop(self) -> None:
        """There is nothing to give up."""
