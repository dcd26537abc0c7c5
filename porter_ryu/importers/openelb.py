"""OpenELB: Eip stays what it is, BgpConf and BgpPeer become groups of the oslo file."""

from __future__ import annotations

from collections.abc import Iterable

from porter_ryu.importers.eips import eip
from porter_ryu.importers.reading import Imported, Manifest, seconds, selector_text

_KEPT = (
    "address",
    "disable",
    "autoAssign",
    "avoidBuggyIPs",
    "priority",
    "namespaces",
    "namespaceSelector",
    "protocol",
    "interface",
    "usingKnownIPs",
)


def convert(manifests: Iterable[Manifest]) -> Imported:
    """Services keep their annotations: `annotation_values` takes OpenELB's too."""
    found = Imported()
    found.groups = {"porter": {"annotation_values": "porter, openelb"}, "bgp": {}}
    for manifest in manifests:
        if manifest.kind == "Eip":
            _eip(manifest, found)
        elif manifest.kind == "BgpConf":
            _conf(manifest, found.groups["bgp"])
        elif manifest.kind == "BgpPeer":
            _peer(manifest, found)
        elif manifest.kind == "Service":
            _service(manifest, found)
            continue
        else:
            found.lost.append(f"{manifest.kind} {manifest.name}: this kind has no counterpart")
            continue
        found.lost += manifest.lost()
    names = [group.removeprefix("peer:") for group in found.groups if group.startswith("peer:")]
    found.groups["bgp"]["peers"] = ", ".join(names)
    return found


def _eip(manifest: Manifest, found: Imported) -> None:
    spec = {key: manifest.take(f"spec.{key}") for key in _KEPT}
    if spec["protocol"] not in (None, "", "bgp"):
        found.lost.append(
            f"Eip {manifest.name}: protocol {spec['protocol']!r} has no counterpart; the Eip does "
            "not serve until it is bgp"
        )
    if "namespace" in manifest.metadata:  # Porter v0.0.1, whose pools served every namespace
        found.lost.append(
            f"Eip {manifest.name}: metadata.namespace {manifest.namespace!r} has no counterpart: "
            "an Eip is cluster-scoped and serves every namespace unless spec.namespaces names some"
        )
    if any(known["metadata"]["name"] == manifest.name for known in found.eips):
        found.lost.append(
            f"Eip {manifest.name}: an Eip of this name is written already: rename this one, "
            f"with address {spec['address']}, and import again"
        )
        return
    found.eips.append(eip(manifest.name, spec))


def _conf(manifest: Manifest, bgp: dict[str, str]) -> None:
    for theirs, ours in (
        ("as", "local_as"),
        ("routerId", "router_id"),
        ("listenPort", "listen_port"),
    ):
        value = manifest.take(f"spec.{theirs}")
        if value is not None:
            bgp[ours] = str(value)
    addresses = manifest.take("spec.listenAddresses")
    if addresses:
        bgp["listen_addresses"] = ", ".join(addresses)


def _peer(manifest: Manifest, found: Imported) -> None:
    group = {
        "address": manifest.take("spec.conf.neighborAddress"),
        "remote_as": manifest.take("spec.conf.peerAs"),
        "port": manifest.take("spec.transport.remotePort"),
        "local_address": manifest.take("spec.transport.localAddress"),
    }
    if manifest.take("spec.transport.passiveMode"):
        group["mode"] = "passive"
    for theirs, ours in (("holdTime", "hold_time"), ("connectRetry", "connect_retry")):
        value = manifest.take(f"spec.timers.config.{theirs}")
        if value:
            group[ours] = seconds(value)
    if manifest.take("spec.ebgpMultihop.enabled"):
        group["multihop_ttl"] = manifest.take("spec.ebgpMultihop.multihopTtl")
    if manifest.take("spec.addPaths.sendMax"):
        group["add_path"] = "true"
    selector = manifest.take("spec.nodeSelector")
    if selector:
        group["node_selector"] = selector_text(selector)
    password = manifest.take("spec.conf.authPassword")
    if password:
        found.keys[manifest.name] = str(password)
    found.groups[f"peer:{manifest.name}"] = {
        key: str(value) for key, value in group.items() if value not in (None, "")
    }


def _service(manifest: Manifest, found: Imported) -> None:
    annotations = manifest.metadata.get("annotations") or {}
    protocol = annotations.get("protocol.openelb.kubesphere.io/v1alpha1", "bgp")
    if protocol != "bgp":
        name = f"{manifest.namespace}/{manifest.name}"
        found.lost.append(f"Service {name}: protocol {protocol!r} has no counterpart")
