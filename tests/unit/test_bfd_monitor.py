"""A BFD process that dies, hangs, writes invalid lines or does not start is restarted."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from ryu.lib import hub

from porter_ryu.bgp.bfd.monitor import BfdMonitor
from porter_ryu.supervisor import Supervisor
from tests.unit.peers import peer
from tests.unit.until import children, until

A = peer("a", bfd=True, local_address="192.0.2.200")


class Paths:
    """Records the changes of paths that the monitor reports."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, bool]] = []

    def __call__(self, name: str, usable: bool) -> None:
        self.changes.append((name, usable))


Start = Callable[[str], tuple[BfdMonitor, Paths, Supervisor]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a monitor whose process runs a script; `runs` there counts the earlier starts."""
    running: list[BfdMonitor] = []
    before = children()

    def start_with(script: str) -> tuple[BfdMonitor, Paths, Supervisor]:
        head = f"import json,os,sys,time\nFOLDER={str(tmp_path)!r}\n"
        head += "runs = len(os.listdir(FOLDER))\nopen(f'{FOLDER}/{runs}','w').close()\n"
        head += "def say(**words): print(json.dumps(words), flush=True)\n"
        paths, supervisor = Paths(), Supervisor()
        bfd = BfdMonitor(paths, supervisor, [sys.executable, "-c", head + script])
        running.append(bfd)
        bfd.set_peers([A])
        return bfd, paths, supervisor

    yield start_with
    for bfd in running:
        bfd.stop()
    kill_new(before)


def kill_new(before: set[int]) -> None:
    """Kills the child processes that were started since; some of them hang on purpose."""
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: children() == before, "they have ended")


DOWN = "say(name='a', up=True, admin_down=False, reason='')\n"
DOWN += "say(name='a', up=False, admin_down=False, reason='the detection time expired')\n"
INVALID = "wrote an invalid line"


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("print('no JSON', flush=True); time.sleep(60)", INVALID),
        ("print('[1]', flush=True); time.sleep(60)", INVALID),
        ("say(name='a'); time.sleep(60)", INVALID),
        ("print('[' * 4000, flush=True); time.sleep(60)", INVALID),
        ("os.write(1, b'x' * 100000); time.sleep(60)", INVALID),
        ("os.kill(os.getpid(), 9)", "ended with status -9"),
    ],
)
def test_a_process_that_fails_is_restarted_and_keeps_no_session_down(
    start: Start, caplog: pytest.LogCaptureFixture, end: str, message: str
) -> None:
    caplog.set_level(logging.ERROR)
    _, paths, supervisor = start(f"{DOWN}if runs == 0: {end}\ntime.sleep(60)\n")
    until(lambda: paths.changes.count(("a", False)) == 2)
    assert paths.changes[:3] == [("a", True), ("a", False), ("a", True)]
    assert f"the BFD process {message}" in caplog.text
    assert not supervisor.faults


def test_a_process_that_hangs_is_restarted(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    _, paths, _ = start(f"{DOWN}time.sleep(60)\n")
    until(lambda: paths.changes.count(("a", False)) == 2)
    assert "the BFD process was silent for 10 s" in caplog.text


def test_a_process_that_cannot_be_started_is_retried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    program = tmp_path / "program"
    before = children()
    paths, supervisor = Paths(), Supervisor()
    bfd = BfdMonitor(paths, supervisor, [str(program)])
    bfd.set_peers([A])
    until(lambda: "cannot be started: No such file or directory" in caplog.text)
    report = '{"name": "a", "up": true, "admin_down": false, "reason": ""}'
    program.write_text(f"#!/bin/sh\necho '{report}'\nexec sleep 60\n")
    program.chmod(0o755)
    until(lambda: paths.changes == [("a", True)])
    assert not supervisor.faults
    bfd.stop()
    kill_new(before)


def test_a_process_that_does_not_read_blocks_nothing_else(start: Start) -> None:
    bfd, _, _ = start("time.sleep(60)\n")
    started_at = time.monotonic()
    many = [
        peer(
            f"p{n}",
            bfd=True,
            address=f"10.0.{n // 250}.{n % 250 + 1}",
            local_address=ip_address("192.0.2.200"),
        )
        for n in range(2000)
    ]
    for count in range(1, 20):
        bfd.set_peers(many[: 100 * count])
        hub.sleep(0)
    assert time.monotonic() - started_at < 5


def test_a_peer_without_a_route_is_returned_and_the_others_are_set(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bfd, paths, _ = start(
        "peers = json.loads(sys.stdin.readline())\n"
        "say(name='a', up=False, admin_down=True, reason='started')\n"
        "peers = json.loads(sys.stdin.readline())\n"
        "for p in peers: say(name=p['name'], up=True, admin_down=False, reason='')\n"
        "time.sleep(60)\n"
    )
    until(lambda: paths.changes, "the first line is read")
    nowhere = peer("nowhere", bfd=True, address="255.255.255.255")
    assert bfd.set_peers([nowhere, A]) == frozenset({"nowhere"})
    until(lambda: ("a", True) in paths.changes)
    assert "peer nowhere: no route to 255.255.255.255" in caplog.text
