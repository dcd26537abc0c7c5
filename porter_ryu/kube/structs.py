"""The Kubernetes API as structs: each kind with the fields that the program reads.

core/v1 Service, Node, Namespace; discovery.k8s.io/v1 EndpointSlice; network.kubesphere.io Eip;
coordination.k8s.io/v1 Lease; metav1 List, Status and watch events.

A field is named as in the API, in snake case.  The decoder skips every other field, so it costs
almost nothing (`managedFields` is most of an object).  null counts as absent.  Each kind names only
its own fields: a field of a wrong type makes an object unreadable only if the program reads it.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, field

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
PortNumber = Annotated[int, Meta(ge=0, le=2**16 - 1)]


class _Struct(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Decoded JSON has no cycles, so the garbage collector does not track it."""


# -- metav1 --------------------------------------------------------------------------------------


class TypeMeta(_Struct, frozen=True):
    """The kind of an object."""

    api_version: str | None = None
    kind: str | None = None


class ObjectName(_Struct, frozen=True):
    """metadata of any object; a `resource_version` of a wrong type is ignored."""

    name: str | None = None
    namespace: str | None = None
    resource_version: Any = None


class NamedObject(_Struct, frozen=True):
    """Any object."""

    metadata: ObjectName | None = None


class StatusOfObject(_Struct, frozen=True):
    """Any object, with its status as JSON text."""

    status: Raw = Raw()


class Labels(_Struct, frozen=True):
    """metadata of an EndpointSlice or a Namespace."""

    labels: dict[str, str] | None = None


class NodeMeta(_Struct, frozen=True):
    """metadata of a Node."""

    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class EipMeta(_Struct, frozen=True):
    """metadata of an Eip."""

    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ServiceMeta(EipMeta, frozen=True):
    """metadata of a Service."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ConditionType(_Struct, frozen=True):
    """An entry of status.conditions, which anybody may have added."""

    type: str | None = None


class Condition(_Struct, frozen=True):
    """An entry of status.conditions that the program reads."""

    type: str | None = None
    status: str | None = None
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class ListMeta(_Struct, frozen=True):
    """metadata of a list; `continue_` is the token for the next page."""

    resource_version: str | None = None
    continue_: str | None = field(default=None, name="continue")


class ObjectList(_Struct, frozen=True):
    """A list of objects of any kind, each as JSON text."""

    metadata: ListMeta
    items: list[Raw] | None = None


class WatchEvent(_Struct, frozen=True):
    """An event of a watch; the object is JSON text."""

    type: str | None = None
    object: Raw = Raw(b"null")


class StatusDetails(_Struct, frozen=True):
    """details of a Status."""

    retry_after_seconds: Int64 | None = None


class Status(_Struct, frozen=True):
    """metav1.Status: why a request failed, or a watch ended."""

    code: Int64 | None = None
    reason: str | None = None
    message: str | None = None
    details: StatusDetails | None = None


# -- core/v1 Service -----------------------------------------------------------------------------


class ServicePort(_Struct, frozen=True):
    """An entry of spec.ports."""

    port: PortNumber | None = None
    protocol: str | None = None


class ServiceSpec(_Struct, frozen=True):
    """spec of a Service; what is JSON text (Raw) is decoded only if no other field comes first."""

    type: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: Raw = field(default=Raw(), name="loadBalancerIP")
    external_ips: Raw = field(default=Raw(), name="externalIPs")
    external_traffic_policy: str | None = None
    ip_families: tuple[str, ...] | None = None
    ip_family_policy: str | None = None
    cluster_ips: Raw = field(default=Raw(), name="clusterIPs")
    ports: tuple[ServicePort, ...] | None = None


class Service(_Struct, frozen=True):
    """A Service."""

    metadata: ServiceMeta = ServiceMeta()
    spec: ServiceSpec | None = None
    status: Raw = Raw()


class LoadBalancerIngress(_Struct, frozen=True):
    """An entry of status.loadBalancer.ingress; before Kubernetes 1.29 there was no ipMode."""

    ip: str | None = None
    hostname: Any = None
    ip_mode: Any = "VIP"


class LoadBalancerStatus(_Struct, frozen=True):
    """status.loadBalancer of a Service."""

    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(_Struct, frozen=True):
    """status of a Service."""

    load_balancer: LoadBalancerStatus | None = None
    conditions: list[Raw] | None = None


class RecordedAddress(_Struct, frozen=True):
    """The address in an entry of status.loadBalancer.ingress of an unreadable Service."""

    ip: str | None = None


class RecordedIngress(_Struct, frozen=True):
    """status.loadBalancer of an unreadable Service."""

    ingress: list[Raw] | None = None


class RecordedStatus(_Struct, frozen=True):
    """status of an unreadable Service."""

    load_balancer: RecordedIngress | None = None


# -- discovery.k8s.io/v1 EndpointSlice -----------------------------------------------------------


class EndpointConditions(_Struct, frozen=True):
    """conditions of an endpoint."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(_Struct, frozen=True):
    """An entry of endpoints."""

    node_name: str | None = None
    conditions: EndpointConditions | None = None


class EndpointSlice(_Struct, frozen=True):
    """An EndpointSlice."""

    metadata: Labels | None = None
    address_type: str | None = None
    endpoints: tuple[Endpoint, ...] | None = None


# -- core/v1 Node and Namespace ------------------------------------------------------------------


class NodeCondition(_Struct, frozen=True):
    """An entry of status.conditions of a Node."""

    type: str | None = None
    status: str | None = None


class NodeAddress(_Struct, frozen=True):
    """An entry of status.addresses of a Node."""

    type: str | None = None
    address: str | None = None


class NodeStatus(_Struct, frozen=True):
    """status of a Node."""

    addresses: list[NodeAddress] | None = None
    conditions: list[NodeCondition] | None = None


class Node(_Struct, frozen=True):
    """A Node."""

    metadata: NodeMeta | None = None
    status: NodeStatus | None = None


class Namespace(_Struct, frozen=True):
    """A Namespace."""

    metadata: Labels | None = None


# -- network.kubesphere.io Eip -------------------------------------------------------------------


class LabelSelectorRequirement(_Struct, frozen=True):
    """An entry of matchExpressions."""

    key: str | None = None
    operator: str | None = None
    values: tuple[str, ...] | None = None


class LabelSelector(_Struct, frozen=True):
    """metav1.LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[LabelSelectorRequirement] | None = None


class EipSpec(_Struct, frozen=True):
    """spec of an Eip."""

    address: str | None = None
    disable: bool | None = None
    auto_assign: bool | None = None
    avoid_buggy_ips: bool | None = field(default=None, name="avoidBuggyIPs")
    priority: Int64 | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selector: dict[str, str] | None = None
    service_selector: LabelSelector | None = None
    protocol: str | None = None


class EipStatus(_Struct, frozen=True):
    """status of an Eip; `serving` is the JSON text of an EipSpec."""

    ready: bool | None = None
    occupied: bool | None = None
    usage: Int64 | None = None
    pool_size: Int64 | None = None
    first_ip: str | None = field(default=None, name="firstIP")
    last_ip: str | None = field(default=None, name="lastIP")
    v4: bool | None = None
    used: dict[str, str] | None = None
    serving: str | None = None
    conditions: list[Raw] | None = None


class Eip(_Struct, frozen=True):
    """An Eip of either version, with its spec and status as JSON text: an Eip with an invalid spec
    is still an Eip."""

    metadata: EipMeta = EipMeta()
    spec: Raw = Raw()
    status: Raw = Raw()


# -- coordination.k8s.io/v1 Lease ----------------------------------------------------------------


class LeaseSpec(_Struct, frozen=True):
    """spec of a Lease."""

    holder_identity: str | None = None
    renew_time: str | None = None
    lease_duration_seconds: Int64 | None = None
    lease_transitions: Int64 | None = None


class Lease(_Struct, frozen=True):
    """A Lease."""

    spec: LeaseSpec | None = None
