"""[openflow]: whatever is at the controller's port or on the links of the switch costs no session.

BIRD runs beside with a hold time of three seconds: after every test its session must be the same as
before, so no KEEPALIVE was ever late.  Then the switch must still be filled.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from collections.abc import Iterator

import pytest

from fabric import Fabric, end, wait_for
from fabric.leaves import Bird, Neighbour
from fabric.openflow import NODES, OpenFlowNetwork, install, sections, web
from fabric.program import Program
from fabric.raw_switch import (
    ECHO_REQUEST,
    HELLO,
    MULTIPART_REPLY,
    PACKET_IN,
    RawSwitch,
    message,
    packet_in,
)

EIP = "203.0.113.8"
OURS, LEAF = "192.168.8.5", "192.168.8.1"
FEW = range(30_000, 30_080)
WITHIN_SECONDS = 30.0
FLOOD_SECONDS = 5
FLOOD = """
import socket, struct, sys, time
device, seconds = sys.argv[1], float(sys.argv[2])
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sock.bind((device, 0))
until, number = time.monotonic() + seconds, 0
def arp(operation, source, target):
    number_ = struct.pack(">I", source)
    mac = b"\\x02\\x99" + number_
    to = b"\\xff" * 6 if operation == 1 else bytes.fromhex("025052595501")
    return to + mac + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, operation) + (
        mac + number_ + to + struct.pack(">I", target)).ljust(46, b"\\0")
def advertisement(source):
    tail = struct.pack(">I", source)
    address = bytes.fromhex("fd000007000000000000ffff") + tail
    mac = b"\\x02\\x99" + tail
    body = struct.pack(">BBHI", 136, 0, 0, 0x60000000) + address + b"\\x02\\x01" + mac
    head = struct.pack(">IHBB", 6 << 28, len(body), 58, 255) + address
    everyone = bytes.fromhex("ff020000000000000000000000000001")
    return b"\\x33\\x33\\0\\0\\0\\x01" + mac + b"\\x86\\xdd" + head + everyone + body
while time.monotonic() < until:
    for _ in range(64):
        number += 1
        source = 0xc0a80700 + number % 250
        for frame in (arp(2, source, 0xc0a807fe), arp(1, number, 0xc0a807fe),
                      arp(1, source, 0xcb007108), advertisement(number)):
            try:
                sock.send(frame)
            except OSError:
                pass
"""


@pytest.fixture(scope="module")
def network() -> Iterator[OpenFlowNetwork]:
    """The switch, a client and four nodes, and a router beside the program."""
    with Fabric() as fabric:
        network = OpenFlowNetwork(fabric, nice=-20)
        fabric.link(network.porter, fabric.host("leaf"), [f"{OURS}/24"], [f"{LEAF}/24"])
        yield network


@pytest.fixture(scope="module")
def program(network: OpenFlowNetwork) -> Iterator[Program]:
    """The controller, which also announces by BGP."""
    leaf = network.fabric.hosts["leaf"]
    leaf.nice = -20
    bird = Bird(leaf, 65001, LEAF, [Neighbour(OURS, 65000)], more="hold time 3;").start()
    groups = sections(
        bgp={
            "enabled": "true",
            "local_as": 65000,
            "router_id": OURS,
            "peers": "leaf",
            "hold_time": 3,
        }
    )
    groups["peer:leaf"] = {"address": LEAF, "remote_as": 65001, "connect_retry": 1}
    program = Program(network.porter, groups)
    install(program)
    web(program, "web", EIP, *NODES)
    program.start()
    # what is tested is the program, not what else the machine does
    os.setpriority(os.PRIO_PROCESS, program.process.pid, -20)
    yield program
    print(program.tail())
    program.stop()
    bird.stop()


@pytest.fixture(autouse=True)
def unnoticed(network: OpenFlowNetwork, program: Program) -> Iterator[None]:
    """The session is never lost, the flows stay, and the switch follows what changes afterwards."""
    wait_for(lambda: program.get("/v1/peers")[0]["state"], "Established".__eq__, 20, "a session")
    web(program, "late", "203.0.113.90", "n1")
    network.served("203.0.113.90", "n1")
    network.served(EIP, *NODES)
    drops = lost_sessions(program)
    yield
    web(program, "late", "203.0.113.90", "n2", "n3")
    network.served("203.0.113.90", "n2", "n3")
    network.served(EIP, *NODES)
    assert program.get("/v1/peers")[0]["state"] == "Established"
    assert lost_sessions(program) == drops


def lost_sessions(program: Program) -> list[str]:
    """What is counted of sessions that were lost."""
    lines = program.metrics().splitlines()
    return [line for line in lines if line.startswith("porter_bgp_session_drops_total")]


@contextlib.contextmanager
def strangers(network: OpenFlowNetwork, count: int) -> Iterator[list[RawSwitch]]:
    """Connections to the controller's port."""
    opened: list[RawSwitch] = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            opened.append(RawSwitch(network.switch.host, network.controller))
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


def tell(stranger: RawSwitch, octets: bytes) -> None:
    """Sends what it is given, as long as it is listened to."""
    with contextlib.suppress(OSError):
        stranger.send(octets)


def read_to_the_end(stranger: RawSwitch, seconds: float = 2) -> None:
    """Reads until the other side ends the connection, or says nothing for so long."""
    stranger.sock.settimeout(seconds)
    with contextlib.suppress(OSError):
        while stranger.read() is not None:
            pass


def test_a_thousand_connections_that_say_nothing(
    network: OpenFlowNetwork, program: Program
) -> None:
    with strangers(network, 1000) as many:
        for number, each in enumerate(many):
            tell(each, message(HELLO)[: number % 9])
        program.host.run("sleep 4")
        assert program.get("/v1/peers")[0]["state"] == "Established"


def test_the_switch_gets_in_beside_a_thousand_connections(
    network: OpenFlowNetwork, program: Program
) -> None:
    """Connections of others do not keep it out for good."""
    with strangers(network, 1000):
        network.switch.disconnect()
        network.switch.connect(network.controller)
        wait_for(lambda: network.switch.connected, bool, 60, "the switch to be connected")


def test_resets_at_any_moment(network: OpenFlowNetwork, program: Program) -> None:
    linger = struct.pack("ii", 1, 0)
    for number in range(600):
        with strangers(network, 1) as one:
            for each in one:
                tell(each, (message(HELLO) + message(ECHO_REQUEST))[: number % 17])
                each.sock.setsockopt(1, 13, linger)


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: controller\r\n\r\n" * 100,
    "zeroes": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "a length of 0": message(HELLO) + struct.pack(">BBHI", 4, 10, 0, 1) * 1000,
    "a length of 7": message(HELLO) + struct.pack(">BBHI", 4, 10, 7, 1) * 1000,
    "version 1.0": message(HELLO, version=1) * 1000,
    "version 255": message(HELLO, version=255),
    "a type that is not known": message(HELLO) + message(99, b"x" * 100) * 1000,
    "HELLO without end": message(HELLO) * 20_000,
    "echo without end": message(HELLO) + message(ECHO_REQUEST, b"x" * 1000) * 20_000,
    "packet-in before the features": message(HELLO) + packet_in(b"x" * 64) * 20_000,
    "packet-in cut short": message(HELLO) + message(PACKET_IN, b"\0" * 3) * 100,
    "half of a large message": message(HELLO) + struct.pack(">BBHI", 4, 10, 65535, 1) + b"x" * 99,
}


@pytest.mark.parametrize("case", GARBAGE)
def test_what_is_no_switch(network: OpenFlowNetwork, program: Program, case: str) -> None:
    with strangers(network, 10) as some:
        for each in some:
            each.sock.settimeout(3)
            tell(each, GARBAGE[case])
        for each in some:
            read_to_the_end(each, 0.2)


@pytest.mark.parametrize("datapath_id", [1, 666], ids=["of-the-real-one", "of-its-own"])
def test_a_switch_that_floods(network: OpenFlowNetwork, program: Program, datapath_id: int) -> None:
    """It sends 200,000 packet-ins and reads nothing, and multipart replies nobody asked for."""
    with strangers(network, 3) as some:
        for each in some:
            with contextlib.suppress(OSError):
                each.shake_hands(datapath_id)
            each.sock.settimeout(3)
            many = packet_in(bytes(60)) * 1000
            for _ in range(60):
                tell(each, many)
            tell(each, message(MULTIPART_REPLY, struct.pack(">HHI", 1, 1, 0) + bytes(56)) * 1000)


@pytest.mark.parametrize("name", ["n4", "client"])
def test_a_flood_of_packets_for_the_controller(
    network: OpenFlowNetwork, program: Program, name: str
) -> None:
    """ARP requests and replies and neighbour advertisements, of many hosts, without a pause."""
    host = network.fabric.hosts[name]
    argv = [sys.executable, "-c", FLOOD, network.device(host), str(FLOOD_SECONDS)]
    floods = [host.spawn(argv, "flood.log") for _ in range(2)]
    for flood in floods:
        flood.wait(FLOOD_SECONDS * 12)
    assert not host.log("flood.log")
    for flood in floods:
        end(flood)


def test_nodes_answer_on_under_a_flood(network: OpenFlowNetwork, program: Program) -> None:
    """The flood takes no node out: probes of nodes are not what a meter throws away first."""
    host = network.client
    argv = [sys.executable, "-c", FLOOD, network.device(host), str(FLOOD_SECONDS)]
    before = network.switch.groups()
    flood = host.spawn(argv, "flood.log")
    flood.wait(FLOOD_SECONDS * 12)
    assert network.switch.groups() == before
