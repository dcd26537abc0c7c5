"""Misbehaviour of a configured peer and of other hosts.

BIRD and FRR run beside with a hold time of three seconds: after every test their sessions must be
the same as before, so no KEEPALIVE was ever late.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from fabric.raw_peer import (
    KEEPALIVE,
    MARKER,
    NOTIFICATION,
    OPEN,
    ROUTE_REFRESH,
    UPDATE,
    RawPeer,
    message,
    open_message,
)
from tests.functional.conftest import OURS
from tests.functional.parts import HEALTHY, STRANGER, named_parts, stage

# one for each test: a peer whose sessions do not last is damped
PARTS = named_parts(59)
FLAPS = int(os.environ.get("FLAPS", "400"))


@pytest.fixture(scope="module")
def program(fabric: Fabric) -> Iterator[Program]:
    """Two healthy peers, and one that the tests play."""
    with stage(fabric, PARTS) as sections:
        program = Program(fabric.hosts["porter"], sections)
        program.put("pool", eip("pool", "203.0.113.0/24"))
        program.put("nodes", node("n1", "192.168.7.11"), node("n2", "192.168.7.12"))
        for number in range(40):
            program.put(f"s{number}", service(f"s{number}"), slice_of(f"s{number}", "n1", "n2"))
        yield program.start()
        print(program.tail())
        program.stop()


@pytest.fixture(autouse=True)
def healthy(program: Program) -> Iterator[None]:
    """The sessions of the healthy peers never drop."""

    def states() -> list[str]:
        return [peer["state"] for peer in program.get("/v1/peers") if peer["name"] in HEALTHY]

    wait_for(states, lambda s: s == ["Established"] * 2, 12, "the healthy sessions")
    before = {peer["name"]: peer["establishedSeconds"] for peer in program.get("/v1/peers")}
    yield
    for peer in program.get("/v1/peers"):
        if peer["name"] in HEALTHY:
            assert peer["state"] == "Established"
            assert peer["establishedSeconds"] > before[peer["name"]]


class Caller:
    """Opens connections from one peer or another host; all are closed after the test."""

    def __init__(self, fabric: Fabric, program: Program, name: str) -> None:
        self.name = name
        self._host = fabric.hosts["gobgpd"]
        self._program = program
        self._opened: list[RawPeer] = []

    def __call__(self, source: str = "", receive_buffer: int = 0) -> RawPeer:
        """One more connection."""
        peer = RawPeer(self._host, OURS, source or PARTS[self.name], receive_buffer=receive_buffer)
        self._opened.append(peer)
        return peer

    def report(self) -> Json:
        """What is told of this peer."""
        return next(p for p in self._program.get("/v1/peers") if p["name"] == self.name)

    def close(self) -> None:
        """Closes them."""
        for peer in self._opened:
            peer.close()


@pytest.fixture(scope="module")
def parts() -> Iterator[str]:
    """Peers that no test has played yet."""
    return iter(PARTS)


@pytest.fixture
def call(fabric: Fabric, program: Program, parts: Iterator[str]) -> Iterator[Caller]:
    """The peer that the test plays."""
    caller = Caller(fabric, program, next(parts))
    yield caller
    caller.close()


def process(program: Program) -> tuple[int, int]:
    """Resident memory in kB and descriptors of the program."""
    pid = program.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1]), len(os.listdir(f"/proc/{pid}/fd"))


def code(body: bytes) -> tuple[int, int]:
    """Of a NOTIFICATION."""
    return body[0], body[1]


def test_an_unknown_host_gets_a_cease(call: Caller) -> None:
    peer = call(STRANGER)
    assert code(peer.read_until(NOTIFICATION)) == (6, 5)
    assert peer.read() is None


def test_resets_at_any_moment(call: Caller, program: Program) -> None:
    whole = open_message()
    for number in range(600):
        peer = call(STRANGER if number % 2 else "")
        if number % 2 == 0:
            peer.send(whole[: number % (len(whole) + 1)])
        peer.reset()
    call().establish().read_until(UPDATE)


def test_hundreds_of_silent_connections_and_a_real_one(call: Caller, program: Program) -> None:
    silent = [call(source) for _ in range(150) for source in (STRANGER, "")]
    peer = call().establish()
    assert peer.read_until(UPDATE)
    assert code(silent[-1].read_until(NOTIFICATION))[0] == 6


def test_an_open_octet_by_octet(call: Caller) -> None:
    peer = call()
    for octet in open_message() + message(KEEPALIVE):
        peer.send(bytes([octet]))
    assert peer.read_until(OPEN)
    assert peer.read_until(UPDATE)


OPENS = {
    "an AS that is not configured": (open_message(asn=65009), (2, 2)),
    "hold time 1": (open_message(hold_time=1), (2, 6)),
    "hold time 2": (open_message(hold_time=2), (2, 6)),
    "identifier 0": (open_message(identifier="0.0.0.0"), (2, 3)),
    "version 3": (message(OPEN, b"\x03" + open_message()[20:]), (2, 1)),
    "a marker that is not all ones": (b"\x00" * 16 + open_message()[16:], (1, 1)),
    "a length of 18": (MARKER + struct.pack(">HB", 18, 1), (1, 2)),
    "a length of 5000": (MARKER + struct.pack(">HB", 5000, 1), (1, 2)),
    "an OPEN that is too short": (message(OPEN, b"\x04"), (1, 2)),
    "a type that is not known": (message(9), (1, 3)),
    "an UPDATE before the OPEN": (message(UPDATE, b"\0\0\0\0"), (5, 1)),
    "an UPDATE before the KEEPALIVE": (open_message() + message(UPDATE, b"\0\0\0\0"), (5, 2)),
    "a second OPEN": (open_message() + message(KEEPALIVE) + open_message(), (5, 3)),
    "a ROUTE-REFRESH cut short": (
        open_message() + message(KEEPALIVE) + message(ROUTE_REFRESH, b"\0\1\0\1\0"),
        (7, 1),
    ),
    "an UPDATE that overruns": (
        open_message() + message(KEEPALIVE) + message(UPDATE, b"\0\0\0\xff"),
        (3, 1),
    ),
}


@pytest.mark.parametrize("case", OPENS)
def test_each_error_is_answered_with_its_code(call: Caller, case: str) -> None:
    data, expected = OPENS[case]
    peer = call()
    peer.send(data)
    assert code(peer.read_until(NOTIFICATION)) == expected
    assert peer.read() is None


def test_a_malformed_update_is_treated_as_withdraw(call: Caller, program: Program) -> None:
    peer = call().establish()
    for attributes in ("40010109", "400105", "4001", "4001010040010100", "c0ff0101"):
        raw = bytes.fromhex(attributes)
        peer.send(message(UPDATE, struct.pack(">HH", 0, len(raw)) + raw + b"\x18\x0a\x00\x00"))
    peer.send(message(ROUTE_REFRESH, b"\0\1\0\1"))
    peer.read_until(UPDATE)
    assert call.report()["state"] == "Established"


def test_hold_time_zero_means_no_keepalives(call: Caller, program: Program) -> None:
    peer = call().establish(hold_time=0)
    peer.read_until(UPDATE)
    wait_for(lambda: call.report()["establishedSeconds"], lambda s: s > 4, 10, "its age")
    assert call.report()["holdTime"] == 0
    peer.sock.setblocking(False)
    rest = b""
    while len(data := _available(peer)):
        rest += data
    assert message(KEEPALIVE) not in rest


def _available(peer: RawPeer) -> bytes:
    try:
        return peer.sock.recv(65536)
    except BlockingIOError:
        return b""


def test_a_peer_that_sends_but_does_not_read_is_disconnected(
    call: Caller, program: Program
) -> None:
    peer = call(receive_buffer=2048).establish()

    def talk() -> str:
        try:
            for _ in range(50):
                peer.send(message(ROUTE_REFRESH, b"\0\1\0\1"))
            peer.send(message(KEEPALIVE))
        except OSError:
            pass
        return str(call.report()["lastError"])

    wait_for(talk, lambda error: "does not read" in error, 60, "the send hold timer")


def test_two_hundred_thousand_routes_are_not_stored_and_delay_nothing(
    call: Caller, program: Program
) -> None:
    peer = call().establish()
    memory, _ = process(program)
    attributes = bytes.fromhex("4001010040020602010000fdeb400304c0a80703")
    for block in range(250):
        nlri = b"".join(
            struct.pack(">IBI", 1, 32, (10 << 24) + block * 1000 + n) for n in range(400)
        )
        body = struct.pack(">HH", 0, len(attributes)) + attributes + nlri
        second = struct.pack(">HH", 0, len(attributes)) + attributes + nlri
        peer.send(message(UPDATE, body) + message(UPDATE, second) + message(KEEPALIVE))
        peer.send(message(UPDATE, body[: len(body) // 2 * 2]))
    peer.send(message(ROUTE_REFRESH, b"\0\1\0\1"))
    peer.read_until(UPDATE)
    after, _ = process(program)
    assert after - memory < 8000
    assert call.report()["state"] == "Established"


def test_flaps_leak_neither_memory_nor_descriptors(call: Caller, program: Program) -> None:
    def flap() -> None:
        peer = call()
        peer.send(open_message())
        peer.read_until(KEEPALIVE)
        peer.reset()

    for _ in range(50):
        flap()
    memory, descriptors = process(program)
    for _ in range(FLAPS):
        flap()
    wait_for(lambda: process(program)[1], lambda now: now <= descriptors + 5, 10, "descriptors")
    assert process(program)[0] - memory < 4000


def test_a_collision_is_resolved_by_identifier(call: Caller, program: Program) -> None:
    # ours is 192.168.7.5: of two that the peer opened the newer is refused
    first = call()
    first.send(open_message())
    first.read_until(KEEPALIVE)
    second = call()
    second.send(open_message())
    assert code(second.read_until(NOTIFICATION)) == (6, 7)
    first.send(message(KEEPALIVE))
    first.read_until(UPDATE)


def test_a_peer_with_two_octet_as_numbers(call: Caller) -> None:
    peer = call().establish(four_octet_as=False)
    update = peer.read_until(UPDATE)
    assert bytes.fromhex("4002040201") + struct.pack(">H", 65000) in update


def test_an_extended_message_if_both_sides_can(call: Caller, program: Program) -> None:
    peer = call().establish(more=bytes.fromhex("0600"))
    body = struct.pack(">HH", 0, 0) + b"\x20\x0a\x00\x00\x01" * 1000
    peer.send(message(UPDATE, body) + message(ROUTE_REFRESH, b"\0\1\0\1"))
    peer.read_until(UPDATE)
    assert call.report()["state"] == "Established"


def test_a_new_connection_of_a_graceful_restart_peer_replaces_its_session(
    call: Caller, program: Program
) -> None:
    graceful = bytes.fromhex("40020078")
    lost = call().establish(more=graceful)
    lost.read_until(UPDATE)
    again = call().establish(more=graceful)
    assert again.read_until(UPDATE)
    assert lost.read_until(UPDATE), "what was sent before"


def test_without_graceful_restart_a_second_connection_is_refused(
    call: Caller, program: Program
) -> None:
    first = call().establish()
    first.read_until(UPDATE)
    second = call()
    second.send(open_message())
    assert code(second.read_until(NOTIFICATION)) == (6, 7)
    assert call.report()["state"] == "Established"


def test_an_enhanced_refresh_is_marked(call: Caller) -> None:
    peer = call().establish(more=bytes.fromhex("4600"))
    peer.read_until(UPDATE)
    peer.send(message(ROUTE_REFRESH, b"\0\1\0\1"))
    assert peer.read_until(ROUTE_REFRESH) == b"\0\1\1\1"
    peer.read_until(UPDATE)
    assert peer.read_until(ROUTE_REFRESH) == b"\0\1\2\1"
