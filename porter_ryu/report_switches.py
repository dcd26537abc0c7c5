"""The OpenFlow switches as JSON and text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from porter_ryu.domain.text import listed

if TYPE_CHECKING:
    from porter_ryu.domain.model import Address
    from porter_ryu.openflow.report import SwitchReport

Json = dict[str, Any]
VOLATILE = ("connectedSeconds",)
UP = "filled"


def switch(report: SwitchReport, node_of: Callable[[Address], str]) -> Json:
    """One switch; `node_of` names the node of a next hop."""
    return {
        "datapath": f"{report.datapath:#x}",
        "address": report.address,
        "version": f"1.{report.version - 1}",
        "state": report.state,
        "connectedSeconds": round(time.monotonic() - report.since, 1),
        "flows": report.flows,
        "groups": report.groups,
        "changes": report.changes,
        "nodesDoubted": report.doubted,
        "refused": list(report.refused),
        "nodes": [
            {
                "node": node_of(address),
                "nextHop": str(address),
                "answers": where is not None,
                "mac": None if where is None else where.mac.hex(":"),
                "port": None if where is None else where.port,
            }
            for address, where in report.nodes
        ],
        "packets": list(_packets(report, node_of)),
    }


def _packets(report: SwitchReport, node_of: Callable[[Address], str]) -> Iterator[Json]:
    """What the switch sent to each next hop for the addresses of each Eip, and which share of the
    packets for that Eip this is, in per cent: a measurement, other than the share of a path."""
    totals: Counter[str] = Counter()
    for (pool, _), count in report.packets:
        totals[pool] += count
    for (pool, address), count in report.packets:
        yield {
            "eip": pool,
            "node": node_of(address),
            "nextHop": str(address),
            "packets": count,
            "share": round(100 * count / totals[pool], 1) if totals[pool] else None,
        }


def status_lines(switches: list[Json]) -> Iterator[str]:
    """A line for each switch, and one for what it refuses."""
    for entry in switches:
        silent = [node["node"] for node in entry["nodes"] if not node["answers"]]
        text = f"switch {entry['datapath']} {entry['address']}: {entry['state']}, "
        text += f"{entry['flows']} flows, {entry['groups']} groups, {len(entry['nodes'])} next hops"
        yield f"{text}, no answer from {listed(silent)}" if silent else text
        for refusal in entry["refused"]:
            yield f"  refused: {refusal}"
