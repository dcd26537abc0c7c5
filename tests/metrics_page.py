"""Writes docs/metrics.md from what a process exports and from the alerts: `make metrics-page`.

The metrics are read from the text of an instance with a task, a peer, BFD and an Eip: then every
metric has a series, and so its labels.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from porter_ryu import metrics
from porter_ryu.bgp.bfd.monitor import BfdReport
from porter_ryu.bgp.protocol.ending import Cause
from porter_ryu.domain.model import Eip, Kind
from porter_ryu.domain.verdict import Reason
from porter_ryu.http.exposition import Exposition
from porter_ryu.http.first_series import MESSAGE_TYPES
from porter_ryu.kube.informer import RESTART_REASONS
from porter_ryu.kube.write_codes import WRITE_CODES
from porter_ryu.openflow.report import SwitchHealth
from tests.unit.test_http_exposition import PROCESS, peer
from tests.unit.world import World

PAGE = Path("docs/metrics.md")
ALERTS = Path("deploy/alerts.yaml")
_OWN_LABELS = ("le",)  # of histograms
_BEGIN, _END = "<!-- generated: {} -->\n", "<!-- end -->\n"
_TOPICS = {
    "The instance": (
        "build",
        "config",
        "ready",
        "task",
        "loop",
        "state",
        "leader",
        "reconcile",
        "stopped",
    ),
    "BGP": ("bgp", "bfd", "event"),
    "The cluster": ("kubernetes", "services", "eip", "eips", "aggregates", "nodes", "probes"),
    "Switches": ("openflow",),
    "The host": ("bound",),
    "The process": ("process",),
}


@dataclass(frozen=True)
class Description:
    """A metric: its name as in a query, its type, the names of its labels, and what it means."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str


def descriptions() -> dict[str, Description]:
    """Every metric that a process exports, by name."""
    metrics.task_restarts.labels(task="turns")
    metrics.openflow_packets.labels(eip="pool", node="n1")
    world = World(Eip("pool", "203.0.113.0/30"))
    world.turn()
    session = replace(peer("leaf1"), bfd=BfdReport("up", 1.0, "", 300, 3))
    state = replace(PROCESS, peers=lambda: (session,), switches=lambda: {1: SwitchHealth()})
    text = Exposition(world.planner, state).text().decode()
    found = (_description(family) for family in text_string_to_metric_families(text))
    return {entry.name: entry for entry in found}


def _description(family: Metric) -> Description:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    names = {label for sample in family.samples for label in sample.labels}
    labels = tuple(sorted(names - set(_OWN_LABELS)))
    return Description(name, family.type, labels, family.documentation)


def rules() -> Iterator[dict[str, Any]]:
    """The alerts of deploy/alerts.yaml."""
    for group in yaml.safe_load(ALERTS.read_text())["spec"]["groups"]:
        yield from group["rules"]


def topic(name: str) -> str:
    """The heading under which a metric is described."""
    first = name.removeprefix("porter_").partition("_")[0]
    return next(topic for topic, words in _TOPICS.items() if first in words)


def metrics_tables() -> str:
    """The metrics by topic."""
    parts = []
    entries = descriptions().values()
    for heading in _TOPICS:
        rows = [entry for entry in entries if topic(entry.name) == heading]
        parts.append(f"### {heading}\n\n| Metric | Type | |\n|---|---|---|\n")
        parts += [
            f"| {_code(entry)} | {entry.type} | {entry.text} |\n"
            for entry in sorted(rows, key=lambda entry: entry.name)
        ]
        parts.append("\n")
    return "".join(parts)


def _code(entry: Description) -> str:
    labels = f"{{{','.join(entry.labels)}}}" if entry.labels else ""
    return f"`{entry.name}{labels}`"


def labels_table() -> str:
    """The labels whose values are from a list."""
    codes = dict.fromkeys(code for codes in WRITE_CODES.values() for code in codes)
    rows = {
        "`state` of `porter_services`": _texts(Reason),
        "`reason` of `porter_bgp_session_drops_total`": _texts(Cause),
        "`type` of `porter_bgp_messages_received_total`": MESSAGE_TYPES,
        "`kind` of `porter_kubernetes_last_…` and `…_watch_restarts_total`": _texts(Kind),
        "`reason` of `porter_kubernetes_watch_restarts_total`": sorted(RESTART_REASONS),
        "`kind` of `porter_kubernetes_writes_total`": WRITE_CODES,
        "`code` of `porter_kubernetes_writes_total`": codes,
    }
    lines = [f"| {label} | {_listed(values)} |\n" for label, values in rows.items()]
    return "".join(["| Label | Values |\n|---|---|\n", *lines])


def _texts(of: type[enum.Enum]) -> list[str]:
    return [entry.value for entry in of]


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def alerts_table() -> str:
    """The alerts."""
    lines = ["| Alert | Severity | After | When, and what to do |\n|---|---|---|---|\n"]
    for rule in rules():
        texts = rule["annotations"]
        text = _blank(f"{texts['summary']} {texts['description']}")
        severity, after = rule["labels"]["severity"], rule.get("for", "at once")
        lines.append(f"| `{rule['alert']}` | {severity} | {after} | {text} |\n")
    return "".join(lines)


def _blank(text: str) -> str:
    """A text with the names of labels in place of their values, and N in place of a number."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", "N", text)


def page(now: str) -> str:
    """The page with its generated parts as they have to be; `now` is the page as it is."""
    parts = {"metrics": metrics_tables, "labels": labels_table, "alerts": alerts_table}
    for name, make in parts.items():
        before, begin, rest = now.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END)
        assert begin, f"{PAGE} has no part {name}"
        assert end, f"the part {name} of {PAGE} has no end"
        now = f"{before}{begin}{make().rstrip()}\n{end}{after}"
    return now


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
