"""Many HTTP clients at once, with 10,000 Services and a BIRD session with a hold time of 3 s.

The rest of the program is not affected: /healthz answers within a second, the event loop is not
delayed, the memory does not grow, and the session stays up.
"""

from __future__ import annotations

import json
import operator
import os
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fabric import Fabric, inside, wait_for
from fabric.leaves import Bird, Neighbour
from fabric.metronome import Metronome
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program

SERVICES = 10_000
MAX_MEMORY_KB = 150 * 1024
CROWD = Path(__file__).with_name("http_crowd.py")
LIST = 1_000


class Scene:
    """The program and its leaf."""

    def __init__(self, program: Program, leaf: Bird, metronome: Metronome) -> None:
        self.program = program
        self.leaf = leaf
        self._metronome = metronome
        self.proc = Path(f"/proc/{program.process.pid}")

    def crowd(
        self, count: int, manner: str, request: str, seconds: float = 8, timed: bool = True
    ) -> dict[str, Any]:
        """The outcomes of many clients that send this; asserts that nothing else was affected; with
        `timed`, that nothing else had to wait."""
        since = self.since()
        before = self.memory("VmRSS")
        (self.proc / "clear_refs").write_text("5")
        argv = [sys.executable, str(CROWD), str(count), manner, str(seconds), request]
        seen: dict[str, Any] = json.loads(self.program.host.run(argv, seconds=200))
        lag = self.program.loop_lag(within=15)
        grown = self.memory("VmHWM") - before
        print(seen, f"lag {lag:.3f} s, memory +{grown >> 10} MB")
        assert seen["failures"] == []
        assert grown < MAX_MEMORY_KB
        assert self.since() == since, "the session of the leaf was another one before"
        if timed:
            # the crowd is one process, which may be late itself
            assert seen["slowest"] < 1.0 + self._metronome.allowed_lag + 4 * seen["late"]
            assert lag < self._metronome.allowed_lag
        return seen

    def calm(self) -> bool:
        """Whether its event loop was not late within the last minute."""
        return self.program.loop_lag(within=15) < self._metronome.allowed_lag

    def memory(self, key: str) -> int:
        """A value from /proc/PID/status, in kB."""
        text = (self.proc / "status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key))

    def since(self) -> str:
        """The time since which BIRD's session is up."""
        line = self.leaf.command("show protocols p0").splitlines()[-1]
        assert "Established" in line, line
        return line


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """10,000 Services on 4 nodes, recorded and announced."""
    with Fabric() as fabric:
        porter, bird = fabric.host("porter"), fabric.host("bird")
        fabric.link(porter, bird, ["192.168.8.5/24"], ["192.168.8.1/24"])
        bird.nice = -20  # its hold time is three seconds
        leaf = Bird(bird, 65001, "192.168.8.1", [Neighbour("192.168.8.5", 65000)]).start()
        program = Program(
            porter,
            {
                "porter": {"allocate": "false"},
                "bgp": {"local_as": 65000, "router_id": "192.168.8.5", "peers": "bird"},
                "bound_ip": {"mode": "none"},
                "peer:bird": {"address": "192.168.8.1", "remote_as": 65001, "hold_time": 3},
            },
        )
        nodes = [f"n{n}" for n in range(4)]
        program.put("pool", eip("pool", "203.0.0.0/16"))
        program.put("nodes", *(node(n, f"192.168.8.1{n[1:]}") for n in nodes))
        for start in range(0, SERVICES, LIST):
            items = []
            for number in range(start, start + LIST):
                address = f"203.0.{number >> 8}.{number & 255}"
                recorded = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
                items.append({**service(f"s{number:05}"), "status": recorded})
                items.append(slice_of(f"s{number:05}", *nodes))
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            (program.manifests / f"list{start}.json").write_text(text)
        metronome = Metronome(fabric.folder)
        program.start(ready=False)
        # what is measured is the program, not what else the machine does
        os.setpriority(os.PRIO_PROCESS, program.process.pid, -20)
        wait_for(program.is_ready, bool, 120, "10,000 Services")
        wait_for(
            lambda: leaf.command("show route count"),
            lambda text: f"{4 * SERVICES} of {4 * SERVICES} routes" in text,
            30,
            "their routes",
        )
        scene = Scene(program, leaf, metronome)
        second = "sh", "-c", "sleep 1"
        wait_for(
            lambda: (porter.run(second), scene.calm())[1],
            bool,
            120,
            "the minute of its start to be over",
        )
        yield scene
        metronome.stop()
        program.stop()
        leaf.stop()


def get(path: str) -> str:
    """A request with its escapes resolved."""
    return rf"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_the_list_of_10_000_services_is_complete(scene: Scene) -> None:
    entries = scene.program.get("/v1/services")
    assert len(entries) == SERVICES
    assert {(entry["state"], entry["announced"]) for entry in entries} == {("Announced", True)}
    assert len(scene.program.get("/v1/plan")["services"]) == SERVICES


@pytest.mark.parametrize(("count", "path"), [(40, "/v1/services"), (30, "/v1/plan")])
def test_many_clients_that_request_everything(scene: Scene, count: int, path: str) -> None:
    seen = scene.crowd(count, "reads", get(path))
    assert set(seen["outcomes"]) <= {"200 whole", "503 whole"}
    assert seen["outcomes"]["200 whole"] >= 3


def test_many_scrapes(scene: Scene) -> None:
    seen = scene.crowd(100, "reads", get("/metrics"))
    assert seen["outcomes"] == {"200 whole": 100}


def test_incomplete_requests(scene: Scene) -> None:
    seen = scene.crowd(200, "holds", r"GET /v1/services HTTP/1.1\r\nHost: local")
    assert set(seen["outcomes"]) <= {"408 ended", " ended", "ConnectionResetError"}


def test_connections_without_a_request(scene: Scene) -> None:
    scene.crowd(500, "holds", "")


def test_clients_that_read_a_hundred_octets_at_a_time(scene: Scene) -> None:
    seen = scene.crowd(60, "slow", get("/v1/plan"), seconds=15)
    assert seen["outcomes"]["503 ended"] >= 50
    wait_for(
        lambda: len(scene.program.get("/v1/services")), lambda n: n == SERVICES, 30, "a free place"
    )


def churn(scene: Scene) -> None:
    """Every route changes twice: the record is full of changes."""
    program, names = scene.program, [f"n{n}" for n in range(4)]
    for ready in (False, True):
        sequence = newest(program)  # of the changes so far
        addresses = {name: f"192.168.8.1{name[1:]}" for name in names}
        nodes = (node(n, a, ready=ready or n != "n3") for n, a in addresses.items())
        program.put("nodes", *nodes)
        wait_for(
            lambda: newest(program),
            partial(operator.le, sequence + SERVICES),
            60,
            "all routes to change",
        )


def newest(program: Program) -> int:
    """The number of the last change."""
    with inside(program.host):
        sock = socket.create_connection(("127.0.0.1", 8080), 60)
    with sock, sock.makefile("rb") as answer:
        sock.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        start = next(line for line in answer if line.startswith(b"data: "))
    return int(json.loads(start.removeprefix(b"data: "))["sequence"])


@pytest.mark.parametrize(
    ("count", "manner"), [(1000, "slow"), (1000, "vanishes"), (300, "follows")]
)
def test_streams_of_a_full_record(scene: Scene, count: int, manner: str) -> None:
    """A thousand clients that hardly read, or not at all, delay no KEEPALIVE; nor do those that
    do."""
    churn(scene)
    seen = scene.crowd(count, manner, get("/v1/stream?since=0"), timed=False)
    assert manner == "vanishes" or seen["outcomes"]["200 ended"] >= 10
    wait_for(
        lambda: scene.program.host.run(
            "curl -sN -m 1 -o /dev/null -w %{http_code} http://127.0.0.1:8080/v1/stream",
            check=False,
        ),
        lambda status: status == "200",
        60,
        "a free stream",
    )
