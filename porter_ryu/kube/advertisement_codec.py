"""spec.advertisements and spec.allowedCommunities of an Eip: JSON to values and back.

The CRD has the same limits; a directory of manifests has no API server that would apply them.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from ipaddress import IPV4LENGTH, IPV6LENGTH

from porter_ryu.domain.communities import Communities, CommunityError, parse_communities
from porter_ryu.domain.eip_advertisements import (
    MAX_COMMUNITIES,
    MAX_ENTRIES,
    MAX_PEER_NAME,
    MAX_PEERS,
    AdvertisementEntry,
)
from porter_ryu.domain.labels import LabelSelector, Requirement, SelectorError, match_labels
from porter_ryu.domain.text import quoted
from porter_ryu.kube import metav1, structs
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Json

_NO_SELECTOR = metav1.LabelSelector()


def decode(
    entries: Sequence[structs.Advertisement] | None,
) -> tuple[AdvertisementEntry, ...]:
    """spec.advertisements; raises CodecError, which names the field."""
    place = "spec.advertisements"
    _limit(entries or (), MAX_ENTRIES, place)
    found = tuple(_entry(e, f"{place}[{i}]") for i, e in enumerate(entries or ()))
    every = Communities().union(*(entry.communities for entry in found))
    if every.size > MAX_COMMUNITIES:
        raise CodecError(f"{place}: has more than {MAX_COMMUNITIES} different communities")
    return found


def decode_communities(texts: Sequence[str] | None, place: str) -> Communities:
    """A list of communities at a dotted path; raises CodecError, which names it."""
    _limit(texts or (), MAX_COMMUNITIES, place)
    try:
        return parse_communities(texts or ())
    except CommunityError as error:
        raise CodecError(f"{place}: {error}") from error


def decode_selector(selector: metav1.LabelSelector | None) -> LabelSelector:
    """A metav1.LabelSelector; raises SelectorError."""
    selector = selector or _NO_SELECTOR
    requirements = list(match_labels(selector.match_labels or {}))
    for entry in selector.match_expressions or ():
        values = frozenset(entry.values or ())
        requirements.append(Requirement(entry.key or "", entry.operator or "", values))
    return LabelSelector(tuple(requirements))


def encode(entry: AdvertisementEntry) -> Json:
    """An entry of spec.advertisements, without the fields that are not set."""
    spec: Json = {
        "peers": sorted(entry.peers),
        "nodeSelector": encode_selector(entry.nodes) if entry.nodes.requirements else None,
        "communities": entry.communities.texts(),
        "localPref": entry.local_pref,
        "med": entry.med,
        "asPathPrepend": entry.as_path_prepend or None,
        "aggregationLength": entry.aggregation_length,
        "aggregationLengthV6": entry.aggregation_length_v6,
    }
    return {key: value for key, value in spec.items() if value not in (None, [])}


def encode_selector(selector: LabelSelector) -> Json:
    """A selector as a metav1.LabelSelector."""
    requirements = [
        {"key": r.key, "operator": r.operator, "values": sorted(r.values)}
        for r in selector.requirements
    ]
    return {"matchExpressions": requirements}


def _entry(entry: structs.Advertisement, place: str) -> AdvertisementEntry:
    peers = entry.peers or ()
    _limit(peers, MAX_PEERS, f"{place}.peers")
    for name in peers:
        if not 0 < len(name) <= MAX_PEER_NAME:
            raise CodecError(f"{place}.peers: {quoted(name)} is not a name of a peer")
    try:
        nodes = decode_selector(entry.node_selector)
    except SelectorError as error:
        raise CodecError(f"{place}.nodeSelector: {error}") from error
    return AdvertisementEntry(
        peers=frozenset(peers),
        nodes=nodes,
        communities=decode_communities(entry.communities, f"{place}.communities"),
        local_pref=entry.local_pref,
        med=entry.med,
        as_path_prepend=entry.as_path_prepend or 0,
        aggregation_length=_aggregation(entry.aggregation_length, IPV4LENGTH),
        aggregation_length_v6=_aggregation(entry.aggregation_length_v6, IPV6LENGTH),
    )


def _aggregation(length: int | None, host: int) -> int | None:
    """None for the length of a single address, which aggregates nothing."""
    return length if length != host else None


def _limit(entries: Sized, most: int, place: str) -> None:
    if len(entries) > most:
        raise CodecError(f"{place}: has more than {most} entries")
