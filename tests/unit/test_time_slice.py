"""Long work lets other greenthreads run, and still gets on."""

from __future__ import annotations

from ryu.lib import hub

from porter_ryu.time_slice import TimeSlice


class Busy:
    """A clock, and a greenthread that takes a second of it each time it runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs = 0
        self._thread = hub.spawn(self._run)

    def _run(self) -> None:
        while True:
            self.runs += 1
            self.now += 1.0
            hub.sleep(0)

    def end(self) -> None:
        """Ends the greenthread."""
        hub.kill(self._thread)


def test_two_slices_of_one_greenthread_yield_once_for_a_piece_of_work() -> None:
    busy = Busy()
    found = []

    def work() -> None:
        outer, inner = TimeSlice(lambda: busy.now), TimeSlice(lambda: busy.now)
        for _ in range(10):
            outer()
            inner()
            inner()
            busy.now += 0.004
        found.append(busy.runs)

    hub.spawn(work).wait()
    busy.end()
    # a piece takes 4 ms, a slice 5 ms: every second piece yields, and none of them twice
    assert 0 < found[0] <= 6


def test_each_greenthread_has_a_slice_of_its_own() -> None:
    now = [0.0]
    used_up = {}
    shared = TimeSlice(lambda: now[0])

    def first() -> None:
        shared.begin()
        now[0] = 1.0
        hub.spawn(second).wait()
        used_up["first"] = shared.used_up

    def second() -> None:
        used_up["second"] = shared.used_up

    hub.spawn(first).wait()
    assert used_up == {"first": True, "second": False}
