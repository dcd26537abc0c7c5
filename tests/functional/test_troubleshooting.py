"""docs/troubleshooting.md: each question is answered by its command, on an instance in trouble."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fabric import Fabric, wait_for
from fabric.objects import eip, service
from fabric.program import command
from tests.functional import outage_scene as scene

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
# of each question: what words of its command stand for, the exit status, what a reader has to find
ANSWERS: tuple[tuple[dict[str, str], int, str], ...] = (
    ({"NAMESPACE/NAME": "default/quiet-1"}, 1, "default/quiet-1: NoReadyEndpoints: no endpoint"),
    ({"NODE": scene.NOT_READY}, 1, f"node {scene.NOT_READY}: not usable: it is not Ready"),
    ({}, 1, f"the session with {scene.DOWN} "),
    ({"PEER": scene.WELL, "PREFIX": "203.0.113.3/32"}, 0, scene.NODES["n3"]),
    ({}, 0, f"node {scene.DRAINED}: usable"),
    ({"ADDRESS": "203.0.113.3"}, 0, "default/s00"),
    ({}, 1, "Valid 1 1 100 %"),
    ({}, 1, f"correct remote_as in [peer:{scene.DOWN}]"),
    ({}, 0, "restart routes: "),
    ({}, 1, "role leader"),
    ({}, 1, "last heard"),
    ({"NODE": "n1"}, 1, "Services have no other node and would stay on n1: "),
    (
        {"FILE": "CONFIG", "eip.yaml": "MANIFEST"},
        1,
        f"default/{scene.FULL} (198.51.100.2) in Eip small: PoolExhausted -> Announced",
    ),
    ({"NAMESPACE/NAME": "default/s001"}, 0, "address default/s001: none -> 203.0.113."),
    ({"NODE": "n1"}, 0, "next hop of 118 Services"),
    ({"NAMESPACE/NAME": "default/fights"}, 1, "AddressInUse"),
    ({}, 1, "version "),
    ({}, 0, "65099"),
    ({}, 1, "PEER ADDRESS AS STATE SINCE PATHS"),
    ({"PEER": scene.WELL}, 0, f"session {scene.WELL}: "),
)


def rows() -> list[tuple[str, str]]:
    """The questions of the page, each with its command."""
    found = re.findall(r"^\| ([^|]+\?) \| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    return [(question, words) for question, words in found]


@pytest.fixture(scope="module")
def outage(fabric: Fabric) -> Iterator[scene.Outage]:
    """The instance in trouble, and its leaves."""
    with scene.outage(fabric, "troubleshooting") as outage:
        annotations = {"eip.porter.kubesphere.io/v1alpha1": "203.0.113.3"}
        outage.program.put("fights", service("fights", annotations=annotations))
        wait_for(
            lambda: outage.program.get("/v1/services/default/fights")["state"],
            lambda state: state == "AddressInUse",
            10,
            "the Service that asks for an address that is held",
        )
        yield outage


def test_every_question_of_the_page_has_an_answer_here() -> None:
    assert len(rows()) == len(ANSWERS) == 20


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_the_command_of_the_page_answers_the_question(outage: scene.Outage, number: int) -> None:
    (question, words), (stand_for, status, wanted) = rows()[number], ANSWERS[number]
    program = outage.program
    manifest = program.host.folder / "enlarged.yaml"
    manifest.write_text(yaml.safe_dump(eip("small", "198.51.100.1-198.51.100.2", autoAssign=False)))
    files = {"CONFIG": str(program.config), "MANIFEST": str(manifest)}
    for name, value in stand_for.items():
        assert name in words, question
        words = words.replace(name, files.get(value, value))
    name, *more = words.split()
    argv = program.host.inside([command(name), *more])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (status, ""), question
    assert wanted in " ".join(done.stdout.split()), question
