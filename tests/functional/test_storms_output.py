"""Much that has to be sent holds nobody up.

Ten thousand Services on four nodes; BIRD and FRR stand beside with a hold time of three seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from fabric import Fabric, wait_for
from fabric.leaves import Bird, Frr, Neighbour
from fabric.metronome import Metronome
from fabric.objects import Json, eip, node, service, slice_of
from fabric.program import Program
from fabric.raw_peer import ROUTE_REFRESH, UPDATE, RawPeer, announces, message
from tests.functional.conftest import LEAF_AS, LEAVES, OURS, first, peers

SERVICES = 10_000
NODES = {f"n{n}": f"192.168.7.{10 + n}" for n in range(1, 5)}
HEALTHY = ("bird", "frr")
ENHANCED_REFRESH = bytes.fromhex("4600")
ASK = message(ROUTE_REFRESH, b"\0\1\0\1")
BEGIN, END = b"\0\1\1\1", b"\0\1\2\1"
END_OF_RIB = b"\0\0\0\0"


def sections() -> dict[str, dict[str, object]]:
    """Three peers, one of them played by the tests."""
    groups = peers()
    groups["bgp"]["hold_time"] = 3
    groups["peer:gobgpd"]["mode"] = "passive"
    return groups


@pytest.fixture(scope="module")
def program(fabric: Fabric, metronome: Metronome) -> Iterator[Program]:
    """Everything announced to two healthy peers."""
    hosts, us = fabric.hosts, [Neighbour(OURS, 65000)]
    first(fabric, *HEALTHY)
    bird = Bird(hosts["bird"], LEAF_AS["bird"], LEAVES["bird"], us).start()
    frr = Frr(fabric, hosts["frr"], LEAF_AS["frr"], LEAVES["frr"], us).start()
    program = Program(hosts["porter"], sections(), name="storms")
    names = [f"s{number}" for number in range(SERVICES)]
    program.put_list("services", [service(name) for name in names])
    program.put_list("slices", [slice_of(name, *NODES) for name in names])
    program.put("pool", eip("pool", "10.64.0.0/17"))
    program.put("nodes", *(node(name, address) for name, address in NODES.items()))
    program.start(ready=False)
    os.setpriority(os.PRIO_PROCESS, program.process.pid, -20)  # as the metronome
    wait_for(program.is_ready, bool, 120, "the program to be ready")
    wait_for(lambda: announced(program), lambda n: n == [4 * SERVICES] * 2, 60, "all routes")
    yield program
    print(program.tail())
    program.stop()
    frr.stop()
    bird.stop()


def of_healthy(program: Program) -> list[Json]:
    """What is told of the peers beside."""
    return [peer for peer in program.get("/v1/peers") if peer["name"] in HEALTHY]


def announced(program: Program) -> list[int]:
    """How many paths each of them was sent."""
    return [peer["paths"]["ipv4"] for peer in of_healthy(program)]


@pytest.fixture
def healthy(program: Program, metronome: Metronome) -> Iterator[None]:
    """After the storm the loop was never late, and no session has dropped."""
    wait_for(
        program.loop_lag,
        lambda lag: lag < metronome.allowed_lag,
        70,
        "the minute before to be over",
    )
    before = {peer["name"]: peer["establishedSeconds"] for peer in of_healthy(program)}
    yield

    def outlived() -> bool:
        """Whether they are the sessions of before, more than a hold time later."""
        return all(
            peer["establishedSeconds"] > before[peer["name"]] + 4 for peer in of_healthy(program)
        )

    wait_for(outlived, bool, 10, "the healthy sessions to be those of before")
    assert program.loop_lag() < metronome.allowed_lag


@pytest.fixture
def call(fabric: Fabric, program: Program) -> Iterator[Callable[..., RawPeer]]:
    """Sessions from the third peer's address, closed after the test."""
    opened: list[RawPeer] = []

    def connect(receive_buffer: int = 0) -> RawPeer:
        peer = RawPeer(
            fabric.hosts["gobgpd"], OURS, LEAVES["gobgpd"], receive_buffer=receive_buffer
        )
        opened.append(peer)
        return peer.establish(hold_time=0, more=ENHANCED_REFRESH)

    yield connect
    for peer in opened:
        peer.close()


def hops_until(peer: RawPeer, end: tuple[int, bytes]) -> dict[bytes, int]:
    """How many paths come by each next hop before a message."""
    found: dict[bytes, int] = {}
    while True:
        got = peer.read()
        assert got is not None, "the connection ended"
        if got == end:
            return found
        kind, body = got
        if kind == UPDATE:
            hop, count = announces(body)
            found[hop] = found.get(hop, 0) + count


def test_forty_refreshes_in_one_write(
    program: Program, call: Callable[..., RawPeer], healthy: None, fabric: Fabric
) -> None:
    peer = call()
    everything = hops_until(peer, (UPDATE, END_OF_RIB))
    assert sorted(everything.values()) == [SERVICES] * 4
    paths = min(announced(program))
    peer.send(ASK * 40)
    assert peer.read_until(ROUTE_REFRESH) == BEGIN
    peer.send(ASK * 40)
    # others' changes flow meanwhile
    program.put("slices-of-one", slice_of("s7", "n1", name="s7-ipv4"))
    assert hops_until(peer, (ROUTE_REFRESH, END)) != {}
    assert peer.read_until(ROUTE_REFRESH) == BEGIN
    assert hops_until(peer, (ROUTE_REFRESH, END)) != {}
    # eighty were answered by two
    patience = peer.sock.gettimeout()
    peer.sock.settimeout(2)
    with pytest.raises(TimeoutError):
        peer.read_until(ROUTE_REFRESH)
    wait_for(lambda: announced(program), lambda n: max(n) == paths - 3, 10, "the change")
    peer.sock.settimeout(patience)
    peer.send(ASK)
    assert peer.read_until(ROUTE_REFRESH) == BEGIN
    again = hops_until(peer, (ROUTE_REFRESH, END))
    assert sorted(again.values()) == [SERVICES - 1] * 3 + [SERVICES]


def test_a_peer_that_asks_and_reads_nothing(
    program: Program, call: Callable[..., RawPeer], healthy: None
) -> None:
    peer = call(receive_buffer=4096)
    for _ in range(10):
        peer.send(ASK * 40)
    before = resident(program)
    paths = min(announced(program))
    program.put("slices-of-another", slice_of("s8", "n1", name="s8-ipv4"))
    wait_for(lambda: announced(program), lambda n: max(n) == paths - 3, 10, "the change")
    assert resident(program) < before + 50_000


def resident(program: Program) -> int:
    """Memory of the program, in kB."""
    with open(f"/proc/{program.process.pid}/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith("VmRSS"))
    return int(line.split()[1])
