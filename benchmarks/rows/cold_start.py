"""A start over Services that all have their addresses on record: what an outage of the program
lasts at least.

The floor is what no such program can do without: reading the lists, and sending the routes.
"""

from __future__ import annotations

import time

from benchmarks.process import cpu_seconds
from benchmarks.scene import Scene, pid_of
from benchmarks.table import Figure
from fabric import FabricError, wait_for

_TIMES_FLOOR = 1.5


def measure(scene: Scene, count: int) -> list[Figure]:
    """The start, its floor, and the CPU it takes."""
    scene.load(count, recorded=True)
    credentials = ["--cacert", str(scene.api.authority)]
    credentials += ["-H", f"Authorization: Bearer {scene.token()}"]
    lists, sizes, blasts, empty, starts, used = [], [], [], [], [], []
    for number in range(scene.plan.rounds):
        scene.plan.say(f"cold start: the floor, {number + 1} of {scene.plan.rounds}")
        took, size = scene.network.read_lists(scene.api.url, credentials)
        lists.append(took)
        sizes.append(size)
        with scene.empty_leaf() as routes:
            peer, took = scene.network.blast(routes, scene.table)
            peer.close()
        blasts.append(took)
        empty.append(scene.network.start_of_nothing()[0])
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
        Figure("the lists", tuple(sizes), "MB"),
        Figure("floor: raw UPDATEs to the leaf's kernel", tuple(blasts), "s"),
        Figure("floor: an empty ryu-manager app runs", tuple(empty), "s"),
    ]


def start(scene: Scene) -> tuple[float, float]:
    """Seconds from a process start to the leaf's kernel, and CPU seconds meanwhile."""
    with scene.empty_leaf() as routes:
        program = scene.program()
        began = time.monotonic()
        program.start(ready=False)
        took = scene.reached(routes, of=program) - began
        cpu = cpu_seconds(pid_of(program))
    wait_for(program.is_ready, bool, 20, "the program to be ready")
    written = program.counted("porter_kubernetes_writes_total", kind="services")
    program.stop()
    if written:
        raise FabricError(f"a start over records that are all right wrote: {written}")
    return took, cpu
