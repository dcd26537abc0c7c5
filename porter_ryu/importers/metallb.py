"""Converts MetalLB manifests.

An IPAddressPool becomes an Eip, a BGPPeer a [peer:NAME] group, a BGPAdvertisement entries of
spec.advertisements of the Eips, and a BFDProfile the BFD timers of peers.  Services get annotations
by commands.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from porter_ryu.importers.acceptance import set_peers
from porter_ryu.importers.metallb_advertisements import (
    advertisements_of,
    read_advertisement,
    read_aliases,
)
from porter_ryu.importers.metallb_peers import convert_peer, read_profiles
from porter_ryu.importers.metallb_pools import PoolSelection, convert_pool, pool_priorities
from porter_ryu.importers.reading import Imported, Manifest

_OPT_IN = "lb.kubesphere.io/v1alpha1=porter"
_SHARE = "allow-shared-ip"
_ANNOTATIONS = {
    "address-pool": "eip.porter.kubesphere.io/pool",
    "loadBalancerIPs": "eip.porter.kubesphere.io/v1alpha1",
    _SHARE: "eip.porter.kubesphere.io/share",
}
_PREFIXES = ("metallb.io/", "metallb.universe.tf/")
_IGNORED_ANNOTATIONS = ("ip-allocated-from-pool",)


def convert(manifests: Iterable[Manifest]) -> Imported:
    """Converts all objects of a MetalLB cluster."""
    kinds: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        kinds.setdefault(manifest.kind, []).append(manifest)
    found = Imported()
    found.groups = {"bgp": {}}
    aliases = read_aliases(kinds.pop("Community", []), found)
    advertisements = [
        read_advertisement(manifest, aliases, found)
        for manifest in kinds.pop("BGPAdvertisement", [])
    ]
    by_layer_2 = [PoolSelection.read(m, found) for m in kinds.get("L2Advertisement", [])]
    pools = kinds.pop("IPAddressPool", [])
    priorities = pool_priorities(pools)
    for manifest in pools:
        entries = advertisements_of(manifest, advertisements, found)
        convert_pool(manifest, priorities, entries, by_layer_2, found)
    profiles = read_profiles(kinds.pop("BFDProfile", []), found)
    # the content of a Secret is used but never printed
    secrets = {f"{m.namespace}/{m.name}": m for m in kinds.pop("Secret", [])}
    for manifest in kinds.pop("BGPPeer", []):
        convert_peer(manifest, profiles, secrets, found)
    _services(kinds.pop("Service", []), found)
    for kind, others in kinds.items():
        found.lost += [f"{kind} {m.name}: this kind has no counterpart" for m in others]
    set_peers(found.groups)
    return found


def _services(manifests: list[Manifest], found: Imported) -> None:
    sharing: dict[str, set[str]] = {}
    for manifest in manifests:
        if manifest.text("spec.type") != "LoadBalancer":
            continue
        name = f"{manifest.namespace}/{manifest.name}"
        own_class = manifest.text("spec.loadBalancerClass")
        if own_class:
            found.lost.append(
                f"Service {name}: has loadBalancerClass {own_class!r}, so an annotation does not "
                "opt it in; it is not changed; [porter] load_balancer_class accepts one class"
            )
            continue
        wanted = _annotations(manifest, name, sharing, found)
        words = ["kubectl", "annotate", "service", "-n", manifest.namespace, manifest.name]
        found.commands.append(shlex.join([*words, "--overwrite", *wanted]))
    for key, names in sorted(sharing.items()):
        if len({name.partition("/")[0] for name in names}) > 1:
            found.lost.append(
                f"Services {', '.join(sorted(names))} share an address by key {key!r}: here only "
                "Services of one namespace can share an address"
            )


def _annotations(
    manifest: Manifest, name: str, sharing: dict[str, set[str]], found: Imported
) -> list[str]:
    wanted = [_OPT_IN]
    for key, value in manifest.annotations.items():
        prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
        if prefix is None:
            continue
        suffix = key.removeprefix(prefix)
        if suffix == _SHARE:
            sharing.setdefault(value, set()).add(name)
        if suffix in _ANNOTATIONS:
            wanted.append(f"{_ANNOTATIONS[suffix]}={value}")
        elif suffix not in _IGNORED_ANNOTATIONS:
            found.lost.append(f"Service {name}: annotation {key} has no counterpart")
    return wanted
