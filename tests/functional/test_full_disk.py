"""A state_dir that is full for a while: routes are still announced, and none is forgotten."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Neighbour
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program, Sections
from tests.functional.conftest import LEAF_AS, LEAVES, OURS

NODE = "192.168.7.11"


@pytest.fixture
def disk(fabric: Fabric) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = fabric.folder / "small-disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def services(first: int, last: int) -> list[Json]:
    """Services with these numbers, each with the address of its number."""
    found: list[Json] = []
    for number in range(first, last):
        asked = {"eip.porter.kubesphere.io/v1alpha1": f"203.0.113.{number}"}
        name = f"s{number}"
        found += [service(name, annotations=asked), slice_of(name, "n1")]
    return found


def addresses(first: int, last: int) -> set[str]:
    """The addresses of the Services with these numbers."""
    return {f"203.0.113.{number}" for number in range(first, last)}


def writable(program: Program) -> bool:
    """Whether the program reports that it can write its journal."""
    return program.metric("porter_state_dir_writable") == 1


def test_what_was_announced_while_the_disk_was_full_is_withdrawn_after_a_restart(
    fabric: Fabric, disk: Path
) -> None:
    leaf = Bird(fabric.hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], [Neighbour(OURS, 65000)])
    leaf.start()
    sections: Sections = {
        "porter": {"state_dir": disk},
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "leaf"},
        "peer:leaf": {
            "address": LEAVES["bird"],
            "remote_as": LEAF_AS["bird"],
            "connect_retry": 1,
        },
        "bound_ip": {"mode": "none"},
    }
    program = Program(fabric.hosts["porter"], sections, name="full")
    program.put("pool", eip("pool", "203.0.113.0/24"))
    program.put("nodes", node("n1", NODE))
    program.put("services", *services(1, 6))
    program.start()
    wait_for(lambda: set(leaf.routes()), lambda r: r == addresses(1, 6), 15, "five routes")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 512):
            pass
    program.put("services", *services(1, 201))
    wait_for(lambda: set(leaf.routes()), lambda r: r == addresses(1, 201), 15, "200 routes")
    assert not writable(program)
    assert program.host.log(program.log).count("cannot be written (") == 1
    filler.unlink()
    wait_for(lambda: writable(program), bool, 15, "the journal to be written again")
    program.kill()
    program.put("services", *services(1, 96))
    program.start()
    wait_for(lambda: set(leaf.routes()), lambda r: r == addresses(1, 96), 15, "95 routes")
    assert "left out" not in program.host.log(program.log)
    program.stop()
    leaf.stop()
