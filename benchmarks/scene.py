"""Where the benchmarks are played: a real API server, a real FRR as the leaf, a raw observer, and
the program between them, each on a host of its own.

    control ──┐            ┌── leaf      FRR, its kernel's routes are watched
    API server├── switch ──┤
    porter  ──┘            └── observer  raw BGP sessions
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import raw_bgp
from benchmarks.kernel_routes import KernelRoutes
from benchmarks.observer import HOLD_TIME, Observer
from benchmarks.plan import FIRST, LEAF_AS, NODES, OBSERVER_AS, OUR_AS, Plan
from benchmarks.services import Services
from fabric import Fabric, wait_for
from fabric.control_plane import ControlPlane
from fabric.leaves import Frr, Neighbour
from fabric.program import Program
from fabric.raw_peer import RawPeer

OURS, LEAF, CONTROL = "192.168.7.5", "192.168.7.1", "192.168.7.10"
OBSERVERS = [f"192.168.7.{100 + number}" for number in range(64)]
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Running:
    """The program after its start, with every route at the leaf and at the observer."""

    program: Program
    observer: Observer

    @property
    def pid(self) -> int:
        """Its process."""
        return pid_of(self.program)


class Scene:
    """All of it; `at_rest`: what the program had resident, in MB, by the number of Services."""

    def __init__(self, fabric: Fabric, binaries: Path, plan: Plan) -> None:
        self.fabric = fabric
        self.plan = plan
        self.at_rest: dict[int, float] = {}
        self._programs = 0
        self._running: Running | None = None
        switch = fabric.switch("switch")
        for name, address in {"control": CONTROL, "porter": OURS, "leaf": LEAF}.items():
            fabric.link(fabric.host(name), switch, [f"{address}/24"], [])
        addresses = [f"{address}/24" for address in OBSERVERS]
        fabric.link(fabric.host("observer"), switch, addresses, [])
        self.porter = fabric.hosts["porter"]
        self.api = ControlPlane(fabric.hosts["control"], CONTROL, binaries, controllers="")
        neighbours = [Neighbour(OURS, OUR_AS)]
        self.leaf = Frr(fabric, fabric.hosts["leaf"], LEAF_AS, LEAF, neighbours)
        self.services = Services(self.api, self.porter)

    def start(self) -> None:
        """Starts the API server and has the program show what it writes of one Service."""
        self.plan.say("an API server and a leaf")
        self.api.start()
        self.api.install()
        self.services.begin()
        self.leaf.start()
        program = self.program().start()
        wait_for(self.services.learn, bool, 30, f"the first status: {program.tail()}")
        program.stop()

    def load(self, count: int, recorded: bool) -> None:
        """Brings the cluster to so many Services, with their records or without."""
        if count > self.services.count:
            self.plan.say(f"{count} Services are created")
            self.services.grow(count)
        if recorded and not self.services.recorded:
            self.plan.say("every Service gets its record")
            self.services.record()
        if not recorded and self.services.recorded:
            self.plan.say("every record is taken away")
            self.services.forget()

    def program(self, peers: Sequence[str] = ("leaf",), **more: dict[str, object]) -> Program:
        """An instance that has never run, with these peers: `leaf`, or the number of an observer,
        which calls."""
        groups: dict[str, dict[str, object]] = {
            "kubernetes": {
                "kubeconfig": self.api.service_account("porter-ryu"),
                "manifests": "",
            },
            "bgp": {"local_as": OUR_AS, "router_id": OURS, "peers": ",".join(peers)},
            "bound_ip": {"mode": "none"},
        }
        for peer in peers:
            if peer == "leaf":
                group: dict[str, object] = {"address": LEAF, "remote_as": LEAF_AS}
                groups["peer:leaf"] = {**group, "connect_retry": 1}
            else:
                group = {"address": OBSERVERS[int(peer)], "remote_as": OBSERVER_AS}
                groups[f"peer:{peer}"] = {**group, "mode": "passive", "hold_time": HOLD_TIME}
        for name, keys in more.items():
            groups[name] = {**groups.get(name, {}), **keys}
        self._programs += 1
        return Program(self.porter, groups, name=f"porter{self._programs}")

    def settled(self) -> Running:
        """The program as it runs after a cold start; started now if it does not run yet."""
        if self._running is None:
            with self.empty_leaf() as routes:
                program = self.program(("leaf", "0")).start(ready=False)
                self.whole_table(routes)
            observer = Observer(self.fabric.hosts["observer"], OBSERVERS[:1], OURS)
            observer.paths(self.services.count * len(NODES), PATIENCE)
            self._running = Running(program, observer)
        return self._running

    def clear(self) -> None:
        """Ends the program, if it runs."""
        if self._running is not None:
            self._running.observer.close()
            self._running.program.stop()
            self._running = None

    def token(self) -> str:
        """What the program shows to the API server."""
        return self.api.token("porter-ryu")

    @contextlib.contextmanager
    def empty_leaf(self) -> Iterator[KernelRoutes]:
        """What the leaf's kernel reports, after the leaf was started anew and has no route; no
        program runs then."""
        self.clear()
        self.leaf.stop()
        here = self.leaf.host
        wait_for(lambda: here.run("ip route show proto bgp"), lambda s: not s, 60, "no route")
        with KernelRoutes(here) as routes:
            self.leaf.start()
            yield routes

    def whole_table(self, routes: KernelRoutes, seconds: float = PATIENCE) -> float:
        """The moment at which the leaf's kernel has every route by every node."""
        return routes.reached(self.services.count, len(NODES), seconds)

    def blast(self, routes: KernelRoutes) -> tuple[RawPeer, float]:
        """The floor of every table: the same UPDATEs from a bare socket.  Returns the session and
        the seconds to the leaf's kernel."""
        peer = RawPeer(self.porter, LEAF, source=OURS)
        peer.establish(asn=OUR_AS, identifier=OURS, hold_time=HOLD_TIME, add_path=2)
        prefixes = range(FIRST, FIRST + self.services.count)
        octets = raw_bgp.announce(prefixes, list(NODES.values()), OUR_AS)
        began = time.monotonic()
        peer.send(octets)
        return peer, self.whole_table(routes) - began


def pid_of(program: Program) -> int:
    """The process of a program that was started."""
    assert program.process is not None
    return program.process.pid
