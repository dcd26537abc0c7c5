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


_CHANGED = "in force, peers: changed frr (the attributes of its paths)"


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
    sections["bound_ip"] = {"mode": "address", "interface": "e1a"}
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
    assert 0 < entry["secondsToWire"] < 10
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


def test_a_service_gets_its_address_and_loses_it(program: Program, leaves: dict[str, Leaf]) -> None:
    program.put("db", service("db"), slice_of("db", "n3"))
    expect(leaves, "203.0.113.9", "n3")
    address = newest(program, "address", "203.0.113.9", "default/db")
    assert (address["from"], "Service default/db" in address["cause"]) == ("", True)
    pool = newest(program, "pool", "2 of 8 used", "eip", "pool")
    assert (pool["from"], "Service default/db" in pool["cause"]) == ("1 of 8 used", True)
    assert newest(program, "binding", "bound", "203.0.113.9")["about"][1] == "default/db"
    newest(program, "route", "n3", "default/db")
    kinds = [entry["kind"] for entry in history(program, "default/db")]
    assert sorted(kinds) == ["address", "binding", "route"]
    program.remove("db")
    expect(leaves, "203.0.113.9")
    assert newest(program, "address", "", "default/db")["cause"] == "Service default/db deleted"
    assert newest(program, "route", "", "default/db")["from"] == "n3"
    assert newest(program, "binding", "", "203.0.113.9")["from"] == "bound"
    assert newest(program, "pool", "1 of 8 used", "eip", "pool")["from"] == "2 of 8 used"


def test_a_full_pool(program: Program) -> None:
    program.put("eight", *(service(f"s{number}") for number in range(8)))
    entry = newest(program, "address", "no address: PoolExhausted", "default/s7")
    assert entry["cause"].startswith("Service default/s7: every Eip that it may use is full")
    newest(program, "pool", "8 of 8 used", "eip", "pool")
    program.remove("eight")
    newest(program, "pool", "1 of 8 used", "eip", "pool")


def test_the_verdict_on_a_node(program: Program) -> None:
    program.put("n4", node("n4", NODES["n4"], ready=False))
    entry = newest(program, "node", "not usable: it is not Ready", "node", "n4")
    assert (entry["object"], entry["from"]) == ("n4", "usable")
    assert entry["cause"].startswith("Node n4")
    program.put("n4", node("n4", NODES["n4"], annotations={"porter.kubesphere.io/drain": "true"}))
    draining = "draining by annotation porter.kubesphere.io/drain"
    newest(program, "node", draining, "node", "n4")
    program.remove("n4")
    assert newest(program, "node", "", "node", "n4")["cause"] == "Node n4 deleted"


def test_a_session_that_is_cut(program: Program, leaves: dict[str, Leaf]) -> None:
    frr = leaves["frr"]
    assert isinstance(frr, Frr)
    frr.command("clear bgp *")
    down = wait_for(
        lambda: [e for e in history(program, "peer", "frr") if e["to"] == "down"],
        bool,
        5,
        "the session to go down",
    )[-1]
    assert (down["kind"], down["object"], down["from"]) == ("session", "frr", "Established")
    assert "the peer sent" in down["cause"]
    up = newest(program, "session", "Established", "peer", "frr")
    assert up["cause"] in ("connected by us", "connected by the peer")
    assert all(e["object"] != "bird" for e in history(program, "peer", "frr"))


def test_a_reload(program: Program) -> None:
    text = program.config.read_text()
    program.config.write_text(text.replace("[peer:frr]\n", "[peer:frr]\nmed = 7\n"))
    entry = newest(program, "reload", _CHANGED, "peer", "frr")
    assert (entry["object"], entry["cause"]) == ("configuration", "a changed file")
    program.config.write_text(text.replace("[peer:frr]\n", "[peer:frr]\nmed = x\n"))
    refused = wait_for(
        lambda: [e for e in history(program) if e["to"].startswith("not in force: ")],
        bool,
        5,
        "the reload to be refused",
    )[-1]
    assert "[peer:frr] med" in refused["to"]
    porter_ryu = command("porter-ryu")
    # where a line ends depends on the length of the path
    told = " ".join(program.host.run([porter_ryu, "config"]).split())
    assert f"not loaded: {program.config}: line " in told
    assert "[peer:frr] med: " in told
    needs = "[porter] resync_seconds: runs with 300, the file says 60: needs a restart"
    program.config.write_text(text.replace("[porter]\n", "[porter]\nresync_seconds = 60\n"))
    newest(program, "reload", f"{_CHANGED}; {needs}")
    for words in (["config"], ["config", "--config-file", str(program.config)]):
        told = program.host.run([porter_ryu, *words])
        assert "runs with" in told.splitlines()[0]
        assert needs in " ".join(told.split())
    told = program.host.run(
        [porter_ryu, "config", "--config-file", str(program.config), "-o", "json"]
    )
    [entry] = [entry for entry in json.loads(told) if entry["differs"]]
    assert (entry["key"], entry["value"], entry["running"]) == ("resync_seconds", 60, 300)
    assert needs in program.get("/v1/status")["notes"]
    program.config.write_text(text)
    newest(program, "reload", "in force, peers: as before")
    told = program.host.run([porter_ryu, "config", "--config-file", str(program.config)])
    assert told.splitlines()[0].endswith(" runs with these settings")


def test_an_address_that_somebody_removes(program: Program) -> None:
    newest(program, "binding", "bound", PREFIX)
    program.host.run(f"ip address del {PREFIX}/32 dev e1a")
    repaired = wait_for(
        lambda: [e for e in history(program, PREFIX) if e["cause"] == "it had been removed"],
        bool,
        10,
        "it to be bound again",
    )
    assert [(e["kind"], e["to"]) for e in repaired] == [("binding", "bound")]


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
    routes = [e for e in history(program) if e["kind"] in ("restart", "route", "address", "node")]
    [entry] = routes
    assert (entry["kind"], entry["from"]) == ("restart", "3 announced by an earlier run")
    assert entry["to"] == "1 as before, 1 changed, 1 gone, 0 new"
    gone, changed = entry["parts"]
    assert (gone["object"], gone["from"], gone["to"]) == ("203.0.113.10", "n4", "")
    assert (changed["object"], changed["to"]) == (PREFIX, "n1, n4")
    # the journal keeps what was withdrawn in the last seconds
    assert {"n1", "n2"} <= set(changed["from"].split(", "))
    [of_web] = [e for e in history(program, "default/web") if e["kind"] == "restart"]
    assert [part["object"] for part in of_web["parts"]] == [PREFIX]
    assert [e["parts"] for e in history(program, "restart")] == [entry["parts"]]
    told = program.host.run([command("porter-ryu"), "history", "203.0.113.10"]).splitlines()
    cause = "this process started: no Service has this address any more"
    assert told[-2:] == ["  route 203.0.113.10: n4 -> none", f"    {cause}"]
    assert entry["cause"] == "this process started; 1 gone: no Service has this address any more"
    told = program.host.run([command("porter-ryu"), "history", "default/db"]).splitlines()
    assert told[-1] == "what the restart changed: porter-ryu history restart"
    told = program.host.run([command("porter-ryu"), "history", "default/gone"]).splitlines()
    assert told[0] == "there is no Service 'default/gone'"
    assert told[-1] == "what became of its address: porter-ryu history ADDRESS"
    program.logs(f"restart routes: {entry['from']} -> {entry['to']}")
    expect(leaves, PREFIX, "n1", "n4")
    program.remove("db")
    expect(leaves, "203.0.113.9")
