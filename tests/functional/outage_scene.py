"""A cluster in trouble, as the one on call finds it: 200 Services, five nodes and three peers.

BIRD is well.  FRR is without ADD-PATH, so it gets one path of each prefix.  gobgpd is configured
with a wrong AS, so its session never comes up.  n4 is being drained, n5 is not Ready.  Of the
Services, two have no ready endpoint, one names an Eip that does not exist, and one finds its Eip
full.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Gobgpd, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers

NODES = {f"n{number}": f"192.168.7.{10 + number}" for number in range(1, 6)}
DRAINED, NOT_READY = "n4", "n5"
SERVICES = 200
QUIET = ("quiet-1", "quiet-2")
NO_POOL, FULL = "no-pool", "full-2"
UNREACHABLE = (*QUIET, NO_POOL, FULL)
PLAIN = tuple(f"s{number:03}" for number in range(1, SERVICES - len(UNREACHABLE)))
WRONG_AS = 65099
WELL, WITHOUT_ADD_PATH, DOWN = "bird", "frr", "gobgpd"
_POOL = "eip.porter.kubesphere.io/pool"
_DRAIN = {"porter.kubesphere.io/drain": "true"}
_SECONDS = 60.0


def objects(drained: bool = True) -> list[Json]:
    """The cluster; `drained`: with the annotation that drains a node."""
    found = [eip("main", "203.0.113.0/24"), eip("small", "198.51.100.1", autoAssign=False)]
    for name, address in NODES.items():
        annotations = _DRAIN if drained and name == DRAINED else {}
        found.append(node(name, address, ready=name != NOT_READY, annotations=annotations))
    names = [*NODES]
    for number, name in enumerate(PLAIN):
        # each on three nodes of five
        on = [names[(number + step) % len(names)] for step in range(3)]
        found += [service(name), slice_of(name, *on)]
    for name in QUIET:
        found += [service(name), slice_of(name, "n1", ready=False)]
    found += [service(NO_POOL, annotations={_POOL: "absent"}), slice_of(NO_POOL, "n1")]
    for name in ("full-1", FULL):
        found += [service(name, annotations={_POOL: "small"}), slice_of(name, "n1", "n2")]
    return found


def sections() -> dict[str, dict[str, object]]:
    """The configuration of the instance."""
    found = peers()
    found["drain"] = {"seconds": 3600}
    found[f"peer:{DOWN}"]["remote_as"] = WRONG_AS
    return found


@dataclass(frozen=True)
class Outage:
    """The running program and its leaves."""

    program: Program
    bird: Bird
    frr: Frr
    gobgpd: Gobgpd


@contextlib.contextmanager
def outage(fabric: Fabric, name: str = "outage", installed: bool = False) -> Iterator[Outage]:
    """The scene, once all that can be announced is at both leaves that are up.  `installed`: as for
    `Program`."""
    hosts, us = fabric.hosts, [Neighbour(OURS, 65000)]
    without = [Neighbour(OURS, 65000, add_path=False)]
    bird = Bird(hosts[WELL], LEAF_AS[WELL], LEAVES[WELL], us).start()
    frr = Frr(
        fabric,
        hosts[WITHOUT_ADD_PATH],
        LEAF_AS[WITHOUT_ADD_PATH],
        LEAVES[WITHOUT_ADD_PATH],
        without,
    ).start()
    gobgpd = Gobgpd(hosts[DOWN], LEAF_AS[DOWN], LEAVES[DOWN], us).start()
    program = Program(hosts["porter"], sections(), name=name, installed=installed)
    # a node that is drained when a process first sees it counts as drained for long
    program.put_list("cluster", objects(drained=False))
    try:
        program.start()
        program.put_list("cluster", objects())
        program.logs(f"node {DRAINED} is being drained", _SECONDS)
        wait_for(
            lambda: sum(entry["announced"] for entry in program.get("/v1/services")),
            lambda announced: announced == SERVICES - len(UNREACHABLE),
            _SECONDS,
            "all Services that can be announced",
        )
        wait_for(
            lambda: (len(bird.routes()), len(frr.routes())),
            lambda routes: routes == (SERVICES - len(UNREACHABLE),) * 2,
            _SECONDS,
            "their routes at both leaves",
        )
        wait_for(
            lambda: program.get(f"/v1/peers/{DOWN}")["lastError"],
            lambda error: f"expected {WRONG_AS}" in error,
            _SECONDS,
            "the wrong AS to be seen",
        )
        yield Outage(program, bird, frr, gobgpd)
    finally:
        program.stop()
        for leaf in (gobgpd, frr, bird):
            leaf.stop()
