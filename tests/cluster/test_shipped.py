"""What deploy/ ships: the CRD's schema and columns, what protects an Eip, the node form by its own
ConfigMap, others' manifests, two leaves, and an uninstall that leaves nothing."""

from __future__ import annotations

import configparser
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fabric import FabricError, wait_for
from fabric.control_plane import NAMESPACE, SHIPPED
from fabric.leaves import Bird, Neighbour
from fabric.objects import Json, eip
from fabric.program import Program, command
from tests.cluster.harness import NODES, Cluster, web

EIP = "203.0.113.8"
OPENELB = """
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata:
  name: eip-sample-pool
  annotations: {eip.openelb.kubesphere.io/is-default-eip: "true"}
spec:
  address: 198.51.100.91-198.51.100.100
  priority: 100
  namespaces: [test, default]
  namespaceSelector: {kubesphere.io/workspace: workspace}
  disable: false
  protocol: bgp
  interface: eth0
---
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: layer2-eip}
spec: {address: 198.51.100.101/32, interface: can_reach:192.168.0.5, protocol: layer2}
---
apiVersion: network.kubesphere.io/v1alpha1
kind: Eip
metadata: {name: old-style}
spec: {address: 198.51.101.0/28, protocol: bgp, disable: false, usingKnownIPs: true}
"""


@pytest.mark.parametrize(
    "address",
    [
        "",
        "not-an-address",
        "10.0.0.1/99",
        "10.0.0.1-",
        "10.0.0.1-10.0.0.2-10.0.0.3",
        "10.0.0.1,",
        "10.0.0.1, x",
        "10.0.0.300",
        "10.0.0.1-10.0.0.999",
        "2001:db8::/129",
    ],
)
def test_an_address_that_is_none_is_refused(cluster: Cluster, address: str) -> None:
    with pytest.raises(FabricError, match=r"spec\.address"):
        cluster.api.apply(eip("bad", address))


@pytest.mark.parametrize(
    "spec",
    [
        {"protocol": "ospf"},
        {"priority": 2**40},
        {"disable": "yes"},
        {"namespaces": "default"},
        {"serviceSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(cluster: Cluster, spec: dict[str, Any]) -> None:
    with pytest.raises(FabricError, match=r"spec\."):
        cluster.api.apply(eip("bad", "10.0.0.1", **spec))


@pytest.mark.parametrize(
    "entry",
    [
        {"peers": ["no name"]},
        {"peers": [""]},
        {"peers": ["p"] * 65},
        {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}},
        {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        {"nodeSelector": {"matchExpressions": [{"key": "", "operator": "Exists"}]}},
        {
            "nodeSelector": {
                "matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]
            }
        },
        {"communities": ["65536:1"]},
        {"communities": ["1:65536"]},
        {"communities": ["1"]},
        {"communities": ["1:2:3:4"]},
        {"communities": ["1:2:4294967296"]},
        {"communities": ["No-Export"]},
        {"communities": ["65000:1,65000:2"]},
        {"localPref": -1},
        {"localPref": 2**32},
        {"med": 2**32},
        {"asPathPrepend": 33},
        {"aggregationLength": 0},
        {"aggregationLength": 33},
        {"aggregationLengthV6": 129},
        {"aggregationLength": "24"},
    ],
)
def test_an_advertisement_that_cannot_be_meant_is_refused(
    cluster: Cluster, entry: dict[str, Any]
) -> None:
    with pytest.raises(FabricError, match=r"spec\.advertisements"):
        cluster.api.apply(eip("bad", "10.0.0.0/24", advertisements=[{}, entry]))


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_every_form_of_an_advertisement_is_taken_and_kept(cluster: Cluster, version: str) -> None:
    entries: list[Json] = [
        {},
        {
            "peers": ["leaf1", "rack:2_b.c"],
            "nodeSelector": {
                "matchLabels": {"topology.kubernetes.io/zone": "a"},
                "matchExpressions": [
                    {"key": "gpu", "operator": "DoesNotExist"},
                    {"key": "rack", "operator": "NotIn", "values": ["1", "2"]},
                ],
            },
            "communities": ["65000:1", "65535:65535", "4294967295:0:1", "graceful-shutdown"],
            "localPref": 4294967295,
            "med": 0,
            "asPathPrepend": 32,
            "aggregationLength": 24,
            "aggregationLengthV6": 64,
        },
    ]
    allowed = ["65000:1", "no-export", "1:2:3"]
    manifest = eip("good", "10.9.0.0/24", advertisements=entries, allowedCommunities=allowed)
    manifest["apiVersion"] = f"network.kubesphere.io/{version}"
    cluster.api.apply(manifest)
    spec = cluster.api.get("eip", "good")["spec"]
    assert (spec["advertisements"], spec["allowedCommunities"]) == (entries, allowed)
    cluster.api.delete("eip", "good")
    with pytest.raises(FabricError, match=r"spec\.allowedCommunities"):
        cluster.api.apply(eip("bad", "10.9.0.0/24", allowedCommunities=["65000"]))


@pytest.mark.parametrize(
    "address",
    ["10.9.0.1", "10.9.0.0/24", "10.9.0.1-10.9.0.9", "2001:db8::/64, 10.9.0.1 - 10.9.0.3,10.9.1.1"],
)
def test_every_form_of_an_address_is_taken(cluster: Cluster, address: str) -> None:
    cluster.api.apply(eip("good", address))
    cluster.api.delete("eip", "good")


def test_kubectl_shows_what_matters_and_an_eip_in_use_is_protected(clean: Cluster) -> None:
    with clean.running():
        clean.api.apply(web(), clean.pod("p1", "n1"))
        clean.routed(EIP, "n1", within=25)
        used = wait_for(
            lambda: clean.api.kubectl("get", "eip", "pool").split("\n"),
            lambda lines: lines[1].split() == ["pool", "203.0.113.8/29", "1", "8", "true"],
            5,
            "the columns",
        )
        assert used[0].split() == ["NAME", "ADDRESS", "USAGE", "SIZE", "READY"]
        with pytest.raises(FabricError, match="in use"):
            clean.api.kubectl("delete", "eip", "pool")
        clean.api.delete("service", "web")
        clean.free("pool")
        clean.api.kubectl("delete", "eip", "pool")


def test_the_manifests_of_openelb_apply_and_work_unchanged(clean: Cluster) -> None:
    clean.api.kubectl("apply", "-f", "-", text=OPENELB)
    names = ("eip-sample-pool", "layer2-eip", "old-style")
    wants = {
        "lb.kubesphere.io/v1alpha1": "openelb",
        "eip.openelb.kubesphere.io/v1alpha2": "eip-sample-pool",
    }
    exact = {**wants, "eip.openelb.kubesphere.io/v1alpha1": "198.51.100.95"}
    with clean.running(porter={"annotation_values": "porter,openelb"}):
        clean.api.apply(web(annotations=wants), web("exact", annotations=exact))
        clean.api.apply(clean.pod("p1", "n1"))
        clean.routed("198.51.100.91", "n1", within=25)
        clean.routed("198.51.100.95", "n1")

        def reasons() -> list[str]:
            statuses = (clean.api.get("eip", name).get("status", {}) for name in names)
            return [s.get("conditions", [{}])[0].get("reason", "") for s in statuses]

        want = ["Valid", "UnsupportedProtocol", "Valid"]
        wait_for(reasons, lambda seen: seen == want, 5, "their conditions")
        old = clean.api.get("eip v1alpha1", "old-style")
        assert old["status"]["poolSize"] == 16
        clean.used("eip-sample-pool", 2)
        clean.api.delete("service", "web", "exact")
        for name in names:
            clean.free(name)
    clean.api.delete("eip", *names)


def forget_eips(cluster: Cluster) -> None:
    """Deletes every Eip once nobody runs who would say that it is free."""
    for pool in cluster.api.get("eip")["items"]:
        name = pool["metadata"]["name"]
        patch = ("--subresource=status", "--type=merge", "-p", '{"status": {"usage": 0}}')
        cluster.api.kubectl("patch", "eip", name, *patch)
        cluster.api.kubectl("delete", "eip", name, "--timeout=120s")


METALLB = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: production, namespace: metallb-system}
spec: {addresses: [198.51.100.0/28, 198.51.100.32-198.51.100.40], autoAssign: true}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: leaf, namespace: metallb-system}
spec: {myASN: 65000, peerASN: 65001, peerAddress: 192.168.7.1}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: all, namespace: metallb-system}
spec: {ipAddressPools: [production]}
"""


def test_moving_from_metallb_keeps_every_address(clean: Cluster, tmp_path: Path) -> None:
    """By the steps of docs/moving.md, over Services that MetalLB gave addresses to."""
    forget_eips(clean)
    theirs = {
        **web("shop", annotations={"metallb.universe.tf/address-pool": "production"}, ours=False),
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.35"}]}},
    }
    clean.api.apply(theirs, clean.pod("p1", "n1"))
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    services = clean.api.kubectl("get", "services", "-A", "-o", "yaml")
    (old / "all.yaml").write_text(f"{METALLB}---\n{services}")
    argv = [command("porter-ryu"), "import", "metallb", str(old), "--output", str(new)]
    subprocess.run(argv, check=True, capture_output=True)
    clean.api.kubectl("apply", "-f", str(new / "eips.yaml"))
    kubectl = tmp_path / "kubectl"
    ours = f"{clean.api.binaries}/kubectl --kubeconfig {clean.api.admin}"
    kubectl.write_text(f'#!/bin/sh\nexec {ours} "$@"')
    kubectl.chmod(0o755)
    clean.api.host.run(["env", f"PATH={tmp_path}:/usr/bin:/bin", "sh", str(new / "annotate.sh")])
    imported = configparser.ConfigParser()
    imported.read(new / "porter_ryu.conf")
    groups: Json = {group: dict(imported[group]) for group in imported.sections()}
    with clean.running(**groups):
        clean.routed("198.51.100.35", "n1", within=25)
        assert clean.record("shop") == ["198.51.100.35"]
        clean.api.apply(web("next"))
        wait_for(lambda: clean.record("next"), lambda seen: seen == ["198.51.100.0"], 20, "next")
    clean.api.delete("service", "shop", "next")
    forget_eips(clean)


def shipped_configuration(cluster: Cluster, name: str) -> str:
    """The file in a ConfigMap of ours."""
    found = cluster.api.get("configmap", name, NAMESPACE)
    text: str = found["data"]["porter_ryu.conf"]
    return text


def test_the_node_form_runs_by_its_own_configuration_and_rights(
    clean: Cluster, tmp_path: Path
) -> None:
    """It binds a blackhole rule for each EIP and announces nothing."""
    worker = clean.workers["n3"]
    config = tmp_path / "node.conf"
    config.write_text(shipped_configuration(clean, "porter-ryu-node"))
    environment = {
        "OS_KUBERNETES__KUBECONFIG": str(clean.api.service_account("porter-ryu-node")),
        "OS_PORTER__NODE_NAME": "n3",
        "OS_PORTER__STATE_DIR": str(tmp_path / "state"),
    }
    argv = [command("ryu-manager"), "porter_ryu.app", "--config-file", str(config)]
    with clean.running():
        clean.api.apply(web(), clean.pod("p3", "n3"))
        clean.routed(EIP, "n3", within=25)
        process = worker.host.spawn(argv, "node.log", environment)
        rules = f"ip rule show to {EIP}"
        wait_for(lambda: worker.host.run(rules), lambda text: "lookup 101" in text, 20, "a rule")
        what = "kube-proxy to take what the rule would catch"
        wait_for(lambda: clean.ask(EIP)[:1], lambda answer: answer == ["p3"], 20, what)
        assert "blackhole default" in worker.host.run("ip route show table 101")
        clean.api.delete("service", "web")
        wait_for(lambda: worker.host.run(rules), lambda text: not text, 10, "no rule")
    process.terminate()
    assert process.wait(60) == 0
    assert "Forbidden" not in worker.host.log("node.log")


def test_two_leaves_of_which_one_lacks_add_path(clean: Cluster) -> None:
    """Central to the one, an instance on each node to the other: docs/install.md."""
    second = clean.fabric.hosts["second"]
    neighbours = [Neighbour(NODES[n], 65000, add_path=False, passive=False) for n in ("n1", "n2")]
    bird = Bird(second, 65001, "192.168.7.6", neighbours).start()
    account = clean.api.service_account("porter-ryu-node")
    instances = [
        Program(
            clean.workers[name].host,
            {
                "porter": {"allocate": "false", "node_name": name},
                "kubernetes": {"kubeconfig": account, "manifests": ""},
                "bgp": {
                    "local_as": 65000,
                    "router_id": NODES[name],
                    "peers": "leaf",
                    "next_hops": "self",
                    "listen_addresses": "none",
                },
                "peer:leaf": {"address": "192.168.7.6", "remote_as": 65001, "connect_retry": 1},
                "bound_ip": {"mode": "none"},
            },
            name="self",
        ).start()
        for name in ("n1", "n2")
    ]
    both = frozenset([NODES["n1"], NODES["n2"]])
    try:
        with clean.running():
            clean.api.apply(web(policy="Local"), clean.pod("p1", "n1"), clean.pod("p2", "n2"))
            clean.routed(EIP, "n1", "n2", within=25)
            wait_for(bird.routes, lambda r: r == {EIP: both}, 15, "the same at the other leaf")
            clean.api.delete("pod", "p2")
            clean.routed(EIP, "n1")
            one = frozenset([NODES["n1"]])
            wait_for(bird.routes, lambda r: r == {EIP: one}, 15, "the same at the other leaf")
    finally:
        for program in instances:
            program.stop()
        bird.stop()


def test_an_uninstall_leaves_nothing(clean: Cluster) -> None:
    """By the steps of docs/install.md: nothing announced, bound or stuck, though the Eip is in
    use and the process is not started anew before it is deleted."""
    host = clean.fabric.hosts["porter"]
    try:
        with clean.running() as program:
            clean.api.apply(web(), clean.pod("p1", "n1"))
            clean.routed(EIP, "n1", within=25)
            bound = "ip -br address show"
            wait_for(lambda: host.run(bound), lambda seen: f"{EIP}/32" in seen, 5, "the binding")
            assert "finalizers" not in clean.api.get("service", "web")["metadata"]
            program.end_for_good("--stay")
            clean.routed(EIP)
            wait_for(lambda: host.run(bound), lambda seen: EIP not in seen, 5, "it to be unbound")
            clean.api.kubectl("delete", *SHIPPED, "--timeout=60s")
            assert program.stop() == 0
        assert clean.leaf.routes() == {}
        assert EIP not in host.run(bound)
        clean.api.kubectl("delete", "service", "web", "--timeout=120s")
        assert "eips." not in clean.api.kubectl("get", "crd", "-o", "name")
    finally:
        clean.api.install()
