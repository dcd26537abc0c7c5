"""The network with a real API server, and the program with what it has announced."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kernel_routes import KernelRoutes
from benchmarks.network import CONTROL, OBSERVERS, OURS, PATIENCE, Network
from benchmarks.observer import Observer
from benchmarks.plan import NODES, Plan, Table
from benchmarks.services import Services
from fabric import Fabric, FabricError, end, wait_for
from fabric.control_plane import ControlPlane
from fabric.program import Program

_LOOK = 1.0  # whether the program still runs


@dataclass(frozen=True, slots=True)
class Running:
    """The program after its start, with every route at the leaf and at the observer."""

    program: Program
    observer: Observer

    @property
    def pid(self) -> int:
        """Its process."""
        return pid_of(self.program)


class Scene:
    """All of it; `at_rest`: what the program had resident, in MB, by the number of Services."""

    def __init__(self, fabric: Fabric, binaries: Path, plan: Plan) -> None:
        self.plan = plan
        self.network = Network(fabric)
        self.api = ControlPlane(self.network.control, CONTROL, binaries, controllers="")
        self.services = Services(self.api, self.network.porter)
        self.at_rest: dict[int, float] = {}
        self._running: Running | None = None

    @property
    def table(self) -> Table:
        """What is announced when all is well."""
        return Table(self.services.count)

    def start(self) -> None:
        """Starts the API server and has the program show what it writes of one Service."""
        self.plan.say("an API server and a leaf")
        self.api.start()
        self.api.install()
        self.services.begin()
        self.network.leaf.start()
        program = self.program().start()
        wait_for(self.services.learn, bool, 30, f"the first status: {program.tail()}")
        program.stop()

    def load(self, count: int, recorded: bool) -> None:
        """Brings the cluster to so many Services, with their records or without; where that takes
        writing, no program runs, which would write as well."""
        if count > self.services.count or recorded != self.services.recorded:
            self.clear()
        if not recorded and self.services.recorded:
            self.plan.say("every record is taken away")
            self.services.forget()
        if count > self.services.count:
            self.plan.say(f"{count} Services are created")
            self.services.grow(count)
        if recorded and not self.services.recorded:
            self.plan.say("every Service gets its record")
            self.services.record()

    def program(self, peers: Sequence[str] = ("leaf",)) -> Program:
        """An instance that has never run, with the rights that are shipped."""
        return self.network.program(self.api.service_account("porter-ryu"), peers)

    def token(self) -> str:
        """What the program shows to the API server."""
        return self.api.token("porter-ryu")

    def settled(self) -> Running:
        """The program as it runs after a cold start; started now if it does not run yet."""
        if self._running is None:
            with self.empty_leaf() as routes:
                program = self.program(("leaf", "0")).start(ready=False)
                self.reached(routes, of=program)
            observer = Observer(self.network.observer, OBSERVERS[:1], OURS)
            observer.paths(self.services.count * len(NODES), PATIENCE)
            self._running = Running(program, observer)
        return self._running

    def clear(self) -> None:
        """Ends the program, if it runs."""
        if self._running is not None:
            self._running.observer.close()
            self._running.program.stop()
            self._running = None

    def tail(self) -> str:
        """The last that the program printed."""
        return self._running.program.tail() if self._running is not None else ""

    @contextlib.contextmanager
    def empty_leaf(self) -> Iterator[KernelRoutes]:
        """An empty leaf, and no program."""
        self.clear()
        with self.network.empty_leaf() as routes:
            yield routes

    def reached(
        self, routes: KernelRoutes, seconds: float = PATIENCE, of: Program | None = None
    ) -> float:
        """The moment at which the leaf's kernel has every route by every node.  Raises FabricError
        after `seconds`, or soon after the program `of` which they are has ended."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            try:
                wait = min(left, _LOOK) if of is not None else left
                return routes.reached(self.services.count, len(NODES), wait)
            except FabricError:
                if of is not None and of.process.poll() is not None:
                    raise FabricError(f"the program has ended: {of.tail()}") from None
                if time.monotonic() >= deadline:
                    raise

    @contextlib.contextmanager
    def raw_watcher(self, addresses: list[int]) -> Iterator[Observer]:
        """A bare watcher in the place of the program, as an observer sees it that has the whole
        table."""
        self.clear()
        file = self.network.porter.folder / "addresses"
        file.write_text(json.dumps(addresses))
        told = [self.api.url, self.api.authority, self.token(), self.services.version(), file]
        argv = [sys.executable, "-m", "benchmarks.raw_watcher", *map(str, told)]
        process = self.network.porter.spawn(argv, "watcher.log")
        observer = Observer(self.network.observer, OBSERVERS[:1], OURS)
        try:
            observer.paths(len(addresses) * len(NODES), PATIENCE)
            yield observer
        finally:
            observer.close()
            end(process)


def pid_of(program: Program) -> int:
    """The process of a program that was started."""
    assert program.process is not None
    return program.process.pid
