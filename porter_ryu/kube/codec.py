"""API JSON to the domain's values, and what status should say back to API JSON.

Whatever stands in an object, it is a value or it is Unreadable: what is odd costs itself alone.

core/v1 Service, Node, Namespace; discovery.k8s.io/v1 EndpointSlice; network.kubesphere.io Eip.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from porter_ryu.domain.model import (
    Eip,
    Endpoint,
    EndpointSlice,
    Kind,
    Namespace,
    Node,
    NodeAddress,
    Object,
    ObjectKey,
    ObjectStatus,
    Reading,
    Service,
    Unreadable,
    WithStatus,
)
from porter_ryu.domain.text import printable, quoted
from porter_ryu.kube import eip_codec, service_codec
from porter_ryu.kube.fields import (
    CodecError,
    Json,
    address_of,
    field,
    inside,
    objects,
    string_map,
)
from porter_ryu.kube.resources import KINDS, RESOURCES

_SEED_ANNOTATION = "lb.kubesphere.io/v1apha1"  # as the README of Porter spelt it
_REASON_MOST = 300
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def kind_of(obj: Json) -> Kind | None:
    """The kind of an object by its apiVersion and kind, None for one that is not read here."""
    version, kind = field(obj, "apiVersion", str, ""), field(obj, "kind", str, "")
    return KINDS.get((version, kind))


def key_of(kind: Kind, obj: Json) -> ObjectKey:
    """Namespace and name, `default` where a namespaced object has none; raises CodecError."""
    name = field(obj, "metadata.name", str, "")
    namespaced = RESOURCES[kind].namespaced
    namespace = field(obj, "metadata.namespace", str, "default") if namespaced else ""
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

    def read(self, kind: Kind, key: ObjectKey, obj: Json) -> Reading:
        """What an object of this key is: its value, or Unreadable with the reason and, of a
        Service, the addresses that it has on record."""
        try:
            return self.decode(kind, obj)
        except CodecError as error:
            record = tuple(service_codec.record(obj)) if kind is Kind.SERVICE else ()
            return Unreadable(kind, key, printable(str(error), _REASON_MOST), record)

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
        return service_codec.decode(key_of(Kind.SERVICE, obj), obj, annotations, not_ours)

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
            family=service_codec.FAMILIES.get(field(obj, "addressType", str, "")),
            endpoints=tuple(_endpoints(obj)),
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
        """An Eip of either version."""
        return eip_codec.decode(key_of(Kind.EIP, obj), obj)


_DECODERS: dict[Kind, Callable[[Codec, Json], Object]] = {
    Kind.SERVICE: Codec.service,
    Kind.ENDPOINT_SLICE: Codec.endpoint_slice,
    Kind.NODE: Codec.node,
    Kind.NAMESPACE: Codec.namespace,
    Kind.EIP: Codec.eip,
}


# by kind, which is that of the object and of the status that they are given
_ENCODERS: Mapping[Kind, Callable[[Any, Any, str], Json | None]] = {
    Kind.SERVICE: service_codec.encode_status,
    Kind.EIP: eip_codec.encode_status,
}
_PATCHES: Mapping[Kind, Callable[[Any, Any, str], Json]] = {
    Kind.SERVICE: service_codec.status_patch,
    Kind.EIP: eip_codec.status_patch,
}


def encode_status(obj: WithStatus, wanted: ObjectStatus, now: str) -> Json | None:
    """The whole status that an object should have, None where it should have none of ours; `now`
    is an RFC 3339 time."""
    return _ENCODERS[obj.kind](obj, wanted, now)


def status_patch(obj: WithStatus, wanted: ObjectStatus, now: str) -> Json:
    """A merge patch that makes the status of an object what is wanted, of the type that its
    Resource names; `now` is an RFC 3339 time.

    It carries the resourceVersion that the decision was made from, so that a decision made from
    an older form than the server's is refused.
    """
    version = obj.resource_version
    metadata = {"resourceVersion": version} if version else {}
    return {"metadata": metadata, "status": _PATCHES[obj.kind](obj, wanted, now)}


def _endpoints(obj: Json) -> Iterator[Endpoint]:
    entries = objects(obj, "endpoints")
    with inside("endpoints"):
        for entry in entries:
            yield _endpoint(entry)


def _endpoint(entry: Json) -> Endpoint:
    ready = field(entry, "conditions.ready", bool, True)
    return Endpoint(
        node=field(entry, "nodeName", str, "") or None,
        ready=ready,
        serving=field(entry, "conditions.serving", bool, ready),
        terminating=field(entry, "conditions.terminating", bool, False),
    )


def _node_addresses(obj: Json) -> Iterator[NodeAddress]:
    entries = objects(obj, "status.addresses")
    with inside("status.addresses"):
        for entry in entries:
            address = address_of(field(entry, "address", str, ""))
            if address is not None:
                yield NodeAddress(field(entry, "type", str, ""), address)
