"""Other greenthreads run between the responses to many requests."""

from __future__ import annotations

import time

import eventlet

from porter_ryu.http.loop_budget import LoopBudget

OTHER = -1


def test_others_run_between_the_responses_to_many_requests() -> None:
    budget, order = LoopBudget(), []

    def answer(number: int) -> None:
        budget.wait()
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


def test_a_single_request_does_not_wait() -> None:
    started = time.monotonic()
    LoopBudget().wait()
    assert time.monotonic() - started < 5
