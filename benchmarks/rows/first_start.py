"""A start over Services of which none has an address: all are allocated and written.

The floor is the same patches, raw, over eight connections.
"""

from __future__ import annotations

import time

from benchmarks.process import cpu_seconds, peak, resident
from benchmarks.scene import Scene, pid_of
from benchmarks.table import Figure, one

_SHARE = 2 / 3
_PATIENCE = 1200.0


def measure(scene: Scene, count: int) -> list[Figure]:
    """Services a second, and memory."""
    scene.load(count, recorded=False)
    scene.plan.say("first start: the floor")
    floor = count / scene.services.record()
    scene.load(count, recorded=False)
    scene.plan.say("first start")
    with scene.empty_leaf() as routes:
        program = scene.program()
        began = time.monotonic()
        program.start(ready=False)
        done = scene.reached(routes, _PATIENCE, program)
        pid = pid_of(program)
        used, most, after = cpu_seconds(pid), peak(pid), resident(pid)
        first = routes.first
    program.stop()
    scene.services.recorded = True
    return [
        one(
            "process start to the last route in the leaf's kernel",
            count / (done - began),
            "Services/s",
            floor=floor,
            floor_is="raw patches, 8 connections",
            wanted=_SHARE * floor,
            at_least=True,
        ),
        one("first route to the last", count / (done - first), "Services/s"),
        one("process start to the last route", done - began, "s"),
        one("process start to the first route", first - began, "s"),
        one("its CPU", used, "s"),
        one("resident, the most until then", most, "MB", wanted=200.0),
        one("resident afterwards", after, "MB"),
    ]
