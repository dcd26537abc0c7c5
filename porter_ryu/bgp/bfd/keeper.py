"""BFD for the peers that ask for it (RFC 5880, 5881): keeps the process that speaks it."""

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
_AGAIN_FIRST, _AGAIN_MOST = 1.0, 30.0
_LIVED_LONG = 60.0
_SILENT_MOST = 10.0  # it says every second that it lives
_LINE_MOST = 4096
_select = patcher.original("select")


class Bfd:
    """`changed` is told the name of a peer and whether its path may be used.

    Only a path that was up can go down: a peer that does not speak BFD keeps its session.  A
    process that dies, hangs, talks nonsense or cannot be started says nothing about a path: it is
    started again, and until then no session is held down by what it said.
    """

    def __init__(
        self,
        changed: Callable[[str, bool], None],
        supervisor: Supervisor,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._supervisor = supervisor
        self._changed = changed
        self._command = command
        self._line = b"[]\n"
        self._news = hub.Event()
        self._down: set[str] = set()
        self._running = False
        self._stopped = False

    def watch(self, peers: Iterable[PeerConfig]) -> frozenset[str]:
        """Sets the peers; those without bfd are left out.  Returns the names of those that this
        host has no address towards: they are to be set again."""
        wanted = [peer for peer in peers if peer.bfd]
        described = {peer.name: _described(peer) for peer in wanted}
        usable = [entry for entry in described.values() if entry is not None]
        self._line = json.dumps(usable).encode() + b"\n"
        self._news.set()
        if usable and not self._running and not self._stopped:
            self._running = True
            self._supervisor.keep_running("bfd", self._keep)
        return frozenset(name for name, entry in described.items() if entry is None)

    def stop(self) -> None:
        """Ends it; the peers are told that this is on purpose."""
        self._running, self._stopped = False, True
        self._news.set()

    def _keep(self, beat: Beat) -> None:
        backoff = Backoff(_AGAIN_FIRST, _AGAIN_MOST)
        while self._running:
            beat()
            started_at, why = time.monotonic(), self._run_once(beat)
            for name in sorted(self._down):
                self._changed(name, True)
            self._down.clear()
            if not self._running:
                return
            if time.monotonic() - started_at > _LIVED_LONG:
                backoff.reset()
            LOG.error("the BFD process %s; it is started again", why)
            hub.sleep(backoff.next())

    def _run_once(self, beat: Beat) -> str:
        """Starts the process and follows it to its end; returns how that came."""
        pipe = subprocess.PIPE
        try:
            # from /: no module of a working directory may stand in for it
            process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, cwd="/")
        except OSError as error:
            return f"cannot be started: {reason_of(error)}"
        feeding = self._supervisor.spawn("bfd input", self._feed, process)
        try:
            why = self._follow(process, beat)
        finally:
            feeding.end()
            process.kill()
            status = process.wait()
            for end in (process.stdin, process.stdout):
                with contextlib.suppress(OSError, ValueError):
                    end.close()
        return why or f"ended with status {status}"

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        """Writes the set of peers whenever it changed; a process that does not read holds up
        nobody else."""
        try:
            while not self._stopped:
                self._news.clear()
                process.stdin.write(self._line)
                process.stdin.flush()
                self._news.wait()
            process.stdin.close()
        except (OSError, ValueError):
            LOG.debug("the BFD process is gone; the next one is told")

    def _follow(self, process: subprocess.Popen[bytes], beat: Beat) -> str:
        """Takes in what the process says; returns why it has to be ended, '' where it has ended
        by itself."""
        while True:
            beat()
            line = None
            with hub.Timeout(_SILENT_MOST, False):
                line = process.stdout.readline(_LINE_MOST)
            if line is None and self._has_spoken(process):
                continue  # it was this loop that was late
            if line is None:
                return f"has said nothing for {_SILENT_MOST:.0f} s"
            if not line:
                return ""
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                return f"says what nobody understands: {line[:80]!r}"

    @staticmethod
    def _has_spoken(process: subprocess.Popen[bytes]) -> bool:
        return bool(_select.select([process.stdout.fileno()], [], [], 0)[0])

    def _take(self, told: object) -> None:
        if not isinstance(told, dict):
            raise TypeError(told)
        if "name" not in told:
            return  # a sign of life
        name = str(told["name"])
        if "fault" in told:
            if told["fault"]:
                LOG.error("peer %s: no BFD for now: %s", name, told["fault"])
            else:
                LOG.info("peer %s: BFD can be spoken again", name)
            return
        up, on_purpose = bool(told["up"]), bool(told["on_purpose"])
        LOG.info("peer %s: BFD is %s", name, "up" if up else f"down: {told['why']}")
        # RFC 5882, 4.2: a peer that ends BFD on purpose says nothing about the path
        usable = up or on_purpose
        (self._down.discard if usable else self._down.add)(name)
        self._changed(name, usable)


def _described(peer: PeerConfig) -> dict[str, object] | None:
    local = peer.local_address or transport.address_towards(peer.address)
    if local is None:
        LOG.error("peer %s: no route to %s, so no BFD for now", peer.name, peer.address)
        return None
    return {
        "name": peer.name,
        "local": str(local),
        "remote": str(peer.address),
        "interval_ms": peer.bfd_interval_ms,
        "multiplier": peer.bfd_multiplier,
    }
