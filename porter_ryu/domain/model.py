"""The values that pass between the packages.

The state of the cluster comes in as Service, EndpointSlice, Node, Namespace and Eip; what the
program wants goes out as ServiceStatus, EipStatus and Route (`announcement`).  All are frozen,
compare by value and hold address objects, never text, so "did anything change?" is `==` everywhere.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.communities import (
    NO_COMMUNITIES,
    NO_REQUEST,
    Communities,
    CommunityRequest,
)
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import EVERYTHING, LabelSelector
from porter_ryu.domain.verdict import PoolReason

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Family(enum.IntEnum):
    """An address family, numbered as `ipaddress` numbers versions."""

    IPV4 = 4
    IPV6 = 6

    # enum's own hash is a Python function, which a turn would call ten times for each Service
    __hash__ = int.__hash__


class Kind(enum.Enum):
    """The kinds of objects that are read; the value is the resource name of the API."""

    SERVICE = "services"
    ENDPOINT_SLICE = "endpointslices"
    NODE = "nodes"
    NAMESPACE = "namespaces"
    EIP = "eips"

    __hash__ = object.__hash__  # see Family

    @property
    def singular(self) -> str:
        """The kind as in the `kind` field of an object."""
        return _SINGULAR[self]


_SINGULAR = {
    Kind.SERVICE: "Service",
    Kind.ENDPOINT_SLICE: "EndpointSlice",
    Kind.NODE: "Node",
    Kind.NAMESPACE: "Namespace",
    Kind.EIP: "Eip",
}


class ObjectKey(NamedTuple):
    """Identifies an object among its kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


ObjectId = tuple[Kind, ObjectKey]
"""Identifies an object among all kinds."""


class Condition(Struct, frozen=True, gc=False):
    """One entry of status.conditions.

    `since` is its lastTransitionTime, empty where it is yet to be set.  `message` is one line of at
    most `text.MAX_MESSAGE_CHARACTERS` characters.
    """

    type: str
    status: bool
    reason: str
    message: str
    since: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self._compared == other._compared

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        return (self.type, self.status, self.reason, self.message)


class ServiceStatus(Struct, frozen=True, gc=False):
    """status of a Service: its addresses, and our conditions (none: not ours) in order of type.

    `plain_ingress`: status.loadBalancer.ingress has nothing to correct beside the addresses.
    `address_change` is the message of the Event AddressChanged, empty where there is none;
    `refused_communities` that of CommunityNotAllowed, which a condition contains.
    """

    ingress: tuple[Address, ...]
    conditions: tuple[Condition, ...]
    plain_ingress: bool = True
    address_change: str = ""
    refused_communities: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServiceStatus) and self._compared == other._compared

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        return (self.ingress, self.conditions, self.plain_ingress)


class FamilyPolicy(enum.Enum):
    """spec.ipFamilyPolicy of a Service."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


class Port(NamedTuple):
    """A port of a Service: protocol as in the API (TCP, UDP, SCTP), and number."""

    protocol: str
    port: int


class AddressRequest(Struct, frozen=True, gc=False):
    """The addresses that a Service requests: at most one of each family.

    `source` names the annotation or field ("annotation eip.porter…", "spec.loadBalancerIP", …).
    `error` is set, and `addresses` empty, if the text does not parse.
    """

    source: str
    text: str
    addresses: tuple[Address, ...] = ()
    error: str | None = None


class Service(Struct, frozen=True, gc=False):
    """A core/v1 Service, as far as the decision needs it.

    `ours` says whether it opted in (type, class, annotation); `not_ours` says why not.  `created`
    is the creationTimestamp, None where it has none (sorts last).  `families` is spec.ipFamilies,
    empty where unset.  `ingress` is the record: the addresses in status.loadBalancer.ingress;
    `plain_ingress` is false where a Service of ours has anything else there that has to be
    corrected (a host name, an ipMode that is not VIP).  `conditions` holds our conditions on it, in
    order of type.  `local_traffic`: externalTrafficPolicy is Local.  `deleting`: it has a
    deletionTimestamp and waits for its finalizers.
    """

    kind: ClassVar[Kind] = Kind.SERVICE
    key: ObjectKey
    ours: bool
    not_ours: str = ""
    uid: str = ""
    created: str | None = None
    resource_version: str = ""
    labels: Mapping[str, str] = {}
    ports: frozenset[Port] = frozenset()
    families: tuple[Family, ...] = ()
    family_policy: FamilyPolicy = FamilyPolicy.SINGLE_STACK
    local_traffic: bool = False
    request: AddressRequest | None = None
    pool: str | None = None
    share_key: str | None = None
    communities: CommunityRequest = NO_REQUEST
    ingress: tuple[Address, ...] = ()
    plain_ingress: bool = True
    conditions: tuple[Condition, ...] = ()
    deleting: bool = False

    @property
    def status(self) -> ServiceStatus:
        """Its present status."""
        return ServiceStatus(self.ingress, self.conditions, self.plain_ingress)

    @property
    def age(self) -> tuple[bool, str, ObjectKey]:
        """Sorts the older first, those without a creationTimestamp last, then by name."""
        return (self.created is None, str(self.created or ""), self.key)


class Endpoint(Struct, frozen=True, gc=False):
    """One endpoint of a slice, with the defaults of discovery/v1 applied.

    `ready` unset counts as true, `serving` unset as `ready`, `terminating` unset as false.
    `target` is the uid of the object behind it, nearly always a Pod; it is read only where
    endpoints are counted.
    """

    node: str | None
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    target: str | None = None


class EndpointSlice(Struct, frozen=True, gc=False):
    """A discovery.k8s.io/v1 EndpointSlice; `service` is None where no label names one."""

    kind: ClassVar[Kind] = Kind.ENDPOINT_SLICE
    key: ObjectKey
    service: ObjectKey | None
    family: Family | None
    endpoints: tuple[Endpoint, ...]


class NodeAddress(NamedTuple):
    """An entry of status.addresses that is an IP address; `type` as in the API."""

    type: str
    address: Address


class Node(Struct, frozen=True, gc=False):
    """A core/v1 Node without its heartbeats, so that it is equal while nothing relevant changes.

    `silent`: its kubelet stopped reporting (condition Ready is Unknown).  `annotations` are those
    that the program uses as text.  `taints` are the keys of its taints; `unschedulable`: it is
    cordoned.  `cpu`: its allocatable CPU in millicores.  `weight`: its annotation; `weight_error`
    says why that is ignored.
    """

    kind: ClassVar[Kind] = Kind.NODE
    name: str
    labels: Mapping[str, str] = {}
    addresses: tuple[NodeAddress, ...] = ()
    ready: bool = True
    silent: bool = False
    network_unavailable: bool = False
    deleting: bool = False
    annotations: Mapping[str, str] = {}
    taints: frozenset[str] = frozenset()
    unschedulable: bool = False
    cpu: int | None = None
    weight: int | None = None
    weight_error: str = ""

    @property
    def key(self) -> ObjectKey:
        """Identifies it among its kind."""
        return ObjectKey("", self.name)


class Namespace(Struct, frozen=True, gc=False):
    """A core/v1 Namespace, as far as the namespaceSelector of an Eip needs it."""

    kind: ClassVar[Kind] = Kind.NAMESPACE
    name: str
    labels: Mapping[str, str] = {}

    @property
    def key(self) -> ObjectKey:
        """Identifies it among its kind."""
        return ObjectKey("", self.name)


UNKNOWN_USAGE = -1
"""In place of the usage of an Eip: its status is an old one, so its holders are not known."""


class EipStatus(Struct, frozen=True, gc=False):
    """status of an Eip, as its CRD defines it.

    `used` names the holders of each address, separated by `;`; it is complete if it has as many as
    `usage` says.  `serving` is the spec that serves, None where none does: after a restart it lets
    an Eip serve on whose spec became invalid.  `since` is the lastTransitionTime of its condition,
    empty where it is yet to be set.
    """

    ready: bool
    reason: PoolReason
    message: str
    occupied: bool = False
    usage: int = 0
    pool_size: int = 0
    first_ip: str = ""
    last_ip: str = ""
    v4: bool = False
    used: Mapping[str, str] = {}
    serving: Eip | None = None
    since: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EipStatus) and self._compared == other._compared

    def __hash__(self) -> int:
        return hash(self._compared)

    @property
    def _compared(self) -> tuple[object, ...]:
        return (
            self.ready,
            self.reason,
            self.message,
            self.occupied,
            self.usage,
            self.pool_size,
            self.first_ip,
            self.last_ip,
            self.v4,
            self.used,
            self.serving,
        )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The one condition of an Eip."""
        return (Condition("Ready", self.ready, self.reason.value, self.message, self.since),)


class Eip(Struct, frozen=True, gc=False):
    """A network.kubesphere.io Eip: a pool of addresses and who may draw from it.

    `address` is the text of spec.address, which `addresses.address_pool` parses.  `invalid` says
    what is wrong with another field of the spec, None if nothing is; `unreadable`: it says why all
    of the spec cannot be read.  `namespace_selector` is a flat map of labels that must all match,
    as in OpenELB.  Without `advertisements` its addresses
    are announced to every peer.  `allowed_communities` are those that a Service may add.
    """

    kind: ClassVar[Kind] = Kind.EIP
    name: str
    address: str
    uid: str = ""
    created: str | None = None
    resource_version: str = ""
    disable: bool = False
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    priority: int = 0
    namespaces: tuple[str, ...] = ()
    namespace_selector: Mapping[str, str] = {}
    service_selector: LabelSelector = EVERYTHING
    protocol: str = ""
    advertisements: tuple[AdvertisementEntry, ...] = ()
    allowed_communities: Communities = NO_COMMUNITIES
    deleting: bool = False
    invalid: str | None = None
    unreadable: bool = False
    status: EipStatus | None = None

    @property
    def key(self) -> ObjectKey:
        """Identifies it among its kind."""
        return ObjectKey("", self.name)

    @property
    def age(self) -> tuple[bool, str, str]:
        """Sorts the older first, those without a creationTimestamp last, then by name."""
        return (self.created is None, str(self.created or ""), self.name)

    def spec_only(self) -> Eip:
        """A copy with its name and spec alone."""
        return replace(self, uid="", created=None, resource_version="", deleting=False, status=None)
