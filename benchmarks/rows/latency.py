"""One change of the endpoints of one Service, to its UPDATE on the wire.

From the return of the write to the API server, to the moment at which a raw peer has the UPDATE;
the same with few Services and with all.  The floor is a bare watcher in Python in the place of the
program.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time

from benchmarks.observer import Observer, prefixes_of
from benchmarks.plan import NODES
from benchmarks.scene import OBSERVERS, OURS, Scene
from benchmarks.services import change_of
from benchmarks.table import Figure, one
from fabric import FabricError, end

_PACE = 0.02  # between one UPDATE and the next write: a change that comes alone
_PATIENCE = 10.0
_WANTED = {"p50": 0.8, "p99": 3.0}


def measure(scene: Scene, count: int) -> list[Figure]:
    """Milliseconds, at the median and at the 99th percentile."""
    scene.load(count, recorded=True)
    addresses = scene.services.addresses()
    scene.clear()
    scene.plan.say(f"one change among {count}: the floor")
    floor = _of_the_watcher(scene, addresses)
    scene.plan.say(f"one change among {count}")
    taken = _series(scene, scene.settled().observer, addresses)
    return [
        one(
            f"{name} at {count} Services",
            _percentile(taken, share),
            "ms",
            floor=_percentile(floor, share),
            floor_is="raw watcher",
            wanted=_WANTED[name],
        )
        for name, share in (("p50", 50), ("p99", 99))
    ]


def _of_the_watcher(scene: Scene, addresses: list[int]) -> list[float]:
    file = scene.porter.folder / "addresses"
    file.write_text(json.dumps(addresses))
    told = [scene.api.url, scene.api.authority, scene.token(), scene.services.version(), file]
    argv = [sys.executable, "-m", "benchmarks.raw_watcher", *map(str, told)]
    process = scene.porter.spawn(argv, "watcher.log")
    observer = Observer(scene.fabric.hosts["observer"], OBSERVERS[:1], OURS)
    try:
        return _series(scene, observer, addresses)
    finally:
        observer.close()
        end(process)


def _series(scene: Scene, observer: Observer, addresses: list[int]) -> list[float]:
    """Milliseconds of each change: a node less, and the same node again."""
    chance = random.Random(len(addresses))
    connection = scene.services.connect()
    taken = []
    for _ in range(scene.plan.changes // 2):
        number = chance.randrange(len(addresses))
        for nodes in (list(NODES)[:-1], list(NODES)):
            time.sleep(_PACE)
            connection.send(change_of(number, *nodes))
            written = time.monotonic()
            seen = _seen(observer, addresses[number])
            taken.append((seen - written) * 1e3)
    connection.close()
    return taken


def _seen(observer: Observer, prefix: int) -> float:
    for update in observer.updates(_PATIENCE):
        if any(found == prefix for found, _ in prefixes_of(update.body)):
            return update.at
    raise FabricError(f"no UPDATE of {prefix:x} within {_PATIENCE} s")


def _percentile(values: list[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]
