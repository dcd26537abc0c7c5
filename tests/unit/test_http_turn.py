"""A crowd of requests that is complete at once leaves the loop to others in between."""

from __future__ import annotations

import time

import eventlet

from porter_ryu.http.turn import Turn

OTHER = -1


def test_others_run_between_the_answers_of_a_crowd() -> None:
    turn, order = Turn(), []

    def answer(number: int) -> None:
        turn.wait()
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass
        order.append(number)

    def other() -> None:
        while True:
            order.append(OTHER)
            eventlet.sleep(0)

    crowd = [eventlet.spawn(answer, number) for number in range(20)]
    running = eventlet.spawn(other)
    for one in crowd:
        one.wait()
    running.kill()
    answers = [entry for entry in order if entry != OTHER]
    assert sorted(answers) == list(range(20))
    longest = most = 0
    for entry in order:
        longest = 0 if entry == OTHER else longest + 1
        most = max(most, longest)
    assert most <= 3, order


def test_one_alone_waits_for_nobody() -> None:
    started = time.monotonic()
    Turn().wait()
    assert time.monotonic() - started < 0.5
