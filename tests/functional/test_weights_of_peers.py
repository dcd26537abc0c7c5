"""Weights from instances that announce one node each, and to an internal peer, as FRR has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from tests.functional.conftest import LEAVES, OURS

EIP = "203.0.113.8"
LEAF = LEAVES["frr"]
LONG_AS = 4_200_000_000
# n2 is the host on which BIRD would run
NODES = {"n1": OURS, "n2": LEAVES["bird"]}
MULTIPATH = "address-family ipv4 unicast\n  maximum-paths ibgp 64\n exit-address-family"

Start = Callable[[Program | Frr], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a part, and ends it after the test."""
    started: list[Program | Frr] = []

    def start(part: Program | Frr) -> None:
        started.append(part)
        part.start()

    yield start
    for part in reversed(started):
        part.stop()


def instance(fabric: Fabric, name: str, local_as: int, leaf_as: int, **bgp: object) -> Program:
    """The program on a node, with FRR as its peer; both nodes, and a Service on them."""
    hosts = {"n1": fabric.hosts["porter"], "n2": fabric.hosts["bird"]}
    keys = {"local_as": local_as, "router_id": NODES[name], "peers": "frr", "weights": "endpoints"}
    program = Program(
        hosts[name],
        {
            "porter": {"node_name": name},
            "bgp": {**keys, **bgp},
            "peer:frr": {"address": LEAF, "remote_as": leaf_as, "connect_retry": 1},
            "bound_ip": {"mode": "none"},
        },
        name=f"{name}-{local_as}",
    )
    program.put("nodes", *(node(which, address) for which, address in NODES.items()))
    program.put("pool", eip("pool", EIP))
    program.put("web", service("web", externalTrafficPolicy="Local"))
    return program


def expect(fabric: Fabric, **shares: int) -> None:
    """Waits until FRR's kernel has these shares, in per cent."""
    leaf, wanted = fabric.hosts["frr"], {NODES[name]: share for name, share in shares.items()}
    wait_for(lambda: leaf.shares(EIP), lambda seen: seen == wanted, 10, f"{shares} on FRR")


def test_instances_that_announce_one_node_each_agree_on_the_shares(
    fabric: Fabric, start: Start
) -> None:
    us = [Neighbour(address, 65000) for address in NODES.values()]
    start(Frr(fabric, fabric.hosts["frr"], 65001, LEAF, us))
    both = [instance(fabric, name, 65000, 65001, next_hops="self") for name in NODES]

    def scale(n1: int, n2: int) -> None:
        for program in both:
            program.put("slice", slice_of("web", *["n1"] * n1, *["n2"] * n2))

    scale(3, 1)
    for program in both:
        start(program)
    expect(fabric, n1=75, n2=25)
    scale(20, 30)
    expect(fabric, n1=40, n2=60)
    scale(0, 1)
    expect(fabric, n2=100)


def test_an_internal_peer_with_a_long_as_number(fabric: Fabric, start: Start) -> None:
    us = [Neighbour(OURS, LONG_AS)]
    more = f"router bgp {LONG_AS}\n {MULTIPATH}"
    start(Frr(fabric, fabric.hosts["frr"], LONG_AS, LEAF, us, more))
    program = instance(fabric, "n1", LONG_AS, LONG_AS)
    program.put("slice", slice_of("web", "n1", "n1", "n1", "n2"))
    start(program)
    expect(fabric, n1=75, n2=25)
