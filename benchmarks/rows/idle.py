"""What the program costs while nothing happens."""

from __future__ import annotations

import time

from benchmarks.process import cpu_seconds
from benchmarks.scene import Scene
from benchmarks.table import Figure, one

_WANTED = 0.5


def measure(scene: Scene, count: int) -> list[Figure]:
    """Per cent of one core, with every Service announced."""
    scene.load(count, recorded=True)
    pid = scene.settled().pid
    time.sleep(scene.plan.rest)
    scene.plan.say("idle")
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(scene.plan.seconds / 2)
    used = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    return [one("of one core", used * 100, "%", wanted=_WANTED)]
