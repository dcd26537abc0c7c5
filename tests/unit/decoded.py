"""Decodes objects that a test has as dictionaries."""

from __future__ import annotations

import json

from fabric.objects import Json
from porter_ryu.domain.model import Eip, EndpointSlice, Kind, Node, Service
from porter_ryu.domain.objects import Object
from porter_ryu.kube.codec import Codec, identity

CODEC = Codec(
    "lb.kubesphere.io/v1alpha1",
    frozenset(["porter"]),
    "porter.example/ours",
    frozenset(["porter.example/drain"]),
)


def text(obj: object) -> bytes:
    """A value as JSON text."""
    return json.dumps(obj).encode()


def decoded(kind: Kind, obj: Json) -> Object:
    """The value of an object; raises CodecError."""
    return CODEC.decode(kind, identity(kind, text(obj)).key, text(obj))


def service(obj: Json) -> Service:
    """A Service; raises CodecError."""
    value = decoded(Kind.SERVICE, obj)
    assert isinstance(value, Service)
    return value


def endpoint_slice(obj: Json) -> EndpointSlice:
    """An EndpointSlice; raises CodecError."""
    value = decoded(Kind.ENDPOINT_SLICE, obj)
    assert isinstance(value, EndpointSlice)
    return value


def node(obj: Json) -> Node:
    """A Node; raises CodecError."""
    value = decoded(Kind.NODE, obj)
    assert isinstance(value, Node)
    return value


def eip(obj: Json) -> Eip:
    """An Eip; raises CodecError."""
    value = decoded(Kind.EIP, obj)
    assert isinstance(value, Eip)
    return value
