"""Which next hops, names and Eips `check` reports, from facts alone."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace

from porter_ryu.check.finding import Finding, Result
from porter_ryu.check.networks import (
    Facts,
    Neighbour,
    eip_networks,
    next_hops,
    own_node,
    selectors,
)
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Kind, Node, NodeAddress, ObjectKey
from porter_ryu.domain.nodes.next_hop_modes import MODES
from porter_ryu.domain.nodes.next_hops import EXCLUDE_LABEL, NextHopPolicy

SUBNET = ip_network("192.168.9.0/24")
LEAF = Neighbour("leaf", SUBNET, EVERYTHING)


def node(name: str, *addresses: str, kind: str = "InternalIP", **more: object) -> Node:
    """A Node with addresses."""
    entries = tuple(NodeAddress(kind, ip_address(text)) for text in addresses)
    return Node(name, addresses=entries, **more)  # type: ignore[arg-type]


def whats(results: object) -> list[str]:
    """What each finding says."""
    assert isinstance(results, list)
    return [result.what for result in results if isinstance(result, Finding)]


def hops(*nodes: Node, policy: NextHopPolicy | None = None, leaf: Neighbour = LEAF) -> list[Result]:
    """The findings about the next hops for one peer."""
    return list(next_hops(Facts(nodes), policy or NextHopPolicy(), [leaf]))


@pytest.mark.parametrize(
    "there",
    [
        node("n1", "192.168.9.11"),
        node("n1", "fd00::11"),
        node("n1", "10.0.0.1", kind="ExternalIP"),
        node("n1", "10.0.0.1", ready=False),
        node("n1", "10.0.0.1", deleting=True),
        node("n1", "10.0.0.1", labels={EXCLUDE_LABEL: ""}),
        node("n1", "127.0.0.1", "192.168.9.11"),
        node("n1"),
    ],
)
def test_a_node_that_is_no_next_hop_or_on_the_network(there: Node) -> None:
    assert hops(there) == []


def test_a_node_elsewhere() -> None:
    away, both = node("n2", "10.0.0.1"), node("n3", "10.0.0.2", "192.168.9.13")
    (result,) = hops(away)
    assert isinstance(result, Finding)
    assert result.what.startswith("10.0.0.1 (n2) cannot be next hops for [peer:leaf], which is on ")
    assert result.mend.startswith("connect the nodes to 192.168.9.0/24")
    (result,) = hops(away, both)
    assert isinstance(result, Finding)
    assert result.what.startswith("10.0.0.1 (n2), 10.0.0.2 (n3) cannot be")
    assert result.mend.startswith("set next_hop_networks to a network of the nodes that the peer")
    assert len(hops(*(node(f"n{n}", f"10.0.1.{n}") for n in range(200)))) == 1


def test_what_the_policy_and_the_selector_leave_out() -> None:
    away = node("n2", "10.0.0.1", labels={"rack": "b"})
    assert hops(away, policy=NextHopPolicy(networks=(SUBNET,))) == []
    own = NextHopPolicy(MODES["self"], "n2")
    assert hops(away, policy=own) == [], "its next hop is the address of the session"
    not_b = Neighbour("leaf", SUBNET, parse_selector("rack!=b"))
    assert hops(away, leaf=not_b) == []


def test_ipv6_next_hops_for_an_ipv6_peer() -> None:
    six = Neighbour("six", ip_network("fd09::/64"), EVERYTHING)
    assert hops(node("n1", "10.0.0.1", "fd09::11"), leaf=six) == []
    assert len(hops(node("n1", "192.168.9.11", "fd08::11"), leaf=six)) == 1


@pytest.mark.parametrize("answers_arp", [True, False])
def test_an_eip_in_a_network_of_nodes(answers_arp: bool) -> None:
    facts = Facts((node("n1", "192.168.9.11"),), {"pool": "192.168.9.64/28"})
    subnets = [SUBNET, ip_network("192.168.0.0/22"), ip_network("fd09::/64")]
    found = whats(list(eip_networks(facts, subnets, answers_arp)))
    text = "overlaps the network 192.168.9.0/24 of nodes, where hosts ask for an EIP by ARP or ND"
    assert found == ([] if answers_arp else [text])


def test_an_eip_with_addresses_of_peers_or_of_this_host() -> None:
    facts = Facts(eips={"pool": "192.168.9.0/24", "other": "203.0.113.0/24"})
    owners = {
        ip_address("192.168.9.5"): ("this host", "the default gateway of this host"),
        ip_address("192.168.9.1"): ("peer leaf",),
        ip_address("10.0.0.1"): ("peer far",),
    }
    (finding,) = eip_networks(facts, [], True, owners=owners)
    assert str(finding).startswith(
        "Eip pool: contains 192.168.9.1 of peer leaf, 192.168.9.5 of this host and the default "
        "gateway of this host: no Service gets them; to mend it: kubectl edit eip pool"
    )


def test_a_large_eip_and_many_networks_are_one_line_each() -> None:
    pods = {ip_network(f"10.{n >> 8}.{n & 255}.0/24"): f"n{n}" for n in range(5000)}
    facts = Facts(eips={"all": "0.0.0.0-255.255.255.254", "big": "10.0.0.0/8"}, pod_networks=pods)
    found = whats(list(eip_networks(facts, [], True)))
    assert len(found) == 2
    assert found[1].startswith("overlaps the Pod networks 10.0.0.0/24, 10.0.1.0/24, ")
    assert "and 4995 more" in found[1]
    assert all(len(text) < 400 for text in found)


def test_names() -> None:
    facts = Facts((node("worker-1.example.org"), node("worker-2.example.org")))
    assert list(own_node(facts, "")) == []
    assert list(own_node(facts, "worker-1.example.org")) == []
    (result,) = own_node(facts, "worker-1")
    assert isinstance(result, Finding)
    assert result.mend == "set node_name = worker-1.example.org"
    unreadable = {(Kind.NODE, ObjectKey("", "worker-1")): "status is a list"}
    assert list(own_node(replace(facts, unreadable=unreadable), "worker-1")) == []
    wanted = [("a", EVERYTHING), ("b", parse_selector("rack=b"))]
    assert whats(list(selectors(facts, wanted))) == ["matches none of 2 Nodes"]
    assert whats(list(selectors(Facts(), wanted))) == [], "nothing is known of the Nodes"
