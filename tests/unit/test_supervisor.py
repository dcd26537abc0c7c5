"""A greenthread that dies is logged, counted and restarted; one that is stuck is a fault."""

from __future__ import annotations

import time

import pytest
from eventlet import hubs
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.supervisor import Supervisor
from tests.unit.clock import Clock
from tests.unit.until import until


def deaths(name: str) -> float:
    """The value of `porter_task_restarts_total`."""
    return metrics.REGISTRY.get_sample_value("porter_task_restarts_total", {"task": name}) or 0.0


def test_a_task_that_dies_is_logged_counted_and_restarted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[int] = []
    done = hub.Event()

    def run(_beat: object) -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("once more")
        done.set()

    supervisor = Supervisor()
    supervisor.keep_running("restarted", run)
    assert done.wait(timeout=5)
    assert deaths("restarted") == 2
    assert "task restarted died" in caplog.text
    assert "RuntimeError: once more" in caplog.text
    assert supervisor.faults == ()


def test_every_task_has_a_series_before_it_dies_and_many_of_a_kind_have_one() -> None:
    supervisor = Supervisor()
    tasks = [
        supervisor.keep_running(f"one {n}", lambda _beat: hub.sleep(60), kind="one of many")
        for n in "ab"
    ]
    tasks.append(supervisor.spawn("lonely", hub.sleep, 60))

    def value(task: str) -> float | None:
        return metrics.REGISTRY.get_sample_value("porter_task_restarts_total", {"task": task})

    assert [value(task) for task in ("one of many", "lonely", "one a")] == [0, 0, None]
    for task in tasks:
        task.end()


def test_a_task_that_dies_repeatedly_is_a_fault_until_it_recovers() -> None:
    clock, runs = Clock(100.0), []

    def run(_beat: object) -> None:
        runs.append(1)
        if len(runs) > 6:
            hub.sleep(60)
        raise RuntimeError("always")

    supervisor = Supervisor(clock)
    task = supervisor.keep_running("dying", run)
    until(lambda: supervisor.faults, "it is a fault")
    assert list(supervisor.faults) == ["task dying died 6 times within 60 s"]
    clock.now += 61
    assert list(supervisor.faults) == []
    task.end()


def test_a_task_without_a_heartbeat_is_a_fault() -> None:
    clock = Clock(100.0)
    supervisor = Supervisor(clock)
    task = supervisor.keep_running("stuck", lambda _beat: hub.sleep(60), stall_timeout=10)
    clock.now += 9
    assert list(supervisor.faults) == []
    clock.now += 2
    assert list(supervisor.faults) == ["task stuck has made no progress for 11 s"]
    task.end()


def test_a_late_exception_does_not_end_a_task_that_waits_for_its_restart() -> None:
    """eventlet throws "closed" into a waiting greenthread when a descriptor number is reused."""
    runs: list[int] = []
    died, restarted = hub.Event(), hub.Event()

    def run(_beat: object) -> None:
        runs.append(1)
        if len(runs) > 1:
            restarted.set()
            hub.sleep(60)
        died.set()
        raise RuntimeError("once")

    task = Supervisor().keep_running("late exception", run)
    assert died.wait(timeout=5)
    hub.sleep(0)
    hubs.get_hub().schedule_call_global(0, task.thread.throw, OSError("closed"))
    assert restarted.wait(timeout=5)
    task.end()


def test_a_task_that_was_ended_is_not_a_fault() -> None:
    clock = Clock(100.0)
    supervisor = Supervisor(clock)
    task = supervisor.keep_running("ended for good", lambda _beat: hub.sleep(60), stall_timeout=10)
    hub.sleep(0)
    task.end()
    clock.now += 60
    assert supervisor.faults == ()


def test_a_task_that_returned_is_not_a_fault() -> None:
    clock = Clock(100.0)
    supervisor = Supervisor(clock)
    supervisor.keep_running("ended", lambda _beat: None, stall_timeout=10)
    hub.sleep(0)
    clock.now += 60
    assert supervisor.faults == ()


def test_a_spawned_task_that_dies_is_counted() -> None:
    done = hub.Event()

    def run(text: str) -> None:
        done.set()
        raise RuntimeError(text)

    Supervisor().spawn("once", run, "no")
    assert done.wait(timeout=5)
    hub.sleep(0)
    assert deaths("once") == 1


def test_the_watchdog_measures_how_late_the_loop_is() -> None:
    supervisor = Supervisor()
    task = supervisor.start_watchdog()
    hub.sleep(0)
    time.sleep(0.3)  # nobody else gets a turn
    until(lambda: supervisor.loop_lag > 0.1, "it was noticed")
    task.end()
