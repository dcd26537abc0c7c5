"""Many peers that all see the same: what they cost beside one.

The peers are raw and do nothing but read.  CPU seconds of the program: for the whole table when
all sessions come up, for a node that is lost and returns, for a refresh that all ask for (the
median of some: it takes so little that one alone is left to chance).
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass

from benchmarks.network import OBSERVERS, OURS, PATIENCE
from benchmarks.observer import Observer
from benchmarks.plan import NODES
from benchmarks.process import cpu_when_quiet
from benchmarks.scene import Scene, pid_of
from benchmarks.services import change_of
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
    refresh = _refresh(scene, observer, pid, whole)
    observer.close()
    program.stop()
    table, node = (after - before for before, after in itertools.pairwise(marks))
    return Cost(table, node, refresh)


def _refresh(scene: Scene, observer: Observer, pid: int, whole: int) -> float:
    """CPU seconds of one refresh.  Before each, a Service changes, so that the table that was
    encoded for the one before is of no use; `whole` paths are in it."""
    connection = scene.services.connect()
    taken = []
    seen = whole
    for _ in range(2 * scene.plan.rounds - 1):
        for nodes, more in ((list(NODES)[:-1], -1), (list(NODES), 1)):
            connection.send(change_of(0, *nodes))
            seen += more
            observer.paths(seen, PATIENCE)
        before = cpu_when_quiet(pid)
        observer.ask_again()
        seen += whole  # every path is said once more
        observer.paths(seen, PATIENCE)
        taken.append(cpu_when_quiet(pid) - before)
    connection.close()
    return statistics.median(taken)
