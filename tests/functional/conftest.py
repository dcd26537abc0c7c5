"""One fabric for each module: a switch, a host with the program, and three leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fabric import Fabric, Host
from fabric.leaves import Bird, Frr, Gobgpd, Leaf, Neighbour
from fabric.metronome import Metronome
from fabric.program import Program

OURS = "192.168.7.5"
LEAVES = {"bird": "192.168.7.1", "frr": "192.168.7.2", "gobgpd": "192.168.7.3"}
LEAF_AS = {"bird": 65001, "frr": 65002, "gobgpd": 65003}


@pytest.fixture(scope="session", autouse=True)
def root() -> None:
    """Fails without root, because namespaces need it."""
    if os.geteuid() != 0:
        pytest.fail("the functional tests need root, for network namespaces and real routers")


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """The hosts."""
    with Fabric() as fabric:
        switch = fabric.switch("switch")
        for name, address in {"porter": OURS, **LEAVES}.items():
            host = fabric.host(name)
            last = address.rsplit(".", 1)[1]
            fabric.link(host, switch, [f"{address}/24", f"fd00:7::{last}/64"], [])
        yield fabric


def first(fabric: Fabric, *names: str) -> None:
    """What these hosts start from now on comes before all other work of the machine: they have to
    be in time, and other tests run beside."""
    for name in names:
        fabric.hosts[name].nice = -20


@pytest.fixture(scope="module")
def metronome(fabric: Fabric) -> Iterator[Metronome]:
    """How late the machine itself is."""
    metronome = Metronome(fabric.folder)
    yield metronome
    metronome.stop()


def peers(**more: object) -> dict[str, dict[str, object]]:
    """The configuration groups of the three leaves."""
    groups: dict[str, dict[str, object]] = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": ",".join(LEAVES)},
        "bound_ip": {"mode": "none"},
    }
    for name, address in LEAVES.items():
        groups[f"peer:{name}"] = {
            "address": address,
            "remote_as": LEAF_AS[name],
            "connect_retry": 1,
            **more,
        }
    return groups


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD, FRR and gobgpd, which wait for connections."""
    us = [Neighbour(OURS, 65000)]
    hosts: dict[str, Host] = fabric.hosts
    return {
        "bird": Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
        "gobgpd": Gobgpd(hosts["gobgpd"], LEAF_AS["gobgpd"], LEAVES["gobgpd"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object) -> Iterator[Program]:
    """The program with all three leaves as peers."""
    program = Program(fabric.hosts["porter"], peers())
    yield program.start()
    program.stop()
