"""Monitors with BFD the paths to the peers that ask for it (RFC 5880, 5881).

BFD runs in a process of its own (`bgp.bfd.process`); this module starts it, tells it the peers and
reads its reports.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from eventlet import patcher
from eventlet.green import subprocess
from ryu.lib import hub

from porter_ryu.backoff import Backoff
from porter_ryu.bgp import transport
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.log import reason_of
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "porter_ryu.bgp.bfd.process")
_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS = 1.0, 30.0
_STABLE_SECONDS = 60.0
_SILENCE_MAX_SECONDS = 10.0  # the process reports every second that it is alive
_LINE_MAX_OCTETS = 4096
_select = patcher.original("select")


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
        self._supervisor = supervisor
        self._path_changed = path_changed
        self._command = command
        self._input_line = b"[]\n"
        self._input_changed = hub.Event()
        self._down: set[str] = set()
        self._running = False
        self._stopped = False

    def set_peers(self, peers: Iterable[PeerConfig]) -> frozenset[str]:
        """Sets the peers; ignores those without bfd.  Returns the names of the peers to which this
        host has no route: set them again later."""
        descriptions = {peer.name: _description(peer) for peer in peers if peer.bfd}
        usable = [entry for entry in descriptions.values() if entry is not None]
        self._input_line = json.dumps(usable).encode() + b"\n"
        self._input_changed.set()
        if usable and not self._running and not self._stopped:
            self._running = True
            self._supervisor.keep_running("bfd", self._run)
        return frozenset(name for name, entry in descriptions.items() if entry is None)

    def stop(self) -> None:
        """Ends the process, which sends AdminDown to the peers."""
        self._running, self._stopped = False, True
        self._input_changed.set()

    def _run(self, beat: Beat) -> None:
        backoff = Backoff(_RESTART_FIRST_SECONDS, _RESTART_MAX_SECONDS)
        while self._running:
            beat()
            started_at, why = time.monotonic(), self._run_once(beat)
            for name in sorted(self._down):
                self._path_changed(name, True)
            self._down.clear()
            if not self._running:
                return
            if time.monotonic() - started_at > _STABLE_SECONDS:
                backoff.reset()
            LOG.error("the BFD process %s; it is restarted", why)
            hub.sleep(backoff.next())

    def _run_once(self, beat: Beat) -> str:
        """Starts the process and reads its reports until it ends; returns how it ended."""
        pipe = subprocess.PIPE
        try:
            # from /: a module in the working directory must not shadow ours
            process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, cwd="/")
        except OSError as error:
            return f"cannot be started: {reason_of(error)}"
        writer = self._supervisor.spawn("bfd input", self._write_input, process)
        try:
            why = self._read_reports(process, beat)
        finally:
            writer.end()
            process.kill()
            status = process.wait()
            for pipe_end in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    pipe_end.close()
        return why or f"ended with status {status}"

    def _write_input(self, process: subprocess.Popen[bytes]) -> None:
        """Writes the peers each time they change.  It has a greenthread of its own, so that a
        process that does not read blocks nothing else."""
        try:
            while not self._stopped:
                self._input_changed.clear()
                process.stdin.write(self._input_line)
                process.stdin.flush()
                self._input_changed.wait()
            process.stdin.close()
        except (OSError, ValueError):
            LOG.debug("the BFD process has ended; the next one receives the peers")

    def _read_reports(self, process: subprocess.Popen[bytes], beat: Beat) -> str:
        """Reads the reports of the process; returns why it must be killed, '' if it has ended."""
        while True:
            beat()
            line = None
            with hub.Timeout(_SILENCE_MAX_SECONDS, False):
                line = process.stdout.readline(_LINE_MAX_OCTETS)
            if line is None and self._has_output(process):
                continue  # this loop was late, not the process
            if line is None:
                return f"was silent for {_SILENCE_MAX_SECONDS:.0f} s"
            if not line:
                return ""
            try:
                self._handle_report(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                return f"wrote an invalid line: {line[:80]!r}"

    @staticmethod
    def _has_output(process: subprocess.Popen[bytes]) -> bool:
        return bool(_select.select([process.stdout.fileno()], [], [], 0)[0])

    def _handle_report(self, report: object) -> None:
        if not isinstance(report, dict):
            raise TypeError(report)
        if "name" not in report:
            return  # a heartbeat
        name = str(report["name"])
        if "fault" in report:
            if report["fault"]:
                LOG.error("peer %s: BFD does not run: %s", name, report["fault"])
            else:
                LOG.info("peer %s: BFD runs again", name)
            return
        up, admin_down = bool(report["up"]), bool(report["admin_down"])
        LOG.info("peer %s: BFD is %s", name, "up" if up else f"down: {report['reason']}")
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
