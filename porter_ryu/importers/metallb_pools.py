"""MetalLB's IPAddressPools and who announces them, as Eips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from porter_ryu.domain.labels import LabelSelector, Requirement, SelectorError, parse_selector
from porter_ryu.importers.eips import eip
from porter_ryu.importers.reading import Imported, Manifest, selector_text
from porter_ryu.kube.json_text import Json


@dataclass(frozen=True, slots=True)
class Reach:
    """The pools that a BGPAdvertisement or L2Advertisement is for; both empty: all of them."""

    names: frozenset[str]
    selectors: tuple[LabelSelector, ...]

    @staticmethod
    def of(manifest: Manifest, found: Imported) -> Reach:
        """Reads it; a selector that cannot be read selects nothing, and is named."""
        selectors = []
        for entry in manifest.objects("spec.ipAddressPoolSelectors"):
            try:
                selectors.append(parse_selector(selector_text(entry) or "?"))
            except SelectorError as error:
                found.lost.append(f"{manifest}: ipAddressPoolSelectors: {error}")
                selectors.append(LabelSelector((Requirement("", "Exists"),)))
        return Reach(frozenset(manifest.strings("spec.ipAddressPools")), tuple(selectors))

    def has(self, pool: Manifest) -> bool:
        """Whether a pool is announced by it."""
        if not self.names and not self.selectors:
            return True
        return pool.name in self.names or any(s.matches(pool.labels) for s in self.selectors)


def convert_pools(
    pools: list[Manifest], by_bgp: Iterable[Reach], by_l2: Iterable[Reach], found: Imported
) -> None:
    """Whatever restricts a pool and has no counterpart disables it: what is held stays, and nobody
    draws from it who could not before."""
    bgp, l2 = list(by_bgp), list(by_l2)
    priorities = _priorities(pools)
    for manifest in pools:
        spec: Json = {
            "address": ", ".join(manifest.strings("spec.addresses")),
            "avoidBuggyIPs": manifest.take("spec.avoidBuggyIPs", bool, False) or None,
            "autoAssign": None if manifest.take("spec.autoAssign", bool, True) else False,
            "namespaces": manifest.strings("spec.serviceAllocation.namespaces"),
            "priority": priorities.get(manifest.name),
        }
        _selectors(manifest, spec, found)
        if not any(reach.has(manifest) for reach in bgp):
            how = "by layer 2 alone" if any(reach.has(manifest) for reach in l2) else "by nothing"
            spec["disable"] = True
            found.lost.append(f"{manifest}: is announced {how}, not by BGP; the Eip is disabled")
        found.eips.append(eip(manifest.name, spec))
        found.lost += manifest.lost()


def _priorities(pools: list[Manifest]) -> dict[str, int]:
    """There, pools with a serviceAllocation come first, by priority, those with none or 0 after
    the others; then the pools that are for every Service."""
    pinned = {
        pool.name: pool.take("spec.serviceAllocation.priority", int, 0)
        for pool in pools
        if pool.peek("spec.serviceAllocation") is not None
    }
    if not pinned:
        return {}
    last = max(pinned.values()) + 1
    return {pool.name: pinned.get(pool.name, last + 1) or last for pool in pools}


def _selectors(manifest: Manifest, spec: Json, found: Imported) -> None:
    namespaces = manifest.objects("spec.serviceAllocation.namespaceSelectors")
    services = manifest.objects("spec.serviceAllocation.serviceSelectors")
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
                f"{manifest}: {what} {rest!r} has no counterpart; the Eip is disabled"
            )
