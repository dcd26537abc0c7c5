"""Converts MetalLB's BGPPeers, with their BFDProfiles and Secrets, to [peer:NAME] groups."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from msgspec import Struct

from porter_ryu.importers.reading import Imported, Manifest, selector_text

_MULTIHOP_TTL = "255"
_MIN_BFD_INTERVAL_MS = 50


class BfdProfile(Struct, frozen=True):
    """The timers of a BFDProfile as text; '' if not set."""

    interval_ms: str
    multiplier: str


def read_profiles(manifests: list[Manifest], found: Imported) -> dict[str, BfdProfile]:
    """The profiles by name; their fields other than the two timers are noted as lost."""
    profiles = {}
    for manifest in manifests:
        interval = manifest.text("spec.transmitInterval")
        if interval.isdigit() and int(interval) < _MIN_BFD_INTERVAL_MS:
            found.lost.append(
                f"{manifest}: transmitInterval {interval} ms: the minimum here is "
                f"{_MIN_BFD_INTERVAL_MS} ms"
            )
            interval = str(_MIN_BFD_INTERVAL_MS)
        profiles[manifest.name] = BfdProfile(interval, manifest.text("spec.detectMultiplier"))
        found.lost += manifest.lost()
    return profiles


def convert_peer(
    manifest: Manifest,
    profiles: Mapping[str, BfdProfile],
    secrets: Mapping[str, Manifest],
    found: Imported,
) -> None:
    """Converts a BGPPeer."""
    group = {
        "address": manifest.text("spec.peerAddress"),
        "remote_as": manifest.text("spec.peerASN"),
        "port": manifest.text("spec.peerPort"),
        "local_address": manifest.text("spec.sourceAddress"),
    }
    if group["port"] == "0":  # the default in MetalLB
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
    if manifest.pop("spec.ebgpMultiHop", bool, False):
        group["multihop_ttl"] = _MULTIHOP_TTL
    _bfd(manifest, profiles, group, found)
    _node_selector(manifest, group, found)
    _password(manifest, secrets, found)
    if not group["address"]:
        interface = manifest.text("spec.interface")
        problem = f"is unnumbered, on {interface}" if interface else "has no peerAddress"
        found.lost.append(f"{manifest}: {problem}, which has no counterpart; it is left out")
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
        found.lost.append(f"{manifest}: multihop BFD has no counterpart")
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
        found.lost.append(f"{manifest}: nodeSelectors {selectors!r}: only one is supported")


def _password(manifest: Manifest, secrets: Mapping[str, Manifest], found: Imported) -> None:
    """Reads the key from the peer itself or from a Secret of type kubernetes.io/basic-auth."""
    password = manifest.text("spec.password")
    name = manifest.text("spec.passwordSecret.name")
    namespace = manifest.text("spec.passwordSecret.namespace") or manifest.namespace
    if name and not password:
        password = _from_secret(secrets.get(f"{namespace}/{name}"))
        if not password:
            found.lost.append(
                f"{manifest}: passwordSecret {namespace}/{name} is not in the files: put the "
                f"key into a file and set password_file of [peer:{manifest.name}] to its path"
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
