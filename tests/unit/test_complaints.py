"""What is wrong for a while is logged when it begins, when it is another, and when it is over."""

from __future__ import annotations

import logging

import pytest

from porter_ryu.complaints import Complaints

LOG = logging.getLogger("porter_ryu.test")


@pytest.fixture
def complaints() -> Complaints:
    """Of folders that cannot be read."""
    return Complaints(LOG, "%(subject)s: %(wrong)s", "%(subject)s is read again, after %(wrong)s")


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What was logged since this was last asked."""
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    caplog.clear()
    return found


def test_the_beginning_each_change_and_the_end_are_logged(
    complaints: Complaints, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong in ("", "gone", "gone", "full", "", ""):
        complaints.note("a", wrong)
        assert complaints.about("a") == wrong
    assert lines(caplog) == [
        ("ERROR", "a: gone"),
        ("ERROR", "a: full"),
        ("WARNING", "a is read again, after full"),
    ]


def test_all_that_is_wrong_is_one_value(
    complaints: Complaints, caplog: pytest.LogCaptureFixture
) -> None:
    assert complaints.note_all({"b": "gone", "a": "full"})
    assert not complaints.note_all({"b": "gone", "a": "full"})
    assert lines(caplog) == [("ERROR", "a: full"), ("ERROR", "b: gone")]
    assert complaints.note_all({"b": "gone", "c": "full"})
    assert lines(caplog) == [
        ("WARNING", "a is read again, after full"),
        ("ERROR", "c: full"),
    ]
    assert complaints.about("a") == ""
