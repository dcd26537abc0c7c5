"""BFD with FRR's bfdd: the session goes down with the path and comes up again with it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Frr, Neighbour
from fabric.objects import eip, node, service, slice_of
from fabric.program import Program, Sections
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first

BFD = (
    f"router bgp {LEAF_AS['frr']}\n neighbor {OURS} bfd\n"
    f"bfd\n peer {OURS}\n  receive-interval 300\n  transmit-interval 300\n"
)


@pytest.fixture
def leaf(fabric: Fabric) -> Iterator[Frr]:
    """FRR with bfdd."""
    us = [Neighbour(OURS, 65000)]
    first(fabric, "porter", "frr")  # the detection time is 900 ms
    leaf = Frr(fabric, fabric.hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us, BFD)
    yield leaf.start(("zebra", "bfdd", "bgpd"))
    leaf.stop()


@pytest.fixture
def program(fabric: Fabric, leaf: Frr, request: pytest.FixtureRequest) -> Iterator[Program]:
    """One peer with BFD."""
    sections: Sections = {
        "bgp": {"local_as": 65000, "router_id": OURS, "peers": "frr"},
        "peer:frr": {
            "address": LEAVES["frr"],
            "remote_as": LEAF_AS["frr"],
            "connect_retry": 1,
            "bfd": "true",
        },
        "bound_ip": {"mode": "none"},
    }
    program = Program(fabric.hosts["porter"], sections, name=request.node.name)
    program.put("pool", eip("pool", "203.0.113.0/24,198.18.0.0/16"))
    program.put("nodes", *(node(f"n{n}", f"192.168.7.{10 + n}") for n in range(1, 5)))
    program.put("web", service("web"), slice_of("web", "n1"))
    yield program.start()
    program.stop()


def seen_by(leaf: Frr) -> str:
    """The state of the BFD session at FRR."""
    peers = json.loads(leaf.command("show bfd peers json") or "[]")
    return next((peer["status"] for peer in peers if peer["peer"] == OURS), "none")


def session(program: Program) -> str:
    """The state of the BGP session."""
    return str(program.get("/v1/peers")[0]["state"])


def test_the_session_follows_the_path(leaf: Frr, program: Program) -> None:
    wait_for(lambda: seen_by(leaf), lambda s: s == "up", 15, "BFD to be up at FRR")
    wait_for(lambda: session(program), lambda s: s == "Established", 15, "the session")
    bfdd = leaf.process("bfdd")
    bfdd.send_signal(signal.SIGSTOP)
    told = wait_for(
        lambda: program.get("/v1/peers")[0],
        lambda p: p["state"] != "Established" and p["bfd"]["state"] == "down",
        5,
        "its end",
    )
    assert "BFD" in told["lastError"]
    assert (told["lastDown"]["cause"], told["lastDown"]["by"]) == ("bfd", "network")
    assert "detection time expired" in told["bfd"]["reason"]
    bfdd.send_signal(signal.SIGCONT)
    wait_for(lambda: session(program), lambda s: s == "Established", 20, "the session again")
    wait_for(lambda: seen_by(leaf), lambda s: s == "up", 15, "BFD to be up again")


def test_no_false_alarm_while_ten_thousand_routes_are_sent(leaf: Frr, program: Program) -> None:
    wait_for(lambda: seen_by(leaf), lambda s: s == "up", 15, "BFD to be up at FRR")
    names = [f"s{number}" for number in range(2500)]
    objects = [o for n in names for o in (service(n), slice_of(n, "n1", "n2", "n3", "n4"))]
    program.put_list("many", objects)
    wait_for(
        lambda: program.get("/v1/peers")[0]["paths"]["ipv4"],
        lambda count: count == 10_001,
        60,
        "ten thousand paths",
    )
    log = program.host.log(program.log)
    assert "BFD is down" not in log, [x for x in log.splitlines() if "BFD" in x or "peer frr" in x]
    assert seen_by(leaf) == "up"


FLOOD = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
sock.connect(("%s", 3784))
while True:
    try:
        sock.send(bytes(24))
    except OSError:
        pass
"""


def test_packets_of_other_hosts_do_not_displace_those_of_a_peer(
    fabric: Fabric, leaf: Frr, program: Program
) -> None:
    wait_for(lambda: seen_by(leaf), lambda s: s == "up", 15, "BFD to be up at FRR")
    told = wait_for(
        lambda: program.get("/v1/peers")[0], lambda p: p["state"] == "Established", 15, "a session"
    )
    stranger, command = fabric.hosts["gobgpd"], [sys.executable, "-c", FLOOD % OURS]
    floods = [stranger.spawn(command, "flood.log") for _ in range(2)]
    due = told["establishedSeconds"] + 8
    told = wait_for(
        lambda: program.get("/v1/peers")[0],
        lambda p: p["establishedSeconds"] > due or p["lastDown"],
        20,
        "its age",
    )
    for flood in floods:
        flood.kill()
    assert (told["state"], told["lastDown"]) == ("Established", None), told
