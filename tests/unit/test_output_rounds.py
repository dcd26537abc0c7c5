"""Whose turn it is to send: each slice is one turn, and a fault costs one slice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.supervisor import Task
from tests.unit.later import Later


class Supervised(Later):
    """Lives on when a task dies, as the supervisor does."""

    def __init__(self) -> None:
        super().__init__()
        self.died: list[str] = []

    def after(self, seconds: float, name: str, run: Callable[..., object], *args: object) -> Task:
        """As Supervisor.after."""

        def safely() -> None:
            try:
                run(*args)
            except RuntimeError:
                self.died.append(name)

        return super().after(seconds, name, safely)


class Peer:
    """Has so many slices to send, and fails at one of them."""

    def __init__(self, name: str, slices: int, sent: list[str], fails_at: int = 0) -> None:
        self._name, self._left, self._sent, self._fails_at = name, slices, sent, fails_at
        self.meanwhile: Callable[[], None] = lambda: None

    def send_slice(self) -> bool:
        """Sends one."""
        self._sent.append(f"{self._name}{self._left}")
        self._left -= 1
        self.meanwhile()
        if self._left + 1 == self._fails_at:
            raise RuntimeError("a slice that cannot be encoded")
        return self._left > 0


@pytest.fixture
def later() -> Supervised:
    return Supervised()


@pytest.fixture
def rounds(later: Supervised) -> OutputRounds:
    return OutputRounds(later)


def test_those_that_have_much_to_send_take_turns(later: Supervised, rounds: OutputRounds) -> None:
    sent: list[str] = []
    for name, slices in (("a", 3), ("b", 1), ("c", 2)):
        rounds.due(Peer(name, slices, sent))
    later.passes()
    assert sent == ["a3", "b1", "c2", "a2", "c1", "a1"]


def test_who_waits_already_does_not_wait_twice(later: Supervised, rounds: OutputRounds) -> None:
    sent: list[str] = []
    peer = Peer("a", 1, sent)
    for _ in range(3):
        rounds.due(peer)
    later.passes()
    assert sent == ["a1"]


def test_one_that_becomes_due_while_others_send_has_its_turn_after_them(
    later: Supervised, rounds: OutputRounds
) -> None:
    sent: list[str] = []
    first, late = Peer("a", 2, sent), Peer("b", 1, sent)
    first.meanwhile = lambda: rounds.due(late) if sent == ["a2"] else None
    rounds.due(first)
    later.passes()
    assert sent == ["a2", "b1", "a1"]


def test_a_slice_that_fails_costs_itself_alone(later: Supervised, rounds: OutputRounds) -> None:
    sent: list[str] = []
    rounds.due(Peer("bad", 3, sent, fails_at=2))
    rounds.due(Peer("good", 2, sent))
    later.passes(1)
    assert sent == ["bad3", "good2", "bad2", "good1", "bad1"]
    assert later.died == ["bgp output"], "once, and it goes on"


def test_what_waits_for_everything_to_be_sent_is_told_then_and_once(
    later: Supervised, rounds: OutputRounds
) -> None:
    sent: list[str] = []
    rounds.when_sent(lambda: sent.append("at once"))
    rounds.due(Peer("a", 2, sent))
    rounds.when_sent(lambda: sent.append("all"))
    rounds.due(Peer("b", 1, sent))
    later.passes()
    assert sent == ["at once", "a2", "b1", "a1", "all"]
    rounds.due(Peer("c", 1, sent))
    later.passes()
    assert sent[5:] == ["c1"]
