"""Many peers that all see the same: what they cost beside one.

The peers are raw and do nothing but read.  CPU seconds of the program: for the whole table when
all sessions come up, for a node that is lost and returns, for a refresh that all ask for.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from benchmarks.network import OBSERVERS, OURS, PATIENCE
from benchmarks.observer import Observer
from benchmarks.plan import NODES
from benchmarks.process import cpu_when_quiet
from benchmarks.scene import Scene, pid_of
from benchmarks.table import Figure, one

_COUNTS = (1, 16, 64)
_TIMES_ONE = 2.0
_LOST = list(NODES)[-1]


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds."""

    table: float
    node: float
    refresh: float


def measure(scene: Scene, count: int) -> list[Figure]:
    """Each count of peers beside one."""
    scene.load(count, recorded=True)
    scene.clear()
    costs = {peers: _cost(scene, count, peers) for peers in _COUNTS}
    figures = []
    for what, name in (
        ("the whole table", "table"),
        ("a node lost and back", "node"),
        ("a refresh", "refresh"),
    ):
        alone = getattr(costs[1], name)
        for peers, cost in costs.items():
            more = {"floor": alone, "floor_is": "1 peer", "wanted": _TIMES_ONE * alone}
            value = getattr(cost, name)
            text = f"{what}, {peers} peer{'s' * (peers > 1)}"
            figures.append(one(text, value, "CPU s", **(more if peers > 1 else {})))
    return figures


def _cost(scene: Scene, count: int, peers: int) -> Cost:
    scene.plan.say(f"peers: {peers}")
    program = scene.program([str(number) for number in range(peers)]).start()
    pid = pid_of(program)
    marks = [cpu_when_quiet(pid)]
    observer = Observer(scene.network.observer, OBSERVERS[:peers], OURS)
    whole = count * len(NODES)
    observer.paths(whole, PATIENCE)
    marks.append(cpu_when_quiet(pid))
    scene.services.lose_node(_LOST)
    observer.paths(whole - count, PATIENCE)
    scene.services.return_node(_LOST)
    observer.paths(whole, PATIENCE)
    marks.append(cpu_when_quiet(pid))
    observer.ask_again()
    observer.paths(2 * whole, PATIENCE)  # every path is said once more
    marks.append(cpu_when_quiet(pid))
    observer.close()
    program.stop()
    return Cost(*(after - before for before, after in itertools.pairwise(marks)))
