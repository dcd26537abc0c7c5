"""The queries of deploy/dashboard.json and deploy/alerts.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.metrics_page import rules

DASHBOARD: dict[str, Any] = json.loads(Path("deploy/dashboard.json").read_text())
_METRIC = re.compile(r"\b(?:porter|process)_[a-z0-9_]+\b")
_BY_NAME = re.compile(r'__name__=~"([a-z_]+)\(([a-z|]+)\)([a-z_]+)"')
_MATCHERS = re.compile(r"\{([^{}]*)\}")
_LABEL = re.compile(r'([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"')
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^()]*)\)")


@dataclass(frozen=True)
class Names:
    """The metrics and the labels in a query."""

    metrics: frozenset[str]
    labels: frozenset[str]


def panels() -> Iterator[dict[str, Any]]:
    """Every panel, rows included."""
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", ())


def dashboard_queries() -> dict[str, str]:
    """Every query of the dashboard, by the title of its panel and its letter."""
    return {
        f"{panel['title']}, {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel.get("targets", ())
    }


def alert_queries() -> dict[str, str]:
    """The expression of every alert, by its name."""
    return {rule["alert"]: rule["expr"] for rule in rules()}


def names_in(query: str) -> Names:
    """The metrics and labels that a query names."""
    metrics = set()
    for first, middles, last in _BY_NAME.findall(query):
        metrics |= {f"{first}{middle}{last}" for middle in middles.split("|")}
    plain = _BY_NAME.sub('__name__=~""', query)
    matchers = " ".join(_MATCHERS.findall(plain))
    metrics |= set(_METRIC.findall(re.sub(r'"[^"]*"', '""', plain)))
    grouped = ",".join(_GROUPED.findall(plain)).split(",")
    labels = {*_LABEL.findall(matchers), *(label.strip() for label in grouped)} - {""}
    return Names(frozenset(metrics), frozenset(labels))
