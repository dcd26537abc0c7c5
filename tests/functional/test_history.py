"""What changed and why, asked of a running instance with `porter-ryu history`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Leaf, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, command
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, peers
from tests.functional.test_next_hops import NODES, expect

PREFIX = "203.0.113.8"


@pytest.fixture(scope="module")
def leaves(fabric: Fabric) -> dict[str, Leaf]:
    """BIRD and FRR."""
    us, hosts = [Neighbour(OURS, 65000)], fabric.hosts
    return {
        "bird": Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start(),
        "frr": Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start(),
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, leaves: dict[str, Leaf]) -> Iterator[Program]:
    """The program with both as peers."""
    sections = peers()
    sections["bgp"]["peers"] = ",".join(leaves)
    del sections["peer:gobgpd"]
    program = Program(fabric.hosts["porter"], sections)
    yield program.start()
    program.stop()


@pytest.fixture(autouse=True)
def cluster(program: Program, leaves: dict[str, Leaf]) -> None:
    """Four nodes, and a Service with an endpoint on two of them."""
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("pool", eip("pool", "203.0.113.8/29"))
    program.put("web", service("web"))
    program.put("slice", slice_of("web", "n1", "n2"))
    expect(leaves, PREFIX, "n1", "n2")


def history(program: Program, *about: str) -> list[Json]:
    """The changes about a subject, as JSON."""
    argv = [command("porter-ryu"), "history", *about, "-o", "json"]
    entries: list[Json] = json.loads(program.host.run(argv))
    return entries


def newest(program: Program, kind: str, to: str, *about: str) -> Json:
    """The newest change of a kind about a subject, once it is the one that leads to `to`."""

    def last() -> Json:
        found = [entry for entry in history(program, *about) if entry["kind"] == kind]
        return found[-1] if found else {}

    return wait_for(last, lambda e: e.get("to") == to, 5, f"the {kind} of {about} to be {to}")


def test_a_changed_endpoint(program: Program, leaves: dict[str, Leaf]) -> None:
    program.put("slice", slice_of("web", "n1", "n3"))
    expect(leaves, PREFIX, "n1", "n3")
    entry = newest(program, "route", "n1, n3", "default/web")
    assert (entry["object"], entry["from"]) == (PREFIX, "n1, n2")
    assert entry["cause"].startswith("EndpointSlice default/web")
    assert 0 < entry["secondsToWire"] < 1
    for about in ([PREFIX], [f"{PREFIX}/32"], ["node", "n2"], ["node", "n3"]):
        assert newest(program, "route", "n1, n3", *about) == entry
    assert entry not in history(program, "node", "n1"), "nothing changed about it"
    assert entry not in history(program, "default/other")
    program.logs(f"route {PREFIX}: n1, n2 -> n1, n3 (EndpointSlice default/web")


def test_a_lost_node(program: Program, leaves: dict[str, Leaf]) -> None:
    program.put("n2", node("n2", NODES["n2"], ready=False))
    expect(leaves, PREFIX, "n1")
    entry = newest(program, "route", "n1", "node", "n2")
    assert entry["from"] == "n1, n2"
    assert entry["cause"].startswith("Node n2")


def test_the_text_has_80_columns_and_the_newest_is_last(program: Program) -> None:
    many = [f"n{number}" for number in range(1, 5)]
    program.put("slice", slice_of("web", *many))
    newest(program, "route", ", ".join(many), PREFIX)
    lines = program.host.run([command("porter-ryu"), "history", PREFIX]).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[-2].endswith(f"route {PREFIX}: n1, n2 -> n1, n2, n3, n4")
    assert lines[-1].startswith("    EndpointSlice default/web")


@pytest.mark.parametrize(
    "about", ["web", "a/b/c", "node", "peer a b", "203.0.113.8.9", "pod a", "300.1.1.1/8/9", " "]
)
def test_what_is_no_subject_is_one_line_and_status_2(program: Program, about: str) -> None:
    argv = program.host.inside([command("porter-ryu"), "history", *about.split(" ")])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "NAMESPACE/NAME" in done.stderr


def test_an_instance_that_does_not_answer_is_status_2(program: Program) -> None:
    argv = [command("porter-ryu"), "history", "--url", "http://127.0.0.1:1"]
    inside = program.host.inside(argv)
    done = subprocess.run(inside, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_restart_is_one_line(program: Program, leaves: dict[str, Leaf]) -> None:
    files = {"db": "n3", "gone": "n4"}
    for name, host in files.items():
        program.put(name, service(name), slice_of(name, host))
    expect(leaves, "203.0.113.9", "n3")
    expect(leaves, "203.0.113.10", "n4")
    program.kill()
    program.put("slice", slice_of("web", "n1", "n4"))
    program.remove("gone")
    program.start()
    [entry] = history(program)
    assert (entry["kind"], entry["from"]) == ("restart", "3 announced by an earlier run")
    assert entry["to"] == "1 as before, 1 changed, 1 gone, 0 new"
    program.logs(f"restart routes: {entry['from']} -> {entry['to']}")
    expect(leaves, PREFIX, "n1", "n4")
    program.remove("db")
    expect(leaves, "203.0.113.9")
