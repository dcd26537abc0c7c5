"""The values that flow between the rooms.

What Kubernetes says comes in as Service, EndpointSlice, Node, Namespace and Eip; what the
program wants goes out as ServiceStatus, EipStatus and Route (`announcement`).  All of them are
frozen, compare by value and hold address objects, never text, so that "did anything change?" is
`==` everywhere.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar, NamedTuple

from porter_ryu.domain.labels import EVERYTHING, LabelSelector
from porter_ryu.domain.verdict import PoolReason

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Family(enum.IntEnum):
    """An address family, numbered as `ipaddress` numbers versions."""

    IPV4 = 4
    IPV6 = 6


class Kind(enum.Enum):
    """The kinds of objects that are read, by their API plural."""

    SERVICE = "services"
    ENDPOINT_SLICE = "endpointslices"
    NODE = "nodes"
    NAMESPACE = "namespaces"
    EIP = "eips"

    @property
    def singular(self) -> str:
        """The kind as its objects spell it."""
        return _SINGULAR[self]


_SINGULAR = {
    Kind.SERVICE: "Service",
    Kind.ENDPOINT_SLICE: "EndpointSlice",
    Kind.NODE: "Node",
    Kind.NAMESPACE: "Namespace",
    Kind.EIP: "Eip",
}


class ObjectKey(NamedTuple):
    """What names an object of one kind; `namespace` is empty for cluster-scoped kinds."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


ObjectId = tuple[Kind, ObjectKey]
"""What names an object among those of all kinds."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of status.conditions; `since` is its lastTransitionTime, empty where it has to be
    set anew.  `message` is one line of at most `text.MESSAGE_MOST` characters."""

    type: str
    status: bool
    reason: str
    message: str
    since: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """status of a Service: addresses, and our conditions (none: not ours), in order of type.

    `plain_ingress`: nothing is said of the addresses that has to be put right.  `moved` is the
    message of the Event that tells of other addresses than before, empty where there is none.
    """

    ingress: tuple[Address, ...]
    conditions: tuple[Condition, ...]
    plain_ingress: bool = True
    moved: str = field(default="", compare=False)


class FamilyPolicy(enum.Enum):
    """spec.ipFamilyPolicy of a Service."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


class Port(NamedTuple):
    """A port of a Service: protocol as Kubernetes spells it (TCP, UDP, SCTP), and number."""

    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class AddressRequest:
    """The addresses that a Service asks for: at most one a family.

    `source` names where the wish stands ("annotation eip.porter…", "spec.loadBalancerIP", …).
    `error` is set, and `addresses` empty, when the text does not parse.
    """

    source: str
    text: str
    addresses: tuple[Address, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A core/v1 Service, as far as the decision needs it.

    `ours` says whether it opted in (type, class, annotation); `not_ours` says in words why not.
    `created` is the creationTimestamp, None where it has none (sorts last).
    `families` is spec.ipFamilies, empty where unset.  `ingress` is the record: the addresses in
    status.loadBalancer.ingress, and `plain_ingress` whether nothing else is said there (a host
    name, a mode that is not VIP) that has to be put right, as it has of ours alone.  `conditions`
    holds all conditions of ours that it carries, in order of type.  `local_traffic` is
    externalTrafficPolicy Local.  `deleting`: it is terminating, and waits for its finalizers.
    """

    kind: ClassVar[Kind] = Kind.SERVICE
    key: ObjectKey
    ours: bool
    not_ours: str = ""
    uid: str = ""
    created: str | None = None
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: frozenset[Port] = frozenset()
    families: tuple[Family, ...] = ()
    family_policy: FamilyPolicy = FamilyPolicy.SINGLE_STACK
    local_traffic: bool = False
    request: AddressRequest | None = None
    pool: str | None = None
    share_key: str | None = None
    ingress: tuple[Address, ...] = ()
    plain_ingress: bool = True
    conditions: tuple[Condition, ...] = ()
    deleting: bool = False

    @property
    def status(self) -> ServiceStatus:
        """Its status as it is now."""
        return ServiceStatus(self.ingress, self.conditions, self.plain_ingress)

    @property
    def age(self) -> tuple[bool, str, ObjectKey]:
        """Sorts the older first, those without a creationTimestamp last, then by name."""
        return (self.created is None, str(self.created or ""), self.key)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a slice, with discovery/v1's defaults already applied.

    `ready` unset counts as true, `serving` unset as `ready`, `terminating` unset as false.
    """

    node: str | None
    ready: bool = True
    serving: bool = True
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class EndpointSlice:
    """A discovery.k8s.io/v1 EndpointSlice; `service` is None where no label names one."""

    kind: ClassVar[Kind] = Kind.ENDPOINT_SLICE
    key: ObjectKey
    service: ObjectKey | None
    family: Family | None
    endpoints: tuple[Endpoint, ...]


class NodeAddress(NamedTuple):
    """An entry of status.addresses that is an IP address; `type` as the API spells it."""

    type: str
    address: Address


@dataclass(frozen=True, slots=True)
class Node:
    """A core/v1 Node, without heartbeats: equal as long as nothing that matters changed.

    `silent`: it is not Ready because nobody hears from it (condition Ready is Unknown).
    """

    kind: ClassVar[Kind] = Kind.NODE
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[NodeAddress, ...] = ()
    ready: bool = True
    silent: bool = False
    network_unavailable: bool = False
    deleting: bool = False

    @property
    def key(self) -> ObjectKey:
        """What names it among its kind."""
        return ObjectKey("", self.name)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A core/v1 Namespace: what a pool's namespaceSelector sees of it."""

    kind: ClassVar[Kind] = Kind.NAMESPACE
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> ObjectKey:
        """What names it among its kind."""
        return ObjectKey("", self.name)


@dataclass(frozen=True, slots=True)
class EipStatus:
    """status of an Eip, as contract and CRD define it.

    `used` names the holders of each address, separated by `;`.  `serving` is the bare form of the
    Eip that serves, None where none does: the record by which an Eip that was edited to be broken
    goes on serving after a restart.  `since` is the lastTransitionTime of its condition, empty
    where that has to be set anew.
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
    used: Mapping[str, str] = field(default_factory=dict)
    serving: Eip | None = None
    since: str = field(default="", compare=False)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The one condition of an Eip."""
        return (Condition("Ready", self.ready, self.reason.value, self.message, self.since),)


@dataclass(frozen=True, slots=True)
class Eip:
    """A network.kubesphere.io Eip: a pool of addresses and who may draw from it.

    `address` is the text of spec.address; `domain.address_pool` knows what it means.
    `invalid` is set where another field of the spec cannot be understood.
    `namespace_selector` is flat (all of it must match), as OpenELB's.
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
    namespace_selector: Mapping[str, str] = field(default_factory=dict)
    service_selector: LabelSelector = EVERYTHING
    protocol: str = ""
    deleting: bool = False
    invalid: str | None = None
    status: EipStatus | None = None

    @property
    def key(self) -> ObjectKey:
        """What names it among its kind."""
        return ObjectKey("", self.name)

    @property
    def age(self) -> tuple[bool, str, str]:
        """Sorts the older first, those without a creationTimestamp last, then by name."""
        return (self.created is None, str(self.created or ""), self.name)

    def bare(self) -> Eip:
        """Its spec alone."""
        return dataclasses.replace(
            self, uid="", created=None, resource_version="", deleting=False, status=None
        )


Object = Service | EndpointSlice | Node | Namespace | Eip
"""What is read: each carries its kind, and the key that names it among its kind."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that is there and cannot be understood: neither good nor gone.

    Its last good form stays in force.  `record` has the addresses that its status records, which
    stay its own although nobody can say what it wants.
    """

    kind: Kind
    key: ObjectKey
    reason: str
    record: tuple[Address, ...] = ()


Reading = Object | Unreadable

WithStatus = Service | Eip
"""The objects whose status this program writes."""

ObjectStatus = ServiceStatus | EipStatus
"""What their status says, or should say."""
