"""Arbitrary content in the directory: the leaf loses no route, and .status loses no record."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Neighbour
from fabric.metronome import Metronome
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from fabric.watchers import no_route_lost

from .conftest import LEAVES, OURS

NODES = {"n1": "192.168.7.11", "n2": "192.168.7.12"}
WITHIN = 3.0
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "underscore.yaml": "a: 0x_\n---\na: 0b_\n---\na: !!int abc\n",
    "digits.yaml": f"a: {'1' * 5000}\n",
    "digits.json": f'{{"a": {"1" * 5000}}}',
    "deep.json": '{"a":' * 3000 + "1" + "}" * 3000,
    "self.yaml": "&a {kind: List, items: [*a]}\n---\nspec: &a {self: *a}\n",
    "laughs.yaml": LAUGHS,
    "open.yaml": "kind: [oops\n",
    "keys.yaml": "? {a: b}\n: c\n---\n{[a]: b}\n---\na: {<<: 5}\n",
    "nul.yaml": "a: \0\n",
    "brackets.yaml": "a: " + "[" * 1_000_000,
    "wrong.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: wrong}\nspec: {ports: 80}\n",
}


@pytest.fixture(scope="module")
def bird(fabric: Fabric) -> Bird:
    """A leaf that shows whether a route is lost."""
    return Bird(fabric.hosts["bird"], 65001, LEAVES["bird"], [Neighbour(OURS, 65000)]).start()


@pytest.fixture
def program(fabric: Fabric, bird: Bird) -> Iterator[Program]:
    """The program with two nodes and two announced Services."""
    peer = {"address": LEAVES["bird"], "remote_as": 65001, "connect_retry": 1}
    program = Program(
        fabric.hosts["porter"],
        {
            "bgp": {"local_as": 65000, "router_id": OURS, "peers": "bird"},
            "bound_ip": {"mode": "none"},
            "peer:bird": peer,
        },
        name="faults",
    )
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("pool", eip("pool", "203.0.113.8/29"))
    for name in ("web", "www"):
        program.put(name, service(name))
        program.put(f"{name}-slice", slice_of(name, "n1"))
    program.start()
    announced(bird, "203.0.113.8", "n1")
    announced(bird, "203.0.113.9", "n1")
    yield program
    program.stop()
    shutil.rmtree(program.manifests)


def announced(bird: Bird, prefix: str, *nodes: str) -> None:
    """Asserts that the leaf has a route via exactly these nodes."""
    wanted = frozenset(NODES[name] for name in nodes)
    wait_for(
        lambda: bird.routes().get(prefix, frozenset()),
        lambda seen: seen == wanted,
        WITHIN,
        f"next hops of {prefix}",
    )


def record(program: Program, name: str) -> list[str]:
    """The addresses of a Service in `.status`."""
    status = program.status("services", f"default/{name}")
    return [entry["ip"] for entry in status.get("loadBalancer", {}).get("ingress", [])]


def health(program: Program) -> tuple[str, str]:
    """The status codes of /healthz and /readyz."""
    ask = "curl -s -o /dev/null -w %{http_code} http://127.0.0.1:8080"
    healthz, readyz = (
        program.host.run(f"{ask}/{path}", check=False) for path in ("healthz", "readyz")
    )
    return healthz, readyz


def test_no_content_of_the_directory_stops_the_program(program: Program, bird: Bird) -> None:
    before = {name: record(program, name) for name in ("web", "www")}
    for name, text in HOSTILE.items():
        (program.manifests / name).write_text(text)
    os.mkfifo(program.manifests / "fifo.yaml")
    (program.manifests / "nowhere.yaml").symlink_to("/nowhere")
    (program.manifests / "zero.yaml").symlink_to("/dev/zero")
    program.put("web-slice", slice_of("web", "n1", "n2"))
    announced(bird, "203.0.113.8", "n1", "n2")
    announced(bird, "203.0.113.9", "n1")
    for name in ("deep.json:1:", "self.yaml:1:", "laughs.yaml:", "open.yaml:2:", "wrong.yaml:1:"):
        program.logs(name)
    assert "Traceback" not in program.host.log(program.log)
    assert health(program) == ("200", "200")
    program.stop()
    program.start()
    announced(bird, "203.0.113.8", "n1", "n2")
    announced(bird, "203.0.113.9", "n1")
    assert {name: record(program, name) for name in before} == before
    program.put("www-slice", slice_of("www", "n2"))
    announced(bird, "203.0.113.9", "n2")


def test_an_object_that_becomes_invalid_over_a_restart_keeps_its_address(
    program: Program, bird: Bird
) -> None:
    program.stop()
    (program.manifests / "web.yaml").write_text("kind: [oops\n")
    wrong = service("www")
    wrong["spec"]["ports"] = [{"port": "80"}]
    program.put("www", wrong)
    program.put("late", service("late"))
    program.put("late-slice", slice_of("late", "n2"))
    program.start()
    announced(bird, "203.0.113.10", "n2")
    assert record(program, "web") == ["203.0.113.8"]
    assert record(program, "www") == ["203.0.113.9"]
    assert record(program, "late") == ["203.0.113.10"]
    program.put("web", service("web"))
    program.put("www", service("www"))
    announced(bird, "203.0.113.8", "n1")
    announced(bird, "203.0.113.9", "n1")
    assert record(program, "web") == ["203.0.113.8"]


def test_a_document_that_becomes_invalid_at_run_time_loses_no_route(
    program: Program, bird: Bird
) -> None:
    for name in ("web", "pool", "n1", "www-slice"):
        (program.manifests / f"{name}.yaml").write_text("kind: [oops\n")
    program.put("web-slice", slice_of("web", "n1", "n2"))
    announced(bird, "203.0.113.8", "n1", "n2")
    announced(bird, "203.0.113.9", "n1")
    assert record(program, "web") == ["203.0.113.8"]
    kept = program.manifests / ".status" / "last-good"
    wait_for(lambda: len(list(kept.glob("*.json"))), lambda count: count == 4, WITHIN, "its copies")
    with no_route_lost(bird.host, bird.routes()):
        for end in (program.stop, program.kill):
            end()
            program.start()
            wait_for(lambda: program.get("/v1/peers")[0]["paths"]["ipv4"], (3).__eq__, 15, "paths")
    program.put("n1", node("n1", "192.168.7.11"))
    program.put("pool", eip("pool", "203.0.113.8/29"))
    for name in ("web", "www-slice"):
        (program.manifests / f"{name}.yaml").unlink()
    for prefix in ("203.0.113.8", "203.0.113.9"):
        announced(bird, prefix)


def test_a_directory_that_is_missing_for_a_while_loses_no_route(
    program: Program, bird: Bird
) -> None:
    away = program.manifests.with_suffix(".away")
    program.manifests.rename(away)
    wait_for(lambda: "cannot be read" in program.host.log(program.log), bool, WITHIN, "its report")
    announced(bird, "203.0.113.8", "n1")
    announced(bird, "203.0.113.9", "n1")
    away.rename(program.manifests)
    program.put("web-slice", slice_of("web", "n2"))
    announced(bird, "203.0.113.8", "n2")
    announced(bird, "203.0.113.9", "n1")
    assert (record(program, "web"), record(program, "www")) == (["203.0.113.8"], ["203.0.113.9"])


def test_an_empty_directory_in_its_place_at_a_start_loses_no_route(
    program: Program, bird: Bird
) -> None:
    """A volume that is not mounted yet."""
    program.stop()
    away = program.manifests.with_suffix(".away")
    program.manifests.rename(away)
    program.manifests.mkdir()
    program.start(ready=False)
    program.logs("is it unmounted?", 30)
    wait_for(lambda: program.answers("/v1/peers"), bool, 30, "its interface")
    wait_for(lambda: program.get("/v1/peers")[0]["state"], "Established".__eq__, 30, "a session")
    wait_for(
        lambda: [entry["reason"] for entry in program.get("/v1/status")["problems"]],
        lambda reasons: "SourceUnreadable" in reasons,
        WITHIN,
        "the problem",
    )
    assert not list(program.manifests.iterdir()), "nothing is written there"
    announced(bird, "203.0.113.8", "n1")
    announced(bird, "203.0.113.9", "n1")
    program.manifests.rmdir()
    away.rename(program.manifests)
    program.put("web-slice", slice_of("web", "n2"))
    announced(bird, "203.0.113.8", "n2")
    announced(bird, "203.0.113.9", "n1")
    assert (record(program, "web"), record(program, "www")) == (["203.0.113.8"], ["203.0.113.9"])


def test_without_files_at_a_start_everything_is_withdrawn(program: Program, bird: Bird) -> None:
    """The records show that it is the directory of before."""
    program.stop()
    for name in ("web", "www"):
        program.remove(name)
    for path in program.manifests.glob("*.yaml"):
        path.unlink()
    program.start()
    for prefix in ("203.0.113.8", "203.0.113.9"):
        announced(bird, prefix)


def test_status_is_never_written_through_a_link(
    program: Program, bird: Bird, tmp_path: Path
) -> None:
    program.stop()
    status, elsewhere = program.manifests / ".status", tmp_path / "elsewhere"
    status.rename(elsewhere)
    status.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*.json")}
    program.start()
    program.put("late", service("late"))
    program.put("late-slice", slice_of("late", "n2"))
    program.remove("www")
    wait_for(
        lambda: ".status cannot be read" in program.host.log(program.log), bool, WITHIN, "a report"
    )
    wait_for(
        lambda: [entry["name"] for entry in program.get("/v1/services")],
        lambda names: "www" not in names,
        WITHIN,
        "www to go",
    )
    assert {path: path.read_bytes() for path in elsewhere.rglob("*.json")} == before
    exchange(status, elsewhere)
    announced(bird, "203.0.113.8", "n1")


def exchange(one: Path, other: Path) -> None:
    """Exchanges two names atomically (renameat2(2)), so that there is always a record."""
    libc = ctypes.CDLL(None, use_errno=True)
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if libc.renameat2(here, bytes(one), here, bytes(other), swap):
        raise OSError(ctypes.get_errno(), "renameat2")


def test_a_file_in_place_of_status_is_reported(program: Program, bird: Bird) -> None:
    services = program.manifests / ".status" / "services"
    services.rename(program.manifests / ".services")
    services.write_text("in the way")
    program.put("web-slice", slice_of("web", "n2"))
    announced(bird, "203.0.113.8", "n2")
    announced(bird, "203.0.113.9", "n1")
    services.unlink()
    (program.manifests / ".services").rename(services)
    program.put("www-slice", slice_of("www", "n2"))
    announced(bird, "203.0.113.9", "n2")
    assert record(program, "web") == ["203.0.113.8"]


@pytest.mark.parametrize("addresses", ["203.0.113.8/29", "203.0.113.8-203.0.114.255"])
def test_the_address_on_a_record_that_cannot_be_read_at_a_start_goes_to_nobody_else(
    program: Program, bird: Bird, addresses: str
) -> None:
    """The status of a small Eip says who holds it; of a large one nothing is assigned meanwhile."""
    program.put("pool", eip("pool", addresses))
    wait_for(
        lambda: program.status("eips", "pool").get("lastIP"),
        lambda last: last in ("203.0.113.15", "203.0.114.255"),
        WITHIN,
        "the Eip to be what it is",
    )
    program.stop()
    folder, away = program.manifests / ".status/services/default", program.manifests / ".default"
    folder.rename(away)
    folder.write_text("in the way")
    late = [service("late"), slice_of("late", "n2")]
    for obj in late:
        obj["metadata"]["namespace"] = "team"
    program.put("late", *late)
    program.start()
    small = addresses.endswith("/29")
    if small:
        announced(bird, "203.0.113.10", "n2")
    else:
        wait_for(
            lambda: program.status("services", "team/late").get("conditions", [{}])[0],
            lambda condition: condition.get("reason") == "RecordUnknown",
            WITHIN,
            "the condition that says so",
        )
    problems = wait_for(
        lambda: {entry["reason"]: entry for entry in program.get("/v1/status")["problems"]},
        lambda seen: "ObjectUnreadable" in seen and ("RecordUnknown" in seen) is not small,
        WITHIN,
        "the problems",
    )
    assert ".status/services/default" in problems["ObjectUnreadable"]["mend"]
    folder.unlink()
    away.rename(folder)
    announced(bird, "203.0.113.8", "n1")
    announced(bird, "203.0.113.9", "n1")
    announced(bird, "203.0.113.10", "n2")
    assert (record(program, "web"), record(program, "www")) == (["203.0.113.8"], ["203.0.113.9"])


def test_yaml_is_read_as_by_kubectl(program: Program, bird: Bird) -> None:
    program.stop()
    shutil.rmtree(program.manifests)
    program.manifests.mkdir()
    program.put("n1", node("n1", NODES["n1"]))
    stream = "".join(json.dumps(o) for o in (eip("pool", "203.0.113.12/32"), slice_of("web", "n1")))
    (program.manifests / "stream.json").write_text("\ufeff" + stream)
    (program.manifests / "web.yaml").write_text(
        "\ufeffapiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  annotations:\n"
        "    lb.kubesphere.io/v1alpha1: porter\n    equals: =\n    time: 22:30\n"
        "    address: 2001:10:20:30:40:50:1:10\nspec:\n  type: LoadBalancer\n"
        "  ipFamilies: [IPv4]\n  ports: [{port: 0120}]\n---\n"
    )
    program.start()
    announced(bird, "203.0.113.12", "n1")


def test_a_large_file_does_not_block_the_program(program: Program, bird: Bird) -> None:
    many = [service(f"many-{number}", annotations={"x": "y" * 500}) for number in range(15_000)]
    os.setpriority(os.PRIO_PROCESS, program.process.pid, -20)  # as what it is compared with
    metronome = Metronome(program.host.folder)
    program.put_list("many", many)
    for turn in range(4):
        nodes = ("n1", "n2") if turn % 2 == 0 else ("n1",)
        program.put("web-slice", slice_of("web", *nodes))
        announced(bird, "203.0.113.8", *nodes)
    lag = program.loop_lag()
    allowed = metronome.allowed_lag
    metronome.stop()
    assert lag < allowed
