"""What it costs to ask many nodes whether they live: the process of [liveness] alone.

The nodes are addresses of the loopback interface.  Over HTTP a simple server answers for all of
them, so the two share the processors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from benchmarks.plan import Plan
from benchmarks.process import cpu_seconds, resident
from benchmarks.table import Figure, one
from fabric import FabricError, end
from porter_ryu.domain.model import Family
from porter_ryu.liveness.orders import (
    NodeOrder,
    decode_report,
    encode_instructions,
    encode_nodes,
)
from porter_ryu.liveness.probes import LivenessSettings, parse_probe

_PORT = 18256
_FIRST = int(ip_address("127.1.0.1"))
_COMMAND = [sys.executable, "-m", "porter_ryu.liveness.process"]
_SETTLE_SECONDS = 6.0
_SHARE_OF_NODES = 2  # 5,000 nodes at 10,000 Services
_FASTER = 10
_WANTED_PERCENT = 60.0
_PRIORITY = -15  # the server must not be what is measured


class _Run:
    """The process, and what it reports."""

    def __init__(self, probe: str, nodes: int, interval: float) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(_COMMAND, stdin=pipe, stdout=pipe)
        self.answered: set[str] = set()
        self.dead: set[str] = set()
        self.faults: set[str] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdin is not None
        settings = LivenessSettings((parse_probe(probe),), interval, 3)
        self.process.stdin.write(encode_instructions(settings, 90))
        orders = [
            NodeOrder((f"n{number}", Family.IPV4), str(ip_address(_FIRST + number)))
            for number in range(nodes)
        ]
        self.process.stdin.write(encode_nodes(orders))
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            report = decode_report(line)
            self.faults |= {f"{subject}: {fault}" for subject, fault in report.faults.items()}
            for (name, _), found in report.found.items():
                if not found.unanswered:
                    self.answered.add(name)
                if found.dead:
                    self.dead.add(name)

    def end(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self._reader.join()


@contextmanager
def _server() -> Iterator[None]:
    argv = [sys.executable, "-m", "benchmarks.healthz_server", str(_PORT)]
    process = subprocess.Popen(argv)
    os.setpriority(os.PRIO_PROCESS, process.pid, _PRIORITY)
    try:
        yield
    finally:
        end(process)


def measure(plan: Plan) -> list[Figure]:
    """The share of one core for each kind of probe, once a second and four times a second."""
    many = max(_FASTER, plan.services // _SHARE_OF_NODES)
    figures = []
    with _server():
        for nodes, interval in ((many, 1.0), (many // _FASTER, 0.25)):
            for probe in ("icmp", f"http:{_PORT}/healthz"):
                plan.say(f"{probe} of {nodes} nodes")
                figures += _measured(plan, probe, nodes, interval)
    return figures


def _measured(plan: Plan, probe: str, nodes: int, interval: float) -> list[Figure]:
    run = _Run(probe, nodes, interval)
    kind = probe.partition(":")[0]
    what = f"{kind}, {nodes} nodes every {interval * 1000:.0f} ms"
    try:
        time.sleep(_SETTLE_SECONDS)
        used, began = cpu_seconds(run.process.pid), time.monotonic()
        time.sleep(plan.rest)
        took = time.monotonic() - began
        percent = 100 * (cpu_seconds(run.process.pid) - used) / took
        memory = resident(run.process.pid)
    finally:
        run.end()
    for fault in sorted(run.faults):
        plan.say(fault)
    if len(run.answered) < nodes or run.dead:
        text = f"{what}: {len(run.answered)} answered, {len(run.dead)} were dead"
        raise FabricError(text)
    return [
        one(what, percent, "% of a core", wanted=_WANTED_PERCENT),
        one(f"{what}: resident", memory, "MB"),
    ]
