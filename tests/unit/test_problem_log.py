"""A lasting problem is logged when it begins, when it changes and when it ends."""

from __future__ import annotations

import logging

import pytest

from porter_ryu.problem_log import ProblemLog

LOG = logging.getLogger("porter_ryu.test")


@pytest.fixture
def problems() -> ProblemLog:
    """Problems of folders that cannot be read."""
    return ProblemLog(
        LOG, "%(subject)s: %(problem)s", "%(subject)s is read again, after %(problem)s"
    )


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged since this was last asked."""
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_the_beginning_each_change_and_the_end_are_logged(
    problems: ProblemLog, caplog: pytest.LogCaptureFixture
) -> None:
    for problem in ("", "gone", "gone", "full", "", ""):
        problems.update("a", problem)
        assert problems.current("a") == problem
    assert lines(caplog) == [
        ("ERROR", "a: gone"),
        ("ERROR", "a: full"),
        ("WARNING", "a is read again, after full"),
    ]


def test_all_problems_are_set_at_once(
    problems: ProblemLog, caplog: pytest.LogCaptureFixture
) -> None:
    assert problems.update_all({"b": "gone", "a": "full"})
    assert not problems.update_all({"b": "gone", "a": "full"})
    assert lines(caplog) == [("ERROR", "a: full"), ("ERROR", "b: gone")]
    assert problems.update_all({"b": "gone", "c": "full"})
    assert lines(caplog) == [
        ("WARNING", "a is read again, after full"),
        ("ERROR", "c: full"),
    ]
    assert problems.current("a") == ""
