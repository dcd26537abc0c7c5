"""A planner with a small cluster, driven as the process drives it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from msgspec import structs

from porter_ryu.domain.announcement import Announcements, Route
from porter_ryu.domain.model import (
    AddressRequest,
    Eip,
    EipStatus,
    Endpoint,
    EndpointSlice,
    Family,
    Kind,
    Node,
    NodeAddress,
    ObjectKey,
    Port,
    Service,
    ServiceStatus,
)
from porter_ryu.domain.objects import Object, ObjectStatus, Unreadable, WithStatus
from porter_ryu.domain.planner import MOST_DECIDED, Planner, Policy
from porter_ryu.domain.sending import PeerTerms


def peers(*names: str, **more: Any) -> list[PeerTerms]:
    """Peers with these names."""
    return [PeerTerms(name, **more) for name in names]


PEERS = peers("leaf", "leaf1", "leaf2", "leaf3", "edge", "core", "far", "near")


def key(name: str) -> ObjectKey:
    """`namespace/name`, or a name in `default`."""
    namespace, slash, rest = name.partition("/")
    return ObjectKey(namespace, rest) if slash else ObjectKey("default", name)


def service(name: str, **fields: Any) -> Service:
    """A Service of ours with IPv4; the earlier its name sorts, the older it is.  `requested` are
    addresses that it requests, separated by commas."""
    requested = fields.pop("requested", None)
    if requested is not None:
        addresses = tuple(ip_address(text) for text in requested.split(","))
        fields["request"] = AddressRequest("annotation", requested, addresses)
    fields.setdefault("families", (Family.IPV4,))
    fields.setdefault("created", key(name).name)
    fields.setdefault("ports", frozenset([Port("TCP", 80)]))
    return Service(key(name), True, **fields)


class World:
    """Applies the result of each turn at once: the wanted status is written."""

    def __init__(
        self,
        *eips: Eip,
        policy: Policy | None = None,
        leading: bool = True,
        most_decided: int = MOST_DECIDED,
    ) -> None:
        self.policy = policy or Policy()
        self.most_decided = most_decided
        self.planner = Planner(self.policy, leading, most_decided)
        self.now = 0.0
        self.planner.reserve([], [], terms=PEERS)
        self.planner.replace(Kind.EIP, eips)
        for kind in (Kind.NODE, Kind.NAMESPACE, Kind.SERVICE, Kind.ENDPOINT_SLICE):
            self.planner.replace(kind, [])
        self.routes: dict[str, frozenset[str]] = {}
        self.announcements: dict[str, Announcements] = {}
        self.whole_routes: dict[str, Route] = {}
        self.notices: list[str] = []
        self.warnings: list[str] = []
        self.address_changes: dict[str, str] = {}

    def put(self, *objects: Object) -> World:
        """Stores objects of any kind, and takes turns until nothing is left to decide."""
        for obj in objects:
            self.stage(obj)
        return self.turn()

    def stage(self, obj: Object) -> None:
        """Stores an object without taking a turn."""
        if isinstance(obj, Service):
            obj = self._with_record(obj)
        elif isinstance(obj, Eip):
            obj = self._with_status(obj)
        self.planner.put(obj)

    def _with_status(self, obj: Eip) -> Eip:
        before = self.planner.cluster.eips.get(obj.key)
        if before is None or obj.status is not None or before.uid != obj.uid:
            return obj
        return structs.replace(obj, status=before.status)

    def restarted(self) -> World:
        """A new process that reads the same cluster."""
        cluster = self.planner.cluster
        world = World(
            policy=self.policy, leading=self.planner.leading, most_decided=self.most_decided
        )
        for table in (cluster.eips, cluster.namespaces, cluster.nodes, cluster.services):
            for obj in table.values():
                world.stage(obj)
        for name in cluster.services:
            for piece in cluster.slices_of(name):
                world.stage(piece)
        for kind in Kind:
            for name in cluster.keys(kind):
                unreadable = cluster.unreadable(kind, name)
                if unreadable is not None:
                    world.planner.remove(kind, name)
                    world.planner.put(self._recorded(unreadable))
        return world.turn()

    def _recorded(self, unreadable: Unreadable) -> Unreadable:
        """An unreadable object with its record, which is readable."""
        before = self.planner.cluster.services.get(unreadable.key)
        if unreadable.kind is not Kind.SERVICE or before is None or unreadable.record_unread:
            return unreadable
        return structs.replace(unreadable, record=before.ingress)

    def unreadable(
        self, kind: Kind, name: str, record: str = "", why: str = "oops", unread: bool = False
    ) -> World:
        """Makes an object unreadable, or adds one that is; `unread`: with its record."""
        namespaced = kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE)
        addresses = tuple(ip_address(text) for text in record.split(",") if text)
        of = key(name) if namespaced else ObjectKey("", name)
        self.planner.put(Unreadable(kind, of, why, addresses, record_unread=unread))
        return self.turn()

    def broken(self, name: str) -> World:
        """Makes a Service unreadable except for its record."""
        return self.unreadable(Kind.SERVICE, name, self.address(name))

    def forge(self, name: str, record: str) -> World:
        """Writes a record, as somebody may who can patch services/status."""
        service_ = self.planner.cluster.services[key(name)]
        addresses = tuple(ip_address(text) for text in record.split(",") if text)
        forged = structs.replace(service_, ingress=addresses)
        self.planner.put(forged)
        return self

    def message(self, name: str) -> str:
        """Why a Service lacks an address; empty if it lacks none."""
        verdict = self.planner.decisions[key(name)].outcome.verdict
        return "" if verdict.ok else verdict.message

    def _with_record(self, obj: Service) -> Service:
        """A new form with the status that was written, as an API server keeps it."""
        cluster = self.planner.cluster
        before = cluster.services.get(obj.key)
        unreadable = cluster.unreadable(Kind.SERVICE, obj.key)
        if obj.ingress:
            return obj
        if before is not None:
            return structs.replace(obj, ingress=before.ingress, conditions=before.conditions)
        if unreadable is not None:
            return structs.replace(obj, ingress=unreadable.record)
        return obj

    def remove(self, kind: Kind, name: str) -> World:
        """Removes an object."""
        namespaced = kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE)
        self.planner.remove(kind, key(name) if namespaced else ObjectKey("", name))
        return self.turn()

    def turn(self) -> World:
        """Takes turns and writes the wanted status until nothing is left to decide."""
        while not self.planner.idle or (
            self.planner.due is not None and self.planner.due <= self.now
        ):
            self.turn_once()
        return self

    def turn_once(self) -> World:
        """Takes a turn and writes the wanted status."""
        turn = self.planner.turn(lambda: None, now=self.now)
        self.warnings += turn.warnings
        self.notices += turn.notices
        for address, route in turn.routes.items():
            self.announcements[str(address)] = route.announcements
            self.whole_routes[str(address)] = route
            self.routes[str(address)] = frozenset(
                str(a.next_hop.address) for a in route.announcements
            )
        self.announcements |= {str(prefix): paths for prefix, paths in turn.aggregates.items()}
        for obj, status in turn.statuses:
            if obj.status != status:
                self.planner.put(self._written(obj, status))
        return self

    def _written(self, obj: WithStatus, status: ObjectStatus) -> WithStatus:
        """The object with that status."""
        if isinstance(obj, Eip):
            assert isinstance(status, EipStatus)
            return structs.replace(obj, status=status)
        assert isinstance(status, ServiceStatus)
        if status.address_change:
            self.address_changes[str(obj.key)] = status.address_change
        return structs.replace(
            obj,
            ingress=status.ingress,
            conditions=status.conditions,
            plain_ingress=status.plain_ingress,
        )

    def address(self, name: str) -> str:
        """The recorded addresses of a Service."""
        return ",".join(str(a) for a in self.planner.cluster.services[key(name)].ingress)

    def state(self, name: str) -> str:
        """The state of a Service."""
        return self.planner.decisions[key(name)].state


def node(name: str, address: str = "", **fields: Any) -> Node:
    """A Node that is Ready, with one InternalIP."""
    addresses = (NodeAddress("InternalIP", ip_address(address)),) if address else ()
    return Node(name, addresses=addresses, **fields)


def endpoints(
    service_name: str, *nodes: str | None, family: Family = Family.IPV4, **conditions: Any
) -> EndpointSlice:
    """An EndpointSlice with one endpoint on each node."""
    name = ObjectKey(key(service_name).namespace, f"{key(service_name).name}-{family}")
    pieces = tuple(Endpoint(n, **conditions) for n in nodes)
    return EndpointSlice(name, key(service_name), family, pieces)
