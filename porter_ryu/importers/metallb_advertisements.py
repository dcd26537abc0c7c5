"""Converts MetalLB's BGPAdvertisements to entries of spec.advertisements of Eips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from porter_ryu.domain.communities import CommunityError, parse_communities
from porter_ryu.importers.metallb_pools import PoolSelection
from porter_ryu.importers.reading import Imported, Manifest
from porter_ryu.kube import advertisement_codec, structs
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Json, converted

_LARGE = "large:"  # in front of a large community


class PoolAdvertisement(Struct, frozen=True):
    """The pools that a BGPAdvertisement selects, and the entries that it becomes for each."""

    selection: PoolSelection
    entries: tuple[Json, ...]


def read_aliases(manifests: Iterable[Manifest], found: Imported) -> dict[str, str]:
    """The names of communities that Community objects define, and what they stand for."""
    aliases: dict[str, str] = {}
    for manifest in manifests:
        for entry in manifest.objects("spec.communities"):
            aliases[str(entry.get("name"))] = str(entry.get("value"))
        found.lost += manifest.lost()
    return aliases


def read_advertisement(
    manifest: Manifest, aliases: Mapping[str, str], found: Imported
) -> PoolAdvertisement:
    """Converts a BGPAdvertisement.  It becomes one entry for each of its nodeSelectors, of which
    one has to match a node."""
    selection = PoolSelection.read(manifest, found)
    spec: Json = {
        "peers": manifest.strings("spec.peers"),
        "communities": _communities(manifest, aliases, found),
        "localPref": manifest.pop("spec.localPref", int, None),
        "aggregationLength": manifest.pop("spec.aggregationLength", int, None),
        "aggregationLengthV6": manifest.pop("spec.aggregationLengthV6", int, None),
    }
    common = {key: value for key, value in spec.items() if value not in (None, [])}
    selectors = manifest.objects("spec.nodeSelectors")
    entries = [{**common, "nodeSelector": selector} for selector in selectors] or [common]
    if manifest.objects("spec.serviceSelectors"):
        found.lost.append(f"{manifest}: is left out: serviceSelectors has no counterpart")
        entries = []
    found.lost += manifest.lost()
    return PoolAdvertisement(selection, tuple(e for e in entries if _is_valid(e, manifest, found)))


def advertisements_of(
    pool: Manifest, advertisements: Iterable[PoolAdvertisement], found: Imported
) -> list[Json] | None:
    """spec.advertisements of a pool, empty if every peer gets its routes and nothing is added;
    None if nothing announces it as it should be."""
    entries: list[Json] = []
    for advertisement in advertisements:
        if advertisement.selection.selects(pool):
            entries += [entry for entry in advertisement.entries if entry not in entries]
    if not entries:
        return None
    try:
        _decode(entries)
    except CodecError as error:
        found.lost.append(f"{pool}: {error}; the Eip is disabled")
        return None
    return [] if entries == [{}] else entries


def _communities(manifest: Manifest, aliases: Mapping[str, str], found: Imported) -> list[str]:
    communities = []
    for text in manifest.strings("spec.communities"):
        community = aliases.get(text, text).removeprefix(_LARGE)
        try:
            parse_communities([community])
        except CommunityError as error:
            found.lost.append(f"{manifest}: communities: {error}; it is left out")
        else:
            communities.append(community)
    return communities


def _is_valid(entry: Json, manifest: Manifest, found: Imported) -> bool:
    try:
        _decode([entry])
    except CodecError as error:
        found.lost.append(f"{manifest}: is left out: {error}")
        return False
    return True


def _decode(entries: list[Json]) -> None:
    advertisement_codec.decode([converted(structs.Advertisement, entry) for entry in entries])
