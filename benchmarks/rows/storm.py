"""Two hundred changes a second: how late the UPDATEs are, and whether memory stays as it is.

Each change is of one of a thousand Services; the floor is a bare watcher in the same storm.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from benchmarks.observer import Observer, prefixes_of
from benchmarks.plan import NODES
from benchmarks.process import resident
from benchmarks.raw_api import spread
from benchmarks.scene import Scene
from benchmarks.services import change_of
from benchmarks.table import Figure, one, percentile
from fabric import FabricError
from fabric.api_requests import Connection

RATE = 200
_WRITERS = 4
_STORMED = 1000  # so few that each changes several times
_PATIENCE = 60.0
_LOOK = 0.2
_WANTED_MS = 1000.0
_WANTED_GROWTH = 2.0


class Change(NamedTuple):
    """A path as it was written or seen: when (monotonic), and whether it came or went."""

    at: float
    announced: bool


class Storm:
    """Takes the last node from one Service after the other and, in the next round, gives it back,
    from threads of its own."""

    def __init__(self, connect: Callable[[], Connection], addresses: list[int], seconds: float):
        self.written: defaultdict[int, list[Change]] = defaultdict(list)
        self._addresses = addresses
        self._count = int(seconds * RATE)
        self._changes = iter(range(self._count))
        self._lock = threading.Lock()
        self._began = time.monotonic()
        connections = [connect() for _ in range(_WRITERS)]
        self._threads = [threading.Thread(target=self._write, args=(c,)) for c in connections]
        for thread in self._threads:
            thread.start()

    def is_told(self, seen: Mapping[int, Sequence[Change]]) -> bool:
        """Whether everything is written and every path is seen as it was written last; raises
        FabricError where the API server refused a change."""
        if any(thread.is_alive() for thread in self._threads):
            return False
        if sum(map(len, self.written.values())) < self._count:
            raise FabricError("not every change of the storm was written")
        return all(
            prefix in seen and seen[prefix][-1].announced == written[-1].announced
            for prefix, written in self.written.items()
        )

    def _write(self, connection: Connection) -> None:
        while True:
            with self._lock:
                change = next(self._changes, None)
            if change is None:
                return
            time.sleep(max(0.0, self._began + change / RATE - time.monotonic()))
            turn, number = divmod(change, len(self._addresses))
            nodes = list(NODES) if turn % 2 else list(NODES)[:-1]
            connection.send(change_of(number, *nodes))
            done = Change(time.monotonic(), bool(turn % 2))
            with self._lock:
                self.written[self._addresses[number]].append(done)


def measure(scene: Scene, count: int) -> list[Figure]:
    """Milliseconds from the write to the wire, and memory before and after."""
    scene.load(count, recorded=True)
    addresses = scene.services.addresses()
    stormed = addresses[:_STORMED]
    seconds = scene.plan.seconds
    scene.plan.say(f"{RATE} changes a second: the floor")
    with scene.raw_watcher(addresses) as observer:
        floor = _late(scene, observer, stormed, seconds / 4)
    settled = scene.settled()
    scene.plan.say(f"{RATE} changes a second: the first quarter, then {seconds:.0f} s")
    _late(scene, settled.observer, stormed, seconds / 4)
    before = resident(settled.pid)
    late = _late(scene, settled.observer, stormed, seconds)
    growth = resident(settled.pid) - before
    scene.clear()
    return [
        one(
            f"p{share} of the write to the wire",
            percentile(late, share),
            "ms",
            floor=percentile(floor, share),
            floor_is="raw watcher",
            wanted=wanted,
        )
        for share, wanted in ((50, None), (99, _WANTED_MS))
    ] + [one("resident, growth meanwhile", growth, "MB", wanted=_WANTED_GROWTH)]


def _late(scene: Scene, observer: Observer, addresses: list[int], seconds: float) -> list[float]:
    """Milliseconds of every change that was not overtaken by the next of its Service; afterwards
    every Service has all its nodes again."""
    storm = Storm(scene.services.connect, addresses, seconds)
    seen: defaultdict[int, list[Change]] = defaultdict(list)
    deadline = time.monotonic() + seconds + _PATIENCE
    while not storm.is_told(seen):
        if time.monotonic() > deadline:
            raise FabricError(f"a storm of {seconds} s is not over {_PATIENCE} s later")
        for update in observer.updates(_LOOK):
            for prefix, announced in prefixes_of(update.body):
                seen[prefix].append(Change(update.at, announced))
    withdrawn = [
        change_of(number, *NODES)
        for number, address in enumerate(addresses)
        if storm.written[address] and not storm.written[address][-1].announced
    ]
    spread(scene.services.connect, iter(withdrawn))
    observer.paths(scene.services.count * len(NODES), _PATIENCE)
    return [ms for prefix, many in storm.written.items() for ms in _late_by(many, seen[prefix])]


def _late_by(written: list[Change], seen: list[Change]) -> Iterator[float]:
    """Milliseconds between each UPDATE of a prefix and the first write that it may stand for."""
    done = 0
    for update in seen:
        for index in range(done, len(written)):
            if written[index].announced == update.announced:
                yield (update.at - written[index].at) * 1e3
                done = index + 1
                break
