"""Converts MetalLB's IPAddressPools to Eips, depending on the advertisements that select them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from porter_ryu.domain.labels import LabelSelector, Requirement, SelectorError, parse_selector
from porter_ryu.importers.eips import eip
from porter_ryu.importers.reading import Imported, Manifest, selector_text
from porter_ryu.kube.json_text import Json


class PoolSelection(Struct, frozen=True):
    """The pools that an advertisement selects; all pools if both fields are empty."""

    names: frozenset[str]
    selectors: tuple[LabelSelector, ...]

    @staticmethod
    def read(manifest: Manifest, found: Imported) -> PoolSelection:
        """The selection of an advertisement; an invalid selector selects no pool and is named."""
        selectors = []
        for entry in manifest.objects("spec.ipAddressPoolSelectors"):
            try:
                selectors.append(parse_selector(selector_text(entry) or "?"))
            except SelectorError as error:
                found.lost.append(f"{manifest}: ipAddressPoolSelectors: {error}")
                selectors.append(LabelSelector((Requirement("", "Exists"),)))
        return PoolSelection(frozenset(manifest.strings("spec.ipAddressPools")), tuple(selectors))

    def selects(self, pool: Manifest) -> bool:
        """Whether a pool is selected."""
        if not self.names and not self.selectors:
            return True
        return pool.name in self.names or any(s.matches(pool.labels) for s in self.selectors)


def convert_pool(
    manifest: Manifest,
    priorities: Mapping[str, int],
    advertisements: list[Json] | None,
    by_layer_2: Iterable[PoolSelection],
    found: Imported,
) -> None:
    """Converts a pool; `advertisements` are the entries of its Eip, None if BGP does not announce
    it.  A restriction without counterpart disables the Eip: Services keep their addresses, but no
    Service gets an address that it could not get before."""
    spec: Json = {
        "address": ", ".join(manifest.strings("spec.addresses")),
        "avoidBuggyIPs": manifest.pop("spec.avoidBuggyIPs", bool, False) or None,
        "autoAssign": None if manifest.pop("spec.autoAssign", bool, True) else False,
        "namespaces": manifest.strings("spec.serviceAllocation.namespaces"),
        "priority": priorities.get(manifest.name),
        "advertisements": advertisements,
    }
    _selectors(manifest, spec, found)
    if advertisements is None:
        only_layer_2 = any(selection.selects(manifest) for selection in by_layer_2)
        problem = "is announced only by layer 2" if only_layer_2 else "is not announced"
        spec["disable"] = True
        found.lost.append(f"{manifest}: {problem}, not by BGP; the Eip is disabled")
    found.eips.append(eip(manifest.name, spec))
    found.lost += manifest.lost()


def pool_priorities(pools: list[Manifest]) -> dict[str, int]:
    """Priorities that keep the order of MetalLB: first the pools with a serviceAllocation, by its
    priority (0 or none comes last), then the pools without one."""
    pinned = {
        pool.name: pool.pop("spec.serviceAllocation.priority", int, 0)
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
    for key, selectors in (("namespaceSelectors", namespaces), ("serviceSelectors", services)):
        if selectors:
            spec["disable"] = True
            found.lost.append(
                f"{manifest}: {key} {selectors!r} has no counterpart; the Eip is disabled"
            )
