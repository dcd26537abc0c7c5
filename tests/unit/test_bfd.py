"""BFD without sockets: two sessions and a clock, golden bytes, packets that are discarded."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.bfd.packet import Diagnostic, Packet, State, decode, encode
from porter_ryu.bgp.bfd.session import BfdSession


def session(number: int) -> BfdSession:
    """A session with 300 ms x 3, without jitter."""
    return BfdSession(number, 300_000, 3, lambda _, high: high, now=0.0)


def talk(a: BfdSession, b: BfdSession, start: float, seconds: float) -> float:
    """Exchanges packets for some seconds; returns the time afterwards."""
    now = start
    while now < start + seconds:
        now += 0.05
        for one, other in ((a, b), (b, a)):
            packet = one.tick(now)
            answer = other.receive(packet, now) if packet else None
            if answer:
                one.receive(answer, now)
    return now


def sent(session: BfdSession, now: float) -> Packet:
    """The packet that a session sends now."""
    packet = session.tick(now)
    assert packet is not None
    return packet


def test_two_sessions_come_up_and_a_silent_peer_is_detected() -> None:
    a, b = session(1), session(2)
    now = talk(a, b, 0.0, 4.0)
    assert (a.state, b.state) == (State.UP, State.UP)
    for _ in range(60):
        now += 0.05
        b.tick(now)
        if b.state is State.DOWN:
            break
    assert b.state is State.DOWN
    assert sent(b, now + 2).diagnostic == Diagnostic.DETECTION_TIME_EXPIRED
    now = talk(a, b, now, 4.0)
    assert (a.state, b.state) == (State.UP, State.UP)


def test_it_sends_at_its_interval_while_up_and_once_a_second_while_down() -> None:
    a, b = session(1), session(2)
    assert sent(a, 0.0).desired_min_tx == 1_000_000
    assert a.tick(0.9) is None
    talk(a, b, 0.0, 4.0)
    packet = next(p for p in (a.tick(4.1 + n / 10) for n in range(5)) if p)
    assert packet.desired_min_tx == 300_000
    assert not packet.poll, "the poll was answered"


def test_a_shorter_interval_applies_at_once() -> None:
    a = session(1)
    a.tick(0.0)
    a.receive(Packet(State.INIT, 3, 2, 1, 1_000_000, 1_000_000), 0.1)
    assert sent(a, 0.1).state is State.UP
    assert a.next_send == pytest.approx(1.1), "the peer accepts at most one packet per second"
    a.receive(Packet(State.UP, 3, 2, 1, 300_000, 300_000), 0.2)
    assert a.next_send == pytest.approx(0.5)


def test_admin_down_takes_the_session_of_the_peer_down() -> None:
    a, b = session(1), session(2)
    talk(a, b, 0.0, 4.0)
    b.receive(a.end(), 4.0)
    assert b.state is State.DOWN


def test_golden_bytes() -> None:
    packet = Packet(State.UP, 3, 1, 2, 300_000, 300_000, poll=True)
    data = encode(packet)
    assert data.hex() == "20e803180000000100000002000493e0000493e000000000"
    assert decode(data) == packet


@pytest.mark.parametrize(
    "data",
    [
        "",
        "20e803180000000100000002000493e0000493e0",
        "40e80318" + "00000001" * 5,
        "20e80017" + "00000001" * 5,
        "20e80018" + "00000001" * 5,
        "20e80319" + "00000001" * 5,
        "20e80318" + "00000000" * 5,
        "20ec0318" + "00000001" * 5,
        "20e90318" + "00000001" * 5,
        "20c80318" + "00000001" + "00000000" + "00000001" * 3,
    ],
)
def test_a_malformed_packet_is_discarded(data: str) -> None:
    assert decode(bytes.fromhex(data)) is None
