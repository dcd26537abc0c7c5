"""What the program has resident, and what one Service more costs."""

from __future__ import annotations

import time

from benchmarks.process import peak, resident
from benchmarks.scene import Scene
from benchmarks.table import Figure, one

_WANTED_AT_REST, _WANTED_MOST = 120.0, 200.0


def measure(scene: Scene, count: int) -> list[Figure]:
    """After a cold start, at rest, and the most while it started; bytes for each Service from the
    difference between few and all."""
    scene.load(count, recorded=True)
    scene.clear()
    scene.plan.say(f"memory with {count} Services")
    pid = scene.settled().pid
    most = peak(pid)
    time.sleep(scene.plan.rest)
    at_rest = resident(pid)
    _, nothing = scene.network.start_of_nothing()
    least = {"floor": nothing, "floor_is": "an empty ryu-manager app"}
    figures = [
        one(f"resident at rest, {count} Services", at_rest, "MB", wanted=_WANTED_AT_REST, **least),
        one(f"the most while starting, {count} Services", most, "MB", wanted=_WANTED_MOST),
    ]
    for other, memory in scene.at_rest.items():
        each = (at_rest - memory) * 1e6 / (count - other) if count > other else 0.0
        figures.append(one("each Service", each, "bytes"))
    scene.at_rest[count] = at_rest
    return figures
