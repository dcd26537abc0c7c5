"""MetalLB: IPAddressPool becomes an Eip, BGPPeer a [peer:NAME], BGPAdvertisement what goes with
the routes, BFDProfile the timers of a peer; Services are annotated by commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from porter_ryu.importers.eips import eip
from porter_ryu.importers.reading import Imported, Manifest, seconds, selector_text
from porter_ryu.kube.fields import Json

_OPT_IN = "lb.kubesphere.io/v1alpha1=porter"
_ANNOTATIONS = {
    "address-pool": "eip.porter.kubesphere.io/pool",
    "loadBalancerIPs": "eip.porter.kubesphere.io/v1alpha1",
    "allow-shared-ip": "eip.porter.kubesphere.io/share",
}
_PREFIXES = ("metallb.io/", "metallb.universe.tf/")
_STATE_OF_METALLB = ("ip-allocated-from-pool",)
_MULTIHOP_TTL = "255"


def convert(manifests: Iterable[Manifest]) -> Imported:
    """Whatever restricts a pool and has no counterpart disables it: what is held stays, and
    nobody draws from it who could not before."""
    by_kind: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        by_kind.setdefault(manifest.kind, []).append(manifest)
    found = Imported()
    found.groups = {"bgp": {}}
    _pools(by_kind.pop("IPAddressPool", []), found)
    profiles = {m.name: m for m in by_kind.pop("BFDProfile", [])}
    for manifest in by_kind.pop("BGPPeer", []):
        _peer(manifest, profiles, found)
    aliases = _aliases(by_kind.pop("Community", []))
    for manifest in by_kind.pop("BGPAdvertisement", []):
        _advertisement(manifest, aliases, found)
    for profile in profiles.values():
        found.lost += profile.lost()
    for manifest in by_kind.pop("Service", []):
        _service(manifest, found)
    for kind, others in by_kind.items():
        found.lost += [f"{kind} {m.name}: this kind has no counterpart" for m in others]
    names = [group.removeprefix("peer:") for group in found.groups if group.startswith("peer:")]
    found.groups["bgp"]["peers"] = ", ".join(names)
    return found


def _pools(manifests: list[Manifest], found: Imported) -> None:
    priorities = {m.name: m.take("spec.serviceAllocation.priority", 0) for m in manifests}
    last = max(priorities.values(), default=0) + 1
    for manifest in manifests:
        spec: Json = {
            "address": ", ".join(manifest.take("spec.addresses", [])),
            "avoidBuggyIPs": manifest.take("spec.avoidBuggyIPs"),
            "autoAssign": manifest.take("spec.autoAssign"),
            "namespaces": manifest.take("spec.serviceAllocation.namespaces"),
        }
        if last > 1:
            # there, a pool without a priority comes after those with one
            spec["priority"] = priorities[manifest.name] or last
        _selectors(manifest, spec, found)
        found.eips.append(eip(manifest.name, spec))
        found.lost += manifest.lost()


def _selectors(manifest: Manifest, spec: Json, found: Imported) -> None:
    namespaces = manifest.take("spec.serviceAllocation.namespaceSelectors", [])
    services = manifest.take("spec.serviceAllocation.serviceSelectors", [])
    if len(namespaces) == 1 and not namespaces[0].get("matchExpressions"):
        spec["namespaceSelector"] = namespaces[0].get("matchLabels")
        namespaces = []
    if len(services) == 1:
        spec["serviceSelector"] = services[0]
        services = []
    for what, rest in (("namespaceSelectors", namespaces), ("serviceSelectors", services)):
        if rest:
            spec["disable"] = True
            found.lost.append(
                f"IPAddressPool {manifest.name}: {what} {rest!r} has no counterpart; the Eip is "
                "disabled"
            )


def _peer(manifest: Manifest, profiles: dict[str, Manifest], found: Imported) -> None:
    group = {
        "address": manifest.take("spec.peerAddress"),
        "remote_as": manifest.take("spec.peerASN"),
        "port": manifest.take("spec.peerPort"),
        "local_address": manifest.take("spec.sourceAddress"),
    }
    bgp = found.groups["bgp"]
    for theirs, ours in (("myASN", "local_as"), ("routerID", "router_id")):
        value = manifest.take(f"spec.{theirs}")
        if value is None:
            continue
        if bgp.setdefault(ours, str(value)) != str(value):
            found.lost.append(f"BGPPeer {manifest.name}: {theirs} {value} differs from {bgp[ours]}")
    for theirs, ours in (("holdTime", "hold_time"), ("connectTime", "connect_retry")):
        value = manifest.take(f"spec.{theirs}")
        if value:
            group[ours] = seconds(value)
    if manifest.take("spec.ebgpMultiHop"):
        group["multihop_ttl"] = _MULTIHOP_TTL
    _bfd(manifest, profiles, group, found)
    selectors = manifest.take("spec.nodeSelectors", [])
    if len(selectors) == 1:
        group["node_selector"] = selector_text(selectors[0])
    elif selectors:
        found.lost.append(
            f"BGPPeer {manifest.name}: nodeSelectors {selectors!r}: only one is known"
        )
    password = manifest.take("spec.password")
    if password:
        found.keys[manifest.name] = str(password)
    found.groups[f"peer:{manifest.name}"] = {
        key: str(value) for key, value in group.items() if value not in (None, "")
    }
    found.lost += manifest.lost()


def _bfd(manifest: Manifest, profiles: dict[str, Manifest], group: Json, found: Imported) -> None:
    name = manifest.take("spec.bfdProfile")
    if not name:
        return
    if name not in profiles:
        found.lost.append(f"BGPPeer {manifest.name}: there is no BFDProfile {name}")
        return
    profile = profiles[name]
    group["bfd"] = "true"
    group["bfd_interval_ms"] = profile.take("spec.transmitInterval")
    group["bfd_multiplier"] = profile.take("spec.detectMultiplier")


def _aliases(manifests: list[Manifest]) -> dict[str, str]:
    entries = [entry for m in manifests for entry in m.take("spec.communities", [])]
    return {str(entry.get("name")): str(entry.get("value")) for entry in entries}


def _advertisement(manifest: Manifest, aliases: dict[str, str], found: Imported) -> None:
    pools = manifest.take("spec.ipAddressPools", [])
    if pools and set(pools) != {entry["metadata"]["name"] for entry in found.eips}:
        found.lost.append(
            f"BGPAdvertisement {manifest.name}: is for the pools {pools!r} alone; what is "
            "announced here is the same for all pools"
        )
    peers = manifest.take("spec.peers", [])
    communities = [aliases.get(text, text) for text in manifest.take("spec.communities", [])]
    preference = manifest.take("spec.localPref")
    for group, settings in found.groups.items():
        name = group.removeprefix("peer:")
        if name == group or (peers and name not in peers):
            continue
        before = [text for text in settings.get("communities", "").split(", ") if text]
        both = [*before, *(_community(text) for text in communities)]
        if both:
            settings["communities"] = ", ".join(dict.fromkeys(both))
        if preference is not None and settings["remote_as"] == found.groups["bgp"].get("local_as"):
            settings["local_pref"] = str(preference)
        elif preference is not None:
            found.lost.append(
                f"BGPAdvertisement {manifest.name}: localPref: {name} is no internal peer"
            )
    if manifest.take("spec.aggregationLength", 32) != 32:  # noqa: PLR2004 - a host route
        found.lost.append(f"BGPAdvertisement {manifest.name}: aggregationLength: only /32")
    if manifest.take("spec.aggregationLengthV6", 128) != 128:  # noqa: PLR2004 - a host route
        found.lost.append(f"BGPAdvertisement {manifest.name}: aggregationLengthV6: only /128")
    found.lost += manifest.lost()


def _community(text: str) -> str:
    return text.removeprefix("large:")


def _service(manifest: Manifest, found: Imported) -> None:
    if manifest.take("spec.type") != "LoadBalancer":
        return
    wanted = [_OPT_IN]
    name = f"{manifest.namespace}/{manifest.name}"
    for key, value in (manifest.metadata.get("annotations") or {}).items():
        prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
        if prefix is None:
            continue
        ours = _ANNOTATIONS.get(key.removeprefix(prefix))
        if ours is not None:
            wanted.append(f"{ours}={value}")
        elif key.removeprefix(prefix) not in _STATE_OF_METALLB:
            found.lost.append(f"Service {name}: annotation {key} has no counterpart")
    words = ["kubectl", "annotate", "service", "-n", manifest.namespace, manifest.name, *wanted]
    found.commands.append(shlex.join(words))
