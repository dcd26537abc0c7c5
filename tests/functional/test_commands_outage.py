"""The questions of the one on call, each answered by one command on a running instance."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fabric import Fabric, wait_for
from fabric.objects import eip
from fabric.program import Program, command
from tests.functional import outage_scene as scene
from tests.functional.conftest import LEAF_AS, LEAVES, OURS
from tests.functional.leaf_tables import table

ANNOUNCED = scene.SERVICES - len(scene.UNREACHABLE)


@pytest.fixture(scope="module")
def outage(fabric: Fabric) -> Iterator[scene.Outage]:
    """The instance in trouble, and its leaves."""
    with scene.outage(fabric) as outage:
        yield outage


@pytest.fixture
def program(outage: scene.Outage) -> Program:
    """The instance in trouble."""
    return outage.program


def asked(program: Program, words: str) -> tuple[int, str]:
    """The exit status and the output of a command on the host of the instance, without --url; it is
    at most 80 columns wide."""
    argv = program.host.inside([command("porter-ryu"), *words.split()])
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    if "json" not in words:
        assert max(map(len, done.stdout.splitlines())) <= 80, done.stdout
    return done.returncode, done.stdout


def in_json(program: Program, words: str) -> tuple[int, Any]:
    """The same as JSON."""
    status, text = asked(program, f"{words} -o json")
    return status, json.loads(text)


def squeezed(text: str) -> str:
    """A text without its line ends."""
    return " ".join(text.split())


def test_status_says_what_is_wrong_and_what_mends_it(program: Program) -> None:
    status, text = asked(program, "status")
    assert status == 1
    words = squeezed(text)
    assert f"4 of {scene.SERVICES} Services cannot be reached" in text.splitlines()[0]
    assert "peers 2 of 3 with a session nodes 4 of 5 usable" in words
    assert f"{scene.NOT_READY}: it is not Ready (since before 20" in words
    assert f"node {scene.DRAINED} is being drained" in words
    assert "last heard listed 20" in words
    assert f"{scene.DOWN}: no session yet in this process" in words
    assert "1 Service cannot be reached: there is no Eip absent" in words
    assert f"Services {ANNOUNCED} of 200" in words
    assert "2 Services cannot be reached: no ready endpoint" in words
    assert "about: default/quiet-1, default/quiet-2" in words
    assert f"the session with {scene.DOWN} ({LEAVES[scene.DOWN]}) is down" in words
    assert f"another AS than {scene.WRONG_AS}: correct remote_as in [peer:{scene.DOWN}]" in words
    assert f"{scene.WITHOUT_ADD_PATH}: no ADD-PATH for ipv4" in words
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.split()}
    assert rows[scene.WELL][1:4] == [LEAVES[scene.WELL], str(LEAF_AS[scene.WELL]), "Established"]
    assert rows["main"][2:5] == ["Valid", str(ANNOUNCED + len(scene.QUIET) - 1), "256"]
    assert rows["small"][2:5] == ["Valid", "1", "1"]
    status, found = in_json(program, "status")
    assert status == 1
    assert found["status"]["ok"] is False
    assert len(found["peers"]) == 3
    problems = found["status"]["problems"]
    assert sum(problem["services"] for problem in problems) == len(scene.UNREACHABLE)
    [unusable] = found["status"]["nodes"]["unusable"]
    assert (unusable["node"], unusable["reason"]) == (scene.NOT_READY, "NotReady")
    _, text = asked(program, f"routes {scene.WELL} 203.0.113.3")
    assert "BFD" not in text, "it has none"


def test_why_is_this_service_unreachable(program: Program) -> None:
    for name, why in {
        scene.QUIET[0]: "NoReadyEndpoints",
        scene.NO_POOL: "NoPool: there is no Eip absent",
        scene.FULL: "PoolExhausted",
    }.items():
        status, text = asked(program, f"explain default/{name}")
        assert status == 1
        assert text.startswith(f"default/{name}: {why}")


def test_explain_tells_the_next_hops_in_order_and_who_was_not_sent_it_and_why(
    program: Program,
) -> None:
    # s003 has its endpoints on n3, n4 and n5
    status, text = asked(program, "explain default/s003")
    assert status == 0
    assert f"to {scene.WELL}, {scene.WITHOUT_ADD_PATH}\n" in text.splitlines(keepends=True)[0]
    nodes = [line.strip() for line in text.splitlines() if line.startswith("    node")]
    assert [line.split()[1] for line in nodes[:2]] == ["n3:", "n4:"]
    assert "being drained" in squeezed(text)
    assert "node n5: no: it is not Ready" in text
    assert f"sent to {scene.WITHOUT_ADD_PATH}: {scene.NODES['n3']}\n" in text, "one path"
    assert f"not sent to {scene.DOWN}: its session is " in text
    assert f"expected {scene.WRONG_AS}" in squeezed(text)
    _, found = in_json(program, "explain default/s003")
    (route,) = found["routes"]
    assert route["shares"] == {
        scene.WELL: {"n3": 100.0, "n4": 0.0},
        scene.WITHOUT_ADD_PATH: {"n3": 100.0},
    }
    assert [entry["peer"] for entry in route["notSent"]] == [scene.DOWN]
    # s001 is on n1, n2 and n3, and one peer has one path of three
    _, found = in_json(program, "explain default/s001")
    (route,) = found["routes"]
    assert route["shares"][scene.WELL] == {"n1": 33.3, "n2": 33.3, "n3": 33.3}
    ((only, share),) = route["shares"][scene.WITHOUT_ADD_PATH].items()
    assert share == 100.0
    _, text = asked(program, "explain default/s001")
    assert f"sent to {scene.WITHOUT_ADD_PATH}: {scene.NODES[only]} ({only} 100 %)\n" in text


def test_who_holds_this_address(program: Program) -> None:
    _, found = in_json(program, "explain default/s001")
    (address,) = found["addresses"]
    status, text = asked(program, f"explain {address}")
    assert (status, text.partition(":")[0]) == (0, "default/s001")
    status, text = asked(program, "explain 203.0.113.255")
    assert (status, text) == (1, "203.0.113.255: no Service has it; it is free in Eip main\n")
    status, text = asked(program, "explain 192.0.2.1")
    assert (status, text) == (1, "192.0.2.1: no Service has it; it is in no Eip\n")
    for address, owner in {
        scene.NODES["n1"]: "node n1 (InternalIP, its next hop)",
        scene.NODES[scene.NOT_READY]: f"node {scene.NOT_READY} (InternalIP)",
        LEAVES[scene.WELL]: f"peer {scene.WELL}",
        OURS: "this host",
    }.items():
        status, text = asked(program, f"explain {address}")
        said = f"{address}: no Service has it; it belongs to {owner}"
        assert (status, squeezed(text)[: len(said)]) == (1, said)


def test_which_node_gets_no_traffic_and_why_and_what_depends_on_a_node(program: Program) -> None:
    status, text = asked(program, f"explain --node {scene.NOT_READY}")
    assert status == 1
    assert text.startswith(f"node {scene.NOT_READY}: not usable: it is not Ready")
    assert "next hop of no Service" in text
    # of the Services three in five have an endpoint there, and all of them two others
    waiting = sum(number % 5 in (2, 3, 4) for number in range(len(scene.PLAIN)))
    assert f"not used by {waiting} Services, because it is not Ready:\n" in text
    status, found = in_json(program, "explain --node n1")
    assert status == 0
    _, plan = in_json(program, f"plan --config-file {program.config}")
    depend = [
        f"{entry['namespace']}/{entry['name']}"
        for entry in plan["services"]
        if any(path["node"] == "n1" for route in entry["routes"] for path in route["paths"])
    ]
    assert found["dependents"] == depend
    assert len(depend) > 100
    status, text = asked(program, "explain --node n1")
    assert f"next hop of {len(depend)} Services" in text
    assert f"and {len(depend) - 20} more" in text
    _, text = asked(program, f"explain --node {scene.DRAINED}")
    assert "being drained" in text
    _, found = in_json(program, f"explain --node {scene.DRAINED}")
    assert (found["draining"], found["drained"], found["share"]) == (True, False, 0.0)


def test_what_did_we_last_send_to_a_peer_for_a_prefix(outage: scene.Outage) -> None:
    program = outage.program
    _, found = in_json(program, "explain default/s003")
    (address,) = found["addresses"]
    status, routes = in_json(program, f"routes {scene.WELL} {address}")
    assert status == 0
    at_bird = table(outage.bird)[address]
    assert {(route["nextHop"], route["med"]) for route in routes} == {
        (path.hop, path.med) for path in at_bird
    }
    assert [route["node"] for route in sorted(routes, key=lambda r: r["node"])] == ["n3", "n4"]
    status, text = asked(program, f"routes {scene.WELL} {address}")
    assert status == 0
    assert f"{address}/32" in text
    assert scene.NODES["n3"] in text
    status, text = asked(program, f"routes {scene.DOWN} {address}")
    assert status == 1
    nothing = f"{scene.DOWN} is announced nothing of {address}/32: its session is"
    assert nothing in squeezed(text)
    status, every = in_json(program, f"routes {scene.WITHOUT_ADD_PATH}")
    assert len(every) == ANNOUNCED == len(outage.frr.routes())


def test_a_drain_in_progress_is_no_difference(program: Program) -> None:
    status, text = asked(program, f"plan --diff --config-file {program.config}")
    assert (status, text) == (0, "nothing would change\n")


# of the plain Services, each on three nodes of five: as many begin at each of n1, n2 and n3
THIRD = sum(number % 5 == 2 for number in range(len(scene.PLAIN)))


def test_what_happens_if_i_drain_a_node(program: Program) -> None:
    status, text = asked(program, "plan --drain n3")
    assert status == 1
    words = squeezed(text)
    # n4 is being drained, and n5 is not Ready
    stay = f"{THIRD} Services have no other node and would stay on n3"
    assert words.startswith(f"With n3 drained, {stay}; ")
    assert f"{stay}: {THIRD} Services in Eip main: n3, n4 with GRACEFUL_SHUTDOWN -> " in words
    assert " Services in Eip main: n1, n2, n3 -> n1, n2 default/s001, default/s006, " in words
    assert len(text.splitlines()) < 20, "long lists are folded"
    _, found = in_json(program, "plan --drain n3")
    effects = [(entry["effect"], entry["services"]) for entry in found["effects"]]
    assert effects[0] == ("LastNextHop", THIRD)
    assert [entry["effect"] for entry in found["services"][:THIRD]] == ["LastNextHop"] * THIRD


def test_what_happens_if_a_drain_goes_on_to_its_end(program: Program) -> None:
    _, found = in_json(program, f"plan --drain {scene.DRAINED}")
    assert {entry["effect"] for entry in found["services"]} == {"FewerNextHops"}
    assert found["already"] == []
    assert all(entry["was"] != entry["becomes"] for entry in found["services"])


def test_what_the_loss_of_a_node_has_changed_already(program: Program) -> None:
    status, text = asked(program, f"plan --without {scene.NOT_READY}")
    assert status == 0, "nothing would change"
    words = squeezed(text)
    assert "nothing would change. n5 is no next hop now: it is not Ready; " in words
    assert "Services have already lost one of several nodes: " in words
    assert "endpoints on n5: default/s003, default/s004, default/s005, " in words
    status, text = asked(program, f"plan --without n3 --drain n2 --without {scene.NOT_READY}")
    assert status == 1
    assert squeezed(text).startswith("Without n3 and n5, with n2 drained, ")


def test_what_would_this_eip_change(program: Program) -> None:
    path = program.host.folder / "absent.json"
    path.write_text(json.dumps(eip("absent", "192.0.2.0/30")))
    status, text = asked(program, f"plan --config-file {program.config} --with {path}")
    assert status == 1
    assert text.splitlines() == [
        "eip absent: Valid, 1 of 4 used (192.0.2.0/30)",
        "1 Service would change",
        f"  default/{scene.NO_POOL} (192.0.2.0) in Eip absent: NoPool -> Announced via n1",
    ]


def test_what_happened_to_a_peer_that_never_came_up(program: Program) -> None:
    status, text = asked(program, f"history peer {scene.DOWN}")
    assert status == 0
    assert f"session {scene.DOWN}: none -> not up yet" in text
    assert f"expected {scene.WRONG_AS}" in text
    _, text = asked(program, "history peer leaf9")
    assert "there is no peer 'leaf9'" in text


def test_what_changed_in_the_last_minutes_and_who_caused_it(program: Program) -> None:
    objects = scene.objects()
    for entry in objects:
        if entry["kind"] == "Node" and entry["metadata"]["name"] == "n1":
            entry["status"]["conditions"][0]["status"] = "False"
    last = program.get("/v1/changes")[-1]["sequence"]
    program.put_list("cluster", objects)
    lost = "usable -> not usable: it is not Ready"

    def told() -> tuple[str, int]:
        """The text, and how many routes have changed before it was asked for."""
        changes = program.get(f"/v1/changes?since={last}")
        count = sum(change["kind"] == "route" for change in changes)
        return asked(program, "history --since 1h --limit 1")[1], count

    text, count = wait_for(
        told,
        lambda seen: f"node n1: {lost}" in seen[0] and f"{seen[1]} routes lost n1: " in seen[0],
        20,
        "what the loss of n1 changed",
    )
    assert count > 100
    assert len(text.splitlines()) <= 6, "one look, below how far back the record goes"
    assert text.splitlines()[-1].startswith("    Node n1")
    _, alone = asked(program, "history --all --since 1h --limit 2")
    assert alone.count(" route ") == 2
    program.put_list("cluster", scene.objects())
    wait_for(
        lambda: asked(program, "history node n1 --limit 1")[1],
        lambda text: "routes got n1" in text,
        20,
        "n1 to be back",
    )


def test_the_same_without_an_instance(program: Program) -> None:
    config = f"--config-file {program.config}"
    status, text = asked(program, f"explain --node {scene.NOT_READY} {config}")
    assert status == 1
    assert "not usable: it is not Ready" in text
    _, found = in_json(program, "explain default/s001")
    (address,) = found["addresses"]
    status, text = asked(program, f"explain {address} {config}")
    assert status == 1, "nothing is announced by a dry run"
    assert text.startswith(f"default/s001: would be announced: {address}\n")


def test_status_is_fine_again_when_everything_is_mended(program: Program) -> None:
    text = program.config.read_text().replace(str(scene.WRONG_AS), str(LEAF_AS[scene.DOWN]))
    program.config.write_text(text)
    mended = [
        entry
        for entry in scene.objects()
        if not any(name in entry["metadata"]["name"] for name in scene.UNREACHABLE)
    ]
    program.put_list("cluster", mended)
    wait_for(lambda: asked(program, "status"), lambda seen: seen[0] == 0, 60, "all is well")
    _, text = asked(program, "status")
    assert text.startswith(f"all is well: {ANNOUNCED} Services announced to 3 peers")
    _, text = asked(program, f"history peer {scene.DOWN}")
    assert "-> Established" in text
