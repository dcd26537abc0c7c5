"""core/v1 Service: what its spec, its annotations and its status say, and what status should say.

What reads raises CodecError where what it reads cannot be understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from sys import intern
from typing import NamedTuple

from msgspec.json import Decoder

from porter_ryu.domain.communities import NO_REQUEST, CommunityRequest
from porter_ryu.domain.model import (
    Address,
    AddressRequest,
    Condition,
    Family,
    FamilyPolicy,
    ObjectKey,
    Port,
    Service,
    ServiceStatus,
)
from porter_ryu.domain.text import printable, quoted
from porter_ryu.kube import conditions, structs
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Json, Text, decoded, part
from porter_ryu.kube.shared import CACHED, address_of, labels

_OUR_CONDITIONS = "porter.kubesphere.io/"
FAMILIES = {"IPv4": Family.IPV4, "IPv6": Family.IPV6}
_FAMILY_POLICIES = {policy.value: policy for policy in FamilyPolicy}
_SHARE = "eip.porter.kubesphere.io/share"
_REQUEST = ("eip.porter.kubesphere.io/v1alpha1", "eip.openelb.kubesphere.io/v1alpha1")
_POOL = ("eip.porter.kubesphere.io/pool", "eip.openelb.kubesphere.io/v1alpha2")
_COMMUNITIES = "eip.porter.kubesphere.io/communities"
_COMMUNITIES_MOST = 2000
_WISH_MOST = 200
# a tenant may write 75,000; ours has one of each family, and is written over what else is there
_INGRESS_MOST = 100
_NO_SPEC = structs.ServiceSpec()
_TEXT, _TEXTS = Decoder(str | None), Decoder(list[str] | None)
_RECORDED_STATUS = Decoder(structs.RecordedStatus | None)
_RECORDED_ADDRESS = Decoder(structs.RecordedAddress)


def decode(
    key: ObjectKey, obj: structs.Service, status: structs.ServiceStatus, not_ours: str
) -> Service:
    """A Service; `not_ours` says why it is not, empty where it is."""
    meta, spec = obj.metadata, obj.spec or _NO_SPEC
    annotations = meta.annotations or {}
    entries = _entries(status)
    ingress = _addresses(entries)
    return Service(
        key=key,
        ours=not not_ours,
        not_ours=intern(not_ours),
        uid=meta.uid or "",
        created=intern(meta.creation_timestamp) if meta.creation_timestamp else None,
        resource_version=meta.resource_version or "",
        labels=labels(meta.labels),
        ports=_ports(spec.ports or ()),
        families=_families(spec),
        family_policy=_family_policy(spec),
        local_traffic=spec.external_traffic_policy == "Local",
        request=_request(spec, annotations),
        pool=_pool(annotations),
        share_key=annotations.get(_SHARE, "").strip() or None,
        communities=_communities(annotations.get(_COMMUNITIES, "")),
        ingress=ingress,
        plain_ingress=bool(not_ours) or _is_plain(entries, ingress),
        conditions=_conditions(status),
        deleting=bool(meta.deletion_timestamp),
    )


def _pool(annotations: dict[str, str]) -> str | None:
    """The Eip that a Service names."""
    found = (annotations.get(name, "").strip() for name in _POOL)
    name = next(filter(None, found), None)
    return intern(name) if name else None


def _communities(text: str) -> CommunityRequest:
    """The communities that a Service asks for."""
    if not text.strip():
        return NO_REQUEST
    if len(text) > _COMMUNITIES_MOST:
        error = f"the annotation is longer than {_COMMUNITIES_MOST} characters"
        return CommunityRequest(errors=(error,))
    return _listed_communities(text)


@lru_cache(CACHED)
def _listed_communities(text: str) -> CommunityRequest:
    texts = (part.strip() for part in text.split(","))
    return CommunityRequest.parse(filter(None, texts))


@lru_cache(CACHED)
def _ports(entries: tuple[structs.ServicePort, ...]) -> frozenset[Port]:
    """spec.ports."""
    return frozenset(
        Port(intern("TCP" if entry.protocol is None else entry.protocol), entry.port or 0)
        for entry in entries
    )


def _families(spec: structs.ServiceSpec) -> tuple[Family, ...]:
    """spec.ipFamilies, or those of spec.clusterIPs where it is unset."""
    if spec.ip_families:
        return _listed_families(spec.ip_families)
    listed = part(_TEXTS, spec.cluster_ips, "spec.clusterIPs") or ()
    addresses = filter(None, map(address_of, listed))
    return _listed_families(tuple(f"IPv{address.version}" for address in addresses))


@lru_cache(CACHED)
def _listed_families(listed: tuple[str, ...]) -> tuple[Family, ...]:
    for text in listed:
        if text not in FAMILIES:
            raise CodecError(f"spec.ipFamilies: {quoted(text)} is neither IPv4 nor IPv6")
    return tuple(FAMILIES[text] for text in listed)


def _family_policy(spec: structs.ServiceSpec) -> FamilyPolicy:
    """spec.ipFamilyPolicy."""
    text = spec.ip_family_policy
    policy = FamilyPolicy.SINGLE_STACK if text is None else _FAMILY_POLICIES.get(text)
    if policy is None:
        raise CodecError(f"spec.ipFamilyPolicy: {quoted(str(text))} is not known")
    return policy


def _request(spec: structs.ServiceSpec, annotations: dict[str, str]) -> AddressRequest | None:
    """What the Service asks for: by annotation, else loadBalancerIP, else externalIPs."""
    for name in _REQUEST:
        if annotations.get(name, "").strip():
            return _parsed(f"annotation {name}", annotations[name].split(","))
    wish = (part(_TEXT, spec.load_balancer_ip, "spec.loadBalancerIP") or "").strip()
    if wish:
        return _parsed("spec.loadBalancerIP", [wish])
    external = part(_TEXTS, spec.external_ips, "spec.externalIPs")
    return _parsed("spec.externalIPs", external) if external else None


def _parsed(source: str, texts: list[str]) -> AddressRequest:
    given = ",".join(text.strip() for text in texts)
    whole = printable(given, _WISH_MOST)
    if len(given) > _WISH_MOST:
        error = f"{quoted(given)} is longer than {_WISH_MOST} characters"
        return AddressRequest(source, whole, error=error)
    addresses: dict[int, Address] = {}
    for text in texts:
        address = address_of(text.strip())
        if address is None:
            error = f"{quoted(text.strip())} is not an IP address"
            return AddressRequest(source, whole, error=error)
        if addresses.setdefault(address.version, address) != address:
            error = f"{quoted(whole)} has more than one IPv{address.version} address"
            return AddressRequest(source, whole, error=error)
    return AddressRequest(source, whole, tuple(addresses.values()))


def _entries(status: structs.ServiceStatus) -> Sequence[structs.LoadBalancerIngress]:
    """status.loadBalancer.ingress."""
    balancer = status.load_balancer
    return (balancer.ingress or ()) if balancer is not None else ()


def _addresses(
    entries: Sequence[structs.LoadBalancerIngress | structs.RecordedAddress],
) -> tuple[Address, ...]:
    """The addresses in these entries, without duplicates."""
    found = (address_of(entry.ip) for entry in entries[:_INGRESS_MOST])
    return tuple(dict.fromkeys(address for address in found if address is not None))


class Record(NamedTuple):
    """The valid addresses in status.loadBalancer.ingress, and whether there may be others: a part
    of it cannot be read."""

    addresses: tuple[Address, ...]
    damaged: bool


def record(status: Text) -> Record:
    """The addresses in status.loadBalancer.ingress of a Service that need not be readable."""
    try:
        found = decoded(_RECORDED_STATUS, status)
    except CodecError:
        return Record((), damaged=True)
    balancer = found.load_balancer if found is not None else None
    entries = (balancer.ingress or ()) if balancer is not None else ()
    read = [*map(_recorded, entries[:_INGRESS_MOST])]
    damaged = any(e is None or (e.ip and address_of(e.ip) is None) for e in read)
    return Record(_addresses([entry for entry in read if entry is not None]), damaged)


def _recorded(entry: Text) -> structs.RecordedAddress | None:
    try:
        return decoded(_RECORDED_ADDRESS, entry)
    except CodecError:
        return None


def _is_plain(
    entries: Sequence[structs.LoadBalancerIngress], addresses: tuple[Address, ...]
) -> bool:
    """Whether the entries are nothing but addresses, without duplicates."""
    return len(addresses) == len(entries) and all(
        not entry.hostname and entry.ip_mode == "VIP" for entry in entries
    )


def _conditions(status: structs.ServiceStatus) -> tuple[Condition, ...]:
    """Those of status.conditions that are ours, each once, in order of type."""
    ours = [*map(conditions.decode, conditions.select(status.conditions, _is_ours))]
    ours.sort(key=lambda condition: condition.type)
    return tuple(condition for condition, _ in groupby(ours))


def _is_ours(condition_type: str) -> bool:
    return condition_type.startswith(_OUR_CONDITIONS)


def encode_status(service: Service, wanted: ServiceStatus, now: str) -> Json | None:
    """The whole status of a Service that should say what is wanted, None for one that is not
    ours; `now` is an RFC 3339 time."""
    if not wanted.conditions:
        return None
    return {
        "loadBalancer": {"ingress": _encode_ingress(wanted)},
        "conditions": conditions.encode(wanted.conditions, service.conditions, now),
    }


def status_patch(service: Service, wanted: ServiceStatus, now: str) -> Json:
    """The status in a strategic merge patch; `now` is an RFC 3339 time."""
    patch: Json = {}
    if wanted.ingress != service.ingress or not service.plain_ingress:
        patch["loadBalancer"] = {"ingress": _encode_ingress(wanted) or None}
    merged = conditions.merge_patch(wanted.conditions, service.conditions, now)
    if merged:
        patch["conditions"] = merged
    return patch


def _encode_ingress(wanted: ServiceStatus) -> list[Json]:
    return [{"ip": str(address), "ipMode": "VIP"} for address in wanted.ingress]
