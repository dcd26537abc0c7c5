"""What a running instance says of itself, with real FRR and BIRD: why each session is down and what
to look at, what each peer is announced, and what is wrong with the whole."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fabric import Fabric, Host, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program
from tests.functional.conftest import first
from tests.openapi import Document

AS, FRR_AS, BIRD_AS, ANOTHER_AS = 65000, 65002, 65001, 65099
OURS, FRR = "192.168.7.5", "192.168.7.2"
POOL, EIP = "203.0.113.0/29", "203.0.113.1"  # the Service without an endpoint has the first one
NODES = {"n1": "192.168.7.11", "n2": "192.168.7.12", "n3": "192.168.7.13"}
CASES = ("single", "their-as", "our-as", "key", "gtsm", "nobody", "stranger")
LOCAL = {name: f"192.168.7.{50 + number}" for number, name in enumerate(CASES)}
REMOTE = {name: f"192.168.7.{70 + number}" for number, name in enumerate(CASES)}
NO_HOST = "192.168.7.99"
BFD = (
    f"router bgp {FRR_AS}\n neighbor {OURS} bfd\n"
    f"bfd\n peer {OURS}\n  receive-interval 300\n  transmit-interval 300\n"
)


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """One switch; the host with the program and that of BIRD have an address for each case."""
    with Fabric() as fabric:
        switch = fabric.switch("switch")
        addresses = {
            "porter": [OURS, *LOCAL.values()],
            "bird": list(REMOTE.values()),
            "frr": [FRR],
        }
        for name, own in addresses.items():
            fabric.link(fabric.host(name), switch, [f"{address}/24" for address in own], [])
        yield fabric


@pytest.fixture(scope="module")
def frr(fabric: Fabric) -> Iterator[Frr]:
    """A leaf with ADD-PATH and BFD, with which all is well."""
    neighbours = [Neighbour(OURS, AS)]
    first(fabric, "porter", "frr")  # the detection time is 900 ms
    leaf = Frr(fabric, fabric.hosts["frr"], FRR_AS, FRR, neighbours, BFD)
    yield leaf.start(("zebra", "bfdd", "bgpd"))
    leaf.stop()


@pytest.fixture(scope="module")
def bird(fabric: Fabric) -> Iterator[Bird]:
    """A router that has another idea of each of its neighbours than we have."""

    def to(case: str, asn: int = AS, **more: Any) -> Neighbour:
        return Neighbour(LOCAL[case], asn, local=REMOTE[case], **more)

    neighbours = [
        to("single", add_path=False),
        to("their-as", ANOTHER_AS),
        to("our-as"),
        to("key", password="right"),
        to("gtsm"),
    ]
    leaf = Bird(fabric.hosts["bird"], BIRD_AS, REMOTE["single"], neighbours)
    yield leaf.start()
    leaf.stop()


def sections(fabric: Fabric) -> dict[str, dict[str, object]]:
    """The configuration: FRR, a case each with BIRD, and an address at which there is no host."""
    key = fabric.folder / "key"
    key.write_text("wrong")
    more: dict[str, dict[str, object]] = {
        "our-as": {"remote_as": ANOTHER_AS},
        "key": {"password_file": key},
        "gtsm": {"ttl_security": "true"},
        "nobody": {"port": 1790},
    }
    groups: dict[str, dict[str, object]] = {
        f"peer:{case}": {
            "address": REMOTE[case],
            "remote_as": BIRD_AS,
            "local_address": LOCAL[case],
            "mode": "active",
            "connect_retry": 1,
            **more.get(case, {}),
        }
        for case in CASES
    }
    groups["peer:no-host"] = {"address": NO_HOST, "remote_as": BIRD_AS, "connect_retry": 1}
    groups["peer:frr"] = {
        "address": FRR,
        "remote_as": FRR_AS,
        "connect_retry": 1,
        "communities": "65000:7",
        "med": 20,
        "bfd": "true",
    }
    return {
        "bgp": {"local_as": AS, "router_id": OURS, "peers": f"frr,no-host,{','.join(CASES)}"},
        "bound_ip": {"mode": "none"},
        **groups,
    }


@pytest.fixture(scope="module")
def program(fabric: Fabric, frr: Frr, bird: Bird) -> Iterator[Program]:
    """One Service on two of three nodes, and one without an endpoint."""
    program = Program(fabric.hosts["porter"], sections(fabric))
    program.put("pool", eip("pool", POOL))
    for name, address in NODES.items():
        program.put(name, node(name, address))
    program.put("web", service("web"), slice_of("web", "n1", "n2"))
    program.put("lost", service("lost"))
    yield program.start()
    program.stop()


def peer(program: Program, name: str) -> dict[str, Any]:
    """One session."""
    told: dict[str, Any] = program.get(f"/v1/peers/{name}")
    return told


def up(program: Program, name: str) -> dict[str, Any]:
    """A session when it is Established."""
    return wait_for(
        lambda: peer(program, name), lambda p: p["state"] == "Established", 30, f"{name} to be up"
    )


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        (
            "their-as",
            "the peer sent Bad Peer AS (2/2)",
            "the router expects another AS than 65000 from us: correct its neighbour for "
            f"{LOCAL['their-as']}, or local_as in [bgp]",
        ),
        (
            "our-as",
            f"AS {BIRD_AS}, expected {ANOTHER_AS}",
            f"the router is in another AS than {ANOTHER_AS}: correct remote_as in [peer:our-as], "
            "or the AS on the router",
        ),
        (
            "key",
            "cannot connect: timed out",
            "no answer: the TCP MD5 key (password_file) may be another one than on the router",
        ),
        (
            "gtsm",
            "",
            "no OPEN arrives: GTSM (ttl_security) may be off there",
        ),
        (
            "nobody",
            "cannot connect: Connection refused",
            f"nobody listens on port 1790 of {REMOTE['nobody']}",
        ),
        (
            "stranger",
            "",
            "the router closed the connection before the session came up: it may have no "
            f"neighbour for {LOCAL['stranger']}",
        ),
        ("no-host", "cannot connect: No route to host", f"no host answers as {NO_HOST}"),
    ],
)
def test_what_to_look_at(program: Program, name: str, error: str, hint: str) -> None:
    told = wait_for(
        lambda: peer(program, name),
        lambda p: hint in p["hint"] and error in p["lastError"],
        30,
        f"the hint about {name}",
    )
    assert (told["lastUp"], told["lastDown"]) == (None, None)
    assert told["since"]


def test_a_session_tells_what_was_negotiated_and_what_it_lacks(program: Program) -> None:
    frr, single = up(program, "frr"), up(program, "single")
    assert (frr["addPath"], frr["gracefulRestart"], frr["hint"]) == (["ipv4", "ipv6"], True, "")
    assert (single["addPath"], single["families"]) == ([], ["ipv4", "ipv6"])
    assert single["hint"].startswith("no ADD-PATH for ipv4, ipv6: the router gets one next hop")
    bfd = wait_for(
        lambda: peer(program, "frr")["bfd"], lambda b: b["state"] == "up", 15, "BFD to be up"
    )
    assert (bfd["reason"], bfd["intervalMs"]) == ("", 300)
    assert single["bfd"] is None


def test_what_a_peer_is_announced_is_what_the_router_has(program: Program, frr: Frr) -> None:
    up(program, "frr")
    routes = wait_for(
        lambda: program.get(f"/v1/peers/frr/routes?prefix={EIP}"), bool, 10, "the routes of FRR"
    )
    assert [(r["node"], r["nextHop"]) for r in routes] == [
        ("n1", NODES["n1"]),
        ("n2", NODES["n2"]),
    ]
    assert {(r["prefix"], r["med"], tuple(r["communities"])) for r in routes} == {
        (f"{EIP}/32", 20, ("65000:7",))
    }
    seen = wait_for(
        lambda: json.loads(frr.command(f"show bgp ipv4 unicast {EIP}/32 json")),
        lambda found: len(found.get("paths", ())) == 2,
        10,
        "both paths at FRR",
    )
    theirs = {
        (p["nexthops"][0]["ip"], p["metric"], p["community"]["string"]) for p in seen["paths"]
    }
    assert theirs == {(r["nextHop"], r["med"], r["communities"][0]) for r in routes}
    (only,) = wait_for(
        lambda: program.get("/v1/peers/single/routes"), bool, 10, "the route of BIRD"
    )
    assert only["pathId"] is None
    assert only["nextHop"] in NODES.values()
    assert program.get("/v1/peers/nobody/routes") == []


def test_only_the_path_that_is_new_has_a_new_since(program: Program) -> None:
    up(program, "frr")
    path = "/v1/peers/frr/routes"
    before = wait_for(
        lambda: {r["node"]: r["since"] for r in program.get(path)}, bool, 10, "the routes"
    )
    program.put("web", service("web"), slice_of("web", "n1", "n2", "n3"))
    after = wait_for(
        lambda: {r["node"]: r["since"] for r in program.get(path)},
        lambda found: len(found) == 3,
        10,
        "the path by n3",
    )
    assert {name: after[name] for name in before} == before
    assert after["n3"] > max(before.values())
    wait_for(
        lambda: peer(program, "frr")["lastUpdateSent"],
        lambda sent: sent >= after["n3"],
        5,
        "the UPDATE with it",
    )
    program.put("web", service("web"), slice_of("web", "n1", "n2"))


def test_the_whole_in_one_sentence_and_what_mends_it(program: Program) -> None:
    up(program, "frr")
    up(program, "single")
    wait_for(lambda: peer(program, "frr")["bfd"], lambda b: b["state"] == "up", 15, "BFD to be up")
    told = wait_for(
        lambda: program.get("/v1/status"),
        lambda s: s["services"]["states"].get("Announced") == 1,
        10,
        "the Service to be announced",
    )
    assert told["summary"] == "1 of 2 Services cannot be reached: no ready endpoint"
    assert (told["ok"], told["ready"], told["role"]) == (False, True, "leader")
    assert told["peers"] == {"total": 9, "established": 2}
    drains = {"draining": 0, "drained": 0}
    assert told["nodes"] == {"total": 3, "usable": 3, **drains, "unusable": []}
    first, *rest = told["problems"]
    assert (first["reason"], first["services"]) == ("NoReadyEndpoints", 1)
    assert first["objects"] == ["default/lost"]
    down = [entry for entry in rest if entry["reason"] != "BfdDown"]
    assert {entry["reason"] for entry in down} == {"SessionDown"}
    assert {entry["objects"][0] for entry in down} == {"no-host", *CASES} - {"single"}
    assert told["source"]["what"] == f"directory {program.manifests}"
    assert all(told["source"]["lastList"].values())


def test_who_shut_a_session_down_and_with_which_words(program: Program, frr: Frr) -> None:
    before = up(program, "frr")
    enter = ("configure terminal", f"router bgp {FRR_AS}")
    frr.command(*enter, f"neighbor {OURS} shutdown message change 4711")
    down = wait_for(
        lambda: peer(program, "frr"), lambda p: p["state"] != "Established", 15, "its end"
    )
    ended = down["lastDown"]
    assert 'Administrative Shutdown (6/2): "change 4711"' in ended["reason"]
    assert (ended["cause"], ended["by"]) == ("peer-shutdown", "peer")
    assert (down["since"], down["lastUp"]) == (ended["time"], before["since"])
    later = wait_for(
        lambda: peer(program, "frr"), lambda p: "; now: " in p["lastError"], 30, "another attempt"
    )
    assert (later["lastDown"], later["since"]) == (ended, down["since"])
    frr.command(*enter, f"no neighbor {OURS} shutdown")
    again = up(program, "frr")
    assert (again["lastError"], again["hint"], again["lastDown"]) == ("", "", ended)
    assert again["lastUp"] == again["since"] > ended["time"]


def test_every_real_answer_is_as_the_document_says(program: Program) -> None:
    up(program, "frr")
    document = Document()
    for path in ("/v1", "/v1/version", "/v1/status", "/v1/peers", "/v1/nodes", "/v1/services"):
        document.check(path, program.get(path))
    for path in ("/v1/eips", "/v1/plan", "/v1/changes"):
        document.check(path, program.get(path))
    document.check("/v1/peers/{name}", program.get("/v1/peers/frr"))
    document.check("/v1/peers/{name}/routes", program.get("/v1/peers/frr/routes"))
    explained = "/v1/services/{namespace}/{name}"
    document.check(explained, program.get("/v1/services/default/web"))
    document.check(explained, program.get("/v1/services/default/gone"), 404)
    document.check("/v1/peers/{name}", program.get("/v1/peers/gone"), 404)


def curl(host: Host, *more: str) -> str:
    """The head of a response, and its body, with plain line ends."""
    return host.run(["curl", "-si", "-m", "10", *more], check=False)


def test_http_as_people_expect(fabric: Fabric, program: Program) -> None:
    host, url = fabric.hosts["porter"], "http://127.0.0.1:8080"
    for path in ("/v1/services", "/v1/eips", "/v1/nodes", "/v1/version"):
        head = curl(host, f"{url}{path}")
        (tag,) = re.findall(r"(?i)^etag: (.*)$", head, re.MULTILINE)
        again = curl(host, "-H", f"If-None-Match: {tag}", f"{url}{path}")
        assert again.startswith("HTTP/1.1 304 ")
        assert again.endswith("\n\n")
    head = curl(host, "-I", f"{url}/v1/status")
    assert head.startswith("HTTP/1.1 200 ")
    assert head.endswith("\n\n")
    refused = curl(host, "-X", "DELETE", f"{url}/v1/peers/frr")
    assert refused.startswith("HTTP/1.1 405 ")
    assert "Allow: GET, HEAD\n" in refused
    for path, status in (("/v1/peers/none", 404), ("/v2", 404), ("/v1/peers?x=1", 400)):
        answer = curl(host, f"{url}{path}")
        assert answer.startswith(f"HTTP/1.1 {status} ")
        assert json.loads(answer.partition("\n\n")[2])["error"]


def stream(host: Host, name: str, *more: str) -> subprocess.Popen[bytes]:
    """A reader of the stream, whose octets are in the log `name`."""
    return host.spawn(["curl", "-sN", *more, "http://127.0.0.1:8080/v1/stream"], name)


def numbers(host: Host, name: str) -> list[int]:
    """The `id` of each event that a reader got as a whole."""
    log, end, _ = host.log(name).rpartition("\n\n")
    return [int(number) for number in re.findall(r"^id: (\d+)$", log + end, re.MULTILINE)]


def test_a_stream_tells_changes_as_they_come_and_goes_on_where_it_ended(
    fabric: Fabric, program: Program
) -> None:
    host, document = fabric.hosts["porter"], Document()
    reader = stream(host, "first.log")
    wait_for(lambda: host.log("first.log"), lambda log: "event: start" in log, 5, "the stream")
    program.put("more", service("more"), slice_of("more", "n3"))
    log = wait_for(
        lambda: host.log("first.log"),
        lambda log: "default/more" in log and '"to": "n3"' in log,
        5,
        "the new Service in the stream",
    )
    reader.terminate()
    whole = log[: log.rindex("\n\n")]  # what is being written may end anywhere
    for data in re.findall(r"^event: change\ndata: (.*)$", whole, re.MULTILINE):
        document.check_schema("Change", json.loads(data))
    last = numbers(host, "first.log")[-1]
    program.remove("more")
    wait_for(lambda: program.get("/v1/changes")[-1]["sequence"], lambda n: n > last, 5, "its end")
    again = stream(host, "again.log", "-H", f"Last-Event-ID: {last}")
    found = wait_for(lambda: numbers(host, "again.log"), bool, 5, "what it missed")
    again.terminate()
    assert found[0] == last + 1
