"""What `explain` says without an instance: what would be done for the cluster as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from porter_ryu import report, report_addresses, report_nodes
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

    def address(self, address: str) -> Json:
        """Who would have an address, or whether it would be free."""
        return report_addresses.address(self._planner, ip_address(address), lambda: None)

    def node(self, name: str) -> Json:
        """A node and the Services that would depend on it; `found` says whether there is one."""
        planner = self._planner
        held = {h.address for d in planner.decisions.values() for h in d.outcome.held}
        routes: dict[Address | Network, Announcements] = {
            address: planner.announcements(address) for address in held
        }
        return report_nodes.node(planner, routes, name, None, lambda: None)
