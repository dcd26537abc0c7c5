"""A real Prometheus scrapes a running instance, and every query of the dashboard and of the alerts
is evaluated on it.  What is counted is what is: FRR goes, and a status cannot be written."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from fabric import Fabric, wait_for
from fabric.leaves import Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections
from fabric.prometheus import Prometheus
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first
from tests.metrics_page import ALERTS
from tests.queries import alert_queries, dashboard_queries

BFD = (
    f"router bgp {LEAF_AS['frr']}\n neighbor {OURS} bfd\n"
    f"bfd\n peer {OURS}\n  receive-interval 300\n  transmit-interval 300\n"
)
SELECTOR = re.compile(r"\b(porter_\w+|process_\w+)?(\{[^{}]*\})")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')


@pytest.fixture(scope="module")
def leaf(fabric: Fabric) -> Iterator[Frr]:
    """FRR with bfdd."""
    us = [Neighbour(OURS, 65000)]
    first(fabric, "porter", "frr")  # the detection time is 900 ms
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us, BFD)
    yield leaf.start(("zebra", "bfdd", "bgpd"))
    leaf.stop()


@pytest.fixture(scope="module")
def disk(fabric: Fabric) -> Iterator[Path]:
    """A file system of 64 kB, where the status of the Services of one namespace is kept."""
    folder = fabric.hosts["porter"].folder / "metrics.manifests/.status/services/hindered"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaf: Frr, disk: Path) -> Iterator[Program]:
    """A healthy instance: one peer with BFD, one Service that is announced and bound."""
    assert disk.exists()
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "frr"},
        "peer:frr": {
            "address": LEAVES["frr"],
            "remote_as": LEAF_AS["frr"],
            "connect_retry": 1,
            "bfd": "true",
        },
        "bound_ip": {"mode": "blackhole"},
    }
    program = Program(fabric.hosts["porter"], sections, name="metrics")
    program.put("pool", eip("pool", "203.0.113.0/28"))
    program.put("nodes", *(node(f"n{n}", f"192.168.7.{10 + n}") for n in range(1, 3)))
    program.put("web", service("web"), slice_of("web", "n1", "n2"))
    program.start()
    for series in ('porter_bfd_session_up{peer="frr"}', 'porter_services{state="Announced"}'):
        wait_for(partial(program.metric, series), lambda value: value == 1, 30, series)
    yield program
    program.end_for_good()


@pytest.fixture(scope="module")
def prometheus(fabric: Fabric, program: Program) -> Iterator[Prometheus]:
    """Prometheus with the rules of deploy/alerts.yaml."""
    groups = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    prometheus = Prometheus(fabric.hosts["porter"], groups)
    yield prometheus.start()
    prometheus.stop()


def as_grafana(query: str) -> str:
    """A query with the variables that Grafana fills in."""
    return query.replace("$__rate_interval", "30s").replace("$instance", ".*")


def test_every_query_of_the_dashboard_has_a_result(prometheus: Prometheus) -> None:
    """But those about switches, of which this instance has none."""
    empty = {
        name: query
        for name, query in dashboard_queries().items()
        if not prometheus.query(as_grafana(query))
    }
    assert all("porter_openflow_" in query for query in empty.values()), empty.keys()


def test_a_healthy_instance_raises_no_alert_and_has_every_series_that_alerts_name(
    prometheus: Prometheus,
) -> None:
    rules = wait_for(
        prometheus.rules,
        lambda rules: all(rule["health"] != "unknown" for rule in rules.values()),
        15,
        "every rule to be evaluated",
    )
    assert rules.keys() == alert_queries().keys()
    assert not {name: rule["lastError"] for name, rule in rules.items() if rule["health"] != "ok"}
    raised = {name: found for name, q in alert_queries().items() if (found := prometheus.query(q))}
    assert not raised
    for name, query in alert_queries().items():
        for metric, matchers in SELECTOR.findall(query):
            if metric.startswith("porter_openflow_"):
                continue  # this instance has no switches
            # with a name: the labels have to be there, whatever their values
            wanted = MATCHER.sub(r'\1!=""', matchers) if metric else matchers
            assert prometheus.query(f"{metric}{wanted}"), f"{name}: {metric}{wanted}"


def test_the_instance_describes_itself(program: Program) -> None:
    version = program.host.run(["cat", "porter_ryu/version.py"])
    found = re.search(r'^VERSION = "(.+)"$', version, re.MULTILINE)
    assert found
    assert program.metric(f'porter_build_info{{version="{found[1]}"}}') == 1
    peer = f'address="{LEAVES["frr"]}",peer="frr",remote_as="{LEAF_AS["frr"]}"'
    assert program.metric(f"porter_bgp_peer_info{{{peer}}}") == 1
    config = 'allocate="true",bgp="true",bound_ip="blackhole",next_hops="endpoints"'
    config += ',openflow="false",source="directory"'
    assert program.metric(f"porter_config_info{{{config}}}") == 1
    assert (program.metric("process_resident_memory_bytes") or 0) > 10_000_000


def test_it_tells_when_the_cluster_was_heard_of(program: Program) -> None:
    event = 'porter_kubernetes_last_event_timestamp_seconds{kind="services"}'
    listed = 'porter_kubernetes_last_list_timestamp_seconds{kind="services"}'
    first, before = program.metric(event), time.time()
    assert first is not None
    assert first < before
    program.put("other", service("other", ours=False))
    wait_for(lambda: program.metric(event), lambda at: (at or 0) > before, 10, "the event")
    wait_for(lambda: program.metric(listed), lambda at: (at or 0) > before, 10, "another scan")
    program.remove("other")


def test_a_service_whose_record_cannot_be_written_is_not_announced(
    program: Program, prometheus: Prometheus, disk: Path
) -> None:
    """The decision says that it is: it has an address and next hops."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            pass
    objects = [service("hindered"), slice_of("hindered", "n1")]
    for obj in objects:
        obj["metadata"]["namespace"] = "hindered"
    program.put("hindered", *objects)
    failed = 'porter_kubernetes_writes_total{code="0",kind="services"}'
    wait_for(lambda: program.metric(failed), bool, 10, "a write that fails")
    assert program.metric('porter_services{state="Announced"}') == 1
    assert program.metric('porter_services{state="Allocated"}') == 1
    not_sent = alert_queries()["PorterServicesNotSent"]
    found = wait_for(lambda: prometheus.query(not_sent), bool, 10, "the alert")
    assert found[0]["value"][1] == "1"
    filler.unlink()
    announced = 'porter_services{state="Announced"}'
    wait_for(lambda: program.metric(announced), lambda n: n == 2, 40, "both to be announced")
    program.remove("hindered")
    wait_for(lambda: program.metric(announced), lambda n: n == 1, 10, "one to be announced")


def test_a_peer_that_goes_is_seen_at_once(
    leaf: Frr, program: Program, prometheus: Prometheus
) -> None:
    drops = alert_queries()["PorterSessionFlaps"].replace("> 3", "> 0")
    assert not prometheus.query(drops)
    leaf.stop()
    for name in ("PorterSessionDown", "PorterAllSessionsDown", "PorterServicesNotSent"):
        wait_for(partial(prometheus.query, alert_queries()[name]), bool, 30, name)
    bfd = 'porter_bfd_session_up{peer="frr"}'
    wait_for(lambda: program.metric(bfd), lambda value: value == 0, 5, "BFD to be down")
    wait_for(lambda: prometheus.query(drops), bool, 10, "the session that ended to be counted")
    wait_for(
        lambda: program.get("/v1/services")[0]["state"], "Allocated".__eq__, 5, "it to be sent none"
    )
    leaf.start(("zebra", "bfdd", "bgpd"))
    for name in ("PorterSessionDown", "PorterBfdDown", "PorterServicesNotSent"):
        ask = partial(prometheus.query, alert_queries()[name])
        wait_for(ask, lambda found: not found, 60, f"no {name}")
