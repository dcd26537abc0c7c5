"""A random mixture of faults on a whole cluster: of the API server, a bad peer, odd nodes, reloads.

Beside it two healthy leaves, FRR and BIRD.  No healthy Service loses a route or a next hop for a
moment, no leaf its session, no holder its address, and what is bound stays.  30 seconds of it in
`make test`, with a fixed seed, ten minutes in `make soak`, with any; the seed is printed, `SEED`
and `FAULTS_FOR` set it.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fabric import Host, rogue, wait_for
from fabric.files import replace
from fabric.leaves import Bird, Neighbour
from fabric.mixture import Fault, deed, play
from fabric.objects import eip, node, slice_of
from fabric.program import Program
from fabric.watchers import no_route_lost, stay_bound
from tests.cluster.harness import CONTROL, NODES, OURS, PROXY_PORT, SECOND, Cluster, web
from tests.rounds import SOAK

SECONDS = int(os.environ.get("FAULTS_FOR", "600" if SOAK else "30"))
SEED = int(os.environ.get("SEED", "0")) or (random.randrange(1, 1 << 30) if SOAK else 16)
NAMES = [f"s{i}" for i in range(20)]
ODD_ADDRESSES = ("127.0.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "169.254.1.7")
CALM: dict[str, object] = {"share": 0, "codes": [500]}
TROUBLE: tuple[dict[str, object], ...] = (
    {"share": 0.3, "codes": [409, 429, 500, 503]},
    {"share": 0, "codes": [], "watch": "gone"},
    {"share": 0, "codes": [], "watch": "empty"},
    {"share": 0.3, "codes": [410, 429], "watch": "gone"},
    {"share": 1.0, "codes": [503, 429]},
)


@pytest.fixture
def faults(clean: Cluster) -> Iterator[Path]:
    """A proxy before the API server, which does what a file says."""
    host = clean.fabric.hosts["control"]
    file = host.folder / "mixture.json"
    file.write_text(json.dumps(CALM))
    script = Path(__file__).parent / "fault_proxy.py"
    upstream = clean.api.url.rsplit(":", 1)[1]
    argv = [sys.executable, str(script), CONTROL, str(PROXY_PORT), upstream, str(file)]
    proxy = host.spawn(argv, "mixture.log")
    wait_for(lambda: host.run(f"ss -Htln sport = :{PROXY_PORT}"), bool, 10, "the proxy to listen")
    yield file
    proxy.kill()
    proxy.wait()


@pytest.fixture
def program(clean: Cluster, faults: Path) -> Iterator[Program]:
    """The central instance behind the proxy, with two healthy leaves and a peer gone bad."""
    control = clean.fabric.hosts["control"]
    control.nice = -20  # its hold time is three seconds
    bird = Bird(control, 65002, CONTROL, [Neighbour(OURS, 65000)]).start()
    control.nice = 0
    clean.api.apply(eip("big", "203.0.113.64/26"), *(clean.pod(f"p-{n}", n) for n in NODES))
    account = clean.api.service_account("porter-ryu", f"http://{CONTROL}:{PROXY_PORT}")
    rogue_peer = {"address": SECOND, "remote_as": 65003, "mode": "passive"}
    more = {
        "bgp": {"peers": "leaf,bird,rogue", "hold_time": 3},
        "peer:bird": {"address": CONTROL, "remote_as": 65002, "connect_retry": 1},
        "peer:rogue": rogue_peer,
    }
    with clean.running("porter", account, **more) as program:
        clean.api.apply(*(web(name) for name in NAMES))
        wait_for(lambda: all(map(clean.record, NAMES)), bool, 40, "every Service to be served")
        yield program
        clean.api.kubectl("delete", "service", *NAMES, "late", "--ignore-not-found")
        clean.free("big")
    clean.api.delete("eip", "big")
    bird.stop()


class Mixture:
    """All faults by name: each begins, lasts a while and ends."""

    def __init__(self, cluster: Cluster, program: Program, faults: Path) -> None:
        self.cluster, self.program, self.file = cluster, program, faults
        self.chance = random.Random(SEED)
        self.config = program.config.read_text()
        second = cluster.fabric.hosts["second"]
        self.faults: dict[str, Fault] = {
            "api": self.api,
            "odd node": self.odd_node,
            "bad reload": self.bad_reload,
            "services": self.services,
        }
        for act in (rogue.refresh_storm, rogue.keepalive_flood, rogue.flaps, rogue.odd_messages):
            self.faults[act.__name__] = deed(partial(act, second, OURS, SECOND))

    @contextlib.contextmanager
    def api(self) -> Iterator[None]:
        """The API server answers with errors, or its watches end at once."""
        replace(self.file, json.dumps(self.chance.choice(TROUBLE)))
        yield
        replace(self.file, json.dumps(CALM))

    @contextlib.contextmanager
    def odd_node(self) -> Iterator[None]:
        """A Node reports an address that can be nobody's next hop, or an EIP that is held."""
        held = self.cluster.record(self.chance.choice(NAMES))[0]
        address = self.chance.choice((*ODD_ADDRESSES, held))
        odd = node("odd", address)
        self.cluster.api.apply({key: odd[key] for key in ("apiVersion", "kind", "metadata")})
        patch = json.dumps({"status": odd["status"]})
        words = ("patch", "node", "odd", "--subresource=status", "--type=merge", "-p", patch)
        self.cluster.api.kubectl(*words, check=False)
        self.cluster.api.apply(slice_of(self.chance.choice(NAMES), "odd", name="odd"))
        yield
        self.cluster.api.kubectl("delete", "endpointslice", "odd", check=False)
        self.cluster.api.kubectl("delete", "node", "odd", check=False)

    @contextlib.contextmanager
    def bad_reload(self) -> Iterator[None]:
        """A configuration that cannot be read."""
        self.program.config.write_bytes(self.chance.choice((b"\x80", b"[bgp\n", b"[bgp]\nx = 1\n")))
        self.program.process.send_signal(signal.SIGHUP)
        yield
        self.program.config.write_text(self.config)
        self.program.process.send_signal(signal.SIGHUP)

    @contextlib.contextmanager
    def services(self) -> Iterator[None]:
        """Other Services come and go, and ask for what is held."""
        held = self.cluster.record(self.chance.choice(NAMES))[0]
        share = {"eip.porter.kubesphere.io/share": "x", "eip.porter.kubesphere.io/pool": "\x1bodd"}
        self.cluster.api.apply(
            web("greedy", annotations=share, loadBalancerIP=held), web("other"), web("another")
        )
        yield
        self.cluster.api.kubectl("delete", "service", "greedy", "other", "another")


def routes_to(leaf: Host, addresses: frozenset[str]) -> dict[str, frozenset[str]]:
    """The next hops by which a leaf reaches each of some addresses."""
    return {a: hops for a, hops in leaf.multipath().items() if a in addresses}


def test_a_mixture_of_faults_costs_nothing_that_is_healthy(
    clean: Cluster, program: Program, faults: Path
) -> None:
    mixture = Mixture(clean, program, faults)
    print(f"SEED={SEED}")
    held = {name: clean.record(name) for name in NAMES}
    addresses = frozenset(addresses[0] for addresses in held.values())
    want = {address: frozenset(NODES.values()) for address in addresses}
    leaves = (clean.leaf.host, clean.fabric.hosts["control"])
    for leaf in leaves:
        wait_for(
            partial(routes_to, leaf, addresses),
            lambda seen: seen == want,
            40,
            f"the routes of {leaf.name}",
        )
    bound = "ip -o -4 address show"
    wait_for(
        lambda: sum(f" {a}/32" in program.host.run(bound) for a in addresses),
        lambda count: count == len(addresses),
        20,
        "the bindings",
    )
    before = sessions(program)
    began = time.monotonic()
    try:
        with (
            no_route_lost(leaves[0], want),
            no_route_lost(leaves[1], want),
            stay_bound(program.host, addresses),
        ):
            play(mixture.faults, mixture.chance, SECONDS, at_once=3)
            wait_for(
                lambda: program.answers("/healthz") and program.answers("/readyz"),
                bool,
                90,
                "it to be healthy again",
            )
    finally:
        print(program.tail())
    lasted = time.monotonic() - began
    for name, seconds in sessions(program).items():
        assert seconds >= before[name] + lasted - 2, f"{name} lost its session"
    assert {name: clean.record(name) for name in NAMES} == held
    clean.api.apply(web("late"))
    wait_for(lambda: clean.record("late"), bool, 40, "it to assign again")


def sessions(program: Program) -> dict[str, float]:
    """Since how long the sessions of the healthy leaves are up, in seconds; 0 while down."""
    return {
        peer["name"]: peer["establishedSeconds"] if peer["state"] == "Established" else 0.0
        for peer in program.get("/v1/peers")
        if peer["name"] in ("leaf", "bird")
    }
