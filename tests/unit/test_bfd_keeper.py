"""The BFD process may die, hang, talk nonsense or not start at all: it is started again."""

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

from porter_ryu.bgp.bfd.keeper import Bfd
from porter_ryu.supervisor import Supervisor
from tests.unit.peers import peer
from tests.unit.until import children, until

A = peer("a", bfd=True, local_address="192.0.2.200")


class Told:
    """What the keeper says of paths."""

    def __init__(self) -> None:
        self.paths: list[tuple[str, bool]] = []

    def __call__(self, name: str, usable: bool) -> None:
        self.paths.append((name, usable))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[[str], tuple[Bfd, Told, Supervisor]]]:
    """Starts a keeper over a process that does what this script says, with FOLDER to note in."""
    running: list[Bfd] = []
    before = children()

    def start(script: str) -> tuple[Bfd, Told, Supervisor]:
        head = f"import json,os,sys,time\nFOLDER={str(tmp_path)!r}\n"
        head += "runs = len(os.listdir(FOLDER))\nopen(f'{FOLDER}/{runs}','w').close()\n"
        head += "def say(**words): print(json.dumps(words), flush=True)\n"
        told, supervisor = Told(), Supervisor()
        bfd = Bfd(told, supervisor, [sys.executable, "-c", head + script])
        running.append(bfd)
        bfd.watch([A])
        return bfd, told, supervisor

    yield start
    for bfd in running:
        bfd.stop()
    ended(before)


def ended(before: set[int]) -> None:
    """Ends the processes that are there beside those of before; some of them hang on purpose."""
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: children() == before, "they are gone")


DOWN = "say(name='a', up=True, on_purpose=False, why='')\n"
DOWN += "say(name='a', up=False, on_purpose=False, why='nothing was heard')\n"


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("print('no JSON', flush=True); time.sleep(60)", "says what nobody understands"),
        ("print('[1]', flush=True); time.sleep(60)", "says what nobody understands"),
        ("say(name='a'); time.sleep(60)", "says what nobody understands"),
        ("print('[' * 4000, flush=True); time.sleep(60)", "says what nobody understands"),
        ("os.write(1, b'x' * 100000); time.sleep(60)", "says what nobody understands"),
        ("os.kill(os.getpid(), 9)", "ended with status -9"),
    ],
)
def test_a_process_that_fails_is_started_again_and_holds_no_session_down(
    kept: Callable[[str], tuple[Bfd, Told, Supervisor]],
    caplog: pytest.LogCaptureFixture,
    end: str,
    told: str,
) -> None:
    caplog.set_level(logging.ERROR)
    _, paths, supervisor = kept(f"{DOWN}if runs == 0: {end}\ntime.sleep(60)\n")
    until(lambda: paths.paths.count(("a", False)) == 2)
    assert paths.paths[:3] == [("a", True), ("a", False), ("a", True)]
    assert f"the BFD process {told}" in caplog.text
    assert not supervisor.faults


def test_a_process_that_hangs_is_started_again(
    kept: Callable[[str], tuple[Bfd, Told, Supervisor]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    _, paths, _ = kept(f"{DOWN}time.sleep(60)\n")
    until(lambda: paths.paths.count(("a", False)) == 2)
    assert "the BFD process has said nothing for 10 s" in caplog.text


def test_one_that_cannot_be_started_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    program = tmp_path / "program"
    before = children()
    told, supervisor = Told(), Supervisor()
    bfd = Bfd(told, supervisor, [str(program)])
    bfd.watch([A])
    until(lambda: "cannot be started: No such file or directory" in caplog.text)
    words = '{"name": "a", "up": true, "on_purpose": false, "why": ""}'
    program.write_text(f"#!/bin/sh\necho '{words}'\nexec sleep 60\n")
    program.chmod(0o755)
    until(lambda: told.paths == [("a", True)])
    assert not supervisor.faults
    bfd.stop()
    ended(before)


def test_a_process_that_does_not_read_holds_up_nobody(
    kept: Callable[[str], tuple[Bfd, Told, Supervisor]],
) -> None:
    bfd, _, _ = kept("time.sleep(60)\n")
    began = time.monotonic()
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
        bfd.watch(many[: 100 * count])
        hub.sleep(0)
    assert time.monotonic() - began < 5


def test_a_peer_without_a_route_is_named_and_the_others_are_told(
    kept: Callable[[str], tuple[Bfd, Told, Supervisor]], caplog: pytest.LogCaptureFixture
) -> None:
    bfd, paths, _ = kept(
        "peers = json.loads(sys.stdin.readline())\n"
        "say(name='a', up=False, on_purpose=True, why='it has begun')\n"
        "peers = json.loads(sys.stdin.readline())\n"
        "for p in peers: say(name=p['name'], up=True, on_purpose=False, why='')\n"
        "time.sleep(60)\n"
    )
    until(lambda: paths.paths, "the first line is read")
    nowhere = peer("nowhere", bfd=True, address="255.255.255.255")
    assert bfd.watch([nowhere, A]) == frozenset({"nowhere"})
    until(lambda: ("a", True) in paths.paths)
    assert "peer nowhere: no route to 255.255.255.255" in caplog.text
