"""BFD for the peers that ask for it (RFC 5880, 5881): keeps the process that speaks it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable

from eventlet.green import subprocess
from ryu.lib import hub

from porter_ryu.bgp import transport
from porter_ryu.domain.peering import PeerConfig
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_AGAIN = 1.0


class Bfd:
    """`changed` is told the name of a peer and whether its path is up.

    Only a path that was up can go down: a peer that does not speak BFD keeps its session.  A
    process that dies says nothing about a path; it is started again.
    """

    def __init__(self, changed: Callable[[str, bool], None], supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._changed = changed
        self._wanted: list[dict[str, object]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._running = False

    def watch(self, peers: Iterable[PeerConfig]) -> None:
        """Sets the peers; those without bfd are left out."""
        self._wanted = [described for peer in peers if peer.bfd and (described := _described(peer))]
        if self._wanted and not self._running:
            self._running = True
            self._supervisor.keep("bfd", self._keep)
        else:
            self._tell()

    def stop(self) -> None:
        """Ends it; the peers are told that this is on purpose."""
        self._running = False
        if self._process is not None:
            self._process.stdin.close()

    def _keep(self, _beat: Beat) -> None:
        while self._running:
            argv = [sys.executable, "-m", "porter_ryu.bgp.bfd.process"]
            pipe = subprocess.PIPE
            # from /: no module of a working directory may stand in for it
            self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, cwd="/")
            self._tell()
            for line in self._process.stdout:
                self._take(json.loads(line))
            self._process.wait()
            if self._running:
                LOG.error("the BFD process ended (%s) and is started again", self._process.poll())
                hub.sleep(_AGAIN)

    def _tell(self) -> None:
        if self._process is None:
            return
        try:
            self._process.stdin.write(json.dumps(self._wanted).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            LOG.debug("the BFD process is gone; the next one is told")

    def _take(self, told: dict[str, object]) -> None:
        name, up = str(told["name"]), bool(told["up"])
        LOG.info("peer %s: BFD is %s", name, "up" if up else f"down: {told['why']}")
        # RFC 5882, 4.2: a peer that ends BFD on purpose says nothing about the path
        self._changed(name, up or bool(told["on_purpose"]))


def _described(peer: PeerConfig) -> dict[str, object] | None:
    local = peer.local_address or transport.address_towards(peer.address)
    if local is None:
        LOG.error("peer %s: no route to %s, so no BFD", peer.name, peer.address)
        return None
    return {
        "name": peer.name,
        "local": str(local),
        "remote": str(peer.address),
        "interval_ms": peer.bfd_interval_ms,
        "multiplier": peer.bfd_multiplier,
    }
