"""Restarts without a lost route: planned, by `kill -9`, at any moment, and without a cluster.

`ip monitor` on the leaf reports every removed route, even one that is missing only for a moment.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from functools import partial

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

NODES = {f"n{n}": f"192.168.7.{10 + n}" for n in range(1, 5)}
SOFT = f" address-family ipv4 unicast\n  neighbor {OURS} soft-reconfiguration inbound\n"
ROUNDS = int(os.environ.get("ROUNDS", "5"))


@pytest.fixture(params=["bird", "frr", "frr with soft-reconfiguration"])
def leaf(fabric: Fabric, request: pytest.FixtureRequest) -> Iterator[Bird | Frr]:
    """A router with graceful restart helper mode."""
    us = [Neighbour(OURS, 65000)]
    router: Bird | Frr
    if request.param == "bird":
        router = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us)
    else:
        soft = "soft" in request.param
        more = f"router bgp {LEAF_AS['frr']}\n{SOFT}" if soft else ""
        router = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us, more)
    yield router.start()
    router.stop()


class Scene:
    """An instance and what it should be announcing; `gone` tells which routes ever went."""

    def __init__(self, fabric: Fabric, leaf: Bird | Frr, restart_time: int = 120) -> None:
        name = "bird" if isinstance(leaf, Bird) else "frr"
        self.leaf = leaf
        self.number = len(list(fabric.folder.rglob("*.conf")))
        self.sections: Sections = {
            "porter": {"state_dir": fabric.folder / f"gr{self.number}.state"},
            "bgp": {
                "local_as": 65000,
                "router_id": OURS,
                "peers": "leaf",
                "restart_time": restart_time,
            },
            "peer:leaf": {
                "address": LEAVES[name],
                "remote_as": LEAF_AS[name],
                "connect_retry": 1,
            },
            "bound_ip": {"mode": "none"},
        }
        self.fabric = fabric
        self.program = self.another()
        self.program.put("pool", eip("pool", "203.0.113.1-203.0.113.3"))
        self.program.put("nodes", *(node(name, address) for name, address in NODES.items()))
        self.put("web", "n1", "n2", "n3", "n4")
        self.want: dict[str, frozenset[str]] = {}

    def another(self, **kubernetes: object) -> Program:
        """An instance of the same state."""
        self.number += 1
        sections = {**self.sections, "kubernetes": kubernetes} if kubernetes else self.sections
        return Program(self.fabric.hosts["porter"], sections, name=f"gr{self.number}")

    def blind(self) -> Program:
        """An instance of the same state, whose API server does not answer."""
        kubeconfig = self.fabric.folder / "dead.kubeconfig"
        kubeconfig.write_text(
            "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: "
            "{server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {}}], contexts: [{name: c, "
            "context: {cluster: c, user: u}}]}"
        )
        return self.another(manifests="", kubeconfig=kubeconfig)

    def put(self, name: str, *nodes: str) -> None:
        """A Service with endpoints on these nodes."""
        self.program.put(name, service(name), slice_of(name, *nodes))

    def routed(self, seconds: float = 12, **hops: str) -> None:
        """The leaf has just these routes: the last octet of the address to names of nodes."""
        want = {
            f"203.0.113.{last[1:]}": frozenset(NODES[n] for n in names.split())
            for last, names in hops.items()
        }
        wait_for(self.leaf.routes, lambda routes: routes == want, seconds, f"the routes {want}")

    def watch(self) -> None:
        """Notes from now on every route that goes."""
        self.leaf.host.spawn(["stdbuf", "-oL", "ip", "-4", "monitor", "route"], "monitor.log")
        wait_for(self._monitored, bool, 5, "the monitor to see a route")

    def _monitored(self) -> bool:
        for verb in ("add", "del"):
            self.leaf.host.run(f"ip route {verb} 198.51.100.0/24 dev lo")
        return "198.51.100.0" in self.leaf.host.log("monitor.log")

    def refreshed(self) -> None:
        """Waits until the leaf has the four paths from the session that it has now: one that it
        still keeps from the session before may go when this one ends as well (RFC 4724, 4.2)."""
        if isinstance(self.leaf, Frr):
            show, kept = "show bgp ipv4 unicast json", r'"stale":true'
        else:  # four updates before the restart, and four again
            show, kept = "show protocols all", r"Import updates: +[4-7] "
        wait_for(
            lambda: re.search(kept, self.leaf.command(show)), lambda f: not f, 12, "paths again"
        )

    def kill(self) -> None:
        """Kills the program, but not between our OPEN and the end of the table: then a router has
        to remove what it still keeps from the session before (RFC 4724, 4.2).  The program is
        stopped while the leaf is asked."""
        process = self.program.process
        process.send_signal(signal.SIGSTOP)
        is_frr = isinstance(self.leaf, Frr)
        show = f"show bgp neighbors {OURS} json" if is_frr else "show protocols all"
        of_state = r'"bgpState":"' if is_frr else r"BGP state: +"
        has_our_open = re.compile(f"{of_state}(OpenConfirm|Established)")
        # the leaf may yet read what was sent to it before the program was stopped
        if any(has_our_open.search(self.leaf.command(show)) for _ in range(3)):
            process.send_signal(signal.SIGCONT)
            kept = "show bgp ipv4 unicast json" if is_frr else show
            wait_for(
                lambda: self.leaf.command(kept),
                lambda text: '"stale":true' not in text and "restart active" not in text,
                12,
                "the table",
            )
        self.program.kill()

    def went(self) -> set[str]:
        """The addresses whose route went, however short."""
        lines = self.leaf.host.log("monitor.log").splitlines()
        return {line.split()[1] for line in lines if line.startswith("Deleted 203.")}


@pytest.fixture
def scene(fabric: Fabric, leaf: Bird | Frr) -> Iterator[Scene]:
    """One instance, one leaf, one Service on four nodes."""
    (leaf.host.folder / "monitor.log").unlink(missing_ok=True)
    scene = Scene(fabric, leaf)
    yield scene
    scene.program.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_after_a_restart_routes_are_correct_and_no_other_was_ever_missing(
    scene: Scene, how: str
) -> None:
    scene.put("api", "n1", "n2")
    scene.program.start()
    scene.routed(_1="n1 n2", _2="n1 n2 n3 n4")
    scene.watch()
    getattr(scene.program, how)()
    # several hops of one prefix vanish, one comes back later, a Service goes, another comes
    scene.put("web", "n3")
    scene.program.remove("api")
    scene.put("new", "n4")
    scene.program.start()
    scene.routed(_2="n3", _1="n4")
    assert "203.0.113.2" not in scene.went()
    scene.put("web", "n1", "n3")
    scene.routed(_2="n1 n3", _1="n4")


def test_repeated_kills_at_any_moment(scene: Scene) -> None:
    scene.program.start()
    scene.routed(_1="n1 n2 n3 n4")
    scene.watch()
    moments = random.Random(7)
    for number in range(ROUNDS):
        scene.kill()
        names = [f"n{1 + (number + k) % 4}" for k in range(1 + number % 3)]
        scene.put("web", *names)
        scene.program.start(ready=False)
        if number % 2:
            # in the middle of its own start
            with pytest.raises(subprocess.TimeoutExpired):
                scene.program.process.wait(moments.uniform(0.3, 2.0))
            scene.kill()
            scene.program.start(ready=False)
        scene.routed(_1=" ".join(names))
    assert scene.went() == set()


def test_a_restart_while_the_cluster_cannot_be_read_keeps_every_route(
    fabric: Fabric, leaf: Bird | Frr
) -> None:
    (leaf.host.folder / "monitor.log").unlink(missing_ok=True)
    scene = Scene(fabric, leaf, restart_time=24)  # a start takes some on a busy machine
    scene.program.start()
    scene.routed(_1="n1 n2 n3 n4")
    scene.watch()
    scene.program.kill()
    blind = scene.blind()
    try:
        blind.start(ready=False)
        told = "the routes of the earlier run are announced"
        wait_for(lambda: blind.host.log(blind.log), lambda log: told in log, 30, "the replay")
        wait_for(
            lambda: blind.get("/v1/peers")[0]["paths"]["ipv4"], lambda n: n == 4, 10, "paths again"
        )
        scene.routed(_1="n1 n2 n3 n4")
        scene.refreshed()
    finally:
        blind.kill()
    scene.put("web", "n2")
    try:
        scene.program.start()
        scene.routed(_1="n2")
    finally:
        scene.program.stop()
    assert scene.went() == set()


def waits(blind: Program) -> None:
    """Waits until the program says that it is connected and why it sends no OPEN."""
    wait_for(
        partial(blind.get, "/v1/peers"),
        lambda peers: (
            peers[0]["lastError"] == "our OPEN waits until the cluster is read"
            and peers[0]["state"] == "Connect"
        ),
        30,
        "a connection",
    )


def test_before_the_lists_are_read_a_kill_costs_no_route_and_a_stop_can_withdraw_all(
    fabric: Fabric, leaf: Bird | Frr
) -> None:
    """The leaf gets no OPEN: it would remove what it keeps when that session ends, too.  To
    withdraw, it gets one without graceful restart."""
    (leaf.host.folder / "monitor.log").unlink(missing_ok=True)
    scene = Scene(fabric, leaf, restart_time=1000)
    scene.program.start()
    scene.routed(_1="n1 n2 n3 n4")
    scene.watch()
    scene.program.kill()
    for way in ("kill", "stop", "withdraw"):
        blind = scene.blind()
        try:
            blind.start(ready=False)
            wait_for(partial(blind.answers, "/v1/peers"), bool, 30, "its interface")
            waits(blind)
            if way == "withdraw":
                if isinstance(leaf, Frr):  # BIRD drops what it keeps
                    leaf.command("clear bgp ipv4 unicast *")
                    blind.logs("peer leaf is not up: the peer closed the connection")
                    waits(blind)
                assert scene.went() == set()
                blind.end_for_good()
                scene.routed(seconds=3)
                assert blind.process.wait(60) == 0
            else:
                getattr(blind, way)()
        finally:
            blind.kill()


def test_stop_with_withdraw_leaves_nothing_behind(scene: Scene) -> None:
    scene.program.start()
    scene.routed(_1="n1 n2 n3 n4")
    scene.program.end_for_good()
    scene.routed(seconds=3)
    wait_for(scene.program.process.poll, lambda s: s is not None, 10, "its end")
    assert scene.program.process.returncode == 0


def test_changed_settings_of_a_peer_lose_no_route(scene: Scene) -> None:
    scene.program.start()
    scene.routed(_1="n1 n2 n3 n4")
    scene.watch()
    text = scene.program.config.read_text()
    scene.program.config.write_text(text.replace("connect_retry", "med = 7\nconnect_retry"))
    scene.program.process.send_signal(1)
    answer = "birdc" if isinstance(scene.leaf, Bird) else "vtysh"
    show = "show route all" if answer == "birdc" else "show ip bgp 203.0.113.1/32"
    mark = "med: 7" if answer == "birdc" else "metric 7"
    wait_for(lambda: scene.leaf.command(show), lambda s: s.count(mark) == 4, 12, "the new MED")
    scene.routed(_1="n1 n2 n3 n4")
    assert scene.went() == set()
