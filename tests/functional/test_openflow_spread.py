"""[openflow]: 800 TCP and 800 UDP flows over four nodes: who serves which, and which of them move.

Open vSwitch is the leaf.  A flow is known by its source port; the same ports are used again and
again, so a flow that moves is one that would have lost its connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from fabric import Fabric, wait_for
from fabric.connections import NO_ANSWER, Answers, Target, answers, by_node, moved
from fabric.objects import service, slice_of
from fabric.openflow import (
    GATEWAY,
    GATEWAY6,
    NODES,
    VIRTUAL_MAC,
    OpenFlowNetwork,
    cluster_node,
    install,
    sections,
    web,
)
from fabric.program import Program

EIP, EIP6 = "203.0.113.8", "2001:db8::8"
LINK, LINK6 = "192.168.7.200", "fd00:7::c8"
FLOWS = range(20_000, 20_800)
FEW = range(30_000, 30_080)
WITHIN_SECONDS = 30.0
ALL = tuple(NODES)
DRAINED = {"porter.kubesphere.io/drain": "true"}


@pytest.fixture(scope="module")
def network() -> Iterator[OpenFlowNetwork]:
    """The switch, a client and four nodes."""
    with Fabric() as fabric:
        yield OpenFlowNetwork(fabric)


@pytest.fixture(scope="module")
def program(network: OpenFlowNetwork) -> Iterator[Program]:
    """The controller; weights are those of the endpoints."""
    program = Program(network.porter, sections(bgp={"weights": "endpoints"}))
    install(program)
    for name, address in {"web": EIP, "web6": EIP6, "link": LINK, "link6": LINK6}.items():
        web(program, name, address, *ALL)
    yield program.start()
    print(program.tail())
    program.stop()


@pytest.fixture(autouse=True)
def whole(network: OpenFlowNetwork, program: Program) -> None:
    """Every node serves both EIPs behind the gateway."""
    program.put("nodes", *map(cluster_node, NODES))
    for name, address in {"web": EIP, "web6": EIP6}.items():
        web(program, name, address, *ALL)
        network.served(address, *ALL)


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", [EIP, EIP6, LINK, LINK6])
def test_flows_are_spread_evenly_and_stay(
    network: OpenFlowNetwork, address: str, protocol: str
) -> None:
    """Of 800 flows each node has 200, give or take what chance does to buckets and flows."""
    network.served(address, *ALL)
    target = Target(address, protocol=protocol)
    first = answers(network.client, target, FLOWS)
    shares = by_node(first)
    assert set(shares) == set(ALL), shares
    assert all(120 <= count <= 280 for count in shares.values()), shares
    assert moved(first, answers(network.client, target, FLOWS)) == {}


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", [EIP, EIP6])
def test_no_flow_of_another_node_moves_when_one_goes_and_comes(
    network: OpenFlowNetwork, program: Program, address: str, protocol: str
) -> None:
    """Of a node that has no endpoint any more, and of one that is not Ready."""
    target = Target(address, protocol=protocol)
    ask = partial(answers, network.client, target, FLOWS)
    name = "web6" if ":" in address else "web"

    def gone_and_back(without: str, leave: str) -> tuple[Answers, Answers, Answers]:
        before = ask()
        if leave == "endpoint":
            web(program, name, address, *(n for n in ALL if n != without))
        else:
            nodes = (cluster_node(n, ready=n != without) for n in ALL)
            program.put("nodes", *nodes)
        network.served(address, *(n for n in ALL if n != without))
        between = ask()
        program.put("nodes", *map(cluster_node, NODES))
        web(program, name, address, *ALL)
        network.served(address, *ALL)
        return before, between, ask()

    for without, leave in (("n2", "endpoint"), ("n4", "ready")):
        before, between, after = gone_and_back(without, leave)
        assert moved(before, between, besides=without) == {}
        assert without not in between.values()
        assert NO_ANSWER not in between.values()
        assert moved(before, after) == {}, "it has its own flows again, and no others"
        shares = by_node(between)
        assert all(180 <= count <= 360 for count in shares.values()), shares


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_shares_follow_the_weights(
    network: OpenFlowNetwork, program: Program, protocol: str
) -> None:
    """1:1:1:3, and no flow moves but to the node that gained."""
    target = Target(EIP, protocol=protocol)
    before = answers(network.client, target, FLOWS)
    web(program, "web", EIP, "n1", "n2", "n3", "n4", "n4", "n4")

    def heavy() -> Answers:
        return answers(network.client, target, FLOWS)

    wait_for(
        heavy,
        lambda seen: 340 <= by_node(seen)["n4"] <= 460,
        WITHIN_SECONDS,
        "half of the flows on n4",
    )
    network.switch.settle()
    # the flows that were open when the weights changed are none of these
    after = answers(network.client, target, FLOWS)
    assert moved(before, after, besides="n4") == {}
    shares = by_node(after)
    assert all(85 <= shares[name] <= 185 for name in ("n1", "n2", "n3")), shares


def test_two_services_share_an_address_by_port(network: OpenFlowNetwork, program: Program) -> None:
    """Both are Local; one is on two nodes, the other on the other two."""
    address = "203.0.113.40"
    for name, port, nodes in (("p80", 80, ("n1", "n2")), ("p81", 81, ("n3", "n4"))):
        annotations = {
            "eip.porter.kubesphere.io/v1alpha1": address,
            "eip.porter.kubesphere.io/share": "together",
        }
        ports = [{"name": "a", "port": port}, {"name": "b", "port": port, "protocol": "UDP"}]
        made = service(name, annotations=annotations, ports=ports, externalTrafficPolicy="Local")
        program.put(name, made, slice_of(name, *nodes))
    for port, serving in ((80, {"n1", "n2"}), (81, {"n3", "n4"})):
        network.served(address, *serving, port=port)
        for protocol in ("tcp", "udp"):
            ask = partial(answers, network.client, Target(address, port, protocol), FLOWS)
            what = f"{protocol} port {port} to be served by {serving}"
            wait_for(lambda ask=ask: set(ask().values()), serving.__eq__, 30, what)  # type: ignore[misc]
    program.put("p81", service("p81", ours=False))
    network.served(address, "n1", "n2", port=80)


def test_the_client_needs_one_route_or_none(network: OpenFlowNetwork, program: Program) -> None:
    """The switch answers for the gateway and for an EIP on the link, by the virtual MAC."""
    for neighbour in (GATEWAY, GATEWAY6, LINK, LINK6):
        network.client.run(f"ip neigh flush to {neighbour} dev {network.device(network.client)}")
    for address in (EIP, EIP6, LINK, LINK6):
        assert set(answers(network.client, Target(address), FEW).values()) == set(ALL)
    for neighbour in (GATEWAY, GATEWAY6, LINK, LINK6):
        (entry,) = network.client.json(f"ip -j neigh show {neighbour}")
        assert entry["lladdr"] == VIRTUAL_MAC, entry


def test_a_drained_node_gets_no_new_flow(network: OpenFlowNetwork, program: Program) -> None:
    ask = partial(answers, network.client, Target(EIP), FLOWS)
    before = ask()
    program.put("nodes", *(cluster_node(n, annotations=DRAINED if n == "n1" else {}) for n in ALL))
    network.served(EIP, "n2", "n3", "n4")
    assert moved(before, ask(), besides="n1") == {}


def test_without_a_node_the_address_is_not_answered(
    network: OpenFlowNetwork, program: Program
) -> None:
    """Nor does the switch answer for it on the link, so that whoever has it may."""
    address = "192.168.7.203"
    web(program, "late", address, "n3")
    network.served(address, "n3")
    web(program, "late", address)
    network.served(address, NO_ANSWER)
    device = network.device(network.client)
    network.client.run(f"ip neigh flush to {address} dev {device}")
    assert set(answers(network.client, Target(address), FEW, 1).values()) == {NO_ANSWER}
    entries = network.client.json(f"ip -j neigh show {address}")
    assert all("lladdr" not in entry for entry in entries), entries
    program.remove("late")
