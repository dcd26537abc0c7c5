"""The targets of probes: each probe of each address of a node, as the main process says."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import Findings, Liveness, ProbedNode
from porter_ryu.liveness.echo import SECRET_OCTETS
from porter_ryu.liveness.probes import Probe, ProbeKind

_DISCARD_PORT = 9


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


def _is_ours(address: str) -> bool:
    """Whether this host has an address: then that is also what it would send from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((address, _DISCARD_PORT))  # sends nothing
            return bool(sock.getsockname()[0] == address)
    except OSError:
        return False


class Targets:
    """All targets; `addresses` are those of the nodes, and `by_address` has the targets of ICMP,
    which are found by the source of a reply."""

    def __init__(self, probes: Sequence[Probe], liveness: Mapping[Family, Liveness]) -> None:
        self.addresses: dict[ProbedNode, str] = {}
        self.by_address: dict[str, list[Target]] = {}
        self._probes = probes
        self._liveness = liveness
        self._of_node: dict[ProbedNode, list[Target]] = {}

    def add(
        self, node: ProbedNode, address: str, known: Findings | None, now: float
    ) -> list[Target]:
        """Adds a node that is not there; returns its targets.  `known` is what an earlier process
        found about it."""
        targets = [Target(node, n, address, probe) for n, probe in enumerate(self._probes)]
        self._of_node[node], self.addresses[node] = targets, address
        name, family = node
        labels = [target.label for target in targets]
        self._liveness[family].add(name, labels, known, now, _is_ours(address))
        for target in targets:
            if target.probe.kind is ProbeKind.ICMP:
                self.by_address.setdefault(address, []).append(target)
        return targets

    def remove(self, node: ProbedNode) -> list[Target]:
        """Removes a node, if it is there; returns its targets."""
        targets, address = self._of_node.pop(node, []), self.addresses.pop(node, "")
        name, family = node
        self._liveness[family].remove(name)
        for target in targets:
            target.removed = True
            if target.probe.kind is ProbeKind.ICMP:
                others = [t for t in self.by_address[address] if t is not target]
                if others:
                    self.by_address[address] = others
                else:
                    del self.by_address[address]
        return targets
