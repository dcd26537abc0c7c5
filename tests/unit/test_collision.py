"""Collision detection: which of two connections with one peer is kept."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from porter_ryu.bgp.protocol.collision import Candidate, Identity, Resolution, resolve
from porter_ryu.bgp.protocol.fsm import State

LOW, HIGH = Identity(IPv4Address("10.0.0.1"), 65000), Identity(IPv4Address("10.0.0.2"), 65001)
SAME = Identity(IPv4Address("10.0.0.1"), 65001)


def candidate(
    inbound: bool, at: float, state: State = State.OPEN_CONFIRM, **more: Any
) -> Candidate:
    """A connection."""
    return Candidate(inbound, state, at, **more)


@pytest.mark.parametrize(
    ("ours", "theirs", "new_inbound", "resolution"),
    [
        (LOW, HIGH, True, Resolution.KEEP_NEW),
        (LOW, HIGH, False, Resolution.KEEP_OLD),
        (HIGH, LOW, True, Resolution.KEEP_OLD),
        (HIGH, LOW, False, Resolution.KEEP_NEW),
        (LOW, SAME, True, Resolution.KEEP_NEW),
        (SAME, LOW, True, Resolution.KEEP_OLD),
    ],
)
def test_the_connection_of_the_higher_identifier_is_kept(
    ours: Identity, theirs: Identity, new_inbound: bool, resolution: Resolution
) -> None:
    old, new = candidate(not new_inbound, 1.0), candidate(new_inbound, 2.0)
    assert resolve(old, new, ours, theirs) is resolution


def test_an_established_session_is_kept() -> None:
    old = candidate(False, 1.0, State.ESTABLISHED, established_at=2.0)
    assert resolve(old, candidate(True, 3.0), LOW, HIGH) is Resolution.KEEP_OLD


@pytest.mark.parametrize("state", [State.OPEN_CONFIRM, State.ESTABLISHED])
def test_a_connection_that_the_peer_closed_is_replaced(state: State) -> None:
    old = candidate(False, 1.0, state, closed_by_peer=True)
    assert resolve(old, candidate(True, 3.0), HIGH, LOW) is Resolution.REPLACE_OLD


def test_a_new_connection_of_a_graceful_restart_peer_replaces_its_session() -> None:
    old = candidate(True, 1.0, State.ESTABLISHED, established_at=2.0, graceful=True)
    assert resolve(old, candidate(True, 3.0), HIGH, LOW) is Resolution.REPLACE_OLD
    assert resolve(old, candidate(False, 3.0), HIGH, LOW) is Resolution.KEEP_OLD
    assert resolve(old, candidate(True, 1.5), HIGH, LOW) is Resolution.KEEP_OLD
