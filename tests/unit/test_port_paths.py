"""The next hops of single ports of an address that Services share."""

from __future__ import annotations

from ipaddress import ip_network

from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Eip, EndpointSlice, Kind, Port, Service
from porter_ryu.domain.planner import Policy
from porter_ryu.openflow.next_hop_sets import wanted
from tests.unit.world import World, endpoints, key, node, service

SHARED = {"share_key": "one", "requested": "10.0.0.1"}


def nodes(paths: Announcements) -> set[str]:
    """The nodes of paths."""
    return {path.next_hop.node for path in paths}


def world(by_port: bool = True) -> World:
    """Three nodes and a pool."""
    made = World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=Policy(by_port=by_port))
    return made.put(*(node(name, f"192.168.0.{i}") for i, name in enumerate("abc", 1)))


def shared(name: str, port: int, *on: str, local: bool = True) -> tuple[Service, EndpointSlice]:
    """A Service with this port and endpoints on these nodes, that shares its address."""
    ports = frozenset([Port("TCP", port)])
    return service(name, ports=ports, local_traffic=local, **SHARED), endpoints(name, *on)


def by_port(made: World) -> dict[str, set[str]]:
    """The nodes of each port of the shared address."""
    ports = made.whole_routes["10.0.0.1"].ports
    return {f"{port.protocol} {port.port}": nodes(paths) for port, paths in ports}


def test_local_services_that_share_an_address_have_the_nodes_of_each() -> None:
    made = world().put(*shared("web", 80, "a", "b"), *shared("dns", 53, "c"))
    assert made.routes["10.0.0.1"] == frozenset()  # no router can tell them apart
    assert by_port(made) == {"TCP 53": {"c"}, "TCP 80": {"a", "b"}}
    assert made.state("web") == made.state("dns") == "Announced"


def test_the_verdict_of_each_follows_its_own_nodes() -> None:
    made = world().put(*shared("web", 80, "a"), *shared("dns", 53, "c"))
    made.remove(Kind.NODE, "a")
    assert made.state("web") == "NoUsableNode"
    made.put(node("a", "192.168.0.1"))
    assert made.state("web") == "Announced"
    made.put(endpoints("web"))
    assert made.state("web") == "NoReadyEndpoints"
    assert made.state("dns") == "Announced"


def test_the_verdict_follows_what_happens_in_one_turn_to_another_holder() -> None:
    made = world().put(*shared("web", 80, "a"), *shared("dns", 53, "c"))
    made.planner.remove(Kind.SERVICE, key("dns"))
    made.put(endpoints("web"))
    assert made.state("web") == "NoReadyEndpoints"


def test_what_they_have_in_common_stays_announced_to_routers() -> None:
    made = world().put(*shared("web", 80, "a", "b"), *shared("dns", 53, "b", "c"))
    assert nodes(made.announcements["10.0.0.1"]) == {"b"}
    assert by_port(made) == {"TCP 53": {"b", "c"}, "TCP 80": {"a", "b"}}


def test_equal_next_hops_need_no_ports() -> None:
    made = world().put(*shared("web", 80, "a", "b"), *shared("dns", 53, "a", "b"))
    assert by_port(made) == {}
    made.put(endpoints("dns", "a"))
    assert by_port(made) == {"TCP 53": {"a"}, "TCP 80": {"a", "b"}}


def test_cluster_services_that_share_an_address_differ_too() -> None:
    made = world().put(*shared("web", 80, "a", local=False), *shared("dns", 53, "b", local=False))
    assert nodes(made.announcements["10.0.0.1"]) == {"a", "b"}
    assert by_port(made) == {"TCP 53": {"b"}, "TCP 80": {"a"}}


def test_without_switches_nothing_has_ports() -> None:
    made = world(by_port=False).put(*shared("web", 80, "a"), *shared("dns", 53, "c"))
    assert by_port(made) == {}
    assert made.state("web") == "NoUsableNode"


def test_a_service_without_endpoints_leaves_the_others_theirs() -> None:
    made = world().put(*shared("web", 80, "a"), *shared("dns", 53))
    assert by_port(made) == {"TCP 53": set(), "TCP 80": {"a"}}
    assert made.state("dns") != "Announced"
    assert made.state("web") == "Announced"
    prefix = ip_network("10.0.0.1/32")
    entry = wanted(prefix, made.whole_routes["10.0.0.1"], "pool", 0)
    assert entry is not None
    assert entry.hops is None
    assert [str(port.port) for port, _ in entry.ports] == ["80"]
