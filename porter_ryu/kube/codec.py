"""API JSON to the domain's values; nowhere else is a field of the API named for reading.

Whatever stands in an object, it is a value or it is Unreadable: what is odd costs itself alone.

core/v1 Service, Node, Namespace; discovery.k8s.io/v1 EndpointSlice; network.kubesphere.io Eip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from porter_ryu.domain.model import (
    Address,
    AddressRequest,
    Condition,
    Eip,
    Endpoint,
    EndpointSlice,
    Family,
    FamilyPolicy,
    Kind,
    Namespace,
    Node,
    NodeAddress,
    Object,
    ObjectKey,
    Port,
    Reading,
    Service,
    Unreadable,
)
from porter_ryu.domain.text import quoted, sentence
from porter_ryu.kube.eip_codec import eip_spec, eip_status
from porter_ryu.kube.fields import (
    CodecError,
    Json,
    field,
    objects,
    string_map,
    strings,
    timestamp,
)

OUR_CONDITIONS = "porter.kubesphere.io/"
_SEED_ANNOTATION = "lb.kubesphere.io/v1apha1"  # as the README of Porter spelt it
_REQUEST = ("eip.porter.kubesphere.io/v1alpha1", "eip.openelb.kubesphere.io/v1alpha1")
_POOL = ("eip.porter.kubesphere.io/pool", "eip.openelb.kubesphere.io/v1alpha2")
_SHARE = "eip.porter.kubesphere.io/share"
_WISH_MOST = 200
_REASON_MOST = 300
_PORTS = range(1 << 16)
_FAMILIES = {"IPv4": Family.IPV4, "IPv6": Family.IPV6}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_GROUPS = {
    ("v1", "Service"): Kind.SERVICE,
    ("discovery.k8s.io/v1", "EndpointSlice"): Kind.ENDPOINT_SLICE,
    ("v1", "Node"): Kind.NODE,
    ("v1", "Namespace"): Kind.NAMESPACE,
    ("network.kubesphere.io/v1alpha1", "Eip"): Kind.EIP,
    ("network.kubesphere.io/v1alpha2", "Eip"): Kind.EIP,
}


def kind_of(obj: Json) -> Kind | None:
    """The kind of an object by its apiVersion and kind, None for one that is not read here."""
    version, kind = field(obj, "apiVersion", str, ""), field(obj, "kind", str, "")
    return _GROUPS.get((version, kind))


def key_of(kind: Kind, obj: Json) -> ObjectKey:
    """Namespace and name, `default` where a namespaced object has none; raises CodecError."""
    name = field(obj, "metadata.name", str, "")
    cluster_scoped = kind in (Kind.NODE, Kind.NAMESPACE, Kind.EIP)
    namespace = "" if cluster_scoped else field(obj, "metadata.namespace", str, "default")
    for text in (name, namespace or "default"):
        if not _NAME.fullmatch(text):
            raise CodecError(f"{quoted(text)} is not a name")
    return ObjectKey(namespace, name)


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads objects; knows which Services are ours.

    `annotation` with one of `values` opts a Service in; so does `load_balancer_class`, and a
    Service of another class is never ours.
    """

    annotation: str
    values: frozenset[str]
    load_balancer_class: str = ""

    def read(self, kind: Kind, obj: Json) -> Reading:
        """What an object is: its value, or Unreadable with the reason and, of a Service, the
        addresses that it has on record."""
        try:
            return self.decode(kind, obj)
        except CodecError as error:
            record = tuple(_record(obj)) if kind is Kind.SERVICE else ()
            return Unreadable(sentence(str(error), _REASON_MOST), record)

    def decode(self, kind: Kind, obj: Json) -> Object:
        """The value of an object; raises CodecError that names the field, and nothing else."""
        try:
            return _DECODERS[kind](self, obj)
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(f"it cannot be understood ({type(error).__name__})") from error

    def service(self, obj: Json) -> Service:
        """A Service."""
        annotations = string_map(obj, "metadata.annotations")
        not_ours = self._not_ours(obj, annotations)
        return Service(
            key=key_of(Kind.SERVICE, obj),
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
            pool=_first(annotations, _POOL),
            share_key=annotations.get(_SHARE, "").strip() or None,
            ingress=tuple(dict.fromkeys(_ingress(obj))),
            plain_ingress=_plain_ingress(obj),
            conditions=tuple(_conditions(obj)),
            deleting=bool(field(obj, "metadata.deletionTimestamp", str, "")),
        )

    def _not_ours(self, obj: Json, annotations: dict[str, str]) -> str:
        kind = field(obj, "spec.type", str, "ClusterIP")
        if kind != "LoadBalancer":
            return f"its type is {quoted(kind)}, not LoadBalancer"
        own_class = field(obj, "spec.loadBalancerClass", str, "")
        if own_class:
            if own_class == self.load_balancer_class:
                return ""
            return f"its loadBalancerClass is {quoted(own_class)}, which is another's"
        values = {annotations.get(name, "").strip() for name in (self.annotation, _SEED_ANNOTATION)}
        if values & self.values:
            return ""
        wanted = " or ".join(sorted(self.values))
        return f"it has no annotation {self.annotation}: {wanted}"

    def endpoint_slice(self, obj: Json) -> EndpointSlice:
        """An EndpointSlice."""
        key = key_of(Kind.ENDPOINT_SLICE, obj)
        owner = string_map(obj, "metadata.labels").get("kubernetes.io/service-name")
        return EndpointSlice(
            key=key,
            service=ObjectKey(key.namespace, owner) if owner else None,
            family=_FAMILIES.get(field(obj, "addressType", str, "")),
            endpoints=tuple(_endpoint(entry) for entry in objects(obj, "endpoints")),
        )

    def node(self, obj: Json) -> Node:
        """A Node."""
        conditions = {
            field(entry, "type", str, ""): field(entry, "status", str, "")
            for entry in objects(obj, "status.conditions")
        }
        return Node(
            name=key_of(Kind.NODE, obj).name,
            labels=string_map(obj, "metadata.labels"),
            addresses=tuple(_node_addresses(obj)),
            ready=conditions.get("Ready") == "True",
            silent=conditions.get("Ready") == "Unknown",
            network_unavailable=conditions.get("NetworkUnavailable") == "True",
            deleting=bool(field(obj, "metadata.deletionTimestamp", str, "")),
        )

    def namespace(self, obj: Json) -> Namespace:
        """A Namespace."""
        name = key_of(Kind.NAMESPACE, obj).name
        return Namespace(name, string_map(obj, "metadata.labels"))

    def eip(self, obj: Json) -> Eip:
        """An Eip of either version; a spec that cannot be understood is `invalid`, not lost."""
        name = key_of(Kind.EIP, obj).name
        common: dict[str, Any] = {
            "name": name,
            "uid": field(obj, "metadata.uid", str, ""),
            "created": field(obj, "metadata.creationTimestamp", str, "") or None,
            "resource_version": field(obj, "metadata.resourceVersion", str, ""),
            "deleting": bool(field(obj, "metadata.deletionTimestamp", str, "")),
        }
        return Eip(**common, **eip_spec(obj), status=eip_status(name, obj))


_DECODERS: dict[Kind, Callable[[Codec, Json], Object]] = {
    Kind.SERVICE: Codec.service,
    Kind.ENDPOINT_SLICE: Codec.endpoint_slice,
    Kind.NODE: Codec.node,
    Kind.NAMESPACE: Codec.namespace,
    Kind.EIP: Codec.eip,
}


def _first(annotations: dict[str, str], names: tuple[str, ...]) -> str | None:
    found = (annotations.get(name, "").strip() for name in names)
    return next(filter(None, found), None)


def _ports(obj: Json) -> Iterator[Port]:
    for entry in objects(obj, "spec.ports"):
        number = field(entry, "port", int, 0)
        if number not in _PORTS:
            raise CodecError(f"spec.ports: {number} is not a port")
        yield Port(field(entry, "protocol", str, "TCP"), number)


def _families(obj: Json) -> Iterator[Family]:
    listed = strings(obj, "spec.ipFamilies")
    for text in listed:
        if text not in _FAMILIES:
            raise CodecError(f"spec.ipFamilies: {quoted(text)} is neither IPv4 nor IPv6")
        yield _FAMILIES[text]
    if not listed:
        for text in strings(obj, "spec.clusterIPs"):
            address = _address(text)
            if address is not None:
                yield Family(address.version)


def _family_policy(obj: Json) -> FamilyPolicy:
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
    whole = sentence(given, _WISH_MOST)
    if len(given) > _WISH_MOST:
        error = f"{quoted(given)} is longer than {_WISH_MOST} characters"
        return AddressRequest(source, whole, error=error)
    addresses: dict[int, Address] = {}
    for text in texts:
        address = _address(text.strip())
        if address is None:
            error = f"{quoted(text.strip())} is not an IP address"
            return AddressRequest(source, whole, error=error)
        if addresses.setdefault(address.version, address) != address:
            error = f"{quoted(whole)} has more than one IPv{address.version} address"
            return AddressRequest(source, whole, error=error)
    return AddressRequest(source, whole, tuple(addresses.values()))


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    odd = isinstance(address, IPv6Address) and (address.ipv4_mapped or address.scope_id)
    return None if odd else address


def _ingress(obj: Json) -> Iterator[Address]:
    for entry in objects(obj, "status.loadBalancer.ingress"):
        address = _address(field(entry, "ip", str, ""))
        if address is not None:
            yield address


def _record(obj: Json) -> Iterator[Address]:
    """The addresses in status.loadBalancer.ingress of an object of which nothing is certain."""
    place: Any = obj
    for part in ("status", "loadBalancer", "ingress"):
        place = place.get(part) if isinstance(place, dict) else None
    for entry in place if isinstance(place, list) else ():
        text = entry.get("ip") if isinstance(entry, dict) else None
        address = _address(text) if isinstance(text, str) else None
        if address is not None:
            yield address


def _plain_ingress(obj: Json) -> bool:
    """Whether the record has addresses alone, each once; servers before 1.29 know no ipMode."""
    entries = objects(obj, "status.loadBalancer.ingress")
    return len(set(_ingress(obj))) == len(entries) and all(
        not entry.get("hostname") and entry.get("ipMode", "VIP") == "VIP" for entry in entries
    )


def _conditions(obj: Json) -> Iterator[Condition]:
    for entry in objects(obj, "status.conditions"):
        kind = field(entry, "type", str, "")
        if kind.startswith(OUR_CONDITIONS):
            yield Condition(
                kind,
                field(entry, "status", str, "") == "True",
                field(entry, "reason", str, ""),
                field(entry, "message", str, ""),
                timestamp(entry, "lastTransitionTime"),
            )


def _endpoint(entry: Json) -> Endpoint:
    ready = field(entry, "conditions.ready", bool, True)
    return Endpoint(
        node=field(entry, "nodeName", str, "") or None,
        ready=ready,
        serving=field(entry, "conditions.serving", bool, ready),
        terminating=field(entry, "conditions.terminating", bool, False),
    )


def _node_addresses(obj: Json) -> Iterator[NodeAddress]:
    for entry in objects(obj, "status.addresses"):
        address = _address(field(entry, "address", str, ""))
        if address is not None:
            yield NodeAddress(field(entry, "type", str, ""), address)
