"""MetalLB's BGPPeers, with their BFDProfiles and Secrets, as groups of the oslo file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from porter_ryu.importers.reading import Imported, Manifest, selector_text

_MULTIHOP_TTL = "255"
_BFD_INTERVAL_LEAST_MS = 50


@dataclass(frozen=True, slots=True)
class BfdProfile:
    """The timers of a BFDProfile, as text; empty where it says nothing."""

    interval_ms: str
    multiplier: str


def read_profiles(manifests: list[Manifest], found: Imported) -> dict[str, BfdProfile]:
    """The profiles by name; what they have besides the two timers is noted as lost."""
    profiles = {}
    for manifest in manifests:
        interval = manifest.text("spec.transmitInterval")
        if interval.isdigit() and int(interval) < _BFD_INTERVAL_LEAST_MS:
            found.lost.append(
                f"{manifest}: transmitInterval {interval} ms: {_BFD_INTERVAL_LEAST_MS} ms is the "
                "least here"
            )
            interval = str(_BFD_INTERVAL_LEAST_MS)
        profiles[manifest.name] = BfdProfile(interval, manifest.text("spec.detectMultiplier"))
        found.lost += manifest.lost()
    return profiles


def convert_peer(
    manifest: Manifest,
    profiles: Mapping[str, BfdProfile],
    secrets: Mapping[str, Manifest],
    found: Imported,
) -> None:
    """One BGPPeer."""
    group = {
        "address": manifest.text("spec.peerAddress"),
        "remote_as": manifest.text("spec.peerASN"),
        "port": manifest.text("spec.peerPort"),
        "local_address": manifest.text("spec.sourceAddress"),
    }
    if group["port"] == "0":  # there, the default
        group["port"] = ""
    bgp = found.groups["bgp"]
    for theirs, ours in (("myASN", "local_as"), ("routerID", "router_id")):
        value = manifest.text(f"spec.{theirs}")
        if value and bgp.setdefault(ours, value) != value:
            found.lost.append(f"{manifest}: {theirs} {value} differs from {bgp[ours]}")
    for theirs, ours in (("holdTime", "hold_time"), ("connectTime", "connect_retry")):
        seconds = manifest.seconds(f"spec.{theirs}")
        if seconds is not None:
            group[ours] = str(seconds)
    if manifest.take("spec.ebgpMultiHop", bool, False):
        group["multihop_ttl"] = _MULTIHOP_TTL
    _bfd(manifest, profiles, group, found)
    _node_selector(manifest, group, found)
    _password(manifest, secrets, found)
    if not group["address"]:
        interface = manifest.text("spec.interface")
        what = f"unnumbered, on {interface}" if interface else "without peerAddress"
        found.lost.append(f"{manifest}: is {what}, which has no counterpart; it is left out")
        found.keys.pop(manifest.name, None)
    else:
        found.groups[f"peer:{manifest.name}"] = {k: text for k, text in group.items() if text}
    found.lost += manifest.lost()


def _bfd(
    manifest: Manifest, profiles: Mapping[str, BfdProfile], group: dict[str, str], found: Imported
) -> None:
    name = manifest.text("spec.bfdProfile")
    if not name:
        return
    if name not in profiles:
        found.lost.append(f"{manifest}: there is no BFDProfile {name}")
        return
    if "multihop_ttl" in group:
        found.lost.append(f"{manifest}: BFD over several hops has no counterpart")
        return
    group["bfd"] = "true"
    group["bfd_interval_ms"] = profiles[name].interval_ms
    group["bfd_multiplier"] = profiles[name].multiplier


def _node_selector(manifest: Manifest, group: dict[str, str], found: Imported) -> None:
    selectors = manifest.objects("spec.nodeSelectors")
    text = selector_text(selectors[0]) if len(selectors) == 1 else None
    if text is not None:
        group["node_selector"] = text
    elif selectors:
        found.lost.append(f"{manifest}: nodeSelectors {selectors!r}: only one is known")


def _password(manifest: Manifest, secrets: Mapping[str, Manifest], found: Imported) -> None:
    """The key, from the peer itself or from a Secret of type kubernetes.io/basic-auth."""
    password = manifest.text("spec.password")
    name = manifest.text("spec.passwordSecret.name")
    namespace = manifest.text("spec.passwordSecret.namespace") or manifest.namespace
    if name and not password:
        password = _from_secret(secrets.get(f"{namespace}/{name}"))
        if not password:
            found.lost.append(
                f"{manifest}: passwordSecret {namespace}/{name} is not among the files: put the "
                f"key into a file and name it as password_file of [peer:{manifest.name}]"
            )
    if password:
        found.keys[manifest.name] = password


def _from_secret(secret: Manifest | None) -> str:
    if secret is None:
        return ""
    plain = secret.text("stringData.password")
    if plain:
        return plain
    try:
        return base64.b64decode(secret.text("data.password"), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
