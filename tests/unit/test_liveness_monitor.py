"""The monitor of the probing process: what it tells it, and what follows from its reports."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path

import pytest
from ryu.lib import hub

from porter_ryu.domain.model import Family
from porter_ryu.domain.nodes.liveness import Findings, ProbedNode
from porter_ryu.liveness import monitor as monitor_module
from porter_ryu.liveness.monitor import LivenessMonitor
from porter_ryu.liveness.orders import (
    NodeOrder,
    Report,
    decode_instructions,
    decode_nodes,
    decode_report,
    encode_instructions,
    encode_report,
)
from porter_ryu.liveness.probes import LivenessSettings, Probe, ProbeKind
from porter_ryu.supervisor import Supervisor
from tests.unit.until import children, until

PROBES = (Probe(ProbeKind.ICMP), Probe(ProbeKind.HTTP, 10256, "/healthz"))
A4, A6, B4 = ("a", Family.IPV4), ("a", Family.IPV6), ("b", Family.IPV4)
ADDRESSES = {
    "a": (ip_address("192.168.0.1"), ip_address("2001:db8::1")),
    "b": (ip_address("192.168.0.2"),),
}
HEAD = """
import json, os, sys, time
FOLDER = {folder!r}
runs = len(os.listdir(FOLDER))
def read():
    line = sys.stdin.readline()
    if line:
        with open(f"{{FOLDER}}.part", "w") as part: part.write(line)
        os.replace(f"{{FOLDER}}.part", f"{{FOLDER}}/{{len(os.listdir(FOLDER))}}")
    return line
def say(*found, doubted=(), **faults):
    print(json.dumps(dict(found=found, doubted=doubted, faults=faults)), flush=True)
sys.stdin.readline()  # the instructions
read()
"""
DEAD = Findings("icmp of 192.168.0.1 failed", ("http:10256/healthz of 192.168.0.1",))
DEAD_A = f'say(["a", "192.168.0.1", "{DEAD.dead}", ["{DEAD.unanswered[0]}"]])\n'


class Found:
    """What the monitor passed on."""

    def __init__(self) -> None:
        self.latest: dict[ProbedNode, Findings] = {}
        self.calls = 0

    def __call__(self, found: Mapping[ProbedNode, Findings]) -> None:
        self.calls += 1
        self.latest |= found


Start = Callable[[str], tuple[LivenessMonitor, Found]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a monitor whose process runs a script; each line that it reads becomes a file."""
    running: list[LivenessMonitor] = []
    before = children()

    def start_with(script: str) -> tuple[LivenessMonitor, Found]:
        found = Found()
        command = [sys.executable, "-c", HEAD.format(folder=str(tmp_path)) + script]
        settings = LivenessSettings(PROBES, 0.25, 3)
        made = LivenessMonitor(settings, 90, found, Supervisor(), command)
        running.append(made)
        made.update(ADDRESSES)
        made.start()
        return made, found

    yield start_with
    for made in running:
        made.stop()
    for pid in children() - before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: children() == before, "they have ended")


def orders(folder: Path) -> list[list[NodeOrder]]:
    """The orders about nodes that the processes read, line by line."""
    lines = ((folder / name).read_bytes() for name in sorted(os.listdir(folder), key=int))
    return [list(decode_nodes(line)) for line in lines]


def test_the_process_is_told_all_and_then_what_changes(start: Start, tmp_path: Path) -> None:
    made, _ = start("while read(): pass\n")
    until(lambda: len(orders(tmp_path)) == 1)
    assert orders(tmp_path)[0] == [
        NodeOrder(A4, "192.168.0.1"),
        NodeOrder(A6, "2001:db8::1"),
        NodeOrder(B4, "192.168.0.2"),
    ]
    made.update({"b": (), "c": (ip_address("192.168.0.3"),), "a": ADDRESSES["a"]})
    until(lambda: len(orders(tmp_path)) == 2)
    assert orders(tmp_path)[1] == [
        NodeOrder(B4, None),
        NodeOrder(("c", Family.IPV4), "192.168.0.3"),
    ]


def test_many_nodes_are_told_in_many_lines(start: Start, tmp_path: Path) -> None:
    made, _ = start("while read(): pass\n")
    until(lambda: len(orders(tmp_path)) == 1)
    made.update({f"n{number}": (ip_address(number + 1),) for number in range(1000)})
    until(lambda: len(orders(tmp_path)) == 11)
    assert {len(line) for line in orders(tmp_path)[1:]} == {100}


def test_findings_are_passed_on_and_logged(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    made, found = start(
        f'{DEAD_A}say(["b", "192.168.0.2", "", []], ["unknown", "192.168.0.3", "dead", []])\n'
        "read()\n"
        'say(["a", "192.168.0.1", "", []], ["b", "192.168.0.9", "dead", []], doubted=[6],'
        ' icmp="needs CAP_NET_RAW")\ntime.sleep(60)\n'
    )
    until(lambda: len(found.latest) == 2)
    assert found.latest == {A4: DEAD, B4: Findings()}
    assert made.answering == {Family.IPV4: 2, Family.IPV6: 0}
    assert not made.doubted
    made.update({"c": (ip_address("192.168.0.3"),)})
    until(lambda: made.doubted)
    assert found.latest[A4] == Findings()
    text = caplog.text
    assert "node a is no next hop of IPv4: icmp of 192.168.0.1 failed" in text
    assert "node a answers again over IPv4" in text
    assert "ALARM: almost all nodes stopped answering at once over IPv6" in text
    assert "probing of nodes, icmp: needs CAP_NET_RAW" in text


@pytest.mark.parametrize(
    "end", ["sys.exit(3)", "os.kill(os.getpid(), 9)", "print('no JSON', flush=True); read()"]
)
def test_a_process_that_ends_is_restarted_and_takes_over_what_was_found(
    start: Start, tmp_path: Path, end: str
) -> None:
    made, found = start(f"if runs == 0:\n    {DEAD_A}    {end}\nsay()\nread()\n")
    until(lambda: made.fault)
    assert made.fault.startswith("the liveness process ")
    assert found.latest == {A4: DEAD}
    until(lambda: not made.fault)
    assert orders(tmp_path)[1][0] == NodeOrder(A4, "192.168.0.1", DEAD)
    assert found.latest == {A4: DEAD}, "nothing was withdrawn and nothing returned"


def test_without_a_process_for_long_every_node_counts_as_alive(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor_module, "_KEEP_SECONDS", 0.3)
    made, found = start(f"if runs == 0:\n    {DEAD_A}    sys.exit(1)\nsys.exit(2)\n")
    until(lambda: found.latest == {A4: Findings()})
    assert made.fault
    assert not any(made.answering.values())
    assert "nodes are not probed any more: a count as alive" in caplog.text


def test_what_was_found_about_an_address_ends_with_it(start: Start, tmp_path: Path) -> None:
    made, found = start(f"{DEAD_A}while read(): pass\n")
    until(lambda: found.latest)
    made.update({"a": (ip_address("192.168.0.9"),)})
    until(lambda: len(orders(tmp_path)) == 2)
    assert found.latest == {A4: Findings()}
    assert orders(tmp_path)[1] == [NodeOrder(A4, "192.168.0.9"), NodeOrder(A6, None)]


def test_probes_that_were_never_answered_are_logged_once(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor_module, "_SUMMARY_SECONDS", 0.01)
    start(f"{DEAD_A}time.sleep(60)\n")
    text = "the probe http:10256/healthz over IPv4 was never answered by a: it counts for nothing"
    until(lambda: text in caplog.text)
    hub.sleep(0.1)
    assert caplog.text.count("never answered") == 1


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"[]",
        b"{}",
        b"null",
        b'{"found": 1, "doubted": [], "faults": {}}',
        b'{"found": [["a", "::1", ""]], "doubted": [], "faults": {}}',
        b'{"found": [["a", "::1", "", 1]], "doubted": [], "faults": {}}',
        b'{"found": [], "doubted": [7], "faults": {}}',
        b'{"found": [], "doubted": [], "faults": 3}',
    ],
)
def test_an_invalid_report_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        decode_report(line)


def test_a_report_is_read_as_it_was_written() -> None:
    report = Report({("a", "::1"): DEAD}, frozenset([Family.IPV6]), {"icmp": "no rights"})
    assert decode_report(encode_report(report)) == report
    assert json.loads(encode_report(report))["doubted"] == [6]


def test_the_instructions_are_read_as_they_were_written() -> None:
    line = encode_instructions(LivenessSettings(PROBES, 0.25, 3), 90)
    read = decode_instructions(line)
    assert read.probes == PROBES
    rule = read.rule
    assert (rule.interval, rule.timeout, rule.multiplier) == (0.25, 0.0625, 3)
    assert rule.panic_percent == 90
