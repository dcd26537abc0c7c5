"""The warnings of a turn, and the alarm while the loss of nodes is doubted, in the log."""

from __future__ import annotations

import pytest

from porter_ryu.domain.turn import Turn
from porter_ryu.turn_log import TurnLog

ALARM = (
    "ALARM: almost all nodes were lost at once: their loss is not believed, and they count as "
    "Ready ([kubernetes] panic_percent)"
)
OVER = "ALARM over: nodes are back, and their readiness is believed again"


def test_the_alarm_is_a_line_when_it_begins_and_one_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    log = TurnLog()
    for doubted in (False, True, True, True, False, False):
        log.log(Turn(nodes_doubted=doubted))
    assert [record.getMessage() for record in caplog.records] == [ALARM, OVER]


def test_warnings_are_lines_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    TurnLog().log(Turn(warnings=("node n1 has no address", "node n2 has no address")))
    assert caplog.messages == ["node n1 has no address", "node n2 has no address"]


def test_drains_are_lines_of_a_kind_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    """Many warnings in a minute, of which only some are printed, suppress none of them."""
    caplog.set_level("INFO")
    TurnLog().log(Turn(notices=("node n1 is drained",), warnings=("node n2 has no address",)))
    assert caplog.messages == ["drain: node n1 is drained", "node n2 has no address"]
    assert len({record.msg for record in caplog.records}) == 2


def test_a_problem_of_an_eip_is_a_line_when_it_begins_and_one_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = TurnLog()
    for problems in ({"pool": "oops"}, {"pool": "oops"}, None, {"pool": "oops"}, {}, {}):
        log.log(Turn(eip_problems=problems))
    assert caplog.messages == ["Eip pool: oops", "Eip pool: no longer: oops"]
