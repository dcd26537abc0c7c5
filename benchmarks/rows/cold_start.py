"""A start over Services that all have their addresses on record: what an outage of the program
lasts at least.

The floor is what no such program can do without: reading the lists, and sending the routes.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import empty_app
from benchmarks.process import cpu_seconds
from benchmarks.scene import Scene, pid_of
from benchmarks.table import Figure
from fabric import FabricError, wait_for
from fabric.program import command

_LISTS = (
    "/api/v1/services",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/api/v1/nodes",
    "/api/v1/namespaces",
    "/apis/network.kubesphere.io/v1alpha2/eips",
)
_TIMES_FLOOR = 1.5


def measure(scene: Scene, count: int) -> list[Figure]:
    """The start, its floor, and the CPU it takes."""
    scene.load(count, recorded=True)
    lists, blasts, empty, starts, used = [], [], [], [], []
    for number in range(scene.plan.rounds):
        scene.plan.say(f"cold start: the floor, {number + 1} of {scene.plan.rounds}")
        lists.append(read_lists(scene))
        with scene.empty_leaf() as routes:
            peer, took = scene.blast(routes)
            peer.close()
        blasts.append(took)
        empty.append(start_of_nothing(scene))
    for number in range(scene.plan.rounds):
        scene.plan.say(f"cold start: {number + 1} of {scene.plan.rounds}")
        took, cpu = start(scene)
        starts.append(took)
        used.append(cpu)
    floor = min(lists) + min(blasts)
    wanted = _TIMES_FLOOR * floor + min(empty)
    return [
        Figure(
            "process start to the leaf's kernel",
            tuple(starts),
            "s",
            floor=floor,
            floor_is="lists + blast",
            wanted=wanted,
        ),
        Figure("its CPU", tuple(used), "s"),
        Figure("floor: the lists by curl", tuple(lists), "s"),
        Figure("floor: raw UPDATEs to the leaf's kernel", tuple(blasts), "s"),
        Figure("floor: an empty ryu-manager app runs", tuple(empty), "s"),
    ]


def start(scene: Scene) -> tuple[float, float]:
    """Seconds from a process start to the leaf's kernel, and CPU seconds meanwhile."""
    with scene.empty_leaf() as routes:
        program = scene.program()
        began = time.monotonic()
        program.start(ready=False)
        took = scene.whole_table(routes) - began
        cpu = cpu_seconds(pid_of(program))
    wait_for(program.is_ready, bool, 20, "the program to be ready")
    metrics = scene.porter.run("curl -s http://127.0.0.1:8080/metrics")
    written = [line for line in metrics.splitlines() if _counts_writes(line)]
    program.stop()
    if written:
        raise FabricError(f"a start over records that are all right wrote: {written}")
    return took, cpu


def _counts_writes(line: str) -> bool:
    return line.startswith("porter_kubernetes_writes_total{") and 'kind="Service"' in line


def read_lists(scene: Scene) -> float:
    """Seconds in which curl reads the five lists."""
    token = scene.token()
    argv = ["curl", "-sf", "--cacert", str(scene.api.authority)]
    argv += ["-H", f"Authorization: Bearer {token}"]
    for path in _LISTS:
        argv += ["-o", "/dev/null", f"{scene.api.url}{path}"]
    began = time.monotonic()
    scene.porter.run(argv)
    return time.monotonic() - began


def start_of_nothing(scene: Scene) -> float:
    """Seconds until an application of Ryu runs that does nothing."""
    started = scene.porter.folder / "started"
    started.unlink(missing_ok=True)
    argv = [command("ryu-manager"), str(Path(empty_app.__file__))]
    began = time.monotonic()
    process = scene.porter.spawn(argv, "empty.log", {"STARTED": str(started)})
    process.wait(60)
    return float(started.read_text()) - began
