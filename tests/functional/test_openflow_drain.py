"""[openflow] affinity = conntrack: an open connection stays on its node while that is drained."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fabric import Fabric
from fabric.connections import NO_ANSWER, Held, Target, answers, by_node, moved
from fabric.openflow import NODES, OpenFlowNetwork, cluster_node, install, sections, web
from fabric.program import Program

EIP, EIP6 = "203.0.113.8", "2001:db8::8"
OPEN = range(20_000, 20_800)
NEW = range(22_000, 22_400)
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
    """The controller, which tracks connections."""
    program = Program(network.porter, sections(openflow={"affinity": "conntrack"}))
    install(program)
    for name, address in {"web": EIP, "web6": EIP6}.items():
        web(program, name, address, *ALL)
    yield program.start()
    print(program.tail())
    program.stop()


def drain(program: Program, *names: str) -> None:
    """Drains exactly these nodes."""
    nodes = (cluster_node(n, annotations=DRAINED if n in names else {}) for n in NODES)
    program.put("nodes", *nodes)


@pytest.mark.parametrize("address", [EIP, EIP6])
def test_a_drain_keeps_every_open_connection_and_gets_no_new_one(
    network: OpenFlowNetwork, program: Program, address: str
) -> None:
    """800 connections are open, a quarter of them on the node that is drained; they stay when it
    returns, too."""
    network.served(address, *ALL)
    with Held(network.client, Target(address), OPEN) as held:
        before = held.ask()
        on_n2 = [port for port, name in before.items() if name == "n2"]
        assert 120 <= len(on_n2) <= 280, by_node(before)
        drain(program, "n2")
        network.served(address, "n1", "n3", "n4")
        assert moved(before, held.ask()) == {}
        fresh = answers(network.client, Target(address), NEW)
        assert set(fresh.values()) == {"n1", "n3", "n4"}, by_node(fresh)
        program.kill()
        assert moved(before, held.ask()) == {}, "also while the controller is dead"
        program.start()
        assert moved(before, held.ask()) == {}
        drain(program)
        network.served(address, *ALL)
        assert moved(before, held.ask()) == {}


def test_connections_opened_during_a_drain_stay_when_it_ends(
    network: OpenFlowNetwork, program: Program
) -> None:
    """Though the buckets that they came by are the returning node's again."""
    network.served(EIP, *ALL)
    drain(program, "n3")
    network.served(EIP, "n1", "n2", "n4")
    with Held(network.client, Target(EIP), OPEN) as held:
        before = held.ask()
        assert set(before.values()) == {"n1", "n2", "n4"}
        drain(program)
        network.served(EIP, *ALL)
        assert moved(before, held.ask()) == {}


def test_an_idle_connection_is_remembered(network: OpenFlowNetwork, program: Program) -> None:
    """The switch sees both directions: a connection of which it saw only one would be forgotten
    when it was idle for half a minute."""
    network.served(EIP, *ALL)
    with Held(network.client, Target(EIP), OPEN) as held:
        assert NO_ANSWER not in held.ask().values()
        ports = "|".join(map(str, OPEN))
        lines = network.switch.appctl("dpctl/dump-conntrack").splitlines()
        ours = [line for line in lines if re.search(rf"dst={EIP},sport=({ports}),", line)]
        assert len(ours) == len(OPEN), (ours, network.state())
        assert [line for line in ours if "state=ESTABLISHED" not in line] == []
