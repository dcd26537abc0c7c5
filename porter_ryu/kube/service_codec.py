"""core/v1 Service: what its spec, its annotations and its status say, and what status should say.

What reads takes an object, and raises CodecError where what it reads cannot be understood.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
from porter_ryu.kube import conditions
from porter_ryu.kube.fields import (
    CodecError,
    Json,
    address_of,
    field,
    inside,
    objects,
    string_map,
    strings,
)

_OUR_CONDITIONS = "porter.kubesphere.io/"
FAMILIES = {"IPv4": Family.IPV4, "IPv6": Family.IPV6}
_SHARE = "eip.porter.kubesphere.io/share"
_REQUEST = ("eip.porter.kubesphere.io/v1alpha1", "eip.openelb.kubesphere.io/v1alpha1")
_POOL = ("eip.porter.kubesphere.io/pool", "eip.openelb.kubesphere.io/v1alpha2")
_WISH_MOST = 200
# a tenant may write 75,000; ours has one of each family, and is written over what else is there
_INGRESS_MOST = 100
_PORTS = range(1 << 16)


def decode(key: ObjectKey, obj: Json, annotations: dict[str, str], not_ours: str) -> Service:
    """A Service; `not_ours` says why it is not, empty where it is."""
    return Service(
        key=key,
        ours=not not_ours,
        not_ours=not_ours,
        uid=field(obj, "metadata.uid", str, ""),
        created=field(obj, "metadata.creationTimestamp", str, "") or None,
        resource_version=field(obj, "metadata.resourceVersion", str, ""),
        labels=string_map(obj, "metadata.labels"),
        ports=frozenset(_ports(obj)),
        families=tuple(_families(obj)),
        family_policy=_family_policy(obj),
        local_traffic=field(obj, "spec.externalTrafficPolicy", str, "Cluster") == "Local",
        request=_request(obj, annotations),
        pool=_pool(annotations),
        share_key=annotations.get(_SHARE, "").strip() or None,
        ingress=tuple(dict.fromkeys(_ingress(obj))),
        plain_ingress=bool(not_ours) or _plain_ingress(obj),
        conditions=_conditions(obj),
        deleting=bool(field(obj, "metadata.deletionTimestamp", str, "")),
    )


def _pool(annotations: dict[str, str]) -> str | None:
    """The Eip that a Service names."""
    found = (annotations.get(name, "").strip() for name in _POOL)
    return next(filter(None, found), None)


def _ports(obj: Json) -> Iterator[Port]:
    """spec.ports."""
    entries = objects(obj, "spec.ports")
    with inside("spec.ports"):
        for entry in entries:
            number = field(entry, "port", int, 0)
            if number not in _PORTS:
                raise CodecError(f"{number} is not a port")
            yield Port(field(entry, "protocol", str, "TCP"), number)


def _families(obj: Json) -> Iterator[Family]:
    """spec.ipFamilies, or those of spec.clusterIPs where it is unset."""
    listed = strings(obj, "spec.ipFamilies")
    for text in listed:
        if text not in FAMILIES:
            raise CodecError(f"spec.ipFamilies: {quoted(text)} is neither IPv4 nor IPv6")
        yield FAMILIES[text]
    if not listed:
        for text in strings(obj, "spec.clusterIPs"):
            address = address_of(text)
            if address is not None:
                yield Family(address.version)


def _family_policy(obj: Json) -> FamilyPolicy:
    """spec.ipFamilyPolicy."""
    text = field(obj, "spec.ipFamilyPolicy", str, FamilyPolicy.SINGLE_STACK.value)
    try:
        return FamilyPolicy(text)
    except ValueError as error:
        raise CodecError(f"spec.ipFamilyPolicy: {quoted(text)} is not known") from error


def _request(obj: Json, annotations: dict[str, str]) -> AddressRequest | None:
    """What the Service asks for: by annotation, else loadBalancerIP, else externalIPs."""
    for name in _REQUEST:
        if annotations.get(name, "").strip():
            return _parsed(f"annotation {name}", annotations[name].split(","))
    wish = field(obj, "spec.loadBalancerIP", str, "").strip()
    if wish:
        return _parsed("spec.loadBalancerIP", [wish])
    external = strings(obj, "spec.externalIPs")
    return _parsed("spec.externalIPs", list(external)) if external else None


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


def _ingress(obj: Json) -> Iterator[Address]:
    """The addresses in status.loadBalancer.ingress."""
    entries = objects(obj, "status.loadBalancer.ingress")
    with inside("status.loadBalancer.ingress"):
        for entry in entries[:_INGRESS_MOST]:
            address = address_of(field(entry, "ip", str, ""))
            if address is not None:
                yield address


def record(obj: Json) -> Iterator[Address]:
    """The addresses in status.loadBalancer.ingress of an object of which nothing is certain."""
    place: Any = obj
    for part in ("status", "loadBalancer", "ingress"):
        place = place.get(part) if isinstance(place, dict) else None
    for entry in place[:_INGRESS_MOST] if isinstance(place, list) else ():
        text = entry.get("ip") if isinstance(entry, dict) else None
        address = address_of(text) if isinstance(text, str) else None
        if address is not None:
            yield address


def _plain_ingress(obj: Json) -> bool:
    """Whether the record has addresses alone, each once; servers before 1.29 know no ipMode."""
    entries = objects(obj, "status.loadBalancer.ingress")
    if len(entries) > _INGRESS_MOST:
        return False
    return len(set(_ingress(obj))) == len(entries) and all(
        not entry.get("hostname") and entry.get("ipMode", "VIP") == "VIP" for entry in entries
    )


def _conditions(obj: Json) -> tuple[Condition, ...]:
    """Those of status.conditions that are ours, each once, in order of type."""
    entries = objects(obj, "status.conditions")
    with inside("status.conditions"):
        ours = {
            conditions.decode(entry)
            for entry in entries
            if field(entry, "type", str, "").startswith(_OUR_CONDITIONS)
        }
    return tuple(sorted(ours, key=lambda condition: condition.type))


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
