"""Stand-ins for parts that the configuration turns off.

They accept every call and do nothing, so no caller has to check whether a part exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from porter_ryu.bgp.peer_report import PeerReport
from porter_ryu.bgp.peer_table import LastTable, PeerTable
from porter_ryu.domain.announcement import Announcements, SentPath
from porter_ryu.domain.model import Address, Family, Kind, Network, ObjectKey
from porter_ryu.domain.objects import ObjectStatus, WithStatus
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.domain.ports import Observer

if TYPE_CHECKING:
    from porter_ryu.openflow.report import SwitchHealth, SwitchReport


class NoSpeaker:
    """Replaces `bgp.speaker.Speaker` if [bgp] enabled is false."""

    state_dir_writable = True
    is_eip: Callable[[Address], bool]
    on_sent: Callable[[float, float], None]
    on_replay: Callable[[int], None]
    earlier_run = ""

    def observe_sessions(self, observer: Callable[[PeerConfig, bool, str], None]) -> None:
        """There is no session."""

    def set_peers(self, peers: Iterable[PeerConfig]) -> None:
        """Opens no session."""

    def set_routes(self, routes: Mapping[Network, Announcements], read_at: float | None) -> None:
        """Announces nothing (RouteTarget)."""

    def announces(self, prefix: Network) -> bool:
        """Nothing is announced (RouteTarget)."""
        del prefix
        return False

    def complete(self) -> None:
        """There is no End-of-RIB to send (RouteTarget)."""

    def stop(self, withdraw: bool) -> str:
        """There is no session."""
        del withdraw
        return ""

    def reports(self) -> tuple[PeerReport, ...]:
        """There is no peer."""
        return ()

    def is_sent(self, prefix: Network) -> bool:
        """Nothing is sent."""
        del prefix
        return False

    def kept_by(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """There is no peer."""
        del prefix
        return {}

    def routes(self, name: str) -> PeerTable | None:
        """There is no peer."""
        del name
        return None

    def last_routes(self, name: str) -> LastTable | None:
        """There is no peer."""
        del name
        return None

    def left(self) -> Mapping[str, Mapping[Network, Mapping[int | None, SentPath]]]:
        """No peer has anything from earlier runs."""
        return {}

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """Nothing is sent."""
        del prefix
        return {}

    def unsent(self, prefix: Network) -> Mapping[str, str]:
        """There is no peer."""
        del prefix
        return {}


class NoWriter:
    """Replaces `kube.writer.Writer` if [porter] allocate is false."""

    def start(self, observer: Observer) -> None:
        """There is nothing to write."""

    def want(self, obj: WithStatus, status: ObjectStatus) -> None:
        """Nothing is written (StatusTarget)."""

    def forget(self, kind: Kind, key: ObjectKey) -> None:
        """There is no pending write (StatusTarget)."""

    def drop(self) -> None:
        """There is no pending write (StatusTarget)."""


class NoLiveness:
    """Replaces `liveness.monitor.LivenessMonitor` if [liveness] probes is empty."""

    doubted = False
    fault = ""
    answering: Mapping[Family, int] = MappingProxyType({})

    def start(self) -> None:
        """There is nothing to probe."""

    def stop(self) -> None:
        """Nothing runs."""

    def update(self, nodes: Mapping[str, tuple[Address, ...]]) -> None:
        """No node is probed."""


class NoSwitches:
    """Replaces `openflow.target.Switches` if [openflow] enabled is false."""

    def listen(self) -> None:
        """No port is opened."""

    def start(self, is_eip: Callable[[Address], bool]) -> None:
        """No switch is accepted."""

    def stop(self, withdraw: bool) -> str:
        """There is no switch."""
        del withdraw
        return ""

    def health(self) -> Mapping[int, SwitchHealth]:
        """There is no switch."""
        return {}

    def reports(self) -> tuple[SwitchReport, ...]:
        """There is no switch."""
        return ()

    def is_sent(self, prefix: Network) -> bool:
        """Nothing is sent."""
        del prefix
        return False

    def node_of(self, address: Address) -> str:
        """There is no next hop."""
        return str(address)

    def sent(self, prefix: Network) -> Mapping[str, tuple[Address, ...]]:
        """Nothing is sent."""
        del prefix
        return {}


class NoLease:
    """Replaces `kube.lease.Lease` if no other instance can assign addresses."""

    def start(self) -> None:
        """There is no Lease to acquire."""

    def stop(self) -> None:
        """There is no Lease to release."""
