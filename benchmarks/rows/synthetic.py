"""Ten times as many Services, over many nodes, from an API server of canned answers: where time and
memory go beyond what a real one on one machine holds.  An instance that follows records.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import yaml

from benchmarks.canned_api import PORT
from benchmarks.network import CONTROL, PATIENCE, Network
from benchmarks.plan import Plan, Table, large_table
from benchmarks.process import cpu_seconds, peak, resident
from benchmarks.scene import pid_of
from benchmarks.table import Figure, one
from fabric import Fabric, end, wait_for

_TIMES = 10
_URL = f"http://{CONTROL}:{PORT}"
_TIMES_FLOOR = 1.5


def measure(plan: Plan) -> list[Figure]:
    """A cold start at both sizes, and what each Service costs between them."""
    figures = []
    with Fabric() as fabric:
        network = Network(fabric)
        network.leaf.start()
        at_rest = {}
        for services in (plan.services, _TIMES * plan.services):
            plan.say(f"{services} canned Services")
            more, at_rest[services] = _start(plan, network, large_table(services))
            figures += more
    (few, small), (many, large) = at_rest.items()
    figures.append(one("each Service", (large - small) * 1e6 / (many - few), "bytes"))
    return figures


def _start(plan: Plan, network: Network, table: Table) -> tuple[list[Figure], float]:
    """The figures of one size, and MB at rest."""
    argv = [sys.executable, "-m", "benchmarks.canned_api", CONTROL, str(table.services)]
    server = network.control.spawn(argv, "canned.log")
    probe = f"curl -sf {_URL}/api/v1/namespaces"
    wait_for(lambda: network.porter.run(probe, check=False), bool, 120, "the canned lists")
    lists = network.read_lists(_URL)
    with network.empty_leaf() as routes:
        peer, blast = network.blast(routes, table)
        peer.close()
    empty = network.start_of_nothing()[0]
    with network.empty_leaf() as routes:
        program = network.program(_kubeconfig(network), porter={"allocate": "false"})
        began = time.monotonic()
        program.start(ready=False)
        took = routes.reached(table.services, table.hops, PATIENCE) - began
    pid = pid_of(program)
    used, most = cpu_seconds(pid), peak(pid)
    time.sleep(plan.rest)
    at_rest = resident(pid)
    program.stop()
    end(server)
    size = f"{table.services} Services, {len(table.nodes)} nodes"
    floor = lists + blast
    return [
        one(
            f"process start to the leaf's kernel, {size}",
            took,
            "s",
            floor=floor,
            floor_is="lists + blast",
            wanted=_TIMES_FLOOR * floor + empty,
        ),
        one(f"its CPU, {size}", used, "s"),
        one(f"resident at rest, {size}", at_rest, "MB"),
        one(f"the most while starting, {size}", most, "MB"),
        one(f"floor: the lists by curl, {size}", lists, "s"),
        one(f"floor: raw UPDATEs to the leaf's kernel, {size}", blast, "s"),
    ], at_rest


def _kubeconfig(network: Network) -> Path:
    path = network.porter.folder / "canned.kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": _URL}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
