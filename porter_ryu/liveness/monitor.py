"""Follows which nodes answer, by a process of its own (`liveness.process`).

This module starts that process, tells it the nodes and reads its reports.  While it does not run,
what was found last stays: no node is newly dead, and none that is dead returns, for a minute.
"""

from __future__ import annotations

import collections
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ryu.lib import hub

from porter_ryu.domain.model import Address, Family
from porter_ryu.domain.nodes.liveness import NOTHING_FOUND, Findings, ProbedNode
from porter_ryu.domain.text import listed, printable
from porter_ryu.liveness.orders import (
    NodeOrder,
    Report,
    decode_report,
    encode_instructions,
    encode_nodes,
    family_of,
)
from porter_ryu.liveness.probes import LivenessSettings
from porter_ryu.problem_log import ProblemLog
from porter_ryu.side_process import SideProcess
from porter_ryu.supervisor import Beat, Supervisor

LOG = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "porter_ryu.liveness.process")
_KEEP_SECONDS = 60.0
_SUMMARY_SECONDS = 10.0
_NODES_PER_LINE = 100


class LivenessMonitor:
    """Calls `on_findings` with what changed about nodes.

    `doubted`: so many nodes fell silent at once that their loss is not believed.
    """

    def __init__(
        self,
        settings: LivenessSettings,
        panic_percent: int,
        on_findings: Callable[[Mapping[ProbedNode, Findings]], None],
        supervisor: Supervisor,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self.doubted = False
        self._settings = settings
        self._panic_percent = panic_percent
        self._on_findings = on_findings
        self._supervisor = supervisor
        self._addresses: dict[ProbedNode, Address] = {}
        self._found: dict[ProbedNode, Findings] = {}
        self._changed: set[ProbedNode] = set()
        self._reported_at = time.monotonic()
        self._alarm = ProblemLog(
            LOG,
            "ALARM: %(problem)s over %(subject)s: this host or the network is more likely the "
            "cause, so their loss is not believed ([kubernetes] panic_percent)",
            "ALARM over: nodes answer again over %(subject)s, and what they answer is believed",
        )
        self._faults = ProblemLog(
            LOG, "probing of nodes, %(subject)s: %(problem)s", "probing of nodes, %(subject)s: over"
        )
        self._never = ProblemLog(
            LOG,
            "the probe %(subject)s was never answered by %(problem)s: it counts for nothing there",
            "the probe %(subject)s was answered by every node at least once",
        )
        self._process = SideProcess(
            "liveness", command, self._orders, self._handle_line, self._process_ended, supervisor
        )

    @property
    def fault(self) -> str:
        """Why nodes are not probed, empty while they are."""
        return self._process.fault

    @property
    def answering(self) -> dict[Family, int]:
        """How many nodes have answered a probe, by family."""
        most = len(self._settings.probes)
        counts = dict.fromkeys(Family, 0)
        for (_, family), found in self._found.items():
            counts[family] += len(found.unanswered) < most
        return counts

    def start(self) -> None:
        """Starts the process."""
        self._process.start()
        self._supervisor.keep_running("liveness summary", self._summarize)

    def stop(self) -> None:
        """Ends the process."""
        self._process.stop()

    def update(self, nodes: Mapping[str, tuple[Address, ...]]) -> None:
        """Sets the addresses to probe of these nodes (none: the node is not probed); other nodes
        stay as they are."""
        for name, addresses in nodes.items():
            by_family = {Family(address.version): address for address in addresses}
            for family in Family:
                self._set_address((name, family), by_family.get(family))
        self._process.input_changed()

    def _set_address(self, node: ProbedNode, address: Address | None) -> None:
        if self._addresses.get(node) == address:
            return
        if self._found.pop(node, NOTHING_FOUND) != NOTHING_FOUND:
            self._on_findings({node: NOTHING_FOUND})
        if address is not None:
            self._addresses[node] = address
        else:
            del self._addresses[node]
        self._changed.add(node)

    def _orders(self, first: bool) -> Iterator[bytes]:
        """What the process has to read: all, or what changed since this was called last."""
        nodes, self._changed = self._changed, set()
        if first:
            yield encode_instructions(self._settings, self._panic_percent)
            nodes = set(self._addresses)
        ordered = sorted(nodes)
        for start in range(0, len(ordered), _NODES_PER_LINE):
            some = ordered[start : start + _NODES_PER_LINE]
            yield encode_nodes(self._node_order(node) for node in some)

    def _node_order(self, node: ProbedNode) -> NodeOrder:
        address = self._addresses.get(node)
        return NodeOrder(node, str(address) if address else None, self._found.get(node))

    def _handle_line(self, line: bytes) -> None:
        report = decode_report(line)
        self._reported_at = time.monotonic()
        self._take_faults(report)
        changed = {
            (name, family_of(address)): found
            for (name, address), found in report.found.items()
            if address == str(self._addresses.get((name, family_of(address))))
        }
        for node, found in changed.items():
            self._log_change(node, self._found.get(node, NOTHING_FOUND), found)
            self._found[node] = found
        if changed:
            self._on_findings(changed)

    def _take_faults(self, report: Report) -> None:
        self._faults.update_all(report.faults)
        self.doubted = bool(report.doubted)
        text = "almost all nodes stopped answering at once"
        self._alarm.update_all({f"IPv{family.value}": text for family in report.doubted})

    @staticmethod
    def _log_change(node: ProbedNode, before: Findings, after: Findings) -> None:
        name, family = printable(node[0]), node[1].value
        if after.dead and not before.dead:
            LOG.warning("node %s is no next hop of IPv%d: %s", name, family, after.dead)
        elif before.dead and not after.dead:
            LOG.warning("node %s answers again over IPv%d", name, family)

    def _process_ended(self) -> None:
        """What was found stays for a while: a process that is started again takes it over."""
        self._supervisor.after(_KEEP_SECONDS, "liveness forgets", self._forget)

    def _forget(self) -> None:
        """Believes no node dead, if no process has reported for a while."""
        if time.monotonic() - self._reported_at < _KEEP_SECONDS:
            return
        dead = {node: NOTHING_FOUND for node, found in self._found.items() if found.dead}
        self._found.clear()
        if dead:
            names = listed(sorted({name for name, _ in dead}))
            LOG.error("nodes are not probed any more: %s count as alive", names)
            self._on_findings(dead)

    def _summarize(self, beat: Beat) -> None:
        """Logs which probes were never answered, when that changes."""
        while True:
            beat()
            hub.sleep(_SUMMARY_SECONDS)
            by_probe: dict[str, set[str]] = collections.defaultdict(set)
            for (name, family), found in self._found.items():
                for label in found.unanswered:
                    probe = label.partition(" of ")[0]
                    by_probe[f"{probe} over IPv{family.value}"].add(name)
            self._never.update_all({p: listed(sorted(names)) for p, names in by_probe.items()})
