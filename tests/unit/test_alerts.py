"""deploy/alerts.yaml: promtool accepts the rules; each alert fires when it should, and only then.

The texts are checked as well: a template that Prometheus cannot expand would be noticed in an
outage only.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ALERTS = Path("deploy/alerts.yaml")
OBJECT: dict[str, Any] = yaml.safe_load(ALERTS.read_text())
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in OBJECT["spec"]["groups"] for rule in group["rules"]
}
I = 'job="porter",instance="a"'  # noqa: E741
II = 'job="porter",instance="b"'
INSTANCE = {"job": "porter", "instance": "a"}
GROUP = {"job": "porter"}


@dataclass(frozen=True)
class Case:
    """Series, each with a value a minute; the alert at a time, and the labels with which it fires
    (none: it does not), with the value as its texts show it."""

    alert: str
    at: str
    series: Mapping[str, str]
    fires: Mapping[str, str] | None = None
    shows: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.alert}{' ' if self.name else ''}{self.name}"


def gauge(name: str, values: str, **labels: str) -> dict[str, str]:
    """A series of one instance."""
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {f"porter_{name}{{{I}{more}}}": values}


def config(of: str = I, **labels: str) -> dict[str, str]:
    """The settings of an instance."""
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return {f"porter_config_info{{{of}{more}}}": "1x9999"}


CENTRAL = config(source="api-server", allocate="true", bgp="true", next_hops="endpoints")
ITSELF = config(source="api-server", allocate="false", bgp="true", next_hops="self")
FIRES = [
    Case("PorterAbsent", "6m", {}, {}),
    Case("PorterNotReady", "6m", gauge("ready", "0x9"), INSTANCE),
    Case("PorterStopped", "16m", gauge("stopped", "1x20"), INSTANCE),
    Case(
        "PorterNobodyLeads",
        "3m",
        {**CENTRAL, **gauge("leader", "0x9"), f"porter_leader{{{II}}}": "0x9"},
        GROUP,
    ),
    Case(
        "PorterSeveralLead",
        "3m",
        {
            **CENTRAL,
            **config(II, source="api-server"),
            **gauge("leader", "1x9"),
            f"porter_leader{{{II}}}": "1x9",
        },
        GROUP,
        "2",
    ),
    Case("PorterTaskFaults", "2m", gauge("task_faults", "2x9"), INSTANCE, "2"),
    Case(
        "PorterTaskDied",
        "15m",
        gauge("task_restarts_total", "0x9 1x9", task="writer"),
        {**INSTANCE, "task": "writer"},
    ),
    Case("PorterLoopLate", "6m", gauge("loop_lag_seconds", "30x9"), INSTANCE, "30s"),
    Case(
        "PorterConfigurationNotLoaded",
        "2m",
        gauge("config_last_reload_successful", "0x9"),
        INSTANCE,
    ),
    Case("PorterStateDirNotWritable", "6m", gauge("state_dir_writable", "0x9"), INSTANCE),
    Case(
        "PorterSessionDown",
        "4m",
        {**gauge("bgp_session_up", "1 0x9", peer="x"), **gauge("bgp_session_up", "1x9", peer="y")},
        {**INSTANCE, "peer": "x"},
    ),
    Case(
        "PorterAllSessionsDown",
        "2m",
        {**gauge("bgp_session_up", "0x9", peer="x"), **gauge("bgp_session_up", "0x9", peer="y")},
        INSTANCE,
    ),
    Case(
        "PorterSessionFlaps",
        "60m",
        {
            **gauge("bgp_session_drops_total", "0x9 2x60", peer="x", reason="hold-timer"),
            **gauge("bgp_session_drops_total", "0x9 2x60", peer="x", reason="bfd"),
        },
        {**INSTANCE, "peer": "x"},
        "4",
    ),
    Case(
        "PorterBfdDown",
        "3m",
        gauge("bfd_session_up", "0x9", peer="x"),
        {**INSTANCE, "peer": "x"},
    ),
    Case(
        "PorterWatchStale",
        "15m",
        {
            **gauge("kubernetes_last_event_timestamp_seconds", "60x20", kind="nodes"),
            **gauge("kubernetes_last_list_timestamp_seconds", "0x20", kind="nodes"),
        },
        {**INSTANCE, "kind": "nodes"},
        "14m 0s",
    ),
    Case(
        "PorterWatchStale",
        "15m",
        gauge("kubernetes_last_list_timestamp_seconds", "0x20", kind="nodes"),
        {**INSTANCE, "kind": "nodes"},
        "15m 0s",
        name="never read",
    ),
    Case(
        "PorterWatchFails",
        "30m",
        gauge("kubernetes_watch_restarts_total", "0+4x40", kind="eips", reason="Forbidden"),
        {**INSTANCE, "kind": "eips", "reason": "Forbidden"},
    ),
    Case(
        "PorterWritesFail",
        "30m",
        gauge("kubernetes_writes_total", "0+2x40", kind="services", code="403"),
        {**INSTANCE, "kind": "services"},
    ),
    Case(
        "PorterServicesUnannounced",
        "11m",
        {**CENTRAL, **gauge("services", "3x20", state="PoolExhausted")},
        {**INSTANCE, "state": "PoolExhausted"},
        "3",
    ),
    Case(
        "PorterServicesNotSent",
        "6m",
        {**CENTRAL, **gauge("services", "2x20", state="Allocated")},
        {**INSTANCE, "state": "Allocated"},
        "2",
    ),
    Case(
        "PorterPoolNearlyFull",
        "1500m",
        {
            **gauge("eip_pool_used", "100+0.02x1500", eip="p"),
            **gauge("eip_pool_size", "200x1500", eip="p"),
        },
        {"job": "porter", "eip": "p"},
    ),
    Case(
        "PorterPoolFull",
        "16m",
        {**gauge("eip_pool_used", "8x20", eip="p"), **gauge("eip_pool_size", "8x20", eip="p")},
        {"job": "porter", "eip": "p"},
        "8",
    ),
    Case("PorterEipProblem", "11m", gauge("eips_with_problem", "1x20"), GROUP, "1"),
    Case("PorterNextHopsDoubted", "2m", gauge("nodes_doubted", "1x9"), INSTANCE),
    Case("PorterNextHopsDoubted", "2m", gauge("probes_doubted", "1x9"), INSTANCE, name="by probes"),
    Case(
        "PorterNextHopsDoubted",
        "2m",
        gauge("openflow_next_hops_doubted", "1x9", datapath="0x1"),
        INSTANCE,
        name="by a switch",
    ),
    Case(
        "PorterSwitchDown",
        "3m",
        {
            **gauge("openflow_switch_up", "1 0x9", datapath="0x1"),
            **gauge("openflow_switch_up", "1x9", datapath="0x2"),
        },
        {**INSTANCE, "datapath": "0x1"},
    ),
    Case(
        "PorterNoSwitch",
        "6m",
        config(openflow="true"),
        {**INSTANCE, "openflow": "true"},
    ),
    Case(
        "PorterSwitchRefuses",
        "6m",
        gauge("openflow_refused", "3x9", datapath="0x1"),
        {**INSTANCE, "datapath": "0x1"},
        "3",
    ),
    Case(
        "PorterSwitchNextHopsSilent",
        "6m",
        gauge("openflow_next_hops_silent", "2x9", datapath="0x1"),
        {**INSTANCE, "datapath": "0x1"},
        "2",
    ),
    Case("PorterNodesDead", "6m", gauge("nodes_probed_dead", "2x9"), INSTANCE, "2"),
    Case("PorterNodesDrainedForLong", "1441m", gauge("nodes_drained", "1x1500"), INSTANCE, "1"),
    Case("PorterNodesWithoutWeight", "16m", gauge("nodes_without_weight", "4x20"), INSTANCE, "4"),
    Case(
        "PorterBoundAddressRepaired",
        "15m",
        gauge("bound_ip_repairs_total", "0x3 1x3 2x3 6x9"),
        INSTANCE,
        "6",
    ),
]
QUIET = [
    Case(
        "PorterSwitchDown",
        "9m",
        gauge("openflow_switch_up", "1 0 1x9", datapath="0x1"),
        name="it restarts",
    ),
    Case(
        "PorterNoSwitch",
        "9m",
        {**config(openflow="true"), **gauge("openflow_switch_up", "0x9", datapath="0x1")},
        name="one is away",
    ),
    Case("PorterNoSwitch", "9m", config(openflow="false"), name="none is wanted"),
    Case("PorterSwitchRefuses", "9m", gauge("openflow_refused", "0x9", datapath="0x1")),
    Case(
        "PorterSwitchNextHopsSilent",
        "9m",
        gauge("openflow_next_hops_silent", "1x3 0x9", datapath="0x1"),
        name="a node restarts",
    ),
    Case("PorterAbsent", "6m", gauge("build_info", "1x9", version="1.2.3")),
    Case("PorterNotReady", "6m", gauge("ready", "0x3 1x9"), name="a start that takes a while"),
    Case(
        "PorterNobodyLeads",
        "9m",
        {**CENTRAL, **gauge("leader", "0x20"), f"porter_leader{{{II}}}": "1x20"},
        name="another one leads",
    ),
    Case("PorterNobodyLeads", "9m", {**ITSELF, **gauge("leader", "0x20")}, name="none can lead"),
    Case(
        "PorterNobodyLeads",
        "9m",
        {**CENTRAL, **gauge("leader", "1x4 0 1x20")},
        name="a new one takes the Lease",
    ),
    Case(
        "PorterSeveralLead",
        "9m",
        {
            **config(I, source="directory"),
            **config(II, source="directory"),
            **gauge("leader", "1x9"),
            f"porter_leader{{{II}}}": "1x9",
        },
        name="each has its directory",
    ),
    Case(
        "PorterSeveralLead",
        "9m",
        {**CENTRAL, **gauge("leader", "1x9"), f"porter_leader{{{II}}}": "0x9"},
    ),
    Case("PorterTaskFaults", "9m", gauge("task_faults", "0x9")),
    Case("PorterTaskDied", "20m", gauge("task_restarts_total", "3x20", task="writer")),
    Case("PorterLoopLate", "9m", gauge("loop_lag_seconds", "0.3x9")),
    Case("PorterConfigurationNotLoaded", "9m", gauge("config_last_reload_successful", "1x9")),
    Case("PorterStateDirNotWritable", "9m", gauge("state_dir_writable", "1x9")),
    Case(
        "PorterSessionDown", "9m", gauge("bgp_session_up", "1 0 1x9", peer="x"), name="a short flap"
    ),
    Case(
        "PorterAllSessionsDown",
        "9m",
        {**gauge("bgp_session_up", "0x9", peer="x"), **gauge("bgp_session_up", "1x9", peer="y")},
    ),
    Case(
        "PorterSessionFlaps",
        "60m",
        gauge("bgp_session_drops_total", "0x9 2x60", peer="x", reason="stopped"),
    ),
    Case("PorterBfdDown", "9m", gauge("bfd_session_up", "1x9", peer="x")),
    Case(
        "PorterWatchStale",
        "25m",
        {
            **gauge("kubernetes_last_event_timestamp_seconds", "0x30", kind="nodes"),
            **gauge("kubernetes_last_watch_timestamp_seconds", "0+60x30", kind="nodes"),
            **gauge("kubernetes_last_list_timestamp_seconds", "0x30", kind="nodes"),
        },
        name="watches in which nothing changes",
    ),
    Case(
        "PorterWatchStale",
        "25m",
        {
            **gauge("kubernetes_last_event_timestamp_seconds", "0x30", kind="nodes"),
            **gauge("kubernetes_last_list_timestamp_seconds", "0+60x30", kind="nodes"),
        },
        name="a directory in which nothing changes",
    ),
    Case(
        "PorterWatchFails",
        "30m",
        {
            **gauge("kubernetes_watch_restarts_total", "0+4x40", kind="eips", reason="Gone"),
            **gauge("kubernetes_watch_restarts_total", "0x9 2x40", kind="eips", reason="TimedOut"),
        },
    ),
    Case(
        "PorterWritesFail",
        "30m",
        {
            **gauge("kubernetes_writes_total", "0+100x40", kind="services", code="200"),
            **gauge("kubernetes_writes_total", "0+5x40", kind="services", code="409"),
            **gauge("kubernetes_writes_total", "0+50x40", kind="events", code="dropped"),
        },
    ),
    Case(
        "PorterServicesUnannounced",
        "19m",
        {
            **CENTRAL,
            **gauge("services", "10x20", state="Announced"),
            **gauge("services", "0x20", state="NoPool"),
            **gauge("services", "1x5 0x20", state="NoReadyEndpoints"),
        },
    ),
    Case(
        "PorterServicesUnannounced",
        "19m",
        {**ITSELF, **gauge("services", "10x20", state="NoUsableNode")},
        name="another node has the endpoints",
    ),
    Case(
        "PorterServicesNotSent",
        "19m",
        {
            **config(allocate="true", bgp="false", next_hops="endpoints"),
            **gauge("services", "10x20", state="Allocated"),
        },
        name="it only assigns",
    ),
    Case(
        "PorterPoolNearlyFull",
        "1500m",
        {
            **gauge("eip_pool_used", "150x1500", eip="p"),
            **gauge("eip_pool_size", "200x1500", eip="p"),
        },
        name="nothing grows",
    ),
    Case(
        "PorterPoolNearlyFull",
        "1500m",
        {
            **gauge("eip_pool_used", "0+0.02x1500", eip="p"),
            **gauge("eip_pool_size", "100x1500", eip="p"),
        },
        name="not half is used",
    ),
    Case(
        "PorterPoolFull",
        "19m",
        {**gauge("eip_pool_used", "1x20", eip="p"), **gauge("eip_pool_size", "1x20", eip="p")},
        name="an address for one Service",
    ),
    Case("PorterEipProblem", "19m", gauge("eips_with_problem", "0x20")),
    Case(
        "PorterNextHopsDoubted",
        "9m",
        {**gauge("nodes_doubted", "0x9"), **gauge("probes_doubted", "0x9")},
    ),
    Case("PorterNodesDead", "9m", gauge("nodes_probed_dead", "0x9")),
    Case("PorterNodesDrainedForLong", "1441m", gauge("nodes_drained", "1x700 0 1x800")),
    Case("PorterStopped", "20m", gauge("stopped", "1x5 0x20"), name="it is deleted soon"),
    *(
        Case(alert, "25m", {**series, **gauge("stopped", "1x30")}, name="it was stopped")
        for alert, series in {
            "PorterNotReady": gauge("ready", "0x30"),
            "PorterSessionDown": gauge("bgp_session_up", "0x30", peer="x"),
            "PorterAllSessionsDown": gauge("bgp_session_up", "0x30", peer="x"),
            "PorterBfdDown": gauge("bfd_session_up", "0x30", peer="x"),
            "PorterWatchStale": gauge(
                "kubernetes_last_list_timestamp_seconds", "0x30", kind="nodes"
            ),
            "PorterServicesNotSent": {**CENTRAL, **gauge("services", "2x30", state="Allocated")},
        }.items()
    ),
    Case("PorterNodesWithoutWeight", "19m", gauge("nodes_without_weight", "0x20")),
    Case("PorterBoundAddressRepaired", "20m", gauge("bound_ip_repairs_total", "0x9 2x20")),
]


def promtool(*words: str, folder: Path) -> str:
    """Runs promtool; returns its output, and fails with it if promtool finds an error."""
    if shutil.which("promtool") is None:
        pytest.fail("promtool is missing: install the Debian package prometheus")
    done = subprocess.run(
        ["promtool", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expanded(text: str, labels: Mapping[str, str], shows: str) -> str:
    """A text as Prometheus expands it."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
    return re.sub(r"\{\{ \$value( \| \w+)? \}\}", shows, text)


def expected(case: Case) -> list[dict[str, Any]]:
    """What promtool expects to fire."""
    if case.fires is None:
        return []
    rule = RULES[case.alert]
    return [
        {
            "exp_labels": {**case.fires, **rule["labels"]},
            "exp_annotations": {
                name: expanded(text, case.fires, case.shows)
                for name, text in rule["annotations"].items()
            },
        }
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the rules as Prometheus reads them, without the object around them: all in
    `rules.yaml`, and each alert in a file of its own."""
    folder = tmp_path_factory.mktemp("alerts")
    (folder / "rules.yaml").write_text(yaml.safe_dump(OBJECT["spec"]))
    for name, rule in RULES.items():
        groups = {"groups": [{"name": name, "rules": [rule]}]}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(groups))
    return folder


def test_prometheus_accepts_the_rules(folder: Path) -> None:
    assert f"SUCCESS: {len(RULES)} rules found" in promtool(
        "check", "rules", "rules.yaml", folder=folder
    )


def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    assert {case.alert for case in FIRES} == RULES.keys()
    assert {case.alert for case in QUIET} == RULES.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_every_alert_says_how_bad_it_is_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert all("\n" not in text for text in rule["annotations"].values())


def test_each_alert_fires_when_it_should_and_only_then(folder: Path) -> None:
    """A case evaluates its own alert alone, minute by minute, for up to a day."""
    names = []
    for alert in RULES:
        tests = [
            {
                "name": str(case),
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
                "alert_rule_test": [
                    {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected(case)}
                ],
            }
            for case in (*FIRES, *QUIET)
            if case.alert == alert
        ]
        cases = {"rule_files": [f"{alert}.yaml"], "evaluation_interval": "1m", "tests": tests}
        names.append(f"cases-{alert}.yaml")
        (folder / names[-1]).write_text(yaml.safe_dump(cases))
    promtool("test", "rules", *names, folder=folder)
