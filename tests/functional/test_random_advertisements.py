"""Random Eips, nodes, Services and restarts; at every rest FRR and BIRD have exactly what the rule
of spec.advertisements says: the prefixes, their next hops, and on FRR their communities.

25 steps in `make test`, with a fixed seed, and 250 in `make soak`, with any; the seed is printed,
`SEED` sets it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from porter_ryu.domain.communities import Communities, CommunityRequest, parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Address, Eip, Node
from porter_ryu.kube.advertisement_codec import encode
from tests.advertised import Rule, Sent
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers
from tests.functional.test_advertisements import frr_communities
from tests.functional.test_next_hops import NODES
from tests.rounds import SOAK
from tests.unit.world import service as service_value

SEED = int(os.environ.get("SEED", "0")) or (random.randrange(1, 1 << 30) if SOAK else 16)
STEPS = 250 if SOAK else 25
REST_SECONDS = 8.0  # the loss of a node that is believed after 1 s, a restart
POOLS = {"low": "203.0.113.0/29", "high": "203.0.113.8/29"}
SERVICES = {"a": "203.0.113.1", "b": "203.0.113.2", "c": "203.0.113.9"}
SELECTORS = (EVERYTHING, EVERYTHING, parse_selector("rack=a"), parse_selector("rack!=a"))
COMMUNITIES = ("65000:1", "65000:2", "1:2:3")


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD and FRR."""
    us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
    return {
        "bird": Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: object) -> Iterator[Program]:
    """The program."""
    sections = peers()
    sections["bgp"] |= {"peers": "bird,frr"}
    del sections["peer:gobgpd"]
    program = Program(fabric.hosts["porter"], sections)
    yield program.start()
    program.stop()


class Scene:
    """The objects in the directory, and what the rule makes of them."""

    def __init__(self, program: Program, chance: random.Random) -> None:
        self.program = program
        self.chance = chance
        self.rule = Rule(every_node=False)
        for name in POOLS:
            self.write_eip(name)
        for name in NODES:
            self.write_node(name)
        for name in SERVICES:
            self.write_service(name)

    def some(self, most: int = 2) -> list[str]:
        """Some communities."""
        return self.chance.sample(COMMUNITIES, self.chance.randrange(most + 1))

    def write_eip(self, name: str) -> str:
        """Writes an Eip with other entries."""
        entries = tuple(
            AdvertisementEntry(
                peers=frozenset(self.chance.choice(((), ("frr",), ("bird",), ("frr", "bird")))),
                nodes=self.chance.choice(SELECTORS),
                communities=parse_communities(self.some()),
                aggregation_length=self.chance.choice((None, 28, 29, 30)),
            )
            for _ in range(self.chance.randrange(4))
        )
        allowed = self.some()
        self.rule.eips[name] = Eip(
            name,
            POOLS[name],
            advertisements=entries,
            allowed_communities=parse_communities(allowed),
        )
        spec = {"advertisements": [*map(encode, entries)], "allowedCommunities": allowed}
        self.program.put(name, eip(name, POOLS[name], **spec))
        return f"Eip {name}: {spec}"

    def write_node(self, name: str) -> str:
        """Writes a node with another label, being deleted or not."""
        labels = {"rack": self.chance.choice("ab")}
        deleting = self.chance.random() < 0.2
        self.rule.nodes[name] = Node(name, labels=labels, deleting=deleting)
        more: Json = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
        self.program.put(name, node(name, NODES[name], labels=labels, **more))
        return f"node {name}: {labels}, being deleted {deleting}"

    def write_service(self, name: str) -> str:
        """Writes a Service with other endpoints, policy and communities."""
        local = self.chance.random() < 0.3
        asked = self.some()
        self.rule.services[name] = service_value(
            name, local_traffic=local, communities=CommunityRequest.parse(asked)
        )
        self.rule.on[name] = tuple(self.chance.sample(sorted(NODES), self.chance.choice((0, 2, 4))))
        policy = "Local" if local else "Cluster"
        annotations = {
            "eip.porter.kubesphere.io/v1alpha1": SERVICES[name],
            "eip.porter.kubesphere.io/communities": ",".join(asked),
        }
        self.program.put(
            name,
            service(name, annotations=annotations, externalTrafficPolicy=policy),
            slice_of(name, *self.rule.on[name]),
        )
        return f"Service {name}: {policy} on {self.rule.on[name]}, {asked}"

    def restart(self) -> str:
        """Kills the program; something changes before it starts again."""
        self.program.kill()
        change = self.write_eip(self.chance.choice(sorted(POOLS)))
        self.program.start()
        return f"restart, {change}"

    def step(self) -> str:
        """Makes one change at random; returns what it was."""
        if self.chance.random() < 0.1:
            return self.restart()
        return self.chance.choice(
            [
                partial(self.write_eip, self.chance.choice(sorted(POOLS))),
                partial(self.write_eip, self.chance.choice(sorted(POOLS))),
                partial(self.write_node, self.chance.choice(sorted(NODES))),
                partial(self.write_service, self.chance.choice(sorted(SERVICES))),
            ]
        )()

    def sent(self, peer: str) -> Sent:
        """What a peer should have."""
        addresses: dict[str, list[Address]] = {n: [ip_address(a)] for n, a in SERVICES.items()}
        return self.rule.sent(peer, addresses)


def expect_rest(scene: Scene, leaves: dict[str, Leaf], after: str) -> None:
    """Waits until both leaves have what the rule says."""
    for name, leaf in leaves.items():
        wanted = {
            prefix: frozenset(NODES[on] for on in said) for prefix, said in scene.sent(name).items()
        }
        wait_for(leaf.routes, wanted.__eq__, REST_SECONDS, f"{name}: {wanted}\nafter {after}")
    for prefix, said in scene.sent("frr").items():
        texts = {
            NODES[on]: set(Communities(a.communities, a.large_communities).texts())
            for on, a in said.items()
        }
        cidr = prefix if "/" in prefix else f"{prefix}/32"
        look = partial(frr_communities, leaves["frr"], cidr)
        wait_for(look, texts.__eq__, REST_SECONDS, f"{prefix}: {texts}\nafter {after}")


def test_the_leaves_have_what_the_rule_says(program: Program, leaves: dict[str, Leaf]) -> None:
    print(f"SEED={SEED}")
    scene = Scene(program, random.Random(SEED))
    expect_rest(scene, leaves, "the first state")
    done: list[str] = []
    for _ in range(STEPS):
        done.append(scene.step())
        expect_rest(scene, leaves, "\n".join(done[-3:]))
