"""Where next hops are and which answer, with a clock that the test moves."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from porter_ryu.domain.model import Address
from porter_ryu.openflow import frames
from porter_ryu.openflow.neighbours import Location, Neighbours
from porter_ryu.openflow.responder import link_local

INTERVAL = 0.3
MAC = bytes.fromhex("025052595501")


class Network:
    """Nodes that answer wherever they are, unless they are silent.  `forgetful`: it is the switch
    that drops the answers of the silent ones, until none came for so many seconds (0: for good)."""

    def __init__(self, count: int = 4, interval: float = INTERVAL) -> None:
        self.interval = interval
        self.now = 100.0
        self.where: dict[Address, Location] = {
            ip_address(f"192.168.0.{n}"): Location(bytes([2, 0, 0, 0, 0, n]), n)
            for n in range(1, count + 1)
        }
        self.silent: set[Address] = set()
        self.forgetful = 0.0
        self.asked_everybody = 0
        self._last_answer: dict[Address, float] = {}
        self.neighbours = Neighbours(interval, panic_percent=90)
        self.neighbours.set_targets(self.where, self.now)

    def run(self, seconds: float) -> None:
        """Time passes."""
        until = self.now + seconds - 1e-9
        while self.now < until:
            self._send(self.neighbours.ask())
            self.now += self.interval / 2
            self._send(list(self.neighbours.judge()))
            self.neighbours.pop_changed(self.now)
            self.now += self.interval / 2

    def _send(self, questions: object) -> None:
        for asked in list(questions):  # type: ignore[call-overload]
            self.asked_everybody += asked.where is None
            where = self.where[asked.address]
            if asked.where not in (None, where):
                continue
            last = self._last_answer.get(asked.address, self.now)
            self._last_answer[asked.address] = self.now
            if self.forgetful and self.now - last > self.forgetful:
                self.silent.discard(asked.address)
            if asked.address not in self.silent:
                self.neighbours.answered(asked.address, where)


def test_all_that_answer_are_reachable_where_they_are() -> None:
    network = Network()
    network.run(INTERVAL)
    assert network.neighbours.reachable == network.where
    network.asked_everybody = 0
    network.run(10)
    assert network.asked_everybody == 0  # who answers is asked alone


def test_a_node_that_vanishes_leaves_within_a_second() -> None:
    network = Network()
    network.run(3)
    gone = ip_address("192.168.0.2")
    network.silent.add(gone)
    network.run(0.9)
    assert gone not in network.neighbours.reachable
    assert len(network.neighbours.reachable) == 3
    network.silent.clear()
    network.run(0.9)
    assert network.neighbours.reachable == network.where


@pytest.mark.parametrize("interval", [0.05, 1.0, 19.9, 20.0, 60.0])
def test_a_node_is_dead_after_two_questions_however_rare_they_are(interval: float) -> None:
    network = Network(interval=interval)
    network.run(3 * interval)
    gone = ip_address("192.168.0.2")
    network.silent.add(gone)
    network.run(2 * interval)
    assert gone not in network.neighbours.reachable


def test_a_node_that_moves_is_followed_and_never_dead() -> None:
    network = Network()
    network.run(3)
    moved = ip_address("192.168.0.2")
    network.where[moved] = Location(network.where[moved].mac, 9)
    network.run(INTERVAL)
    assert network.neighbours.reachable == network.where


def test_the_loss_of_all_at_once_is_not_believed() -> None:
    network = Network()
    network.run(3)
    network.silent.update(network.where)
    network.run(20)
    assert network.neighbours.doubted
    assert network.neighbours.reachable == network.where


def test_a_node_that_never_answered_is_not_reachable_and_asked_less_and_less() -> None:
    network = Network(1)
    network.silent.update(network.where)
    network.run(30)
    assert network.neighbours.reachable == {}
    assert list(network.neighbours.unresolved) == list(network.where)
    assert network.asked_everybody < 35


@pytest.mark.parametrize("interval", [0.05, 0.3, 1.0, 7.0, 60.0])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("silent", [1, 3, 4])
def test_a_switch_that_drops_answers_while_they_come_has_time_to_forget(
    interval: float, known: bool, silent: int
) -> None:
    """Also where the loss of all is not believed."""
    network = Network(interval=interval)
    network.run(3 * interval if known else 0)
    network.silent.update(list(network.where)[:silent])
    network.forgetful = 10.5
    network.run(35 + 4 * interval)
    assert network.neighbours.reachable == network.where
    assert not network.silent


def test_a_silent_node_is_asked_soon_after_a_port_came_up() -> None:
    network = Network()
    network.run(3)
    network.silent.update(list(network.where)[:2])
    network.run(25)  # within the pause
    network.silent.clear()
    network.run(1)
    assert len(network.neighbours.reachable) == 2
    network.neighbours.port_is_up()
    network.run(1)
    assert network.neighbours.reachable == network.where


@pytest.mark.parametrize("seconds", [0.3, 2.0, 5.0, 11.0, 19.0, 25.0, 31.0])
@pytest.mark.parametrize("known", [True, False])
def test_a_port_that_comes_and_goes_does_not_keep_a_switch_from_forgetting(
    seconds: float, known: bool
) -> None:
    network = Network()
    network.run(3 if known else 0)
    network.silent.update(list(network.where)[:2])
    network.forgetful = 10.5
    until = network.now + 100
    while network.now < until:
        network.run(seconds)
        network.neighbours.port_is_up()
    assert network.neighbours.reachable == network.where


@pytest.mark.parametrize("after", [0.3, 1.0, 3.0, 10.0, 19.5, 20.1, 25.0, 30.0])
def test_a_node_that_never_answered_is_asked_in_the_next_interval_when_a_port_comes_up(
    after: float,
) -> None:
    network = Network()
    network.silent.update(network.where)
    network.run(after)
    network.silent.clear()
    network.neighbours.port_is_up()
    network.run(INTERVAL)
    assert network.neighbours.reachable == network.where


def test_a_node_of_an_earlier_process_counts_until_it_is_silent() -> None:
    network = Network()
    for address, where in network.where.items():
        network.neighbours.seed(address, where, network.now)
    assert network.neighbours.reachable == network.where
    network.silent.add(ip_address("192.168.0.1"))
    network.run(0.9)
    assert len(network.neighbours.reachable) == 3


def test_answers_of_others_are_ignored() -> None:
    neighbours = Neighbours(INTERVAL, 90)
    neighbours.answered(ip_address("192.168.0.9"), Location(MAC, 1))
    assert neighbours.reachable == {}


def test_a_next_hop_that_is_not_wanted_any_more_is_forgotten() -> None:
    network = Network()
    network.run(1)
    network.neighbours.set_targets([], network.now)
    assert network.neighbours.reachable == {}
    assert list(network.neighbours.ask()) == []


def test_an_arp_question_has_no_sender_address() -> None:
    frame = frames.question(ip_address("192.168.0.7"), MAC, None)
    assert frame[:6] == b"\xff" * 6
    assert frame[28:32] == bytes(4)
    assert frame[38:42] == bytes([192, 168, 0, 7])
    assert len(frame) == 60
    assert frames.question(ip_address("192.168.0.7"), MAC, b"\2" * 6)[:6] == b"\2" * 6


def test_a_neighbour_solicitation_has_a_valid_checksum_and_our_mac() -> None:
    frame = frames.question(ip_address("fd00::1:2345"), MAC, None)
    assert frame[:6] == bytes.fromhex("3333ff012345")
    assert ip_address(frame[22:38]) == link_local(MAC)
    body, pseudo = frame[54:], frame[22:54] + (32).to_bytes(4, "big") + b"\0\0\0\x3a"
    words = [int.from_bytes((pseudo + body)[i : i + 2], "big") for i in range(0, 72, 2)]
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert frame[-6:] == MAC


@pytest.mark.parametrize("length", range(0, 100, 7))
def test_a_frame_that_is_no_answer_is_none(length: int) -> None:
    assert frames.answer(bytes(length)) is None
    assert frames.answer(frames.question(ip_address("192.168.0.7"), MAC, None)[:length]) is None


def test_answers_are_read() -> None:
    arp = bytes.fromhex("025052595501 020000000007 0806 0001080006040002 020000000007 c0a80007")
    found = frames.answer((arp + MAC + bytes(4)).ljust(60, b"\0"))
    assert found == frames.Answer(ip_address("192.168.0.7"), b"\2\0\0\0\0\7")
    target = ip_address("fd00::7")
    head = MAC + b"\2\0\0\0\0\7" + b"\x86\xdd" + bytes.fromhex("6000000000203aff")
    message = bytes([136, 0, 0, 0, 0x60, 0, 0, 0]) + target.packed
    frame = head + target.packed + link_local(MAC).packed + message
    assert frames.answer(frame) == frames.Answer(target, b"\2\0\0\0\0\7")
    assert frames.answer(frame + b"\2\1" + b"\2\0\0\0\0\x08") == frames.Answer(
        target, b"\2\0\0\0\0\x08"
    )
