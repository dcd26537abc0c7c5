"""[openflow] and BGP at once: a router behind the switch learns the EIPs by BGP, with the gateway
of the switch as their next hop (docs/openflow.md)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fabric import Fabric, Host, wait_for
from fabric.browser import SECONDS, Browser
from fabric.connections import NO_ANSWER, Target, answers, by_node, moved
from fabric.leaves import Frr, Neighbour
from fabric.openflow import GATEWAY, NODES, OpenFlowNetwork, install, sections, web
from fabric.program import Program
from tests.functional.page_views import URL, drawn_leaves, drawn_nodes

EIP = "203.0.113.8"
OURS, ROUTER, ROUTER_AT_SWITCH = "192.168.8.5", "192.168.8.1", "192.168.7.1"
OUTSIDE = "198.51.100.2"
FLOWS = range(20_000, 20_800)
FEW = range(30_000, 30_080)
WITHIN_SECONDS = 30.0
NEXT_HOP_IS_THE_GATEWAY = f"""
route-map PORTER permit 10
 set ip next-hop {GATEWAY}
router bgp 65001
 address-family ipv4 unicast
  neighbor {OURS} route-map PORTER in
 exit-address-family
"""


@pytest.fixture(scope="module")
def network() -> Iterator[OpenFlowNetwork]:
    """The switch with its nodes, and a router on it."""
    with Fabric() as fabric:
        network = OpenFlowNetwork(fabric)
        router = fabric.host("router")
        network.switch.plug(fabric, router, [f"{ROUTER_AT_SWITCH}/24"])
        fabric.link(network.porter, router, [f"{OURS}/24"], [f"{ROUTER}/24"])
        for node in network.nodes.values():
            node.run(f"ip route add default via {ROUTER_AT_SWITCH}")
        yield network


@pytest.fixture(scope="module")
def outside(network: OpenFlowNetwork) -> Host:
    """A client behind the router."""
    outside, router = network.fabric.host("outside"), network.fabric.hosts["router"]
    network.fabric.link(outside, router, [f"{OUTSIDE}/24"], ["198.51.100.1/24"])
    outside.run("ip route add default via 198.51.100.1")
    return outside


@pytest.fixture(scope="module")
def router(network: OpenFlowNetwork) -> Frr:
    """It has no static route."""
    host = network.fabric.hosts["router"]
    us = [Neighbour(OURS, 65000)]
    return Frr(network.fabric, host, 65001, ROUTER, us, NEXT_HOP_IS_THE_GATEWAY).start()


@pytest.fixture(scope="module")
def program(network: OpenFlowNetwork, router: Frr) -> Iterator[Program]:
    """It announces and drives the switch."""
    bgp = {"enabled": "true", "local_as": 65000, "router_id": OURS, "peers": "router"}
    groups = sections(bgp=bgp)
    groups["peer:router"] = {"address": ROUTER, "remote_as": 65001, "connect_retry": 1}
    program = Program(network.porter, groups)
    install(program)
    web(program, "web", EIP, *NODES)
    yield program.start()
    print(program.tail())
    program.stop()
    router.stop()


def test_the_router_sends_to_the_gateway_and_the_switch_spreads(
    network: OpenFlowNetwork, program: Program, outside: Host, router: Frr
) -> None:
    """The router has one route; what changes among the nodes changes nothing in it."""
    network.served(EIP, *NODES, client=outside)
    assert router.routes()[EIP] == {GATEWAY}
    before = answers(outside, Target(EIP), FLOWS)
    assert all(120 <= count <= 280 for count in by_node(before).values()), by_node(before)
    web(program, "web", EIP, "n1", "n2", "n4")
    network.served(EIP, "n1", "n2", "n4", client=outside)
    assert router.routes()[EIP] == {GATEWAY}
    assert moved(before, answers(outside, Target(EIP), FLOWS), besides="n3") == {}
    web(program, "web", EIP, *NODES)
    network.served(EIP, *NODES, client=outside)


def test_a_session_that_is_lost_changes_nothing_in_the_switch(
    network: OpenFlowNetwork, program: Program, outside: Host, router: Frr
) -> None:
    network.served(EIP, *NODES, client=outside)
    with network.switch.flow_changes() as changes:
        router.command("clear bgp *")
        wait_for(
            lambda: router.routes().get(EIP, frozenset()),
            lambda hops: hops == {GATEWAY},
            WITHIN_SECONDS,
            "the route",
        )
    assert changes == []
    network.served(EIP, *NODES, client=outside)


def test_without_a_node_the_route_is_withdrawn(
    network: OpenFlowNetwork, program: Program, outside: Host, router: Frr
) -> None:
    web(program, "web", EIP)
    wait_for(lambda: EIP in router.routes(), lambda there: not there, WITHIN_SECONDS, "no route")
    network.served(EIP, NO_ANSWER, client=outside)
    web(program, "web", EIP, *NODES)
    network.served(EIP, *NODES, client=outside)


@pytest.fixture
def page(network: OpenFlowNetwork, program: Program) -> Iterator[Browser]:
    """The way of the Service, on the host of the program."""
    page = Browser(network.porter)
    page.open(f"{URL}#/services/default/web")
    yield page
    page.close()


def test_the_page_draws_the_switch_beside_the_router(
    network: OpenFlowNetwork, page: Browser
) -> None:
    both = {"router", "switch 0x1"}
    wait_for(lambda: drawn_leaves(page), both.__eq__, SECONDS, "the router and the switch")
    wait_for(lambda: drawn_nodes(page), set(NODES).__eq__, SECONDS, "the nodes")
    wait_for(
        lambda: " ".join(page.texts("#switches td")),
        lambda text: "0x1" in text and "filled" in text and "all 4 answer" in text,
        SECONDS,
        "the switch",
    )
    network.switch.disconnect()
    wait_for(lambda: drawn_leaves(page), {"router"}.__eq__, SECONDS, "the router alone")
    # the drawing follows the explanation of the Service, the section follows the status
    section = "return document.querySelector('#switches-section').checkVisibility()"
    wait_for(lambda: page.script(section), False.__eq__, SECONDS, "no switch to tell of")
    network.switch.connect(network.controller)
    wait_for(lambda: drawn_leaves(page), both.__eq__, SECONDS, "the switch again")
