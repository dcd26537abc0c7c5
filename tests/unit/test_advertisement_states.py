"""Random clusters whose Eips have advertisements: after every change, each peer is sent exactly
what the rule of spec.advertisements says, worked out anew and by other means."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address, ip_network

import pytest

from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.communities import NO_COMMUNITIES, CommunityRequest, parse_communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.labels import EVERYTHING, parse_selector
from porter_ryu.domain.model import Eip, Family, Kind, Network, Node, Port, Service
from porter_ryu.domain.nodes.next_hop_modes import ENDPOINTS, NODES, NextHopMode
from porter_ryu.domain.nodes.next_hops import NextHopPolicy
from porter_ryu.domain.planner import Policy
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

Sent = dict[str, dict[str, PathAttributes]]


class Scene:
    """A world, and what was put into it last."""

    def __init__(self, seed: int, mode: NextHopMode) -> None:
        self.random = random.Random(seed)
        self.mode = mode
        self.world = World(policy=Policy(NextHopPolicy(mode)))
        self.eips: dict[str, Eip] = {}
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, Service] = {}
        self.on: dict[str, tuple[str, ...]] = {}
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
        """What a peer should be sent: for each prefix, the attributes by node."""
        usable = {name for name, made in self.nodes.items() if not made.deleting}
        holders: dict[str, list[str]] = {}
        for name in self.services:
            for address in self.world.planner.cluster.services[key(name)].ingress:
                holders.setdefault(str(address), []).append(name)
        sent: Sent = {}
        for text, names in holders.items():
            self.add(sent, peer, text, names, usable)
        return sent

    def add(self, sent: Sent, peer: str, address: str, names: list[str], usable: set[str]) -> None:
        """Adds what an address means for a peer."""
        on = self.next_hops(names, usable)
        (eip,) = (e for e in self.eips.values() if contains(e.address, address))
        asked = NO_COMMUNITIES.union(
            *(self.services[n].communities.communities for n in names)
        ).among(eip.allowed_communities)
        own = PathAttributes(*asked)
        local = any(self.services[name].local_traffic for name in names)
        if not eip.advertisements:
            sent[address] = dict.fromkeys(on, own)
        for entry in eip.advertisements:
            selected = {n for n in usable if entry.nodes.matches(self.nodes[n].labels)}
            through = on & selected
            if not through:
                continue
            length = entry.aggregation_length
            aggregate = ip_network((address, length or 32), strict=False)
            aggregated = length is not None and self.is_ours(aggregate)
            if aggregated and (not entry.peers or peer in entry.peers):
                unite(sent.setdefault(str(aggregate), {}), dict.fromkeys(selected, entry))
            covered = aggregated and not local and selected <= on and not asked.size
            if not covered and (not entry.peers or peer in entry.peers):
                unite(sent.setdefault(address, {}), dict.fromkeys(through, entry), own)

    def next_hops(self, names: list[str], usable: set[str]) -> set[str]:
        """The nodes by which an address is reached."""
        everywhere, common = set(), None
        for name in names:
            on = set(self.on.get(name, ()))
            local = self.services[name].local_traffic
            if on and self.mode is NODES and not local:
                on = set(usable)
            on &= usable
            everywhere |= on
            if local:
                common = on if common is None else common & on
        return everywhere if common is None else common

    def is_ours(self, aggregate: Network) -> bool:
        """Whether every address of a prefix is in an Eip."""
        return all(
            any(contains(e.address, str(address)) for e in self.eips.values())
            for address in aggregate
        )


def contains(text: str, address: str) -> bool:
    """Whether a CIDR or range has an address."""
    if "-" in text:
        low, high = map(ip_address, text.split("-"))
        return int(low) <= int(ip_address(address)) <= int(high)
    return ip_address(address) in ip_network(text)


def unite(
    known: dict[str, PathAttributes],
    entries: Mapping[str, AdvertisementEntry],
    own: PathAttributes = NO_ATTRIBUTES,
) -> None:
    """Adds an entry to the attributes of these nodes."""
    for name, entry in entries.items():
        before = known.get(name)
        preferences = (before.local_pref if before else None, entry.local_pref)
        numbers = [p for p in preferences if p is not None]
        meds = [m for m in (before.med if before else None, entry.med) if m is not None]
        standard = {*own.communities, *entry.communities.standard}
        large = {*own.large_communities, *entry.communities.large}
        if before is not None:
            standard |= set(before.communities)
            large |= set(before.large_communities)
        known[name] = PathAttributes(
            tuple(sorted(standard)),
            tuple(sorted(large)),
            max(numbers, default=None),
            min(meds, default=None),
            max(before.as_path_prepend if before else 0, entry.as_path_prepend),
        )


def exported(w: World, peer: str) -> Sent:
    """What a peer is sent: for each prefix, the attributes by node."""
    policy = dataclasses.replace(POLICY, peer=peer)
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
            want = {prefix: said for prefix, said in scene.wanted(peer).items() if said}
            assert exported(scene.world, peer) == want, (seed, step, peer)
        scene.step()
    again = scene.world.restarted()
    for peer in PEERS:
        assert exported(again, peer) == exported(scene.world, peer)
