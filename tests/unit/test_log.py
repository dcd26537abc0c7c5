"""A line is logged once and its repeats are counted; nothing from outside breaks a line."""

from __future__ import annotations

import errno
import io
import logging
import re
import socket
import ssl

import pytest

from porter_ryu.domain.text import one_line
from porter_ryu.log import LogFilter, install, reason_of
from tests.unit.clock import Clock


def record(text: str, *args: object, name: str = "porter_ryu.kube") -> logging.LogRecord:
    """What a logger hands to a handler."""
    return logging.LogRecord(name, logging.WARNING, "", 0, text, args, None)


def test_a_line_that_repeats_is_logged_once_and_the_repeats_are_counted() -> None:
    clock = Clock()
    log_filter = LogFilter(clock)
    assert log_filter.filter(record("peer %s is down", "leaf1"))
    assert not log_filter.filter(record("peer %s is down", "leaf1"))
    assert not log_filter.filter(record("peer %s is down", "leaf1"))
    assert log_filter.filter(record("peer %s is down", "leaf2"))
    assert log_filter.pending() == []
    clock.now = 61
    assert log_filter.pending() == [
        ("porter_ryu.kube", logging.WARNING, "peer leaf1 is down (2 more times)")
    ]
    assert log_filter.pending() == []


def test_the_count_comes_with_the_line_when_it_is_logged_again() -> None:
    clock = Clock()
    log_filter = LogFilter(clock)
    log_filter.filter(record("down"))
    log_filter.filter(record("down"))
    clock.now = 61
    again = record("down")
    assert log_filter.filter(again)
    assert again.getMessage() == "down (1 more times)"


def test_a_burst_of_one_kind_is_logged_as_a_count() -> None:
    clock = Clock()
    log_filter = LogFilter(clock)
    printed = sum(log_filter.filter(record("Service %s has no address", n)) for n in range(250))
    assert printed == 100
    clock.now = 61
    texts = [text for _, _, text in log_filter.pending()]
    assert texts == ["150 more lines of this kind, the last: Service 249 has no address"]


def test_records_of_others_pass() -> None:
    log_filter = LogFilter(Clock())
    assert log_filter.filter(record("x", name="ryu.base"))
    assert log_filter.filter(record("x", name="ryu.base"))


def test_the_reason_of_a_failure_is_the_text_of_the_system() -> None:
    assert reason_of(ConnectionRefusedError(errno.ECONNREFUSED, "ECONNREFUSED")) == (
        "Connection refused"
    )
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert reason_of(unknown) == "Name or service not known"
    assert reason_of(ValueError("odd")) == "odd"
    number_of_openssl = ssl.SSLError(errno.EPERM, "[SSL: WRONG_VERSION_NUMBER]")
    number_of_openssl.reason = "WRONG_VERSION_NUMBER"
    assert reason_of(number_of_openssl) == "wrong version number"


def test_text_from_outside_stays_on_its_line() -> None:
    assert one_line("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert one_line("ä 中") == "ä 中"
    assert one_line("x" * 200_000) == "x" * 2000 + "… (200000 characters)"


def test_every_line_has_its_time_in_utc_and_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, other = io.StringIO(), logging.StreamHandler(io.StringIO())
    other.setFormatter(logging.Formatter("mine: %(message)s"))
    handlers = [logging.StreamHandler(lines), other]
    monkeypatch.setattr(logging.getLogger(), "handlers", handlers)
    install()
    for handler in handlers:
        handler.handle(record("peer %s is down", "leaf1"))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING peer leaf1 is down\n", lines.getvalue()
    )
    assert other.stream.getvalue() == "mine: peer leaf1 is down\n", "a format of the user stays"
