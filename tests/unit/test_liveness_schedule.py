"""When probes are sent and judged, with a clock that the test moves."""

from __future__ import annotations

import collections

from porter_ryu.liveness.schedule import Schedule

INTERVAL, TIMEOUT, TICK = 1.0, 0.25, 0.02


class Target:
    """A target."""

    def __init__(self) -> None:
        self.sequence = self.settled = 0
        self.removed = False


def schedule(count: int) -> tuple[Schedule[Target], list[Target]]:
    """A schedule with so many targets."""
    made: Schedule[Target] = Schedule(INTERVAL, TIMEOUT)
    targets = [Target() for _ in range(count)]
    for target in targets:
        made.add(target, 0.0)
    return made, targets


def send(made: Schedule[Target], now: float) -> list[Target]:
    """Sends what has its turn; returns it."""
    turns = list(made.turns(now))
    for target in turns:
        made.sent(target, now)
    return turns


def test_each_target_has_one_turn_an_interval_and_they_are_spread() -> None:
    made, targets = schedule(1000)
    sent: collections.Counter[int] = collections.Counter()
    for tick in range(500):
        turns = send(made, tick * TICK)
        sent.update(id(target) for target in turns)
        assert len(turns) <= 25, "a fiftieth of them, about"
    assert set(sent) == {id(target) for target in targets}
    assert set(sent.values()) <= {9, 10}, "the tenth may be due in the next tick"
    assert made.pop_late() == 0


def test_what_was_not_answered_in_time_is_missed_once() -> None:
    made, (target,) = schedule(1)
    assert send(made, 0.0) == [target]
    assert made.missed(0.24) == []
    assert made.missed(0.26) == [target]
    assert made.missed(0.5) == []


def test_what_was_answered_or_is_gone_is_not_missed() -> None:
    made, (first, second) = schedule(2)
    assert send(made, 0.0) + send(made, 0.7) == [first, second]
    first.settled, second.removed = 1, True
    assert made.missed(0.96) == []
    assert send(made, 1.0) + send(made, 1.7) == [first]
    assert made.pop_late() == 0


def test_turns_that_passed_are_left_out_and_keep_their_place() -> None:
    made, targets = schedule(100)
    for tick in range(1, 51):
        send(made, tick * TICK)
    made.pop_late()
    assert send(made, 7.3) == []
    assert made.pop_late() == len(targets)
    counts = [len(send(made, 7.3 + tick * TICK)) for tick in range(1, 51)]
    assert sum(counts) == len(targets)
    assert max(counts) <= 5


def test_a_miss_that_is_judged_too_late_does_not_count() -> None:
    made, (target,) = schedule(1)
    send(made, 0.0)
    assert made.missed(0.6) == []
    assert made.pop_late() == 1
    assert target.settled == 1
