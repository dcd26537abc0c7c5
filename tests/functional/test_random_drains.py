"""Random drains, losses of nodes, Pods that come and go, and restarts; at every rest FRR and BIRD
forward as they should.

The kernels of both are compared with what the state of the nodes alone says, that of FRR in the
shares of the nodes, too ([bgp] weights), and the route is never gone for a moment.  25 steps in
`make test`, 250 in `make soak`; the seed is printed, `SEED` sets it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from fabric.watchers import never_without
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers
from tests.functional.test_drain import DRAINED, PREFIX, RFC_8326
from tests.functional.test_next_hops import NODES, expect
from tests.rounds import SOAK

SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 1 << 30)
STEPS = 250 if SOAK else 25
REST_SECONDS = 8.0  # a drain of 1 s, a loss of a node that is believed after 1 s, a restart


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD with the filter of RFC 8326, and FRR."""
    us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
    bird = Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us, accepts=RFC_8326)
    return {
        "bird": bird.start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object) -> Iterator[Program]:
    """The program with drains of a second, and weights."""
    sections: dict[str, dict[str, object]] = {**peers(), "drain": {"seconds": 1}}
    sections["bgp"] |= {"peers": "bird,frr", "weights": "endpoints"}
    del sections["peer:gobgpd"]
    program = Program(fabric.hosts["porter"], sections)
    yield program.start()
    program.stop()


class Nodes:
    """The nodes as the test has made them; `order` are the drained ones, the last one last, and
    `pods` how many of the Service each has."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.ready = set(NODES)
        self.pods = dict.fromkeys(NODES, 1)
        self.order: list[str] = []
        self.last_known = True

    def write(self, name: str) -> None:
        """Writes a node to the directory."""
        annotations = DRAINED if name in self.order else {}
        address, ready = NODES[name], name in self.ready
        self._program.put(name, node(name, address, ready=ready, annotations=annotations))

    def write_slice(self) -> None:
        """Writes on which nodes the Service runs."""
        pods = [name for name, count in self.pods.items() for _ in range(count)]
        self._program.put("web", service("web"), slice_of("web", *pods))

    @property
    def usable(self) -> set[str]:
        """Those that the Service could use."""
        return {name for name in self.ready if self.pods[name]}

    def right(self, leaf: str, shares: dict[str, int]) -> bool:
        """Whether a router at rest should have these next hops, FRR with these shares."""
        seen = {name for name, address in NODES.items() if address in shares}
        total = sum(self.pods[name] for name in seen) or 1
        weighted = all(
            abs(shares[NODES[name]] - 100 * self.pods[name] / total) <= 1 for name in seen
        )
        return self._right(seen) and (weighted or leaf == "bird")

    def _right(self, seen: set[str]) -> bool:
        undrained = self.usable - set(self.order)
        if undrained:
            return seen == undrained
        drained = [name for name in self.order if name in self.usable]
        last = {drained[-1]} if self.last_known else set()
        return bool(seen) and last <= seen <= set(drained)


def drain_some(nodes: Nodes, chance: random.Random) -> str:
    """Drains some nodes, or undoes that, all at once.

    Each changes only once: two changes of a node may be seen as one.
    """
    names = chance.sample(sorted(NODES), chance.choice((1, 1, 2, 3)))
    for name in names:
        if name in nodes.order:
            nodes.order.remove(name)
        else:
            nodes.order.append(name)
            nodes.last_known = True
        nodes.write(name)
    return f"drain {names}"


def restart(program: Program, nodes: Nodes) -> str:
    """Kills the program and starts it; it does not know which drain began last."""
    program.kill()
    program.start()
    nodes.last_known = False
    return "restart"


def lose_or_scale(nodes: Nodes, chance: random.Random) -> str:
    """Makes a node not Ready or Ready, or scales its Pods; there is always a usable node.

    Only one at a time: files are not seen in the order in which they are written.
    """
    name = chance.choice(sorted(NODES))
    before = set(nodes.ready), dict(nodes.pods)
    if chance.random() < 0.4:
        nodes.ready ^= {name}
    else:
        nodes.pods[name] = chance.randrange(4)
    if not nodes.usable:
        nodes.ready, nodes.pods = before
    nodes.write(name)
    nodes.write_slice()
    return f"{name}: ready {name in nodes.ready}, {nodes.pods[name]} Pods"


def change(program: Program, nodes: Nodes, chance: random.Random) -> str:
    """Makes one change at random; returns what it was."""
    kind = chance.random()
    if kind < 0.1:
        return restart(program, nodes)
    return drain_some(nodes, chance) if kind < 0.6 else lose_or_scale(nodes, chance)


def test_random_drains(program: Program, leaves: dict[str, Leaf]) -> None:
    print(f"SEED={SEED}")
    chance, nodes = random.Random(SEED), Nodes(program)
    for name in NODES:
        nodes.write(name)
    program.put("pool", eip("pool", "203.0.113.8/29"))
    nodes.write_slice()
    expect(leaves, PREFIX, *NODES)
    with ExitStack() as stack:
        for leaf in leaves.values():
            stack.enter_context(never_without(leaf.host, PREFIX))
        for _ in range(STEPS):
            what = change(program, nodes, chance)
            print(f"{datetime.now().isoformat()} {what}")
            for name, leaf in leaves.items():
                wait_for(
                    partial(leaf.host.shares, PREFIX),
                    partial(nodes.right, name),
                    REST_SECONDS,
                    f"{name} to be right after {what} with {nodes.order} drained and "
                    f"{sorted(nodes.usable)} usable, {nodes.pods}",
                )
