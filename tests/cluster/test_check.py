"""`porter-ryu check` at a real API server, with the credentials that are shipped.

That it asks for nothing that they may not read is seen at the end of the cluster, by the audit log.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fabric import wait_for
from fabric.objects import Json, eip
from fabric.program import Program, command
from tests.cluster.harness import Cluster

Report = dict[str, list[dict[str, str]]]
NOT_CHECKED = {
    "what": "Service networks",
    "why": "this credential may not list ServiceCIDRs; the ClusterIPs were compared",
}


def check(program: Program) -> Report:
    """What `check` says as JSON."""
    argv = [command("porter-ryu"), "check", "--config-file", str(program.config), "-o", "json"]
    done = subprocess.run(program.host.inside(argv), capture_output=True, text=True, check=False)
    report: Report = json.loads(done.stdout)
    assert done.stderr == ""
    assert done.returncode == (1 if report["findings"] else 0)
    return report


def findings(cluster: Cluster, kubeconfig: Path | None = None, **more: Json) -> list[str]:
    """The findings about an instance, as `WHERE: WHAT`."""
    report = check(cluster.instance("porter", kubeconfig, **more))
    assert all(finding["mend"] for finding in report["findings"])
    return [f"{finding['where']}: {finding['what']}" for finding in report["findings"]]


def mend(cluster: Cluster, words: str, tmp_path: Path) -> None:
    """Runs a command that `check` printed, as an administrator would."""
    kubectl = tmp_path / "kubectl"
    ours = f"{cluster.api.binaries}/kubectl --kubeconfig {cluster.api.admin}"
    kubectl.write_text(f'#!/bin/sh\nexec {ours} "$@"')
    kubectl.chmod(0o755)
    cluster.api.host.run(["env", f"PATH={tmp_path}:/usr/bin:/bin", "sh", "-c", words])


def test_beside_a_running_instance_all_is_fine(clean: Cluster) -> None:
    with clean.running() as program:
        up = 'porter_bgp_session_up{peer="leaf"}'
        wait_for(lambda: program.metric(up), lambda seen: seen == 1, 20, "the session")
        for _ in range(2):
            report = check(program)
            assert (report["findings"], report["notChecked"]) == ([], [NOT_CHECKED])
        assert program.metric(up) == 1
        drops = [line for line in program.metrics().splitlines() if "session_drops_total{" in line]
        assert all(line.endswith(" 0.0") for line in drops), drops


@contextlib.contextmanager
def applied(cluster: Cluster, *objects: Json) -> Iterator[None]:
    """Objects for as long as the `with` lasts."""
    cluster.api.apply(*objects)
    try:
        yield
    finally:
        for obj in objects:
            cluster.api.delete(obj["kind"].lower(), obj["metadata"]["name"])


def test_an_eip_in_the_networks_of_the_cluster(clean: Cluster) -> None:
    spare = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "spare"},
        "spec": {"podCIDR": "10.77.0.0/24", "podCIDRs": ["10.77.0.0/24"]},
    }
    services, pods = eip("services", "10.96.0.0/28"), eip("pods", "10.77.0.128-10.77.1.3")
    with applied(clean, spare, services, pods):
        of_pods = "Eip pods: overlaps the Pod networks 10.77.0.0/24 (of spare)"
        assert findings(clean) == [
            of_pods,
            "Eip services: contains ClusterIPs of Services: 10.96.0.1 (default/kubernetes)",
        ]
        known = "Eip services: overlaps the Service networks 10.96.0.0/16 (ServiceCIDR)"
        assert findings(clean, clean.api.admin) == [of_pods, known]


def test_a_node_name_that_is_not_in_the_cluster(clean: Cluster) -> None:
    report = check(clean.instance(porter={"node_name": "n1.example.org"}))
    assert [(f["where"], f["mend"]) for f in report["findings"]] == [
        ("[porter] node_name", "set node_name = n1")
    ]


def test_an_account_without_the_rights(clean: Cluster) -> None:
    account = clean.api.service_account("porter-ryu-node")
    missing = [
        "patch services/status",
        "patch eips/status",
        "create events",
        "patch events",
        "get leases in porter-system",
        "update leases in porter-system",
    ]
    assert findings(clean, account) == [
        f"API server: the API server does not allow: {right}" for right in missing
    ]
    reads = {"porter": {"allocate": "false"}, "bound_ip": {"mode": "rule"}}
    assert findings(clean, account, **reads) == []


def test_what_is_missing_is_mended_by_the_command(clean: Cluster, tmp_path: Path) -> None:
    api = clean.api
    api.kubectl("delete", "lease", "porter-ryu", "-n", "porter-system")
    program = clean.instance()
    (lease,) = check(program)["findings"]
    assert lease["where"] == "Lease porter-system/porter-ryu"
    mend(clean, lease["mend"], tmp_path)
    assert check(program)["findings"] == []
    api.kubectl("delete", "crd", "eips.network.kubesphere.io", "--timeout=120s")
    try:
        wait_for(lambda: len(check(program)["findings"]), lambda n: n == 1, 20, "it to be gone")
        (crd,) = check(program)["findings"]
        assert crd["where"] == "CustomResourceDefinition eips.network.kubesphere.io"
        mend(clean, crd["mend"], tmp_path)
    finally:
        api.install()
    assert check(program)["findings"] == []


@pytest.mark.parametrize(
    ("cluster_entry", "user", "what"),
    [
        (
            {"tls-server-name": "other.example"},
            {},
            "has a certificate that is not accepted: it is for another name",
        ),
        (
            {"certificate-authority": "other.crt"},
            {},
            "has a certificate that is not accepted: it is ",
        ),
        ({"server": "https://192.168.7.10:6444"}, {}, "refuses connections"),
        ({"server": "https://nowhere.invalid:6443"}, {}, "cannot be found: its name does not "),
        ({"server": "http://192.168.7.10:6443"}, {}, "wants TLS: its URL must begin with https"),
        ({}, {"token": "nonsense"}, "401 Unauthorized: the API server 192.168.7.10:6443 does not"),
        ({}, {"tokenFile": "/nothing"}, "cannot be read: No such file or directory"),
    ],
)
def test_why_the_api_server_cannot_be_asked(
    clean: Cluster, tmp_path: Path, cluster_entry: Json, user: Json, what: str
) -> None:
    config = yaml.safe_load(clean.api.service_account("porter-ryu").read_text())
    config["clusters"][0]["cluster"].update(cluster_entry)
    if user:
        config["users"][0]["user"] = user
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=other"
    clean.api.host.run(
        [
            "openssl",
            *words.split(),
            "-keyout",
            f"{tmp_path}/other.key",
            "-out",
            f"{tmp_path}/other.crt",
        ]
    )
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    (finding,) = findings(clean, path)
    assert what in finding
