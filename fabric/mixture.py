"""Plays faults in a random order, several at a time: each begins, lasts a while and ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

Fault = Callable[[], contextlib.AbstractContextManager[None]]


def play(
    faults: Mapping[str, Fault],
    chance: random.Random,
    seconds: float,
    at_once: int,
    apart: frozenset[str] = frozenset(),
) -> None:
    """Runs these faults for `seconds`, up to `at_once` in parallel, but only one of `apart` at a
    time; prints the time at which each begins.  Raises any exception of a fault."""
    began = time.monotonic()
    active: dict[str, concurrent.futures.Future[None]] = {}

    def one(name: str) -> None:
        with faults[name]():
            wait(chance.uniform(0.5, 6))

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        while time.monotonic() < began + seconds:
            for name in [name for name, future in active.items() if future.done()]:
                active.pop(name).result()
            excluded = set(active)
            if apart & active.keys():
                excluded |= apart
            if len(active) < at_once:
                name = chance.choice(sorted(faults.keys() - excluded))
                print(f"{time.monotonic() - began:6.1f} {name}", flush=True)
                active[name] = pool.submit(one, name)
            wait(chance.uniform(0.1, 1))
        for future in active.values():
            future.result()


def wait(seconds: float) -> None:
    """Lets a fault last."""
    threading.Event().wait(seconds)


def deed(act: Callable[[], object]) -> Fault:
    """A fault that only calls `act`; a broken connection is part of it."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        with contextlib.suppress(OSError):
            act()
        yield

    return fault
