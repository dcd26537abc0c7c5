"""What the main process tells the liveness process, and what that reports, as lines of JSON.

An order is complete: the probes, the rule, and every address to probe with its node and what an
earlier process found about it.  A report has the findings about some nodes, which families are
doubted, and the faults of this host.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from porter_ryu.domain.model import Address, Family
from porter_ryu.domain.nodes.liveness import Findings, LivenessRule, ProbedNode
from porter_ryu.liveness.probes import LivenessSettings, Probe, parse_probe

_TIMEOUT_SHARE = 0.25  # of the interval: how soon a probe must be answered


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be probed, how it is judged, and what is known already."""

    probes: tuple[Probe, ...]
    rule: LivenessRule
    addresses: Mapping[ProbedNode, str]
    known: Mapping[ProbedNode, Findings]


@dataclass(frozen=True, slots=True)
class Report:
    """What a line of the process says.

    `found` has the nodes with new findings, by name and address.  `doubted` are the families in
    which so many nodes fell silent at once that it is not believed.  `faults` are what is wrong
    with this host, by subject.
    """

    found: Mapping[tuple[str, str], Findings]
    doubted: frozenset[Family]
    faults: Mapping[str, str]


def encode_order(
    settings: LivenessSettings,
    panic_percent: int,
    addresses: Mapping[ProbedNode, Address],
    known: Mapping[ProbedNode, Findings],
) -> bytes:
    """An order as a line."""
    value = {
        "probes": [str(probe) for probe in settings.probes],
        "interval": settings.interval,
        "multiplier": settings.multiplier,
        "panic_percent": panic_percent,
        "addresses": [[name, str(address)] for (name, _), address in addresses.items()],
        "known": [[name, family, *_encoded(found)] for (name, family), found in known.items()],
    }
    return json.dumps(value).encode() + b"\n"


def decode_order(line: bytes) -> Order:
    """The order in a line that `encode_order` wrote."""
    value = json.loads(line)
    interval = value["interval"]
    rule = LivenessRule(
        value["multiplier"], interval, interval * _TIMEOUT_SHARE, value["panic_percent"]
    )
    addresses = {(name, family_of(text)): text for name, text in value["addresses"]}
    probes = tuple(parse_probe(text) for text in value["probes"])
    known = {(name, Family(family)): _decoded(*found) for name, family, *found in value["known"]}
    return Order(probes, rule, addresses, known)


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
