"""Weighted ECMP ([bgp] weights), as FRR, BIRD and gobgpd and their kernels see it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

import pytest

from fabric import Fabric, Host, wait_for
from fabric.leaves import Leaf
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, command
from fabric.raw_peer import UPDATE, RawPeer
from tests.functional.conftest import OURS, peers

NODES = {"n1": "192.168.7.11", "n2": "192.168.7.12", "n3": "192.168.7.13"}
IPV6 = {"n1": "fd00:7::11", "n2": "fd00:7::12", "n3": "fd00:7::13"}
EIP, EIP6 = "203.0.113.8", "2001:db8::8"
OBSERVER = "192.168.7.101"
WITHIN_SECONDS = 5.0
THREE_TO_ONE = ("n1", "n1", "n1", "n2")


def expect(host: Host, prefix: str = EIP, **wanted: int) -> None:
    """Waits until a kernel has these shares, by node, in per cent."""
    addresses = IPV6 if ":" in prefix else NODES
    by_address = {addresses[name]: share for name, share in wanted.items()}
    wait_for(
        lambda: host.shares(prefix),
        lambda seen: seen == by_address,
        WITHIN_SECONDS,
        f"the shares of {prefix} on {host.name} to be {wanted}",
    )


def node_with(name: str, *, weight: str = "", cpu: object = None) -> Json:
    """A Node with both addresses, and what its capacity is known from."""
    annotations = {"porter.kubesphere.io/weight": weight} if weight else {}
    made = node(name, NODES[name], IPV6[name], annotations=annotations)
    made["status"]["allocatable"] = {} if cpu is None else {"cpu": cpu}
    return made


def start(fabric: Fabric, weights: str) -> Program:
    """The program with three leaves, and a Service with four Pods on two nodes."""
    groups = peers()
    groups["bgp"]["weights"] = weights
    fabric.hosts["gobgpd"].run(f"ip address replace {OBSERVER}/24 dev e4a")
    groups["bgp"]["peers"] = f"{groups['bgp']['peers']},observer"
    groups["peer:observer"] = {"address": OBSERVER, "remote_as": 65009, "mode": "passive"}
    program = Program(fabric.hosts["porter"], groups, weights)
    for name in NODES:
        program.put(name, node_with(name))
    program.put("pool", eip("pool", f"{EIP}/29,{EIP6}/125"))
    both = ("IPv4", "IPv6")
    program.put("web", service("web", families=both, ipFamilyPolicy="RequireDualStack"))
    for family in both:
        program.put(family, slice_of("web", *THREE_TO_ONE, family=family))
    return program.start()


@pytest.fixture
def by_endpoints(fabric: Fabric, leaves: dict[str, Leaf]) -> Iterator[Program]:
    """Weights by endpoints."""
    program = start(fabric, "endpoints")
    yield program
    program.end_for_good()


@pytest.fixture
def by_capacity(fabric: Fabric, leaves: dict[str, Leaf]) -> Iterator[Program]:
    """Weights by capacity."""
    program = start(fabric, "capacity")
    yield program
    program.end_for_good()


def test_three_pods_on_one_node_and_one_on_another(
    by_endpoints: Program, fabric: Fabric, leaves: dict[str, Leaf]
) -> None:
    """FRR's kernel spreads 75 to 25; BIRD ignores the weights; gobgpd has both paths with them."""
    for prefix in (EIP, EIP6):
        expect(fabric.hosts["frr"], prefix, n1=75, n2=25)
        expect(fabric.hosts["bird"], prefix, n1=50, n2=50)
    wait_for(
        leaves["gobgpd"].routes, lambda seen: len(seen.get(EIP, ())) == 2, 5, "both paths on gobgpd"
    )
    explained = by_endpoints.host.run(
        [command("porter-ryu"), "explain", "default/web", "--url", "http://127.0.0.1:8080"]
    )
    assert f"node n1: next hop {NODES['n1']}, 75 % (weight 3)" in explained
    assert f"node n2: next hop {NODES['n2']}, 25 % (weight 1)" in explained
    for route in by_endpoints.get("/v1/services/default/web")["routes"]:
        assert [(path["node"], path["share"]) for path in route["paths"]] == [
            ("n1", 75),
            ("n2", 25),
        ]
    table = json.loads(fabric.hosts["gobgpd"].run("gobgp global rib -a ipv4 -j"))
    assert bandwidths(table[f"{EIP}/32"]) == {NODES["n1"]: 375_000, NODES["n2"]: 125_000}


def bandwidths(paths: list[Json]) -> dict[str, int]:
    """The link bandwidth of each path of gobgpd, by next hop."""
    found = {}
    for path in paths:
        attributes = {entry["type"]: entry for entry in path["attrs"]}
        (community,) = attributes[16]["value"]
        found[attributes[3]["nexthop"]] = community["bandwidth"]
    return found


def test_scaling_changes_the_shares_and_never_takes_a_route_away(
    by_endpoints: Program, fabric: Fabric
) -> None:
    frr = fabric.hosts["frr"]
    expect(frr, n1=75, n2=25)
    watch = frr.spawn(["ip", "monitor", "route"], "monitor.log")
    by_endpoints.put("IPv4", slice_of("web", "n1", "n2"))
    expect(frr, n1=50, n2=50)
    by_endpoints.put("IPv4", slice_of("web", "n1", *["n2"] * 4))
    expect(frr, n1=20, n2=80)
    by_endpoints.put("IPv4", slice_of("web", "n1", "n2", "n2", "n3"))
    expect(frr, n1=25, n2=50, n3=25)
    by_endpoints.put("IPv4", slice_of("web", *THREE_TO_ONE))
    expect(frr, n1=75, n2=25)
    watch.terminate()
    watch.wait()
    seen = frr.log("monitor.log")
    assert EIP in seen
    assert f"Deleted {EIP}" not in seen


def test_a_change_of_weights_is_announced_and_nothing_is_withdrawn(
    by_endpoints: Program, fabric: Fabric
) -> None:
    expect(fabric.hosts["frr"], n1=75, n2=25)
    expect(fabric.hosts["frr"], EIP6, n1=75, n2=25)
    peer = RawPeer(fabric.hosts["gobgpd"], OURS, OBSERVER).establish(
        asn=65009, identifier=OBSERVER, hold_time=90
    )
    while True:  # the whole table, until End-of-RIB
        if peer.read_until(UPDATE) == bytes(4):
            break
    by_endpoints.put("IPv4", slice_of("web", "n1", "n1", "n2"))
    body = peer.read_until(UPDATE)
    withdrawn, attributes = struct.unpack(">HH", body[:4])
    assert withdrawn == 0
    # the weight of n2 is 1 as before, so its path is not announced again
    assert body[4 + attributes :].hex() == "c0a8070b" + "20" + "cb007108"
    assert bytes.fromhex("c010084004fde8") + struct.pack(">f", 250_000) in body
    assert peer.complete() == []
    peer.close()
    by_endpoints.put("IPv4", slice_of("web", *THREE_TO_ONE))


def test_capacity_comes_from_the_annotation_or_the_cpus(
    by_capacity: Program, fabric: Fabric
) -> None:
    frr = fabric.hosts["frr"]
    expect(frr, n1=50, n2=50)
    assert by_capacity.metric("porter_nodes_without_weight") == 3
    by_capacity.put("n1", node_with("n1", cpu="3920m"))
    by_capacity.put("n2", node_with("n2", cpu=11.76))
    expect(frr, n1=25, n2=75)
    by_capacity.put("n2", node_with("n2"))
    expect(frr, n1=50, n2=50)
    by_capacity.put("n1", node_with("n1", weight="900", cpu="4"))
    by_capacity.put("n2", node_with("n2", weight="100", cpu="4"))
    expect(frr, n1=90, n2=10)
    by_capacity.put("n2", node_with("n2", weight="1001", cpu="300"))
    expect(frr, n1=75, n2=25)
    assert by_capacity.metric("porter_nodes_without_weight") == 1, "n3"
    assert by_capacity.host.log(by_capacity.log).count("n2: its annotation") == 1
