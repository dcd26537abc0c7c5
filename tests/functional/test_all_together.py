"""Weights, drains, dead nodes, aggregates, attributes, a peer with fan-out and restarts by kill -9,
all together and at random.

At every rest the tables and the kernels of FRR and BIRD are what an oracle says
(`cluster_oracle`), and no address loses its route for a moment.  Each kind of change comes two or
four times in `make test`, with a fixed seed; `make soak` goes on for ten minutes with any.  The
seed is printed; `SEED` sets it, `FAULTS_FOR` the seconds.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.metronome import Metronome
from fabric.program import Program, Sections
from fabric.watchers import never_without
from tests.functional.cluster_oracle import DRAIN_SECONDS, Cluster, PeerState, best
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first
from tests.functional.leaf_tables import Table, table
from tests.functional.random_changes import ANCHOR, Changes, cluster, interface, peers
from tests.functional.test_drain import RFC_8326
from tests.rounds import SOAK

SECONDS = int(os.environ.get("FAULTS_FOR", "600" if SOAK else "0"))
SEED = int(os.environ.get("SEED", "0")) or (random.randrange(1, 1 << 30) if SOAK else 16)
REST_SECONDS = 15.0
FRR_SECONDS = 0.5  # without a route where other next hops take the place of all (docs/traffic.md)
SESSIONS = ("192.168.7.51", "192.168.7.52", "192.168.7.53")
ADDRESSES = {"bird": LEAVES["bird"], "frr": LEAVES["frr"], "fan": LEAVES["gobgpd"]}
ASES = {"bird": LEAF_AS["bird"], "frr": LEAF_AS["frr"], "fan": LEAF_AS["gobgpd"]}

Leaves = dict[str, Bird | Frr]


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> Leaves:
    """BIRD and FRR with ADD-PATH, and a BIRD without it; BIRD has the filter of RFC 8326."""
    hosts, us = fabric.hosts, [Neighbour(OURS, 65000)]
    first(fabric, "porter", "bird", "frr", "gobgpd")
    several = [Neighbour(address, 65000, add_path=False) for address in SESSIONS]
    fan = Bird(hosts["gobgpd"], ASES["fan"], ADDRESSES["fan"], several, accepts=RFC_8326)
    bird = Bird(hosts["bird"], ASES["bird"], ADDRESSES["bird"], us, accepts=RFC_8326)
    frr = Frr(fabric, hosts["frr"], ASES["frr"], ADDRESSES["frr"], us)
    return {"bird": bird.start(), "frr": frr.start(), "fan": fan.start()}


def sections(known: dict[str, PeerState]) -> Sections:
    """The configuration of the program."""
    groups: dict[str, dict[str, object]] = {
        "bgp": {
            "local_as": 65000,
            "router_id": OURS,
            "peers": ",".join(known),
            "next_hops": "nodes",
            "weights": "endpoints",
        },
        "bound_ip": {"mode": "none"},
        "drain": {"seconds": DRAIN_SECONDS},
        "liveness": {"probes": "icmp"},
    }
    for name, peer in known.items():
        group = {"address": ADDRESSES[name], "remote_as": ASES[name], "connect_retry": 1}
        if peer.communities:
            group |= {"communities": ",".join(peer.communities), "med": peer.med}
        if peer.sessions:
            group["local_addresses"] = ",".join(SESSIONS[: peer.sessions])
        groups[f"peer:{name}"] = group
    return groups


@pytest.fixture
def program(fabric: Fabric, leaves: Leaves) -> Iterator[Program]:
    """The program; not yet started."""
    host, known = fabric.hosts["porter"], peers()
    for address in SESSIONS:
        host.run(f"ip address add {address}/24 dev {interface(host)}")
    program = Program(host, sections(known), name="together")
    yield program
    program.stop()


class Rest:
    """Compares what is with what should be."""

    def __init__(self, state: Cluster, leaves: Leaves, program: Program) -> None:
        self._state = state
        self._leaves = leaves
        self._program = program
        self._chosen: dict[tuple[str, frozenset[object]], object] = {}

    def differences(self) -> list[str]:
        """What is not as it should be."""
        found = [
            line for name, leaf in self._leaves.items() for line in self._at(name, table(leaf))
        ]
        return found or self._probes()

    def _at(self, name: str, seen: Table) -> list[str]:
        peer = self._state.peers[name]
        wanted = self._state.wanted(peer)
        found = [f"{name}: {prefix}: {seen[prefix]}" for prefix in seen.keys() - wanted.keys()]
        for prefix, want in wanted.items():
            paths = seen.get(prefix, frozenset())
            if not want.is_met(paths):
                found.append(f"{name}: {prefix}: {paths}, wanted {want}")
            if want.count is not None:  # a choice, which is always the same
                before = self._chosen.setdefault((prefix, want.perhaps), paths)
                found += [f"{name}: {prefix}: {paths}, before {before}"] if paths != before else []
        return found or self._forwarding(name, seen)

    def _forwarding(self, name: str, seen: Table) -> list[str]:
        """What the kernel has, compared with the table."""
        host = self._leaves[name].host
        kernel, right = host.multipath(), {prefix: best(paths) for prefix, paths in seen.items()}
        if kernel != right:
            return [f"{name}: the kernel has {kernel}, wanted {right}"]
        if name != "frr":
            return []
        found = []
        for prefix, hops in right.items():
            shares, want = host.shares(prefix), self._state.shares(prefix, hops)
            if any(abs(shares.get(hop, 0) - share) > 1 for hop, share in want.items()):
                found.append(f"{name}: {prefix}: shares {shares}, wanted {want}")
        return found

    def _probes(self) -> list[str]:
        """What is said of nodes and sessions."""
        text, nodes = self._program.metrics(), self._state.nodes.values()
        want = {
            'porter_nodes_probed{family="ipv4"}': sum(node.answered for node in nodes),
            "porter_nodes_probed_dead": sum(node.dead for node in nodes),
            "porter_nodes_drained": sum(node.drained_at is not None for node in nodes),
        }
        found = []
        for series, count in want.items():
            (seen,) = re.findall(rf"^{re.escape(series)} (\S+)$", text, re.MULTILINE) or ["nothing"]
            found += [] if seen == f"{count}.0" else [f"{series} {seen}, wanted {count}"]
        return found + list(self._program.counted("porter_bgp_session_drops_total"))


def test_all_together_and_at_random(
    fabric: Fabric, leaves: Leaves, program: Program, metronome: Metronome
) -> None:
    print(f"SEED={SEED}")
    state = cluster()
    state.peers = peers()
    for node in state.nodes.values():
        host = fabric.host(node.name)
        fabric.link(host, fabric.hosts["switch"], [f"{node.address}/24"], [])
    changes = Changes(state, program, fabric.hosts, random.Random(SEED))
    changes.write_all()
    program.start()
    rest = Rest(state, leaves, program)
    wait_for(rest.differences, lambda found: not found, REST_SECONDS, "the beginning")
    inner = ("203.0.113.16", "203.0.113.16/28", "203.0.113.16/29")
    until, step = time.monotonic() + SECONDS, 0
    with ExitStack() as watching:
        for name, leaf in leaves.items():
            gap = partial(without, metronome) if name == "frr" else None
            anchor = state.services[ANCHOR].address
            watching.enter_context(never_without(leaf.host, anchor, within=gap))
            watching.enter_context(never_without(leaf.host, *inner, within=gap))
        while step < 2 * changes.deck or time.monotonic() < until:
            step += 1
            what = changes.next()
            print(f"{datetime.now().isoformat()} {step}: {what}", flush=True)
            wait_for(
                rest.differences,
                lambda found: not found,
                REST_SECONDS,
                f"all to be right after {step}: {what} (SEED={SEED}), with {state.nodes}",
            )
            for known in state.nodes.values():
                if known.drained_at is not None and known.begun_by is None:
                    known.begun_by = time.monotonic()


def without(metronome: Metronome) -> float:
    """For how long FRR may be without a route, in seconds."""
    return FRR_SECONDS + 3 * metronome.worst
