"""The Kubernetes API as structs: each kind with the fields that the program reads.

core/v1 Service, Node, Namespace; discovery.k8s.io/v1 EndpointSlice; network.kubesphere.io Eip;
coordination.k8s.io/v1 Lease.  What they have in common is in `metav1`.

A field is named as in the API, in snake case.  The decoder skips every other field, so it costs
almost nothing (`managedFields` is most of an object).  null counts as absent.  Each kind names only
its own fields: a field of a wrong type makes an object unreadable only if the program reads it.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Raw, field

from porter_ryu.domain.eip_advertisements import MAX_PREPEND
from porter_ryu.kube.metav1 import ApiStruct, Int64, LabelSelector

PortNumber = Annotated[int, Meta(ge=0, le=2**16 - 1)]
UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Prepend = Annotated[int, Meta(ge=0, le=MAX_PREPEND)]
LengthV4 = Annotated[int, Meta(ge=1, le=32)]
LengthV6 = Annotated[int, Meta(ge=1, le=128)]


# -- metadata ------------------------------------------------------------------------------------


class Labels(ApiStruct, frozen=True):
    """metadata of an EndpointSlice or a Namespace."""

    labels: dict[str, str] | None = None


class NodeMeta(ApiStruct, frozen=True):
    """metadata of a Node."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class EipMeta(ApiStruct, frozen=True):
    """metadata of an Eip."""

    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class ServiceMeta(EipMeta, frozen=True):
    """metadata of a Service."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


# -- core/v1 Service -----------------------------------------------------------------------------


class ServicePort(ApiStruct, frozen=True):
    """An entry of spec.ports."""

    port: PortNumber | None = None
    protocol: str | None = None


class ServiceSpec(ApiStruct, frozen=True):
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


class Service(ApiStruct, frozen=True):
    """A Service."""

    metadata: ServiceMeta = ServiceMeta()
    spec: ServiceSpec | None = None
    status: Raw = Raw()


class LoadBalancerIngress(ApiStruct, frozen=True):
    """An entry of status.loadBalancer.ingress; before Kubernetes 1.29 there was no ipMode."""

    ip: str | None = None
    hostname: Any = None
    ip_mode: Any = "VIP"


class LoadBalancerStatus(ApiStruct, frozen=True):
    """status.loadBalancer of a Service."""

    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(ApiStruct, frozen=True):
    """status of a Service."""

    load_balancer: LoadBalancerStatus | None = None
    conditions: list[Raw] | None = None


class RecordedAddress(ApiStruct, frozen=True):
    """The address in an entry of status.loadBalancer.ingress of an unreadable Service."""

    ip: str | None = None


class RecordedIngress(ApiStruct, frozen=True):
    """status.loadBalancer of an unreadable Service."""

    ingress: list[Raw] | None = None


class RecordedStatus(ApiStruct, frozen=True):
    """status of an unreadable Service."""

    load_balancer: RecordedIngress | None = None


# -- discovery.k8s.io/v1 EndpointSlice -----------------------------------------------------------


class EndpointConditions(ApiStruct, frozen=True):
    """conditions of an endpoint."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(ApiStruct, frozen=True):
    """An entry of endpoints."""

    node_name: str | None = None
    conditions: EndpointConditions | None = None


class EndpointSlice(ApiStruct, frozen=True):
    """An EndpointSlice."""

    metadata: Labels | None = None
    address_type: str | None = None
    endpoints: tuple[Endpoint, ...] | None = None


class TargetRef(ApiStruct, frozen=True):
    """targetRef of an endpoint."""

    uid: str | None = None


class CountedEndpoint(Endpoint, frozen=True):
    """An entry of endpoints, where they are counted."""

    target_ref: TargetRef | None = None


class CountedEndpointSlice(ApiStruct, frozen=True):
    """An EndpointSlice, where endpoints are counted."""

    metadata: Labels | None = None
    address_type: str | None = None
    endpoints: tuple[CountedEndpoint, ...] | None = None


# -- core/v1 Node and Namespace ------------------------------------------------------------------


class Taint(ApiStruct, frozen=True):
    """An entry of spec.taints of a Node."""

    key: str | None = None


class NodeSpec(ApiStruct, frozen=True):
    """spec of a Node."""

    taints: list[Taint] | None = None
    unschedulable: bool | None = None


class NodeCondition(ApiStruct, frozen=True):
    """An entry of status.conditions of a Node."""

    type: str | None = None
    status: str | None = None


class NodeAddress(ApiStruct, frozen=True):
    """An entry of status.addresses of a Node."""

    type: str | None = None
    address: str | None = None


class Allocatable(ApiStruct, frozen=True):
    """status.allocatable of a Node; a quantity may be a number in JSON."""

    cpu: Any = None


class NodeStatus(ApiStruct, frozen=True):
    """status of a Node."""

    allocatable: Allocatable | None = None

    addresses: list[NodeAddress] | None = None
    conditions: list[NodeCondition] | None = None


class Node(ApiStruct, frozen=True):
    """A Node."""

    metadata: NodeMeta | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Namespace(ApiStruct, frozen=True):
    """A Namespace."""

    metadata: Labels | None = None


# -- network.kubesphere.io Eip -------------------------------------------------------------------


class Advertisement(ApiStruct, frozen=True, forbid_unknown_fields=True):
    """An entry of spec.advertisements.  Without a field that is not understood it would be for more
    peers or nodes, so such a field is an error; an API server does not store one."""

    peers: tuple[str, ...] | None = None
    node_selector: LabelSelector | None = None
    communities: tuple[str, ...] | None = None
    local_pref: UInt32 | None = None
    med: UInt32 | None = None
    as_path_prepend: Prepend | None = None
    aggregation_length: LengthV4 | None = None
    aggregation_length_v6: LengthV6 | None = field(default=None, name="aggregationLengthV6")


class EipSpec(ApiStruct, frozen=True):
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
    advertisements: tuple[Advertisement, ...] | None = None
    allowed_communities: tuple[str, ...] | None = None


class EipStatus(ApiStruct, frozen=True):
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


class Eip(ApiStruct, frozen=True):
    """An Eip of either version, with its spec and status as JSON text: an Eip with an invalid spec
    is still an Eip."""

    metadata: EipMeta = EipMeta()
    spec: Raw = Raw()
    status: Raw = Raw()


# -- coordination.k8s.io/v1 Lease ----------------------------------------------------------------


class LeaseSpec(ApiStruct, frozen=True):
    """spec of a Lease."""

    holder_identity: str | None = None
    renew_time: str | None = None
    lease_duration_seconds: Int64 | None = None
    lease_transitions: Int64 | None = None


class Lease(ApiStruct, frozen=True):
    """A Lease."""

    spec: LeaseSpec | None = None
