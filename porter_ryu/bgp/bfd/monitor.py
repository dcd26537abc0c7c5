"""Monitors with BFD the paths to the peers that ask for it (RFC 5880, 5881).

BFD runs in a process of its own (`bgp.bfd.process`); this module starts it, tells it the peers and
reads its reports.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from porter_ryu.bgp import transport
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.side_process import SideProcess
from porter_ryu.supervisor import Supervisor

LOG = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "porter_ryu.bgp.bfd.process")


class BfdReport(Struct, frozen=True):
    """The BFD session with a peer: `state` is up, down or adminDown (by the peer); `since` (Unix
    time; from the beginning: when BFD was begun); `reason`: why it is not up, empty if it is."""

    state: str
    since: float
    reason: str
    interval_ms: int
    multiplier: int


class BfdMonitor:
    """Calls `path_changed` with the name of a peer and whether its path is usable.

    Only a path that was up can go down, so a peer that does not run BFD keeps its session.  When
    the process dies, hangs, writes invalid lines or cannot be started, all paths count as usable
    and it is started again.
    """

    def __init__(
        self,
        path_changed: Callable[[str, bool], None],
        supervisor: Supervisor,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._path_changed = path_changed
        self._input_line = b"[]\n"
        self._down: set[str] = set()
        self._begun: dict[str, float] = {}
        self._states: dict[str, tuple[str, float, str]] = {}
        self._process = SideProcess(
            "BFD",
            command,
            lambda _first: [self._input_line],
            self._handle_report,
            self._restore_paths,
            supervisor,
        )

    def set_peers(self, peers: Iterable[PeerConfig]) -> frozenset[str]:
        """Sets the peers; ignores those without bfd.  Returns the names of the peers to which this
        host has no route: set them again later."""
        descriptions = {peer.name: _description(peer) for peer in peers if peer.bfd}
        usable = [entry for entry in descriptions.values() if entry is not None]
        self._input_line = json.dumps(usable).encode() + b"\n"
        self._states = {name: known for name, known in self._states.items() if name in descriptions}
        self._begun = {name: self._begun.get(name, time.time()) for name in descriptions}
        self._process.input_changed()
        if usable:
            self._process.start()
        return frozenset(name for name, entry in descriptions.items() if entry is None)

    def report(self, peer: PeerConfig) -> BfdReport | None:
        """The BFD session with a peer; None if it has none."""
        if not peer.bfd:
            return None
        not_yet = ("down", self._begun.get(peer.name, time.time()), "no answer yet")
        state, since, reason = self._states.get(peer.name, not_yet)
        return BfdReport(state, since, reason, peer.bfd_interval_ms, peer.bfd_multiplier)

    def stop(self) -> None:
        """Ends the process, which sends AdminDown to the peers."""
        self._process.stop()

    def _restore_paths(self) -> None:
        """The process has ended: no path is down any more."""
        for name in sorted(self._down):
            self._path_changed(name, True)
        self._down.clear()
        self._states.clear()
        self._begun = dict.fromkeys(self._begun, time.time())

    def _handle_report(self, line: bytes) -> None:
        report = json.loads(line)
        if not isinstance(report, dict):
            raise TypeError(report)
        if "name" not in report:
            return  # a heartbeat
        name = str(report["name"])
        if "fault" in report:
            if report["fault"]:
                self._states[name] = ("down", time.time(), f"BFD does not run: {report['fault']}")
                LOG.error("peer %s: BFD does not run: %s", name, report["fault"])
            else:
                self._states.pop(name, None)
                self._begun[name] = time.time()
                LOG.info("peer %s: BFD runs again", name)
            return
        up, admin_down = bool(report["up"]), bool(report["admin_down"])
        LOG.info("peer %s: BFD is %s", name, "up" if up else f"down: {report['reason']}")
        state = "up" if up else "adminDown" if admin_down else "down"
        self._states[name] = (state, time.time(), "" if up else str(report["reason"]))
        # RFC 5882, 4.2: AdminDown does not mean that the path has failed
        usable = up or admin_down
        if usable:
            self._down.discard(name)
        else:
            self._down.add(name)
        self._path_changed(name, usable)


def _description(peer: PeerConfig) -> dict[str, object] | None:
    """A peer as the process reads it; None without a route to it."""
    local = peer.local_address or transport.source_address(peer.address)
    if local is None:
        LOG.error("peer %s: no route to %s: BFD does not run", peer.name, peer.address)
        return None
    return {
        "name": peer.name,
        "local": str(local),
        "remote": str(peer.address),
        "interval_ms": peer.bfd_interval_ms,
        "multiplier": peer.bfd_multiplier,
    }
