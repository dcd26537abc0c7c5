"""Which of two connections with one peer stays."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from porter_ryu.bgp.protocol.collision import Contender, Identity, Verdict, judge
from porter_ryu.bgp.protocol.fsm import State

LOW, HIGH = Identity(IPv4Address("10.0.0.1"), 65000), Identity(IPv4Address("10.0.0.2"), 65001)
SAME = Identity(IPv4Address("10.0.0.1"), 65001)


def contender(
    inbound: bool, at: float, state: State = State.OPEN_CONFIRM, **more: Any
) -> Contender:
    """A connection."""
    return Contender(inbound, state, at, **more)


@pytest.mark.parametrize(
    ("ours", "theirs", "new_inbound", "verdict"),
    [
        (LOW, HIGH, True, Verdict.NEW_STAYS),
        (LOW, HIGH, False, Verdict.OLD_STAYS),
        (HIGH, LOW, True, Verdict.OLD_STAYS),
        (HIGH, LOW, False, Verdict.NEW_STAYS),
        (LOW, SAME, True, Verdict.NEW_STAYS),
        (SAME, LOW, True, Verdict.OLD_STAYS),
    ],
)
def test_the_one_that_the_higher_identifier_opened_stays(
    ours: Identity, theirs: Identity, new_inbound: bool, verdict: Verdict
) -> None:
    old, new = contender(not new_inbound, 1.0), contender(new_inbound, 2.0)
    assert judge(old, new, ours, theirs) is verdict


def test_an_established_session_stays() -> None:
    old = contender(False, 1.0, State.ESTABLISHED, established_at=2.0)
    assert judge(old, contender(True, 3.0), LOW, HIGH) is Verdict.OLD_STAYS


@pytest.mark.parametrize("state", [State.OPEN_CONFIRM, State.ESTABLISHED])
def test_one_that_the_peer_has_closed_is_gone(state: State) -> None:
    old = contender(False, 1.0, state, dead=True)
    assert judge(old, contender(True, 3.0), HIGH, LOW) is Verdict.OLD_IS_GONE


def test_a_peer_that_restarts_gracefully_has_lost_its_session_when_it_calls_again() -> None:
    old = contender(True, 1.0, State.ESTABLISHED, established_at=2.0, graceful=True)
    assert judge(old, contender(True, 3.0), HIGH, LOW) is Verdict.OLD_IS_GONE
    assert judge(old, contender(False, 3.0), HIGH, LOW) is Verdict.OLD_STAYS
    assert judge(old, contender(True, 1.5), HIGH, LOW) is Verdict.OLD_STAYS
