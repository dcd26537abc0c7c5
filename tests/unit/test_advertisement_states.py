"""Random clusters whose Eips have advertisements: after every change, each peer is sent exactly
what the rule of spec.advertisements says, worked out anew and by other means."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from porter_ryu.domain.communities import CommunityRequest, parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Eip, Family, Kind, Port
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
from tests.advertised import Rule, Sent
from tests.unit.outbound_scene import POLICY
from tests.unit.world import World, endpoints, key, node, service

SEEDS = range(int(os.environ.get("EXAMPLES", "5")))
STEPS = 40
PEERS = ("leaf1", "leaf2", "leaf3")
RANGES = {
    "low": ("10.0.0.0/26", "10.0.0.0-10.0.0.63", "10.0.0.3-10.0.0.60"),
    "high": ("10.0.0.64/26", "10.0.0.64-10.0.0.100"),
}
SELECTORS = (EVERYTHING, parse_selector("rack=a"), parse_selector("rack!=a"))
COMMUNITIES = ("65000:1", "65000:2", "1:2:3")
NAMES = tuple(f"s{i}" for i in range(6))
NODE_NAMES = tuple(f"n{i}" for i in range(1, 5))


class Scene:
    """A world, and what was put into it last."""

    def __init__(self, seed: int, mode: NextHopMode) -> None:
        self.random = random.Random(seed)
        self.world = World(policy=Policy(NextHopPolicy(mode)))
        self.rule = Rule(every_node=mode is NODES)
        self.eips, self.nodes = self.rule.eips, self.rule.nodes
        self.services, self.on = self.rule.services, self.rule.on
        for name in RANGES:
            self.put_eip(name)
        for name in NODE_NAMES:
            self.put_node(name)
        for name in NAMES[:3]:
            self.put_service(name)
            self.put_endpoints(name)

    def entry(self) -> AdvertisementEntry:
        """Any entry."""
        pick = self.random.choice
        some = self.random.sample(PEERS, self.random.randrange(3))
        return AdvertisementEntry(
            frozenset(some),
            pick(SELECTORS),
            parse_communities(self.random.sample(COMMUNITIES, self.random.randrange(3))),
            pick((None, 50, 200)),
            pick((None, 0, 10)),
            pick((0, 0, 2)),
            pick((None, 25, 26, 26, 28)),
        )

    def put_eip(self, name: str) -> None:
        """Another form of an Eip."""
        entries = tuple(self.entry() for _ in range(self.random.randrange(4)))
        allowed = parse_communities(self.random.sample(COMMUNITIES, 2))
        address = self.random.choice(RANGES[name])
        self.eips[name] = Eip(name, address, advertisements=entries, allowed_communities=allowed)
        self.world.put(self.eips[name])

    def put_node(self, name: str) -> None:
        """Another form of a node."""
        labels = {"rack": self.random.choice("ab")}
        ready = self.random.random() < 0.8
        made = node(name, f"192.168.0.{name[1:]}", labels=labels, deleting=not ready)
        self.nodes[name] = made
        self.world.put(made)

    def put_service(self, name: str) -> None:
        """Another form of a Service."""
        asked = ",".join(self.random.sample(COMMUNITIES, self.random.randrange(3)))
        shared = self.random.random() < 0.3
        made = service(
            name,
            local_traffic=self.random.random() < 0.3,
            communities=CommunityRequest.parse(filter(None, asked.split(","))),
            share_key="k" if shared else None,
            ports=frozenset([Port("TCP", 1 + NAMES.index(name))]),
        )
        self.services[name] = made
        self.world.put(made)

    def put_endpoints(self, name: str) -> None:
        """Other endpoints of a Service."""
        self.on[name] = tuple(self.random.sample(NODE_NAMES, self.random.randrange(5)))
        self.world.put(endpoints(name, *self.on[name]))

    def remove_service(self, name: str) -> None:
        """A Service and its endpoints go."""
        self.services.pop(name, None)
        self.on.pop(name, None)
        self.world.remove(Kind.SERVICE, name)
        self.world.remove(Kind.ENDPOINT_SLICE, f"{name}-4")

    def step(self) -> None:
        """Any change."""
        name = self.random.choice(NAMES)
        changes: list[Callable[[], None]] = [
            partial(self.put_eip, self.random.choice(list(RANGES))),
            partial(self.put_node, self.random.choice(NODE_NAMES)),
            partial(self.put_service, name),
            partial(self.remove_service, name),
        ]
        if name in self.services:
            changes += [partial(self.put_endpoints, name)] * 2
        self.random.choice(changes)()

    def wanted(self, peer: str) -> Sent:
        """What a peer should be sent."""
        services = self.world.planner.cluster.services
        addresses = {name: services[key(name)].ingress for name in self.services}
        return self.rule.sent(peer, addresses)


def exported(w: World, peer: str) -> Sent:
    """What a peer is sent: for each prefix, the attributes by node."""
    policy = replace(POLICY, peer=peer)
    found: Sent = {}
    for prefix, announcements in w.announcements.items():
        paths = policy.admitted(announcements, Family.IPV4)
        said = {path.next_hop.node: path.attributes for path, _ in paths}
        if said:
            found[prefix] = said
    return found


@pytest.mark.parametrize("mode", [ENDPOINTS, NODES], ids=["endpoints", "nodes"])
@pytest.mark.parametrize("seed", SEEDS)
def test_every_peer_is_sent_what_the_rule_says(seed: int, mode: NextHopMode) -> None:
    scene = Scene(seed, mode)
    for step in range(STEPS):
        for peer in (*PEERS, ""):
            assert exported(scene.world, peer) == scene.wanted(peer), (seed, step, peer)
        scene.step()
    again = scene.world.restarted()
    for peer in PEERS:
        assert exported(again, peer) == exported(scene.world, peer)
