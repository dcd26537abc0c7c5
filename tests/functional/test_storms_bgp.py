"""Floods from peers and other hosts: no other peer is affected.

BIRD and FRR run beside with a hold time of three seconds.  After every flood their sessions are the
same as before, and the loop was never more than 100 ms later than a process that only sleeps.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from fabric import Fabric, Host, wait_for
from fabric.metronome import Metronome
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from fabric.raw_peer import (
    KEEPALIVE,
    NOTIFICATION,
    ROUTE_REFRESH,
    UPDATE,
    RawPeer,
    message,
    open_message,
)
from porter_ryu.bgp.protocol.ending import Cause
from tests.functional.conftest import OURS
from tests.functional.parts import HEALTHY, STRANGER, named_parts, stage

PARTS = named_parts(19)
END_OF_RIB = b"\0\0\0\0"
REFRESH = message(ROUTE_REFRESH, b"\0\1\0\1")
ATTRIBUTES = bytes.fromhex("4001010040020602010000fdeb400304c0a80703")


@pytest.fixture(scope="module")
def program(fabric: Fabric, metronome: Metronome) -> Iterator[Program]:
    """Two healthy peers, 500 Services on two nodes, and peers that the tests play."""
    with stage(fabric, PARTS) as sections:
        program = Program(fabric.hosts["porter"], sections)
        program.put("pool", eip("pool", "198.18.0.0/16"))
        program.put("nodes", node("n1", "192.168.7.11"), node("n2", "192.168.7.12"))
        many = [o for n in range(500) for o in (service(f"s{n}"), slice_of(f"s{n}", "n1", "n2"))]
        program.put("many", *many)
        program.start()
        # what is measured is the program, not what else the machine does
        os.setpriority(os.PRIO_PROCESS, program.process.pid, -20)
        wait_for(
            lambda: {p["name"]: p["paths"]["ipv4"] for p in program.get("/v1/peers")},
            lambda paths: all(paths[name] == 1000 for name in HEALTHY),
            30,
            "the whole table at the healthy peers",
        )
        wait_for(
            lambda: slowly(program.loop_lag()),
            lambda late: late < metronome.allowed_lag,
            80,
            "the minute of the start to be over",
        )
        yield program
        print(program.tail())
        program.stop()


@pytest.fixture
def host(fabric: Fabric) -> Host:
    """The host that the floods come from."""
    return fabric.hosts["gobgpd"]


@pytest.fixture(scope="module")
def parts() -> Iterator[str]:
    """Peers that no test has played yet."""
    return iter(PARTS)


@pytest.fixture
def part(parts: Iterator[str]) -> str:
    """The peer that the test plays."""
    return next(parts)


def slowly(seen: float) -> float:
    """What was seen, and a second in which nothing is asked."""
    time.sleep(1)
    return seen


def report(program: Program, name: str) -> Json:
    """The report of one peer."""
    return next(peer for peer in program.get("/v1/peers") if peer["name"] == name)


@pytest.fixture(autouse=True)
def unnoticed(program: Program, metronome: Metronome) -> Iterator[None]:
    """What a storm may not do."""
    before = {name: report(program, name)["establishedSeconds"] for name in HEALTHY}
    yield
    for name in HEALTHY:
        told = report(program, name)
        assert (told["state"], told["lastDown"]) == ("Established", None), told
        assert told["establishedSeconds"] > before[name]
    assert program.loop_lag() < metronome.allowed_lag


def established(host: Host, part: str, **how: object) -> RawPeer:
    """A session of the peer that the test plays, whose table is read by a thread."""
    peer = RawPeer(host, OURS, PARTS[part]).establish(**how)
    threading.Thread(target=read_all, args=[peer], daemon=True).start()
    return peer


def read_all(peer: RawPeer) -> None:
    """Reads until the connection ends."""
    try:
        while peer.sock.recv(1 << 20):
            pass
    except OSError:
        return


def test_a_flood_of_keepalives(program: Program, host: Host, part: str) -> None:
    peer = established(host, part)
    for _ in range(100):
        peer.send(message(KEEPALIVE) * 10_000)
    assert report(program, part)["state"] == "Established"
    peer.close()


def test_a_million_updates_of_one_prefix(program: Program, host: Host, part: str) -> None:
    peer = established(host, part)
    head = struct.pack(">HH", 0, len(ATTRIBUTES)) + ATTRIBUTES
    block = b"".join(
        message(UPDATE, head + struct.pack(">IBI", 1, 32, (10 << 24) + number))
        for number in range(10_000)
    )
    for _ in range(100):
        peer.send(block)
    peer.send(message(UPDATE, b"\0\0\0\xff"))
    wait_for(
        lambda: (report(program, part)["lastDown"] or {}).get("cause"),
        lambda cause: cause == Cause.UPDATE_ERROR.value,
        60,
        "all of it to be read",
    )
    peer.close()


def test_many_refresh_requests_at_once(program: Program, host: Host, part: str) -> None:
    peer = RawPeer(host, OURS, PARTS[part]).establish(hold_time=0)
    while peer.read_until(UPDATE) != END_OF_RIB:
        pass
    table = sent(program, part)
    peer.send(REFRESH * 40)
    read_until_quiet(peer)
    assert table * 0.9 < sent(program, part) - table < table * 2.1
    peer.close()


def sent(program: Program, part: str) -> float:
    """Octets that were sent to a peer."""
    octets = program.metric(f'porter_bgp_bytes_sent_total{{peer="{part}"}}')
    assert octets is not None
    return octets


def read_until_quiet(peer: RawPeer) -> None:
    """Reads until nothing arrives for four seconds."""
    peer.sock.settimeout(4)
    try:
        while peer.sock.recv(1 << 20):
            pass
    except TimeoutError:
        return
    pytest.fail("the connection ended")


def test_the_longest_route_refresh(program: Program, host: Host, part: str) -> None:
    peer = RawPeer(host, OURS, PARTS[part]).establish(more=bytes.fromhex("0600"))
    peer.send(message(ROUTE_REFRESH, bytes(65535 - 19)))
    assert peer.read_until(NOTIFICATION)[:2] == b"\x07\x01"
    assert peer.read() is None
    wait_for(
        lambda: (report(program, part)["lastDown"] or {}).get("cause"),
        lambda cause: cause == Cause.REFRESH_ERROR.value,
        5,
        "its end",
    )


def test_a_bad_header_while_the_table_is_sent_is_answered(
    program: Program, host: Host, part: str
) -> None:
    peer = RawPeer(host, OURS, PARTS[part], receive_buffer=2048)
    peer.send(open_message() + message(KEEPALIVE) + b"\0" * 19)
    assert peer.read_until(NOTIFICATION)[:2] == b"\x01\x01"
    assert peer.read() is None


def test_a_flood_of_connections(program: Program, host: Host, part: str) -> None:
    for number in range(2000):
        peer = RawPeer(host, OURS, STRANGER if number % 2 else PARTS[part])
        peer.reset()
    peer = RawPeer(host, OURS, PARTS[part]).establish()
    assert peer.read_until(UPDATE)
    peer.close()


def test_a_flapping_peer_gets_few_tables(program: Program, host: Host, part: str) -> None:
    sessions, until = 0, time.monotonic() + 15
    while time.monotonic() < until:
        sessions += flap(RawPeer(host, OURS, PARTS[part]))
    assert 3 <= sessions <= 7
    told = report(program, part)
    assert told["dampedSeconds"] > 0
    assert told["state"] != "Established"


def flap(peer: RawPeer) -> bool:
    """Ends a session as soon as it is up; returns whether it came up."""
    try:
        peer.send(open_message() + message(KEEPALIVE))
        while (found := peer.read()) is not None:
            if found[0] == UPDATE:
                peer.reset()
                return True
    except OSError:
        pass
    peer.close()
    return False


def test_the_text_of_a_peer_is_no_label(program: Program, host: Host, parts: Iterator[str]) -> None:
    for number in range(6):
        name = next(parts)
        peer = RawPeer(host, OURS, PARTS[name]).establish()
        words = f"\x1b[31mreason {number}".encode()
        hard = b"\x06\x09\x06\x02" + bytes([len(words)]) + words
        peer.send(message(NOTIFICATION, hard))
        told = wait_for(partial(report, program, name), lambda p: bool(p["lastDown"]), 5, "its end")
        assert told["lastError"] == (
            "the peer sent Hard Reset (6/9): Administrative Shutdown (6/2): "
            f'"\ufffd[31mreason {number}"'
        )
        peer.close()
    drops = " ".join(program.counted("porter_bgp_session_drops_total"))
    reasons = set(re.findall(r'reason="([^"]*)"', drops))
    assert reasons <= {cause.value for cause in Cause}
    assert Cause.PEER_SHUTDOWN.value in reasons
