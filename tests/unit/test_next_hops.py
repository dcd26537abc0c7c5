"""Which nodes are next hops of a route."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from msgspec import structs

from porter_ryu.domain.model import Eip, Family, Kind, Port, Service
from porter_ryu.domain.nodes.next_hop_modes import NODES, SELF
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.nodes.rendezvous import choose
from porter_ryu.domain.planner import Policy
from tests.unit.world import World, endpoints, node, service

FOUR = tuple(node(f"n{i}", f"192.168.0.{i}") for i in range(1, 5))


def world(policy: NextHopPolicy | None = None, announce: bool = True) -> World:
    """Four nodes and a pool."""
    chosen = Policy(policy or NextHopPolicy(), announce)
    return World(Eip("pool", "10.0.0.1-10.0.0.9"), policy=chosen).put(*FOUR)


def hops(w: World, address: str = "10.0.0.1") -> str:
    """The last octets of the next hops."""
    return "".join(sorted(hop.rsplit(".", 1)[1] for hop in w.routes.get(address, ())))


def test_nodes_mode_is_every_usable_node_for_cluster_and_endpoint_nodes_for_local() -> None:
    w = world(NextHopPolicy(NODES)).put(service("a"), endpoints("a", "n1"))
    assert hops(w) == "1234"
    w.put(service("a", local_traffic=True))
    assert hops(w) == "1"
    w.put(service("a"), node("n2", "192.168.0.2", ready=False))
    assert hops(w) == "134"
    w.put(endpoints("a"))
    assert (hops(w), w.state("a")) == ("", "NoReadyEndpoints")


def test_self_is_this_node_alone() -> None:
    w = world(NextHopPolicy(SELF, "n2")).put(
        service("a", local_traffic=True), endpoints("a", "n1", "n2")
    )
    assert hops(w) == "2"
    w.put(endpoints("a", "n1"))
    assert (hops(w), w.state("a")) == ("", "NoUsableNode")


def test_terminating_counts_only_while_no_node_has_a_ready_one_usable_or_not() -> None:
    w = world().put(service("a"), endpoints("a", "n1"))
    other = endpoints("a", "n2", ready=False, serving=True, terminating=True)
    w.put(structs.replace(other, key=other.key._replace(name="draining")))
    assert hops(w) == "1"
    w.put(node("n1", "192.168.0.1", ready=False))
    assert (hops(w), w.state("a")) == ("", "NoUsableNode")
    w.put(endpoints("a"))
    assert hops(w) == "2"


def test_a_terminating_endpoint_that_names_no_node_counts_for_every_node() -> None:
    """It is serving, and no endpoint is ready."""
    w = world(NextHopPolicy(NODES)).put(service("a"))
    leaving = endpoints("a", None, ready=False, serving=True, terminating=True)
    assert hops(w.put(leaving)) == "1234"
    other = endpoints("a", "n1")
    w.put(structs.replace(other, key=other.key._replace(name="ready")))
    assert hops(w) == "1234"
    w.put(service("a", local_traffic=True))
    assert hops(w) == "1"
    w.put(service("a")).remove(Kind.ENDPOINT_SLICE, "ready")
    assert hops(w.put(endpoints("a", None, ready=False, serving=False, terminating=True))) == ""
    assert w.state("a") == "NoReadyEndpoints"
    assert (hops(w.put(service("a", local_traffic=True), leaving)), w.state("a")) == (
        "",
        "NoUsableNode",
    )


def test_next_hop_networks_choose_the_address() -> None:
    policy = NextHopPolicy(networks=(ip_network("192.168.0.0/31"),))
    w = world(policy).put(service("a"), endpoints("a", "n1", "n2"))
    assert hops(w) == "1"


def test_an_ipv6_address_has_ipv6_next_hops_from_ipv6_endpoints() -> None:
    w = World(Eip("six", "2001:db8::1")).put(
        node("n1", "fd00::1"),
        node("n2", "192.168.0.2"),
        service("a", families=(Family.IPV6,)),
        endpoints("a", "n1", "n2", family=Family.IPV6),
    )
    assert w.routes["2001:db8::1"] == {"fd00::1"}
    w.put(endpoints("a", family=Family.IPV6), endpoints("a", "n1"))
    assert w.routes["2001:db8::1"] == frozenset()


def test_next_hops_of_a_shared_address_are_the_union_until_a_holder_is_local() -> None:
    def shared(name: str, port: int, **more: Any) -> Service:
        return service(name, share_key="k", ports=frozenset([Port("TCP", port)]), **more)

    w = world().put(shared("a", 1), shared("b", 2), endpoints("a", "n1", "n2"))
    w.put(endpoints("b", "n2", "n3"))
    assert hops(w) == "123"
    w.put(shared("b", 2, local_traffic=True))
    assert hops(w) == "23"
    w.put(shared("a", 1, local_traffic=True))
    assert hops(w) == "2"
    w.remove(Kind.SERVICE, "b")
    assert hops(w) == "12"


def test_an_address_is_not_announced_before_it_is_recorded() -> None:
    w = world()
    w.planner.put(service("a"))
    w.planner.put(endpoints("a", "n1"))
    turn = w.planner.turn(lambda: None, now=0.0)
    assert all(not route.announcements and not route.bound for route in turn.routes.values())
    assert service("a").key in [obj.key for obj, _ in turn.statuses]


def test_without_bgp_there_is_no_announced_condition() -> None:
    w = world(announce=False).put(service("a"), endpoints("a", "n1"))
    conditions = w.planner.cluster.services[service("a").key].conditions
    assert [c.type for c in conditions] == ["porter.kubesphere.io/Allocated"]


def test_rendezvous_changes_only_choices_of_a_lost_node() -> None:
    w = world().put(service("a"), endpoints("a", "n1", "n2", "n3", "n4"))
    verdicts = w.planner.resolver.verdicts(service("a"), Family.IPV4)
    every = [v.next_hop for v in verdicts if v.next_hop is not None]
    prefixes = [ip_network(f"10.0.{i // 256}.{i % 256}/32") for i in range(400)]
    before = {p: choose(p, every, 1)[0] for p in prefixes}
    counts = [sum(hop == chosen for chosen in before.values()) for hop in every]
    assert min(counts) > 60
    after = {p: choose(p, every[1:], 1)[0] for p in prefixes}
    assert all(after[p] == before[p] for p in prefixes if before[p] != every[0])
