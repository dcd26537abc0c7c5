"""Decodes objects of the API (`structs`) into values of the domain, and encodes their status.

Every object becomes a value or Unreadable; an invalid object does not affect other objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.json import Decoder

from porter_ryu.domain.model import (
    Eip,
    Endpoint,
    EndpointSlice,
    Kind,
    Namespace,
    Node,
    NodeAddress,
    ObjectKey,
    Service,
)
from porter_ryu.domain.objects import Object, ObjectStatus, Reading, Unreadable, WithStatus
from porter_ryu.domain.text import printable, quoted
from porter_ryu.kube import eip_codec, metav1, service_codec, structs
from porter_ryu.kube.errors import CodecError
from porter_ryu.kube.json_text import Json, Text, decoded, part
from porter_ryu.kube.quantity import thousandths
from porter_ryu.kube.resources import KINDS, RESOURCES
from porter_ryu.kube.shared import CACHED, address_of, key_of, labels

_SEED_ANNOTATION = "lb.kubesphere.io/v1apha1"  # as the README of Porter spelt it
_WEIGHT_ANNOTATION, _WEIGHT = "porter.kubesphere.io/weight", re.compile(r"[1-9][0-9]{0,2}|1000")
_REASON_MOST = 300
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NULL = b"null"

_TYPE, _NAMED = Decoder(metav1.TypeMeta), Decoder(metav1.NamedObject)
_STATUS_OF = Decoder(metav1.StatusOfObject)
_SERVICE, _SERVICE_STATUS = Decoder(structs.Service), Decoder(structs.ServiceStatus | None)
_ENDPOINT_SLICE = Decoder(structs.EndpointSlice)
_COUNTED_SLICE = Decoder(structs.CountedEndpointSlice)
_NODE, _NAMESPACE, _EIP = Decoder(structs.Node), Decoder(structs.Namespace), Decoder(structs.Eip)
_NO_NAME, _NO_SPEC, _NO_STATUS = (
    metav1.ObjectName(),
    structs.ServiceSpec(),
    structs.ServiceStatus(),
)
_NO_CONDITIONS = structs.EndpointConditions()
_NO_NODE_META, _NO_NODE_SPEC = structs.NodeMeta(), structs.NodeSpec()
_NO_NODE_STATUS, _NO_ALLOCATABLE = structs.NodeStatus(), structs.Allocatable()


def kind_of(text: Text) -> Kind | None:
    """The kind of an object by its apiVersion and kind, None if the program does not read it;
    raises CodecError."""
    found = decoded(_TYPE, text)
    return KINDS.get((found.api_version or "", found.kind or ""))


class Identity(NamedTuple):
    """The key of an object, and its resourceVersion, empty if it has none."""

    key: ObjectKey
    version: str


def identity(kind: Kind, text: Text) -> Identity:
    """The key and resourceVersion of an object; its namespace is `default` if a namespaced object
    has none.  Raises CodecError."""
    meta = decoded(_NAMED, text).metadata or _NO_NAME
    namespace = ""
    if RESOURCES[kind].namespaced:
        namespace = "default" if meta.namespace is None else meta.namespace
        _check_name(namespace or "default")
    name, version = meta.name or "", meta.resource_version
    _check_name(name)
    key = key_of(namespace, name)
    return Identity(key, version if isinstance(version, str) else "")


def _check_name(text: str) -> None:
    if not is_name(text):
        raise CodecError(f"{quoted(text)} is not a name")


def is_name(text: str) -> bool:
    """Whether an object or a namespace could have this name."""
    return _NAME.fullmatch(text) is not None


class Codec(Struct, frozen=True):
    """Reads objects; knows which Services are ours.

    `annotation` with one of `values` opts a Service in; so does `load_balancer_class`, and a
    Service of another class is never ours.  `node_annotations` are those that are read of a Node;
    others change often.  `counts_endpoints`: what that needs is read.
    """

    annotation: str
    values: frozenset[str]
    load_balancer_class: str = ""
    node_annotations: frozenset[str] = frozenset()
    counts_endpoints: bool = False

    def read(self, kind: Kind, key: ObjectKey, text: Text) -> Reading:
        """What an object of this key is: its value, or Unreadable with the reason and, of a
        Service, the addresses that it has on record."""
        try:
            return self.decode(kind, key, text)
        except CodecError as error:
            reason = printable(str(error), _REASON_MOST)
            if kind is not Kind.SERVICE:
                return Unreadable(kind, key, reason)
            record = service_codec.record(status_of(text))
            return Unreadable(kind, key, reason, record.addresses, record_unread=record.damaged)

    def decode(self, kind: Kind, key: ObjectKey, text: Text, status: Text | None = None) -> Object:
        """The value of an object, with another `status` than its own if one is given.  Raises
        CodecError, which names the field, and nothing else."""
        try:
            return _DECODERS[kind](self, key, text, status)
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(f"it cannot be understood ({type(error).__name__})") from error

    def _service(self, key: ObjectKey, text: Text, status: Text | None) -> Service:
        obj = decoded(_SERVICE, text)
        found = part(_SERVICE_STATUS, obj.status if status is None else status, "status")
        return service_codec.decode(key, obj, found or _NO_STATUS, self._not_ours(obj))

    def _not_ours(self, obj: structs.Service) -> str:
        spec = obj.spec or _NO_SPEC
        kind = "ClusterIP" if spec.type is None else spec.type
        if kind != "LoadBalancer":
            return f"its type is {quoted(kind)}, not LoadBalancer"
        own_class = spec.load_balancer_class
        if own_class:
            if own_class == self.load_balancer_class:
                return ""
            return f"its loadBalancerClass is {quoted(own_class)}, which is another's"
        annotations = obj.metadata.annotations or {}
        values = {annotations.get(name, "").strip() for name in (self.annotation, _SEED_ANNOTATION)}
        if values & self.values:
            return ""
        wanted = " or ".join(sorted(self.values))
        return f"it has no annotation {self.annotation}: {wanted}"

    def _node(self, key: ObjectKey, text: Text, _status: Text | None) -> Node:
        obj = decoded(_NODE, text)
        meta, spec = obj.metadata or _NO_NODE_META, obj.spec or _NO_NODE_SPEC
        status = obj.status or _NO_NODE_STATUS
        conditions = {entry.type: entry.status for entry in status.conditions or ()}
        annotations = meta.annotations or {}
        weight, weight_error = _weight(annotations.get(_WEIGHT_ANNOTATION))
        return Node(
            name=key.name,
            labels=labels(meta.labels),
            addresses=tuple(_node_addresses(status)),
            ready=conditions.get("Ready") == "True",
            silent=conditions.get("Ready") == "Unknown",
            network_unavailable=conditions.get("NetworkUnavailable") == "True",
            deleting=bool(meta.deletion_timestamp),
            annotations={k: v for k, v in annotations.items() if k in self.node_annotations},
            taints=frozenset(intern(taint.key) for taint in spec.taints or () if taint.key),
            unschedulable=bool(spec.unschedulable),
            cpu=thousandths((status.allocatable or _NO_ALLOCATABLE).cpu),
            weight=weight,
            weight_error=weight_error,
        )


def status_of(text: Text) -> Text:
    """The status of an object as JSON text; null if there is none, or the object is not JSON."""
    try:
        return decoded(_STATUS_OF, text).status or _NULL
    except CodecError:
        return _NULL


def _endpoint_slice(
    codec: Codec, key: ObjectKey, text: Text, _status: Text | None
) -> EndpointSlice:
    obj: structs.EndpointSlice | structs.CountedEndpointSlice
    if codec.counts_endpoints:
        obj = decoded(_COUNTED_SLICE, text)
    else:
        obj = decoded(_ENDPOINT_SLICE, text)
    owner = _labels_of(obj.metadata).get("kubernetes.io/service-name")
    return EndpointSlice(
        key=key,
        service=key_of(key.namespace, owner) if owner else None,
        family=service_codec.FAMILIES.get(obj.address_type or ""),
        endpoints=_endpoints(obj.endpoints or ()),
    )


@lru_cache(CACHED)
def _endpoints(entries: tuple[structs.Endpoint, ...]) -> tuple[Endpoint, ...]:
    return tuple(map(_endpoint, entries))


@lru_cache(CACHED)
def _endpoint(entry: structs.Endpoint) -> Endpoint:
    conditions = entry.conditions or _NO_CONDITIONS
    ready = conditions.ready is not False
    target = entry.target_ref if isinstance(entry, structs.CountedEndpoint) else None
    return Endpoint(
        node=intern(entry.node_name) if entry.node_name else None,
        ready=ready,
        serving=ready if conditions.serving is None else conditions.serving,
        terminating=bool(conditions.terminating),
        target=target.uid if target is not None else None,
    )


def _weight(annotation: str | None) -> tuple[int | None, str]:
    """The weight in an annotation, None if there is none; or why it is ignored."""
    if annotation is None:
        return None, ""
    if _WEIGHT.fullmatch(annotation):
        return int(annotation), ""
    text = f"its annotation {_WEIGHT_ANNOTATION} is {quoted(annotation)}"
    return None, f"{text}, not a number from 1 to 1000, so it is ignored"


def _node_addresses(status: structs.NodeStatus) -> Iterator[NodeAddress]:
    for entry in status.addresses or ():
        address = address_of(entry.address)
        if address is not None:
            yield NodeAddress(intern(entry.type or ""), address)


def _namespace(_codec: Codec, key: ObjectKey, text: Text, _status: Text | None) -> Namespace:
    return Namespace(key.name, labels(_labels_of(decoded(_NAMESPACE, text).metadata)))


def _eip(_codec: Codec, key: ObjectKey, text: Text, status: Text | None) -> Eip:
    obj = decoded(_EIP, text)
    return eip_codec.decode(key, obj, obj.status if status is None else status)


def _labels_of(meta: structs.Labels | None) -> dict[str, str]:
    return (meta.labels or {}) if meta is not None else {}


_DECODERS: Mapping[Kind, Callable[[Codec, ObjectKey, Text, Text | None], Object]] = {
    Kind.SERVICE: Codec._service,
    Kind.ENDPOINT_SLICE: _endpoint_slice,
    Kind.NODE: Codec._node,
    Kind.NAMESPACE: _namespace,
    Kind.EIP: _eip,
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
