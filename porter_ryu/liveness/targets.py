"""The targets of probes: each probe of each address of a node, as the last order says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import Liveness, ProbedNode
from porter_ryu.liveness.echo import SECRET_OCTETS
from porter_ryu.liveness.orders import Order
from porter_ryu.liveness.probes import Probe, ProbeKind


class Target:
    """One probe of the address of a node in one family.

    `index` is its place among the probes.  `sequence` is the number of the last probe that was
    sent, `settled` that of the last one with a result, and `answered` that of the last one that was
    answered.  `secret` is what an ICMP reply has to repeat.
    """

    __slots__ = (
        "address",
        "answered",
        "family",
        "index",
        "node",
        "probe",
        "removed",
        "secret",
        "sequence",
        "settled",
    )

    def __init__(self, node: ProbedNode, index: int, address: str, probe: Probe) -> None:
        self.node, self.family = node
        self.index = index
        self.address = address
        self.probe = probe
        self.secret = os.urandom(SECRET_OCTETS)
        self.sequence = self.settled = self.answered = 0
        self.removed = False

    @property
    def label(self) -> str:
        """Names it in what is found."""
        return f"{self.probe} of {self.address}"


class Targets:
    """All targets; `addresses` are those of the nodes, and `by_address` has the targets of ICMP,
    which are found by the source of a reply."""

    def __init__(self, liveness: Mapping[Family, Liveness]) -> None:
        self.by_address: dict[str, list[Target]] = {}
        self._liveness = liveness
        self._of_node: dict[ProbedNode, list[Target]] = {}
        self.addresses: dict[ProbedNode, str] = {}

    def update(self, order: Order, now: float) -> tuple[list[Target], list[Target]]:
        """Follows an order; returns the targets that are new and those that are gone.  A node whose
        address changed counts as new."""
        stale = [n for n, address in self.addresses.items() if order.addresses.get(n) != address]
        gone = [target for node in stale for target in self._remove(node, order)]
        new: list[Target] = []
        for node, address in order.addresses.items():
            if node in self.addresses:
                continue
            targets = [Target(node, n, address, probe) for n, probe in enumerate(order.probes)]
            self._of_node[node], self.addresses[node] = targets, address
            name, family = node
            labels = [target.label for target in targets]
            self._liveness[family].add(name, labels, order.known.get(node), now)
            for target in targets:
                if target.probe.kind is ProbeKind.ICMP:
                    self.by_address.setdefault(address, []).append(target)
            new += targets
        return new, gone

    def _remove(self, node: ProbedNode, order: Order) -> Iterator[Target]:
        """Removes the targets of a node, and the node unless it has another address now."""
        targets, address = self._of_node.pop(node), self.addresses.pop(node)
        name, family = node
        if node not in order.addresses:
            self._liveness[family].remove(name)
        for target in targets:
            target.removed = True
            if target.probe.kind is ProbeKind.ICMP:
                others = [t for t in self.by_address[address] if t is not target]
                if others:
                    self.by_address[address] = others
                else:
                    del self.by_address[address]
            yield target
