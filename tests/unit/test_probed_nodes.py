"""What follows from the findings of probes: next hops, reports, and what is to be probed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from porter_ryu import report
from porter_ryu.domain.model import Eip, Family, Kind, Node, NodeAddress
from porter_ryu.domain.nodes.liveness import Findings
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import EXCLUDE_LABEL, NextHopPolicy
from porter_ryu.domain.planner import Policy
from tests.unit.world import World, endpoints, key, node, service

NAMES = ("n1", "n2", "n3", "n4")
DEAD = Findings("icmp of it failed 3 times in a row (no answer)")


def up(name: str, **fields: Any) -> Node:
    """A node that is Ready."""
    return node(name, f"192.168.0.{name[1:]}", **fields)


def world(mode: NextHopMode = ENDPOINTS, **policy: Any) -> World:
    """Four nodes, and a Service with an endpoint on each."""
    policy.setdefault("panic_percent", 90)
    made = World(
        Eip("pool", "10.0.0.1-10.0.0.9"),
        policy=Policy(NextHopPolicy(mode=mode), probing=True, **policy),
    )
    return made.put(*(up(n) for n in NAMES), service("a"), endpoints("a", *NAMES))


def find(w: World, family: Family = Family.IPV4, **found: Findings) -> World:
    """Probes found something about these nodes."""
    w.planner.probed_nodes.find({(name, family): each for name, each in found.items()})
    return w.turn()


def hops(w: World, address: str = "10.0.0.1") -> str:
    """The last digits of the next hops."""
    return "".join(sorted(hop[-1] for hop in w.routes[address]))


def told(w: World, name: str, node_name: str) -> tuple[str, str]:
    """What a report says about a node."""
    entry = report.explanation(w.planner, key(name), None)
    found = next(n for n in entry["routes"][0]["nodes"] if n["node"] == node_name)
    return found["reason"], found["why"]


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=lambda mode: mode.name)
def test_a_dead_node_is_no_next_hop_until_it_is_back(mode: NextHopMode) -> None:
    w = find(world(mode), n2=DEAD)
    assert hops(w) == "134"
    assert told(w, "a", "n2") == ("Dead", f"it is dead: {DEAD.dead}")
    assert w.planner.probed_nodes.dead == {"n2"}
    assert hops(find(w, n2=Findings())) == "1234"
    assert not w.planner.probed_nodes.dead


def test_only_what_depends_on_the_node_is_decided_again() -> None:
    w = world().put(service("b"), endpoints("b", "n1"))
    w.planner.probed_nodes.find({("n2", Family.IPV4): DEAD})
    assert not w.planner.idle
    assert set(w.planner.turn(lambda: None, now=0.0).routes) == {ip_address("10.0.0.1")}
    assert w.planner.idle


def test_when_every_node_of_a_service_is_dead_it_has_no_route_and_says_why() -> None:
    w = world().put(service("b"), endpoints("b", "n1"))
    find(w, n1=DEAD)
    assert hops(w, "10.0.0.2") == ""
    assert w.state("b") == "NoUsableNode"
    announced = w.planner.decisions[key("b")].announced
    assert announced is not None
    assert f"n1: it is dead: {DEAD.dead}" in announced.message


def test_a_probe_that_counts_for_nothing_is_told_and_changes_no_route() -> None:
    w = world()
    w.planner.probed_nodes.find({("n2", Family.IPV4): Findings("", ("tcp:10250 of 192.168.0.2",))})
    assert not w.planner.turn(lambda: None, now=0.0).routes
    why = "never answered, so it counts for nothing: tcp:10250 of 192.168.0.2"
    assert told(w, "a", "n2") == ("NextHop", why)
    assert hops(w) == "1234"


def test_a_family_is_dead_by_itself() -> None:
    addresses = [NodeAddress("InternalIP", ip_address(a)) for a in ("192.168.0.2", "2001:db8::2")]
    w = world().put(Node("n2", addresses=tuple(addresses)))
    w.put(Eip("six", "2001:db8:1::1"), service("b", families=(Family.IPV6,)))
    w.put(endpoints("b", "n2", family=Family.IPV6))
    assert hops(w, "2001:db8:1::1") == "2"
    find(w, Family.IPV6, n2=DEAD)
    assert hops(w, "2001:db8:1::1") == ""
    assert hops(w) == "1234"


def test_an_ipv6_next_hop_of_ipv4_is_judged_by_its_own_address() -> None:
    policy = NextHopPolicy(ipv4_over_ipv6=True)
    w = World(Eip("pool", "10.0.0.1"), policy=Policy(policy, probing=True))
    w.put(node("n1", "2001:db8::1"), service("a"), endpoints("a", "n1"))
    assert w.routes["10.0.0.1"]
    assert not find(w, Family.IPV6, n1=DEAD).routes["10.0.0.1"]


def test_a_dead_node_goes_whatever_kubernetes_says() -> None:
    w = world()
    w.put(*(up(n, ready=False, silent=True) for n in NAMES))
    assert w.planner.doubted
    assert hops(w) == "1234", "almost all of them at once: not believed"
    assert hops(find(w, n3=DEAD)) == "124"


def test_a_dead_node_that_stops_reporting_delays_nobody() -> None:
    """The six seconds of doubt are for nodes of which nothing better is known."""
    w = find(world(), n1=DEAD)
    w.put(up("n1", ready=False, silent=True))
    w.put(up("n2", ready=False))
    assert hops(w) == "234"
    w.now += 1.1
    assert hops(w.turn()) == "34"
    other = world()
    other.put(up("n1", ready=False, silent=True), up("n2", ready=False))
    other.now += 1.1
    assert hops(other.turn()) == "1234", "nothing better is known"


def test_findings_about_a_node_that_is_not_there_are_dropped() -> None:
    w = find(world(), gone=DEAD, n1=DEAD)
    before = w.planner.cached_entries
    w.remove(Kind.NODE, "n1")
    assert w.planner.cached_entries < before
    assert not w.planner.probed_nodes.dead
    w.put(up("n1"))
    assert hops(w) == "1234"


def targets(w: World) -> dict[str, tuple[str, ...]]:
    """The addresses to probe that changed."""
    found = w.planner.nodes.pop_addresses_to_probe()
    return {name: tuple(str(a) for a in addresses) for name, addresses in found.items()}


def test_the_addresses_to_probe_are_those_of_next_hops() -> None:
    w = world()
    assert targets(w) == {name: (f"192.168.0.{name[1:]}",) for name in NAMES}
    assert targets(w.put(service("b"))) == {}
    many = ("192.168.0.7", "10.0.0.1", "2001:db8::7")
    w.put(Node("n7", addresses=tuple(NodeAddress("InternalIP", ip_address(a)) for a in many)))
    w.put(up("n1", labels={EXCLUDE_LABEL: ""}), up("n2", ready=False))
    assert targets(w) == {"n7": ("192.168.0.7", "2001:db8::7"), "n1": (), "n2": ("192.168.0.2",)}
    w.remove(Kind.NODE, "n3")
    assert targets(w) == {"n3": ()}


def test_an_address_that_becomes_an_eip_is_not_probed() -> None:
    w = World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=Policy(probing=True))
    both = tuple(NodeAddress("InternalIP", ip_address(a)) for a in ("10.0.0.3", "192.168.0.1"))
    w.put(service("a", requested="10.0.0.3", ingress=(ip_address("10.0.0.3"),)))
    w.put(Node("n1", addresses=both))
    assert targets(w) == {"n1": ("192.168.0.1",)}


def test_next_hop_networks_select_what_is_probed() -> None:
    policy = NextHopPolicy(networks=(ip_network("172.16.0.0/12"),))
    w = World(policy=Policy(policy, probing=True))
    addresses = [("InternalIP", "192.168.0.1"), ("ExternalIP", "172.16.0.1")]
    w.put(Node("n1", addresses=tuple(NodeAddress(t, ip_address(a)) for t, a in addresses)))
    assert targets(w) == {"n1": ("172.16.0.1",)}


def test_without_probes_nothing_is_kept() -> None:
    w = World(Eip("pool", "10.0.0.1"))
    w.put(*(up(n) for n in NAMES))
    assert targets(w) == {}
    assert w.planner.probed_nodes.cached_entries == 0
