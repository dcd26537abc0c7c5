"""Converts OpenELB manifests: Eips stay Eips, BgpConf and BgpPeer become groups of a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from msgspec import Struct, field

from porter_ryu.importers.acceptance import set_peers
from porter_ryu.importers.eips import eip
from porter_ryu.importers.reading import Imported, Manifest, selector_text
from porter_ryu.kube.json_text import Json

_EIP_FIELDS = (
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
_DEFAULT = "eip.openelb.kubesphere.io/is-default-eip"
_PROTOCOL = "protocol.openelb.kubesphere.io/v1alpha1"
_SHARE = "eip.porter.kubesphere.io/share"
_MULTIHOP_TTL = "255"
_FAMILIES = {"AFI_IP": "ipv4", "AFI_IP6": "ipv6"}


class _Holders(Struct):
    """The Services that have one address, and their ports."""

    names: list[tuple[str, str]] = field(default_factory=list)
    ports: list[tuple[str, str]] = field(default_factory=list)


def convert(manifests: Iterable[Manifest]) -> Imported:
    """Converts all objects.  Services keep their annotations, because `annotation_values` accepts
    those of OpenELB."""
    found = Imported()
    found.groups = {"porter": {"annotation_values": "porter, openelb"}, "bgp": {}}
    every = list(manifests)
    last = 1 + max((_priority(m) for m in every if m.kind == "Eip"), default=0)
    holders: dict[str, _Holders] = {}
    for manifest in every:
        if manifest.kind == "Eip":
            _eip(manifest, last, found)
        elif manifest.kind == "BgpConf":
            _conf(manifest, found.groups["bgp"])
        elif manifest.kind == "BgpPeer":
            _peer(manifest, found)
        elif manifest.kind == "Service":
            _service(manifest, holders, found)
            continue
        else:
            found.lost.append(f"{manifest}: this kind has no counterpart")
            continue
        found.lost += manifest.lost()
    for address, sharers in sorted(holders.items()):
        _share(address, sharers, found)
    set_peers(found.groups)
    return found


def _priority(manifest: Manifest) -> int:
    spec = manifest.peek("spec.priority")
    return spec if isinstance(spec, int) and not isinstance(spec, bool) else 0


def _eip(manifest: Manifest, last: int, found: Imported) -> None:
    spec = {key: manifest.pop(f"spec.{key}", object, None) for key in _EIP_FIELDS}
    if spec["protocol"] not in (None, "", "bgp"):
        found.lost.append(
            f"{manifest}: protocol {spec['protocol']!r} has no counterpart; the Eip is "
            "not used until its protocol is bgp"
        )
    _who_draws(manifest, spec, last, found)
    if "namespace" in manifest.metadata:  # Porter v0.0.1: its pools serve every namespace
        found.lost.append(
            f"{manifest}: metadata.namespace {manifest.namespace!r} has no counterpart: "
            "an Eip is cluster-scoped and serves every namespace unless spec.namespaces names some"
        )
    if any(known["metadata"]["name"] == manifest.name for known in found.eips):
        found.lost.append(
            f"{manifest}: there is another Eip with this name: rename this one, "
            f"with address {spec['address']}, and import again"
        )
        return
    found.eips.append(eip(manifest.name, spec))


def _who_draws(manifest: Manifest, spec: Json, last: int, found: Imported) -> None:
    """There, a Service that names no Eip draws from those that its namespace is bound to, by
    priority, then from the default one, and from no other."""
    if "namespace" in manifest.metadata:
        return
    bound = bool(spec["namespaces"] or spec["namespaceSelector"])
    if bound:
        return
    if manifest.annotations.get(_DEFAULT) == "true":
        if last > 1 and not spec["priority"]:
            spec["priority"] = last
            found.lost.append(
                f"{manifest}: is the default Eip, which is used last: it gets priority {last}"
            )
        return
    if spec["autoAssign"] is not False:
        spec["autoAssign"] = False
        found.lost.append(
            f"{manifest}: is neither the default Eip nor bound to a namespace, so it is used only "
            "on request: it gets autoAssign: false"
        )


def _conf(manifest: Manifest, bgp: dict[str, str]) -> None:
    for theirs, ours in (
        ("as", "local_as"),
        ("routerId", "router_id"),
        ("listenPort", "listen_port"),
    ):
        value = manifest.text(f"spec.{theirs}")
        if value:
            bgp[ours] = value
    addresses = manifest.strings("spec.listenAddresses")
    if addresses:
        bgp["listen_addresses"] = ", ".join(addresses)


def _peer(manifest: Manifest, found: Imported) -> None:
    group = {
        "address": manifest.text("spec.conf.neighborAddress"),
        "remote_as": manifest.text("spec.conf.peerAs"),
        "port": manifest.text("spec.transport.remotePort"),
        "local_address": manifest.text("spec.transport.localAddress"),
    }
    if manifest.pop("spec.transport.passiveMode", bool, False):
        group["mode"] = "passive"
    for theirs, ours in (("holdTime", "hold_time"), ("connectRetry", "connect_retry")):
        seconds = manifest.seconds(f"spec.timers.config.{theirs}")
        if seconds:
            group[ours] = str(seconds)
    ttl = manifest.text("spec.ebgpMultihop.multihopTtl")
    if manifest.pop("spec.ebgpMultihop.enabled", bool, False):
        group["multihop_ttl"] = ttl if ttl not in ("", "0") else _MULTIHOP_TTL
    if manifest.pop("spec.addPaths.sendMax", int, 0):
        group["add_path"] = "true"
    _families(manifest, group, found)
    selector = manifest.pop("spec.nodeSelector", dict, {})
    if selector:
        text = selector_text(selector)
        if text is None:
            found.lost.append(f"{manifest}: nodeSelector {selector!r} is invalid")
        else:
            group["node_selector"] = text
    password = manifest.text("spec.conf.authPassword")
    if not group["address"]:
        found.lost.append(f"{manifest}: has no neighborAddress; it is left out")
        return
    if password:
        found.keys[manifest.name] = password
    found.groups[f"peer:{manifest.name}"] = {key: text for key, text in group.items() if text}


def _families(manifest: Manifest, group: dict[str, str], found: Imported) -> None:
    """The families of a peer, in the words of gobgp; those that are not enabled do not count."""
    families = []
    same = {"kind": manifest.kind, "metadata": manifest.metadata}
    for document in manifest.objects("spec.afiSafis"):
        entry = Manifest({**document, **same})
        afi, safi = entry.text("config.family.afi"), entry.text("config.family.safi")
        enabled = entry.pop("config.enabled", bool, False)
        if entry.pop("addPaths.config.sendMax", int, 0):
            group["add_path"] = "true"
        entry.pop("addPaths.config.receive", bool, False)  # no route is learned
        if enabled and afi in _FAMILIES and safi == "SAFI_UNICAST":
            families.append(_FAMILIES[afi])
        elif enabled:
            found.lost.append(f"{manifest}: afiSafis: {afi} {safi} has no counterpart")
        found.lost += entry.lost()
    if families:
        group["families"] = ", ".join(dict.fromkeys(families))


def _service(manifest: Manifest, holders: dict[str, _Holders], found: Imported) -> None:
    name = f"{manifest.namespace}/{manifest.name}"
    protocol = manifest.annotations.get(_PROTOCOL, "bgp")
    if protocol != "bgp":
        found.lost.append(f"Service {name}: protocol {protocol!r} has no counterpart")
    own_class = manifest.text("spec.loadBalancerClass")
    if own_class:
        found.lost.append(
            f"Service {name}: has loadBalancerClass {own_class!r}, so its annotations do not opt "
            "it in; [porter] load_balancer_class accepts one class"
        )
    if manifest.text("spec.type") != "LoadBalancer" or own_class or _SHARE in manifest.annotations:
        return
    ports = [
        (str(port.get("protocol", "TCP")), str(port.get("port")))
        for port in manifest.objects("spec.ports")
    ]
    for address in _addresses(manifest.status):
        entry = holders.setdefault(address, _Holders())
        entry.names.append((manifest.namespace, manifest.name))
        entry.ports += ports


def _addresses(status: object) -> list[str]:
    balancer = status.get("loadBalancer") if isinstance(status, dict) else None
    ingress = balancer.get("ingress") if isinstance(balancer, dict) else None
    entries = ingress if isinstance(ingress, list) else []
    return [str(entry["ip"]) for entry in entries if isinstance(entry, dict) and entry.get("ip")]


def _share(address: str, sharers: _Holders, found: Imported) -> None:
    """In OpenELB any Services can have the same address; here they need a sharing key."""
    names = [f"{namespace}/{name}" for namespace, name in sharers.names]
    if len(names) == 1:
        return
    if len({namespace for namespace, _ in sharers.names}) > 1:
        problem = "here only Services of one namespace can share an address"
    elif len(set(sharers.ports)) < len(sharers.ports):
        problem = "they have a port in common"
    else:
        key = f"{_SHARE}=shared-{address.replace(':', '-')}"
        for namespace, name in sharers.names:
            words = ["kubectl", "annotate", "service", "-n", namespace, name, "--overwrite", key]
            found.commands.append(shlex.join(words))
        return
    found.lost.append(f"Services {', '.join(names)} have the address {address}: {problem}")
