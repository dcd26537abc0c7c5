"""Random changes of the cluster of an oracle, written to the directory of a program and made on the
hosts of the nodes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from fabric import Host
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from tests.functional.cluster_oracle import (
    Cluster,
    Entry,
    NodeState,
    PeerState,
    PoolState,
    ServiceState,
)

RACKS = ("a", "b")
ANCHOR = "web"  # this Service always has a next hop
_BLOCKS = (
    (
        Entry(peers=("bird", "frr"), length=28, communities=("65000:28",)),
        Entry(peers=("fan",)),
    ),
    (Entry(length=29, communities=("65000:29",), prepend=1),),
    (Entry(rack="a", length=28), Entry(rack="b", length=28, communities=("65000:2", "65000:1:2"))),
    (Entry(peers=("frr",), length=28), Entry(peers=("bird",), med=7), Entry(peers=("fan",))),
    (),
)  # fmt: skip
_TAGS = (
    (Entry(communities=("65000:7",), med=30, prepend=1),),
    (
        Entry(peers=("frr", "fan"), communities=("65000:7", "65000:1:7")),
        Entry(peers=("frr",), rack="b", communities=("65000:8",)),
    ),
    (Entry(rack="a"), Entry(peers=("bird",), med=5)),
    (Entry(), Entry(peers=("bird", "frr"), rack="b", med=20)),
    (),
)
_ASKED = ((), ("65000:66",), ("65000:66", "65000:67"))


def cluster() -> Cluster:
    """Four nodes, four pools and six Services, as the test begins."""
    nodes = {
        f"n{number}": NodeState(f"n{number}", f"192.168.7.1{number}", RACKS[number % 2])
        for number in range(1, 5)
    }
    everywhere = dict.fromkeys(nodes, 1)

    def of(pool: str, address: str, local: bool = False) -> ServiceState:
        return ServiceState({pool: address}, pool, dict(everywhere), local)

    moving = {"one": "198.51.100.0", "two": "198.51.100.5"}  # the lowest that is free
    return Cluster(
        nodes,
        {
            "plain": PoolState("203.0.113.8/29"),
            "one": PoolState("198.51.100.0/30"),
            "two": PoolState("198.51.100.4/30", _TAGS[0], ("65000:66",)),
            "block": PoolState("203.0.113.16/28", _BLOCKS[0], ("65000:66",)),
        },
        {
            ANCHOR: of("plain", "203.0.113.8", local=True),
            "mover": ServiceState(moving, "one", dict(everywhere)),
            "resident": of("two", "198.51.100.4", local=True),
            "inner": of("block", "203.0.113.16"),
            "beside": of("block", "203.0.113.17", local=True),
            "part": of("block", "203.0.113.18"),
        },
    )


class Changes:
    """Makes them.  A deck has each kind once, and is shuffled, so every kind comes soon."""

    def __init__(
        self, state: Cluster, program: Program, hosts: dict[str, Host], chance: random.Random
    ) -> None:
        self.state = state
        self._program = program
        self._hosts = hosts
        self._chance = chance
        self._kinds: Sequence[Callable[[], str]] = (
            self.drain,
            self.drain,
            self.undrain,
            self.ready,
            self.link,
            self.link,
            self.label,
            self.rack,
            self.out_of_service,
            self.scale,
            self.scale,
            self.move,
            self.policy,
            self.ask,
            self.tags,
            self.block,
            self.restart,
            self.restart_amid_changes,
        )
        self.deck = len(self._kinds)
        self._left: list[Callable[[], str]] = []

    def write_all(self) -> None:
        """Writes the whole cluster."""
        for name in self.state.pools:
            self._write_pool(name)
        self._write_nodes()
        for name in self.state.services:
            self._write_service(name)

    def next(self) -> str:
        """Makes the next change; returns what it was."""
        if not self._left:
            self._left = self._chance.sample(self._kinds, self.deck)
        return self._left.pop()()

    def drain(self) -> str:
        """Drains nodes, one or some at once; only usable ones, so that it can be seen."""
        return self._drain(True)

    def undrain(self) -> str:
        """Undoes drains."""
        return self._drain(False)

    def ready(self) -> str:
        """A node gets Ready, or not."""
        return self._flip("ready")

    def link(self) -> str:
        """The link of a node goes down or up; the directory says nothing of it."""
        return self._flip("linked")

    def label(self) -> str:
        """A node is excluded from load balancers, or not any more."""
        return self._flip("excluded")

    def out_of_service(self) -> str:
        """A node has been shut down, or is back."""
        return self._flip("out_of_service")

    def rack(self) -> str:
        """A node moves to another rack."""
        moved = self._chance.choice(list(self.state.nodes.values()))
        moved.rack = self._chance.choice(RACKS)
        self._write_nodes()
        return f"{moved.name} is in rack {moved.rack}"

    def scale(self) -> str:
        """A Service gets other Pods; `inner` always has one."""
        name = self._chance.choice([name for name in self.state.services if name != "inner"])
        scaled, before = self.state.services[name], self._anchored()
        pods = scaled.pods
        scaled.pods = {node: self._chance.choice((0, 0, 1, 1, 2, 3)) for node in pods}
        if not before & self._anchored():
            scaled.pods = pods
        self._write_service(name)
        return f"{name} has Pods {scaled.pods}"

    def move(self) -> str:
        """A Service asks for an address of another pool."""
        mover = self.state.services["mover"]
        mover.pool = "two" if mover.pool == "one" else "one"
        self._write_service("mover")
        return f"mover is in pool {mover.pool}"

    def policy(self) -> str:
        """The externalTrafficPolicy of a Service changes."""
        name = self._chance.choice(("mover", "resident", "part"))
        changed = self.state.services[name]
        changed.local = not changed.local
        self._write_service(name)
        return f"{name} is Local: {changed.local}"

    def ask(self) -> str:
        """A Service asks for communities."""
        name = self._chance.choice(("mover", "inner", "beside"))
        self.state.services[name].asked = asked = self._chance.choice(_ASKED)
        self._write_service(name)
        return f"{name} asks for communities {asked}"

    def tags(self) -> str:
        """The Eip with attributes changes."""
        return self._reform("two", _TAGS)

    def block(self) -> str:
        """The Eip with aggregates changes."""
        return self._reform("block", _BLOCKS)

    def restart(self) -> str:
        """kill -9, and a new start."""
        self._program.kill()
        return self._start()

    def restart_amid_changes(self) -> str:
        """kill -9, two changes, and a new start."""
        self._program.kill()
        kinds = self._chance.sample(
            (self.drain, self.undrain, self.ready, self.link, self.scale, self.move, self.block), 2
        )
        told = [kind() for kind in kinds]
        return f"{self._start()} with {' and '.join(told)}"

    def _start(self) -> str:
        """What a program forgets that was killed: who answered, and when a drain began."""
        for known in self.state.nodes.values():
            known.answered = known.linked and not known.excluded
            if known.drained_at is not None:
                known.drained_at = known.begun_by = 0
        self._program.start()
        return "restart"

    def _drain(self, yes: bool) -> str:
        usable = [node for node in self.state.nodes.values() if node.usable]
        able = [node.name for node in usable if (node.drained_at is None) == yes]
        if not able:
            return self._drain(not yes)
        some = self._chance.sample(able, min(len(able), self._chance.choice((1, 1, 2, 4))))
        now = time.monotonic()
        for name in some:
            self.state.nodes[name].drain(now if yes else None)
        self._write_nodes()
        return f"{some} drained: {yes}"

    def _flip(self, what: str) -> str:
        """Changes one thing of a node, if the anchor keeps a next hop and a node goes on answering:
        if none did, the loss would not be believed."""
        flipped, before = self._chance.choice(list(self.state.nodes.values())), self._anchored()
        nodes, answered = self.state.nodes.values(), flipped.answered
        setattr(flipped, what, not getattr(flipped, what))
        flipped.answered = not flipped.excluded and (answered or flipped.linked)
        if not (before & self._anchored() and any(n.answered and n.linked for n in nodes)):
            setattr(flipped, what, not getattr(flipped, what))
            flipped.answered = answered
        if what == "linked":
            host = self._hosts[flipped.name]
            host.run(f"ip link set {interface(host)} {'up' if flipped.linked else 'down'}")
        else:
            self._write_nodes()
        return f"{flipped.name} is {what}: {getattr(flipped, what)}"

    def _anchored(self) -> set[str]:
        """The next hops of the Service that always has one."""
        return {n.name for n in self.state.next_hops(self.state.services[ANCHOR])}

    def _reform(self, name: str, forms: Sequence[tuple[Entry, ...]]) -> str:
        self.state.pools[name].entries = entries = self._chance.choice(forms)
        self._write_pool(name)
        return f"Eip {name} has {[entry.manifest() for entry in entries]}"

    def _write_nodes(self) -> None:
        """In one file, so that what is drained at once is read at once."""
        self._program.put("nodes", *map(self._node, self.state.nodes.values()))

    @staticmethod
    def _node(known: NodeState) -> Json:
        excluded = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
        drained = {"porter.kubesphere.io/drain": "now"}
        taints = [{"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}]
        return node(
            known.name,
            known.address,
            ready=known.ready,
            labels={"rack": known.rack, **(excluded if known.excluded else {})},
            annotations={} if known.drained_at is None else drained,
            spec={"taints": taints} if known.out_of_service else {},
        )

    def _write_pool(self, name: str) -> None:
        pool = self.state.pools[name]
        entries = [entry.manifest() for entry in pool.entries]
        spec = {"advertisements": entries, "allowedCommunities": list(pool.allowed)}
        self._program.put(f"pool-{name}", eip(name, pool.address, **spec))

    def _write_service(self, name: str) -> None:
        known = self.state.services[name]
        wishes = {"eip.porter.kubesphere.io/pool": known.pool}
        if name != "mover":
            wishes["eip.porter.kubesphere.io/v1alpha1"] = known.address
        if known.asked:
            wishes["eip.porter.kubesphere.io/communities"] = ", ".join(known.asked)
        policy = "Local" if known.local else "Cluster"
        pods = [node for node, count in known.pods.items() for _ in range(count)]
        self._program.put(
            name,
            service(name, annotations=wishes, externalTrafficPolicy=policy),
            slice_of(name, *pods),
        )


def interface(host: Host) -> str:
    """The name of the one link of a host."""
    return host.run("ip -o link show type veth").split(": ")[1].partition("@")[0]


def peers() -> dict[str, PeerState]:
    """The three peers, each with something of its own."""
    return {
        "bird": PeerState("bird"),
        "frr": PeerState("frr", communities=("65000:900",), med=90),
        "fan": PeerState("fan", sessions=3),
    }
