"""OpenELB's and MetalLB's manifests become ours, and whatever has no counterpart is named."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from fabric.program import command

METALLB = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: gold, namespace: metallb-system}
spec:
  addresses: [203.0.113.0/28, 2001:db8::/120]
  avoidBuggyIPs: true
  serviceAllocation: {priority: 10, namespaces: [shop], serviceSelectors: [{matchLabels: {a: b}}]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: rest}
spec:
  addresses: [198.51.100.0/24]
  autoAssign: false
  serviceAllocation: {namespaceSelectors: [{matchLabels: {t: x}}, {matchLabels: {t: y}}]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: rack1}
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: 10.0.0.1
  holdTime: 1m30s
  keepaliveTime: 30s
  password: "do not show me"
  bfdProfile: fast
  vrf: red
  nodeSelectors:
  - matchExpressions: [{key: rack, operator: In, values: [a, b]}]
---
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {name: fast}
spec: {transmitInterval: 100, receiveInterval: 100, detectMultiplier: 5}
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {name: ours}
spec: {communities: [{name: vpn, value: "64500:7"}]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: all}
spec: {communities: [vpn, "large:64500:1:2"], localPref: 200, aggregationLength: 24}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: l2}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations:
    metallb.io/loadBalancerIPs: 203.0.113.3
    metallb.universe.tf/allow-shared-ip: it's mine
    metallb.io/ip-allocated-from-pool: gold
    metallb.io/new-thing: "1"
spec: {type: LoadBalancer}
"""
OPENELB = """
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: pool}
spec: {address: 203.0.113.1-203.0.113.9, protocol: bgp, priority: 3, namespaces: [a]}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: Eip
metadata: {name: layer2}
spec: {address: 203.0.114.0/24, protocol: layer2, interface: eth0, novel: {field: 1}}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: BgpConf
metadata: {name: default}
spec: {as: 50000, listenPort: 17900, routerId: 10.0.0.5, asPerRack: {r1: 50001}}
---
apiVersion: network.kubesphere.io/v1alpha2
kind: BgpPeer
metadata: {name: leaf}
spec:
  conf: {peerAs: 50001, neighborAddress: 10.0.0.1}
  transport: {passiveMode: true, remotePort: 1790}
  ebgpMultihop: {enabled: true, multihopTtl: 3}
  addPaths: {sendMax: 8}
  nodeSelector: {matchLabels: {rack: a}}
  gracefulRestart: {enabled: true}
"""


def run(tmp_path: Path, origin: str, text: str) -> tuple[str, Path]:
    """What it prints, and where it writes."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "all.yaml").write_text(text)
    argv = [command("porter-ryu"), "import", origin, str(tmp_path / "in")]
    out = tmp_path / "out"
    done = subprocess.run([*argv, "--output", str(out)], capture_output=True, text=True, check=True)
    return done.stdout, out


def accepted(out: Path) -> None:
    """Our own check has nothing against the file; what it finds on this host is its business."""
    argv = [command("porter-ryu"), "check", "--config-file", str(out / "porter_ryu.conf")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")


def test_metallb(tmp_path):
    told, out = run(tmp_path, "metallb", METALLB)
    gold, rest = yaml.safe_load_all((out / "eips.yaml").read_text())
    assert gold["spec"] == {
        "address": "203.0.113.0/28, 2001:db8::/120",
        "avoidBuggyIPs": True,
        "namespaces": ["shop"],
        "serviceSelector": {"matchLabels": {"a": "b"}},
        "priority": 10,
    }
    assert rest["spec"] == {
        "address": "198.51.100.0/24",
        "autoAssign": False,
        "priority": 11,
        "disable": True,
    }
    conf = (out / "porter_ryu.conf").read_text()
    for line in (
        "local_as = 64500",
        "peers = rack1",
        "remote_as = 64501",
        "hold_time = 90",
        "bfd_interval_ms = 100",
        "bfd_multiplier = 5",
        "node_selector = rack in (a, b)",
        "communities = 64500:7, 64500:1:2",
    ):
        assert line in conf.splitlines()
    accepted(out)
    key = out / "rack1.key"
    assert key.read_text() == "do not show me"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "do not show me" not in told + conf
    for what in (
        "vrf",
        "keepaliveTime",
        "receiveInterval",
        "aggregationLength",
        "L2Advertisement",
        "localPref",
    ):
        assert what in told
    assert "namespaceSelectors" in told
    assert "new-thing" in told
    assert "ip-allocated" not in told
    assert (out / "annotate.sh").read_text().splitlines()[2] == (
        "kubectl annotate service -n shop web lb.kubesphere.io/v1alpha1=porter "
        "eip.porter.kubesphere.io/v1alpha1=203.0.113.3 "
        """'eip.porter.kubesphere.io/share=it'"'"'s mine'"""
    )


def test_openelb(tmp_path):
    told, out = run(tmp_path, "openelb", OPENELB)
    pool, layer2 = yaml.safe_load_all((out / "eips.yaml").read_text())
    assert pool["spec"]["priority"] == 3
    assert layer2["spec"]["protocol"] == "layer2"
    conf = (out / "porter_ryu.conf").read_text().splitlines()
    for line in (
        "annotation_values = porter, openelb",
        "local_as = 50000",
        "listen_port = 17900",
        "mode = passive",
        "port = 1790",
        "multihop_ttl = 3",
        "node_selector = rack=a",
    ):
        assert line in conf
    accepted(out)
    for what in ("layer2", "novel.field", "asPerRack.r1", "gracefulRestart.enabled"):
        assert what in told


def test_porter_v0_0_1(tmp_path):
    """Its Eips are namespaced: of two of one name the second is told of, not written over."""
    one, two = (
        {
            "apiVersion": "network.kubesphere.io/v1alpha1",
            "kind": "Eip",
            "metadata": {"name": "pool", "namespace": namespace},
            "spec": {"address": address, "disable": False},
        }
        for namespace, address in (("a", "10.0.0.0/28"), ("b", "10.0.1.0/28"))
    )
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [one, two]})
    told, out = run(tmp_path, "openelb", text)
    eips = list(yaml.safe_load_all((out / "eips.yaml").read_text()))
    assert [(e["metadata"], e["spec"]["address"]) for e in eips] == [
        ({"name": "pool"}, "10.0.0.0/28")
    ]
    assert "metadata.namespace 'a'" in told
    assert "10.0.1.0/28" in told


@pytest.mark.parametrize("text", ["a: [}", "[1]"])
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    argv = [command("porter-ryu"), "import", "metallb", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "bad.yaml:1" in done.stderr
