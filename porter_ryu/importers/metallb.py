"""MetalLB: IPAddressPool becomes an Eip, BGPPeer a [peer:NAME], BGPAdvertisement what goes with
the routes, BFDProfile the timers of a peer; Services are annotated by commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from porter_ryu.importers.acceptance import peer_lines, set_peers
from porter_ryu.importers.metallb_peers import convert_peer, read_profiles
from porter_ryu.importers.metallb_pools import Reach, convert_pools
from porter_ryu.importers.reading import Imported, Manifest

_OPT_IN = "lb.kubesphere.io/v1alpha1=porter"
_SHARE = "allow-shared-ip"
_ANNOTATIONS = {
    "address-pool": "eip.porter.kubesphere.io/pool",
    "loadBalancerIPs": "eip.porter.kubesphere.io/v1alpha1",
    _SHARE: "eip.porter.kubesphere.io/share",
}
_PREFIXES = ("metallb.io/", "metallb.universe.tf/")
_STATE_OF_METALLB = ("ip-allocated-from-pool",)


def convert(manifests: Iterable[Manifest]) -> Imported:
    """All objects of a MetalLB cluster, as ours."""
    kinds: dict[str, list[Manifest]] = {}
    for manifest in manifests:
        kinds.setdefault(manifest.kind, []).append(manifest)
    found = Imported()
    found.groups = {"bgp": {}}
    pools, advertisements = kinds.pop("IPAddressPool", []), kinds.pop("BGPAdvertisement", [])
    by_bgp = [Reach.of(manifest, found) for manifest in advertisements]
    by_l2 = [Reach.of(manifest, found) for manifest in kinds.get("L2Advertisement", [])]
    convert_pools(pools, by_bgp, by_l2, found)
    profiles = read_profiles(kinds.pop("BFDProfile", []), found)
    # a Secret is used and never printed
    secrets = {f"{m.namespace}/{m.name}": m for m in kinds.pop("Secret", [])}
    for manifest in kinds.pop("BGPPeer", []):
        convert_peer(manifest, profiles, secrets, found)
    aliases = _aliases(kinds.pop("Community", []))
    for manifest, reach in zip(advertisements, by_bgp, strict=True):
        _advertisement(manifest, all(map(reach.has, pools)), aliases, found)
    _services(kinds.pop("Service", []), found)
    for kind, others in kinds.items():
        found.lost += [f"{kind} {m.name}: this kind has no counterpart" for m in others]
    set_peers(found.groups)
    return found


def _aliases(manifests: list[Manifest]) -> dict[str, str]:
    entries = [entry for m in manifests for entry in m.objects("spec.communities")]
    return {str(entry.get("name")): str(entry.get("value")) for entry in entries}


def _advertisement(
    manifest: Manifest, of_all_pools: bool, aliases: dict[str, str], found: Imported
) -> None:
    """Communities and local preference of all pools become those of the peers."""
    peers = manifest.strings("spec.peers")
    texts = [aliases.get(text, text) for text in manifest.strings("spec.communities")]
    communities = [text.removeprefix("large:") for text in texts]
    preference = manifest.text("spec.localPref")
    if peers:
        found.lost.append(
            f"{manifest}: is for the peers {peers!r} alone; here every peer hears of every pool"
        )
    if not of_all_pools:
        carried = communities or preference
        what = "its communities and localPref are left out: " if carried else ""
        found.lost.append(
            f"{manifest}: is for some pools alone; {what}what is announced here is the same for "
            "all pools"
        )
    for name, settings in peer_lines(found.groups):
        if (peers and name not in peers) or not of_all_pools:
            continue
        before = [text for text in settings.get("communities", "").split(", ") if text]
        if before or communities:
            settings["communities"] = ", ".join(dict.fromkeys([*before, *communities]))
        if preference:
            settings["local_pref"] = preference
    for key, whole in (("aggregationLength", 32), ("aggregationLengthV6", 128)):
        if manifest.take(f"spec.{key}", int, whole) != whole:
            found.lost.append(f"{manifest}: {key}: only /{whole}")
    found.lost += manifest.lost()


def _services(manifests: list[Manifest], found: Imported) -> None:
    sharing: dict[str, set[str]] = {}
    for manifest in manifests:
        if manifest.text("spec.type") != "LoadBalancer":
            continue
        name = f"{manifest.namespace}/{manifest.name}"
        own_class = manifest.text("spec.loadBalancerClass")
        if own_class:
            found.lost.append(
                f"Service {name}: loadBalancerClass {own_class!r} is not taken by an annotation: "
                "it is left alone; [porter] load_balancer_class takes one class"
            )
            continue
        wanted = _annotations(manifest, name, sharing, found)
        words = ["kubectl", "annotate", "service", "-n", manifest.namespace, manifest.name]
        found.commands.append(shlex.join([*words, "--overwrite", *wanted]))
    for key, names in sorted(sharing.items()):
        if len({name.partition("/")[0] for name in names}) > 1:
            found.lost.append(
                f"Services {', '.join(sorted(names))} share an address by key {key!r}: here only "
                "Services of one namespace may"
            )


def _annotations(
    manifest: Manifest, name: str, sharing: dict[str, set[str]], found: Imported
) -> list[str]:
    wanted = [_OPT_IN]
    for key, value in manifest.annotations.items():
        prefix = next((p for p in _PREFIXES if key.startswith(p)), None)
        if prefix is None:
            continue
        what = key.removeprefix(prefix)
        if what == _SHARE:
            sharing.setdefault(value, set()).add(name)
        if what in _ANNOTATIONS:
            wanted.append(f"{_ANNOTATIONS[what]}={value}")
        elif what not in _STATE_OF_METALLB:
            found.lost.append(f"Service {name}: annotation {key} has no counterpart")
    return wanted
