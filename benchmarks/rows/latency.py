"""One change of the endpoints of one Service, to its UPDATE on the wire.

From the return of the write to the API server, to the moment at which a raw peer has the UPDATE;
the same with few Services and with all.  The floor is a bare watcher in Python in the place of the
program.
"""

from __future__ import annotations

import random
import time

from benchmarks.observer import Observer, prefixes_of
from benchmarks.plan import NODES
from benchmarks.scene import Scene
from benchmarks.services import change_of
from benchmarks.table import Figure, one, percentile
from fabric import FabricError

PACE = 0.02  # between one UPDATE and the next write: a change that comes alone
_PATIENCE = 60.0
# milliseconds, or so many more than the floor on a machine that is busy
_WANTED = {50: (0.8, 0.6), 99: (3.0, 1.3)}


def measure(scene: Scene, count: int) -> list[Figure]:
    """Milliseconds, at the median and at the 99th percentile."""
    scene.load(count, recorded=True)
    addresses = scene.services.addresses()
    scene.plan.say(f"one change among {count}: the floor")
    with scene.raw_watcher(addresses) as observer:
        floor = _series(scene, observer, addresses)
    scene.plan.say(f"one change among {count}")
    taken = _series(scene, scene.settled().observer, addresses)
    figures = []
    for share, (wanted, more) in _WANTED.items():
        least = percentile(floor, share)
        value = percentile(taken, share)
        name = f"p{share} at {count} Services"
        limit = max(wanted, least + more)
        figures.append(one(name, value, "ms", floor=least, floor_is="raw watcher", wanted=limit))
    return figures


def _series(scene: Scene, observer: Observer, addresses: list[int]) -> list[float]:
    """Milliseconds of each change: a node less, and the same node again."""
    chance = random.Random(len(addresses))
    connection = scene.services.connect()
    taken = []
    for _ in range(scene.plan.changes // 2):
        number = chance.randrange(len(addresses))
        for nodes in (list(NODES)[:-1], list(NODES)):
            time.sleep(PACE)
            connection.send(change_of(number, *nodes))
            written = time.monotonic()
            taken.append((seen(observer, addresses[number]) - written) * 1e3)
    connection.close()
    return taken


def seen(observer: Observer, prefix: int) -> float:
    """The moment of the next UPDATE of a prefix; raises FabricError where none comes."""
    for update in observer.updates(_PATIENCE):
        if any(found == prefix for found, _ in prefixes_of(update.body)):
            return update.at
    raise FabricError(f"no UPDATE of {prefix:x} within {_PATIENCE} s")
