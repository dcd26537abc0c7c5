"""Ten times as many Services, over many nodes, from an API server of canned answers: where time and
memory go beyond what a real one on one machine holds.  An instance that follows records.
docs/scale.md works with these figures.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import yaml

from benchmarks.canned_api import PORT, node_name
from benchmarks.network import CONTROL, OBSERVERS, OURS, PATIENCE, Network
from benchmarks.observer import Observer
from benchmarks.plan import FIRST, Plan, Table, large_table
from benchmarks.process import cpu_seconds, cpu_when_quiet, peak, resident
from benchmarks.rows.latency import PACE, seen
from benchmarks.scene import pid_of
from benchmarks.services import change_of
from benchmarks.table import Figure, one, percentile
from fabric import Fabric, Host, end, inside, wait_for

_TIMES = 10
_URL = f"http://{CONTROL}:{PORT}"
_TIMES_FLOOR = 1.5


def measure(plan: Plan) -> list[Figure]:
    """A cold start at both sizes with what one peer and one change cost there, and what each
    Service costs between them."""
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
    argv = [sys.executable, "-m", "benchmarks.canned_api", CONTROL, str(table.services), "many"]
    server = network.control.spawn(argv, "canned.log")
    probe = f"curl -sf {_URL}/api/v1/namespaces"
    wait_for(lambda: network.porter.run(probe, check=False), bool, 120, "the canned lists")
    lists, octets = network.read_lists(_URL)
    with network.empty_leaf() as routes:
        peer, blast = network.blast(routes, table)
        peer.close()
    empty = network.start_of_nothing()[0]
    with network.empty_leaf() as routes:
        config = kubeconfig(network.porter, _URL)
        program = network.program(config, ("leaf", "0"), porter={"allocate": "false"})
        began = time.monotonic()
        program.start(ready=False)
        took = routes.reached(table.services, table.hops, PATIENCE) - began
    pid = pid_of(program)
    used, most = cpu_seconds(pid), peak(pid)
    time.sleep(plan.rest)
    at_rest = resident(pid)
    floor = lists + blast
    figures = [
        one(
            "process start to the leaf's kernel",
            took,
            "s",
            floor=floor,
            floor_is="lists + blast",
            wanted=_TIMES_FLOOR * floor + empty,
        ),
        one("its CPU", used, "s"),
        one("resident at rest", at_rest, "MB"),
        one("the most while starting", most, "MB"),
        one("floor: the lists by curl", lists, "s"),
        one("the lists", octets, "MB"),
        one("floor: raw UPDATEs to the leaf's kernel", blast, "s"),
        *_one_peer_more(plan, network, table, pid),
    ]
    program.stop()
    end(server)
    size = f"{table.services} Services, {len(table.nodes)} nodes"
    return [dataclasses.replace(each, what=f"{each.what}, {size}") for each in figures], at_rest


def _one_peer_more(plan: Plan, network: Network, table: Table, pid: int) -> list[Figure]:
    """A raw peer besides the leaf: its whole table, then single changes."""
    before, memory = cpu_when_quiet(pid), resident(pid)
    observer = Observer(network.observer, OBSERVERS[:1], OURS)
    observer.paths(table.services * table.hops, PATIENCE)
    whole = cpu_when_quiet(pid)
    figures = [
        one("the table of a peer, in UPDATEs", observer.messages, ""),
        one("the table of a peer", observer.octets / 1e6, "MB"),
        one("one peer more", whole - before, "CPU s"),
        one("one peer more, resident", resident(pid) - memory, "MB"),
    ]
    plan.say(f"one change among {table.services}")
    late, event = _changes(plan, network, table, observer)
    each = (cpu_when_quiet(pid) - whole) / len(late) * 1e3
    observer.close()
    return [
        *figures,
        *(one(f"p{share} of a change", percentile(late, share), "ms") for share in (50, 99)),
        one("each change", each, "CPU ms"),
        one("the watch event of a change", event, "octets"),
    ]


def _changes(
    plan: Plan, network: Network, table: Table, observer: Observer
) -> tuple[list[float], int]:
    """Milliseconds of each change from the end of its write, and the octets of the last event."""
    chance = random.Random(table.services)
    with inside(network.porter):
        http = HTTPConnection(CONTROL, PORT, timeout=60)
        http.connect()
    late, event = [], b""
    for _ in range(max(1, plan.changes // 2)):
        number = chance.randrange(table.services)
        nodes = [node_name(index) for index in table.nodes_of(number)]
        for names in (nodes[:-1], nodes):
            time.sleep(PACE)
            change = change_of(number, *names)
            http.request(change.method, change.path, change.body)
            event = http.getresponse().read()
            written = time.monotonic()
            late.append((seen(observer, FIRST + number) - written) * 1e3)
    http.close()
    return late, len(event)


def kubeconfig(host: Host, url: str) -> Path:
    """The file by which a program on a host finds the canned API server."""
    path = host.folder / "canned.kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
