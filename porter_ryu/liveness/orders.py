"""What the main process tells the liveness process, and what that reports, as lines of JSON.

The first line has the probes and the rule.  Each other one changes some nodes: the address to probe
and what an earlier process found about it, or that the node is not probed any more.  A report has
the findings about some nodes, which families are doubted, and the faults of this host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import Findings, LivenessRule, ProbedNode
from porter_ryu.liveness.probes import LivenessSettings, Probe, parse_probe

_TIMEOUT_SHARE = 0.25  # of the interval: how soon a probe must be answered


class Instructions(Struct, frozen=True):
    """What is probed, and how it is judged."""

    probes: tuple[Probe, ...]
    rule: LivenessRule


class NodeOrder(Struct, frozen=True):
    """`address` is to be probed (None: nothing is, any more); `known` is what an earlier process
    found about it."""

    node: ProbedNode
    address: str | None
    known: Findings | None = None


class Report(Struct, frozen=True):
    """What a line of the process says.

    `found` has the nodes with new findings, by name and address.  `doubted` are the families in
    which so many nodes fell silent at once that it is not believed.  `faults` are what is wrong
    with this host, by subject.
    """

    found: Mapping[tuple[str, str], Findings]
    doubted: frozenset[Family]
    faults: Mapping[str, str]


def encode_instructions(settings: LivenessSettings, panic_percent: int) -> bytes:
    """The first line."""
    value = {
        "probes": [str(probe) for probe in settings.probes],
        "interval": settings.interval,
        "multiplier": settings.multiplier,
        "panic_percent": panic_percent,
    }
    return json.dumps(value).encode() + b"\n"


def decode_instructions(line: bytes) -> Instructions:
    """The first line, as `encode_instructions` wrote it."""
    value = json.loads(line)
    interval = value["interval"]
    rule = LivenessRule(
        value["multiplier"], interval, interval * _TIMEOUT_SHARE, value["panic_percent"]
    )
    return Instructions(tuple(parse_probe(text) for text in value["probes"]), rule)


def encode_nodes(orders: Iterable[NodeOrder]) -> bytes:
    """Orders about nodes as a line."""
    value = [
        [*order.node, order.address, _encoded(order.known) if order.known is not None else None]
        for order in orders
    ]
    return json.dumps(value).encode() + b"\n"


def decode_nodes(line: bytes) -> Iterator[NodeOrder]:
    """The orders in a line that `encode_nodes` wrote."""
    for name, family, address, known in json.loads(line):
        found = _decoded(*known) if known is not None else None
        yield NodeOrder((name, Family(family)), address, found)


def family_of(address: str) -> Family:
    """The family of an address."""
    return Family(ip_address(address).version)


def encode_report(report: Report) -> bytes:
    """A report as a line."""
    value = {
        "found": [[*node, *_encoded(found)] for node, found in report.found.items()],
        "doubted": sorted(report.doubted),
        "faults": report.faults,
    }
    return json.dumps(value).encode() + b"\n"


def decode_report(line: bytes) -> Report:
    """The report in a line; raises ValueError, KeyError or TypeError where it is none."""
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError(value)
    faults = {str(subject): str(fault) for subject, fault in dict(value["faults"]).items()}
    found = {(str(name), str(a)): _decoded(*each) for name, a, *each in value["found"]}
    return Report(found, frozenset(Family(f) for f in value["doubted"]), faults)


def _encoded(found: Findings) -> tuple[str, list[str]]:
    return found.dead, list(found.unanswered)


def _decoded(dead: object, unanswered: Iterable[object]) -> Findings:
    return Findings(str(dead), tuple(str(label) for label in unanswered))
