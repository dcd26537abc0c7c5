"""Signals of a process under eventlet: each is acted upon, also while the loop does nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from porter_ryu.signals import Signals
from porter_ryu.supervisor import Supervisor
from tests.unit.until import until

OURS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Process:
    """What the signals do; `reload_fails` for as long as a test wants it."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.reload_fails = False
        self.supervisor = Supervisor()
        Signals(lambda: self.did.append("terminate"), self._reload, self.supervisor)

    def _reload(self) -> None:
        if self.reload_fails:
            raise RuntimeError("a fault of ours")
        self.did.append("reload")


@pytest.fixture
def process() -> Iterator[Process]:
    """The handlers of whoever runs the tests are put back."""
    handlers = {number: signal.getsignal(number) for number in OURS}
    process = Process()
    yield process
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "action"),
    [(signal.SIGTERM, "terminate"), (signal.SIGINT, "terminate"), (signal.SIGHUP, "reload")],
)
def test_each_has_its_action(process: Process, number: signal.Signals, action: str) -> None:
    os.kill(os.getpid(), number)
    until(lambda: process.did, "something is done")
    assert process.did == [action]


def test_a_thousand_reloads_hide_no_end(process: Process) -> None:
    """The pipe that wakes the loop is full long before, and then tells of no more."""
    for _ in range(70_000):
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGTERM)
    until(lambda: "terminate" in process.did, "it ends")
    assert process.did[0] == "terminate", "the end comes first"
    assert process.did.count("terminate") == 1


def test_a_reload_that_fails_stands_in_the_way_of_no_end(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.reload_fails = True
    os.kill(os.getpid(), signal.SIGHUP)
    until(lambda: "task signals died" in caplog.text, "it fails")
    os.kill(os.getpid(), signal.SIGTERM)
    until(lambda: process.did == ["terminate"], "it ends")
