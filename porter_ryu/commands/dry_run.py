"""What `explain` says without an instance: what would be done for the cluster as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from porter_ryu import report, report_nodes
from porter_ryu.commands.reading import read_planner
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Address, Network, ObjectKey

Json = dict[str, Any]


class DryRun:
    """A planner over the cluster, as a source of explanations (`explain.Source`)."""

    def __init__(self, files: Sequence[str]) -> None:
        self._planner = read_planner(files)

    def service(self, namespace: str, name: str) -> Json:
        """The explanation of a Service."""
        return report.explanation(self._planner, ObjectKey(namespace, name), sent=None)

    def holders(self, address: str) -> list[tuple[str, str]]:
        """The Services that would have an address, or have it on record."""
        wanted, decisions = ip_address(address), self._planner.decisions
        held = self._planner.allocator.holders(wanted)
        recorded = (key for key, d in decisions.items() if wanted in d.service.ingress)
        return [(key.namespace, key.name) for key in sorted({*held, *recorded})]

    def eips(self) -> list[Json]:
        """All Eips."""
        return list(report.eips(self._planner))

    def node(self, name: str) -> Json:
        """A node and the Services that would depend on it; `found` says whether there is one."""
        planner = self._planner
        held = {h.address for d in planner.decisions.values() for h in d.outcome.held}
        routes: dict[Address | Network, Announcements] = {
            address: planner.announcements(address) for address in held
        }
        return report_nodes.node(planner, routes, name, lambda: None)
