"""Counts the packets that a switch sent to each next hop, by pool, from the counters of its flows.

A flow that is written anew counts from zero; what it had counted stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from porter_ryu.domain.model import Address
from porter_ryu.openflow.replies import FlowOnSwitch

Served = tuple[str, Address]
"""A pool and a next hop."""


class PacketCounts:
    """`packets`: all so far, since this process knows the switch."""

    def __init__(self) -> None:
        self.packets: Counter[Served] = Counter()
        self._last: dict[int, int] = {}

    def update(
        self, found: Collection[FlowOnSwitch], served: Mapping[int, Served]
    ) -> Mapping[Served, int]:
        """Takes the counters of the flows of nodes; returns what was added by each.  `served` says
        by cookie what a flow is for."""
        added: Counter[Served] = Counter()
        last = {}
        for flow in found:
            key = served.get(flow.cookie)
            if key is None:
                continue
            before = self._last.get(flow.cookie, 0)
            added[key] += flow.packets - before if flow.packets >= before else flow.packets
            last[flow.cookie] = flow.packets
        self._last = last
        self.packets.update(added)
        return {key: count for key, count in added.items() if count}
