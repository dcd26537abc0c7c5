"""deploy/dashboard.json, deploy/alerts.yaml and docs/metrics.md fit the metrics that there are."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from tests import metrics_page
from tests.queries import DASHBOARD, alert_queries, dashboard_queries, names_in, panels

METRICS = metrics_page.descriptions()
OF_PROMETHEUS = {"instance", "job", "namespace", "le", "__name__"}
QUERIES = {**dashboard_queries(), **alert_queries()}


def base(name: str) -> str:
    """The name of the metric to which a series belongs."""
    if name in METRICS:
        return name
    return re.sub(r"_(bucket|count|sum)$", "", name)


def test_every_query_was_found() -> None:
    assert len(dashboard_queries()) > 40
    assert len(alert_queries()) > 20


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
def test_a_query_names_only_metrics_and_labels_that_exist(query: str) -> None:
    found = names_in(query)
    assert found.metrics
    unknown = {name for name in found.metrics if base(name) not in METRICS}
    assert not unknown
    labels = {label for name in found.metrics for label in METRICS[base(name)].labels}
    assert found.labels <= labels | OF_PROMETHEUS


def test_every_metric_of_this_program_is_on_the_dashboard() -> None:
    shown = {
        base(name) for query in dashboard_queries().values() for name in names_in(query).metrics
    }
    assert not {name for name in METRICS if name.startswith("porter_")} - shown


def test_the_panels_do_not_overlap_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"]
    identifiers = [panel["id"] for panel in panels()]
    assert len(set(identifiers)) == len(identifiers)


def test_the_dashboard_works_with_any_data_source() -> None:
    def sources(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["datasource"]["uid"]} if "datasource" in value else set()
            return own.union(*(sources(each) for each in value.values()))
        if isinstance(value, list):
            return set().union(*(sources(each) for each in value))
        return set()

    assert sources(DASHBOARD) == {"${datasource}"}
    names = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(dashboard_queries().values())))
    assert used - {"__rate_interval"} <= names


def test_every_metric_has_a_meaning_and_a_name_by_the_conventions() -> None:
    for entry in METRICS.values():
        assert entry.text.endswith("."), entry.name
        assert entry.type == "counter" or not entry.name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent)(_|$)", entry.name)


def test_the_page_is_up_to_date() -> None:
    now = metrics_page.PAGE.read_text()
    assert metrics_page.page(now) == now, "docs/metrics.md is out of date: run `make metrics-page`"
