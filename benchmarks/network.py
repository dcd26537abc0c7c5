"""The hosts of the benchmarks: the program between whoever stands for Kubernetes, a leaf that runs
FRR, whose kernel is watched, and raw observers.

    control ── switch ─┬─ leaf
    porter  ─────┘     └─ observer
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import empty_app, raw_bgp
from benchmarks.kernel_routes import KernelRoutes
from benchmarks.observer import HOLD_TIME, session
from benchmarks.plan import LEAF_AS, OBSERVER_AS, OUR_AS, Table
from benchmarks.process import megabytes
from fabric import Fabric, wait_for
from fabric.leaves import Frr, Neighbour
from fabric.program import Program, command
from fabric.raw_peer import RawPeer

OURS, LEAF, CONTROL = "192.168.7.5", "192.168.7.1", "192.168.7.10"
OBSERVERS = [f"192.168.7.{100 + number}" for number in range(64)]
# nodes beyond the four have their addresses here
_MORE_NODES_VIA = "10.200.0.1/16"
PATIENCE = 300.0


class Network:
    """All hosts, in namespaces of their own."""

    def __init__(self, fabric: Fabric) -> None:
        switch = fabric.switch("switch")
        for name, address in {"control": CONTROL, "porter": OURS}.items():
            fabric.link(fabric.host(name), switch, [f"{address}/24"], [])
        fabric.link(fabric.host("leaf"), switch, [f"{LEAF}/24", _MORE_NODES_VIA], [])
        observers = [f"{address}/24" for address in OBSERVERS]
        fabric.link(fabric.host("observer"), switch, observers, [])
        self.control, self.porter, self.observer = (
            fabric.hosts[name] for name in ("control", "porter", "observer")
        )
        neighbours = [Neighbour(OURS, OUR_AS)]
        self.leaf = Frr(fabric, fabric.hosts["leaf"], LEAF_AS, LEAF, neighbours)
        self._programs = 0

    def program(
        self, kubeconfig: Path, peers: Sequence[str] = ("leaf",), **more: dict[str, object]
    ) -> Program:
        """An instance that has never run, with these peers: `leaf`, which is called, or the number
        of an observer, which calls."""
        groups: dict[str, dict[str, object]] = {
            "kubernetes": {"kubeconfig": kubeconfig, "manifests": ""},
            "bgp": {"local_as": OUR_AS, "router_id": OURS, "peers": ",".join(peers)},
            "bound_ip": {"mode": "none"},
            **more,
        }
        for peer in peers:
            if peer == "leaf":
                group: dict[str, object] = {"address": LEAF, "remote_as": LEAF_AS}
                groups["peer:leaf"] = {**group, "connect_retry": 1}
            else:
                group = {"address": OBSERVERS[int(peer)], "remote_as": OBSERVER_AS}
                groups[f"peer:{peer}"] = {**group, "mode": "passive", "hold_time": HOLD_TIME}
        self._programs += 1
        return Program(self.porter, groups, name=f"porter{self._programs}")

    @contextlib.contextmanager
    def empty_leaf(self) -> Iterator[KernelRoutes]:
        """What the leaf's kernel reports, after the leaf was started anew and has no route."""
        self.leaf.stop()
        here = self.leaf.host
        # zebra, which removes them, is ended if that takes long
        here.run("ip route flush proto bgp")
        left = "ip -o route show proto bgp"
        wait_for(lambda: len(here.run(left).splitlines()), lambda count: not count, 60, "no route")
        with KernelRoutes(here) as routes:
            self.leaf.start()
            yield routes

    def blast(self, routes: KernelRoutes, table: Table) -> tuple[RawPeer, float]:
        """The floor of every table: the same UPDATEs from a bare socket.  Returns the session and
        the seconds to the leaf's kernel."""
        peer = session(self.porter, LEAF, OURS, OUR_AS, add_path=2)
        octets = b"".join(raw_bgp.announce(*group, OUR_AS) for group in table.groups())
        began = time.monotonic()
        peer.send(octets)
        return peer, routes.reached(table.services, table.hops, PATIENCE) - began

    def start_of_nothing(self) -> tuple[float, float]:
        """Seconds until an application of Ryu runs that does nothing, and what it has resident, in
        MB."""
        started = self.porter.folder / "started"
        started.unlink(missing_ok=True)
        argv = [command("ryu-manager"), str(Path(empty_app.__file__))]
        began = time.monotonic()
        self.porter.spawn(argv, "empty.log", {"STARTED": str(started)}).wait(60)
        moment, _, status = started.read_text().partition("\n")
        return float(moment) - began, megabytes(status, "VmRSS")

    def read_lists(self, url: str, more: Sequence[str] = ()) -> tuple[float, float]:
        """Seconds in which curl reads the five lists that the program needs, and their MB."""
        argv = ["curl", "-sf", "-w", "%{size_download}\\n", *more]
        for path in _LISTS:
            # otherwise an API server indents what it sends to curl
            argv += ["-o", "/dev/null", f"{url}{path}?pretty=false"]
        began = time.monotonic()
        sizes = self.porter.run(argv).split()
        return time.monotonic() - began, sum(map(int, sizes)) / 1e6


_LISTS = (
    "/api/v1/services",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/network.kubesphere.io/v1alpha2/eips",
)
