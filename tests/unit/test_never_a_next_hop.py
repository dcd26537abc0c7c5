"""Addresses of a node that can never be next hops: the node's next address is used instead."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from porter_ryu.domain.explanation import explain
from porter_ryu.domain.model import Eip, Family, Kind, Node, NodeAddress, Port
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
from tests.unit.world import World, endpoints, key, node, service


def reporting(name: str, *addresses: str) -> Node:
    """A node with these InternalIPs, in this order."""
    return Node(
        name, addresses=tuple(NodeAddress("InternalIP", ip_address(text)) for text in addresses)
    )


def why(world: World, name: str = "a", of: str = "n1") -> str:
    """Why a node is no next hop, or which of its addresses were rejected."""
    (address,) = explain(world.planner, key(name), world.now).addresses
    return next(node.verdict.message for node in address.nodes if node.node == of)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "this-network"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("169.254.1.7", "link-local"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
    ],
)
def test_ipv4(text: str, kind: str) -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a"), endpoints("a", "n1", "n2"))
    world.put(reporting("n1", text), node("n2", "192.168.0.2"))
    assert world.routes["10.0.0.1"] == {"192.168.0.2"}
    assert why(world).startswith(f"{text} is {kind}; it has no other IPv4 address")
    warning = f"node n1 reports addresses that cannot be next hops: {text} is {kind}"
    assert warning in world.warnings
    world.put(reporting("n1", text, "192.168.0.1"))
    assert world.routes["10.0.0.1"] == {"192.168.0.1", "192.168.0.2"}
    assert why(world) == f"{text} is {kind}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("ff02::1", "multicast"),
        ("::ffff:192.168.0.1", "IPv4-mapped"),
    ],
)
def test_ipv6(text: str, kind: str) -> None:
    world = World(Eip("six", "2001:db8::1")).put(service("a", families=(Family.IPV6,)))
    world.put(reporting("n1", text), endpoints("a", "n1", family=Family.IPV6))
    assert world.routes["2001:db8::1"] == frozenset()
    assert (world.state("a"), kind in why(world)) == ("NoUsableNode", True)
    world.put(reporting("n1", text, "2001:db8:1::1"))
    assert world.routes["2001:db8::1"] == {"2001:db8:1::1"}


@pytest.mark.parametrize("text", ["192.0.2.1", "198.51.100.1", "203.0.113.9", "100.64.0.1"])
def test_addresses_for_documentation_can_be_next_hops(text: str) -> None:
    world = World(Eip("pool", "10.0.0.1")).put(service("a"), endpoints("a", "n1"))
    assert world.put(reporting("n1", text)).routes["10.0.0.1"] == {text}


def test_next_hop_networks_do_not_allow_a_forbidden_address() -> None:
    policy = Policy(NextHopPolicy(networks=(ip_network("169.254.0.0/16"),)))
    world = World(Eip("pool", "10.0.0.1"), policy=policy).put(service("a"), endpoints("a", "n1"))
    world.put(reporting("n1", "169.254.0.7"))
    assert world.routes["10.0.0.1"] == frozenset()


def test_an_eip_that_a_node_reports_stays_with_its_holder_and_is_no_next_hop() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.3")).put(
        service("a"), endpoints("a", "n1", "n2"), node("n2", "192.168.0.2")
    )
    world.put(reporting("n1", "10.0.0.1"))
    for now in (world, world.restarted()):
        assert now.address("a") == "10.0.0.1"
        assert now.routes["10.0.0.1"] == {"192.168.0.2"}
        assert why(now).startswith("10.0.0.1 is an EIP that is held")
    world.put(reporting("n1", "10.0.0.1", "192.168.0.1"))
    assert world.routes["10.0.0.1"] == {"192.168.0.1", "192.168.0.2"}
    assert world.put(service("b")).address("b") == "10.0.0.2"
    world.put(service("c", requested="10.0.0.1"))
    assert world.state("c") == "AddressInUse"


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_a_node_address_is_a_next_hop_while_it_is_no_held_eip(mode: NextHopMode) -> None:
    """The routes of another Service change when the address becomes held, and free again."""
    world = World(Eip("pool", "10.0.0.1-10.0.0.3"), policy=Policy(NextHopPolicy(mode=mode))).put(
        service("a"), endpoints("a", "n1"), service("b")
    )
    world.put(reporting("n1", "10.0.0.2"))
    assert world.routes["10.0.0.1"] == frozenset()
    world.remove(Kind.SERVICE, "b")
    assert world.routes["10.0.0.1"] == {"10.0.0.2"}, "no Service holds it, so the node may use it"
    assert world.put(service("b")).address("b") == "10.0.0.3", "and it is not assigned"
    world.put(Eip("pool", "10.0.0.1"))
    assert world.routes["10.0.0.1"] == {"10.0.0.2"}


def test_addresses_of_peers_are_no_next_hops_and_those_of_this_host_are() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.9")).put(service("a"), endpoints("a", "n1", "n2"))
    world.put(reporting("n1", "192.168.0.1"), reporting("n2", "192.168.0.2"))
    world.planner.reserve([ip_address("192.168.0.2")], [ip_address("192.168.0.1")])
    assert world.turn().routes["10.0.0.1"] == {"192.168.0.2"}
    assert why(world).startswith("192.168.0.1 is a peer's")
    world.planner.reserve([], [])
    assert world.turn().routes["10.0.0.1"] == {"192.168.0.1", "192.168.0.2"}


def test_addresses_of_peers_and_this_host_are_not_assigned_and_not_taken_away() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.4")).put(service("a"))
    world.planner.reserve([ip_address("10.0.0.1"), ip_address("10.0.0.2")], [])
    world.put(service("b"))
    world.planner.reserve([ip_address("10.0.0.1")], [ip_address("10.0.0.2")])
    world.put(service("c"), service("d"))
    assert [world.address(n) for n in "abcd"] == ["10.0.0.1", "10.0.0.3", "10.0.0.4", ""]
    world.planner.reserve([], [])
    assert world.turn().address("d") == "10.0.0.2", "a reload freed it"


def test_no_service_joins_an_address_that_a_node_reports() -> None:
    world = World(Eip("pool", "10.0.0.1-10.0.0.3")).put(service("a", share_key="k"))
    world.put(reporting("n1", "10.0.0.1"))
    world.put(service("b", share_key="k", ports=frozenset([Port("UDP", 80)])))
    assert (world.address("a"), world.address("b")) == ("10.0.0.1", "10.0.0.2")


def test_a_node_that_changes_during_a_turn_is_read_at_the_next_one() -> None:
    """A change of a node while a long turn gives way is for the next turn."""
    world = World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=Policy(panic_percent=90))
    world.put(node("n1", "192.168.0.1"), service("a"), service("b"))
    world.put(endpoints("a", "n1"), endpoints("b", "n1"))
    world.planner.resync()
    lost = iter([node("n1", "192.168.0.1", ready=False)])

    def meanwhile() -> None:
        for obj in lost:
            world.stage(obj)

    turn = world.planner.turn(meanwhile, now=0.0)
    assert all(route.announcements for route in turn.routes.values())
    assert world.turn().routes["10.0.0.1"] == {"192.168.0.1"}


def test_a_node_that_is_read_in_the_middle_of_a_turn_is_reported_in_the_next_one() -> None:
    world = World(Eip("pool", "10.0.0.1"))
    world.stage(service("a"))

    def give_way() -> None:
        world.planner.put(Node("bare"))

    assert not world.planner.turn(give_way, now=0.0).warnings
    assert world.turn().warnings == ["node bare has no address, so it is no next hop"]


def test_nodes_that_report_the_same_address_are_named() -> None:
    world = World(Eip("pool", "10.0.0.1")).put(node("n1", "192.168.0.1"))
    assert world.warnings == []
    world.put(node("n2", "192.168.0.1"))
    assert world.warnings == ["node n2 reports 192.168.0.1, which n1 reports as well"]
