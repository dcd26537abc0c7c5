"""The stream of changes: what a reader is sent, also when it comes back or missed something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import eventlet

from porter_ryu.history.change import ChangeKind
from porter_ryu.history.record import MAX_CHANGES, History
from porter_ryu.history.subject import About
from porter_ryu.http.context import MAX_STREAMS
from porter_ryu.http.feed import KEEPALIVE, ChangeFeed
from tests.unit.test_http_api import request, router

ABOUT = {"startedAt": "now"}


def change(history: History, number: int, kind: ChangeKind = ChangeKind.ROUTE) -> None:
    """One change, of 203.0.113.NUMBER."""
    name = f"203.0.113.{number % 256}"
    history.add(kind, name, "", "n1", "Node n1", (name,))


def made(*numbers: int) -> History:
    """A record with these changes."""
    history = History()
    for number in numbers:
        change(history, number)
    return history


def events(octets: bytes) -> list[tuple[str, str, Any]]:
    """Name, id and data of each event in some octets."""
    found = []
    for block in octets.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def sent(stream: Iterator[bytes], wanted: int) -> list[tuple[str, str, Any]]:
    """The next events of a stream, the first one (`start`) aside."""
    found: list[tuple[str, str, Any]] = []
    while len(found) < wanted:
        found += [event for event in events(next(stream)) if event[0] != "start"]
    return found


def test_the_first_event_says_which_process_it_is() -> None:
    stream = ChangeFeed(made()).events(0, None, ABOUT)
    first = next(stream)
    assert first.startswith(b"retry: ")
    assert events(first.split(b"\n", 1)[1]) == [("start", "", ABOUT)]


def test_a_reader_that_comes_back_is_sent_what_it_missed_and_then_what_comes() -> None:
    history = made(1, 2, 3)
    stream = ChangeFeed(history).events(1, None, ABOUT)
    found = sent(stream, 2)
    assert [(name, number) for name, number, _ in found] == [("change", "2"), ("change", "3")]
    assert found[0][2]["object"] == "203.0.113.2"
    eventlet.spawn_after(0, change, history, 4)
    ((_, number, data),) = sent(stream, 1)
    assert (number, data["sequence"], data["cause"]) == ("4", 4, "Node n1")


def test_without_a_change_a_reader_hears_a_comment() -> None:
    stream = ChangeFeed(made(1), keepalive_seconds=0.01).events(1, None, ABOUT)
    next(stream)
    assert next(stream) == KEEPALIVE
    assert next(stream) == KEEPALIVE


def test_only_what_is_about_the_subject_is_sent_and_the_rest_is_not_looked_at_again() -> None:
    history = made(*range(1, 2000), 7)
    stream = ChangeFeed(history).events(0, About("203.0.113.7"), ABOUT)
    found = sent(stream, 9)
    assert {data["object"] for _, _, data in found} == {"203.0.113.7"}
    assert found[-1][1] == "2000"


def test_what_is_not_kept_any_more_is_a_gap() -> None:
    history = made(*range(MAX_CHANGES + 10))
    found = sent(ChangeFeed(history).events(5, None, ABOUT), 2)
    assert found[0] == ("gap", "", {"after": 5})
    assert found[1][:2] == ("change", "11")
    found = sent(ChangeFeed(history).events(10, None, ABOUT), 1)
    assert found[0][:2] == ("change", "11")


def test_a_storm_of_routes_that_pushes_out_routes_is_a_gap_although_others_are_kept() -> None:
    history = History()
    change(history, 1, ChangeKind.NODE)
    for number in range(MAX_CHANGES + 1):
        change(history, number)
    found = sent(ChangeFeed(history).events(0, None, ABOUT), 3)
    assert [name for name, _, _ in found[:2]] == ["gap", "change"]
    assert [number for _, number, _ in found[1:3]] == ["1", "4"]


def test_a_number_of_an_earlier_process_is_a_gap() -> None:
    found = sent(ChangeFeed(made(1, 2)).events(500, None, ABOUT), 3)
    assert [(name, number) for name, number, _ in found] == [
        ("gap", ""),
        ("change", "1"),
        ("change", "2"),
    ]


def test_many_changes_come_in_chunks_and_in_order() -> None:
    history = made(*range(3000))
    stream = ChangeFeed(history).events(0, None, ABOUT)
    next(stream)
    numbers: list[int] = []
    while len(numbers) < 3000:
        chunk = next(stream)
        assert len(chunk) < 64 * 1024
        numbers += [int(number) for _, number, _ in events(chunk)]
    assert numbers == list(range(1, 3001))


def test_text_of_users_cannot_make_an_event() -> None:
    history = History()
    history.add(ChangeKind.ADDRESS, "a/b\n\nevent: gap\ndata: {}", "", "x\r\ny", "\n\n")
    ((name, _, data),) = sent(ChangeFeed(history).events(0, None, ABOUT), 1)
    assert (name, data["to"]) == ("change", "x\r\ny")


def test_streams_are_limited_and_one_that_ends_makes_room() -> None:
    routes = router(history=made(1))

    def opened() -> Any:
        return request("/v1/stream?since=0").get_response(routes)

    first = opened()
    others = [opened() for _ in range(MAX_STREAMS - 1)]
    assert {response.status_int for response in (first, *others)} == {200}
    assert first.content_type == "text/event-stream"
    refused = opened()
    assert (refused.status_int, refused.headers["Retry-After"]) == (503, "1")
    first.app_iter.close()
    assert opened().status_int == 200


def test_the_last_event_id_counts_more_than_the_url() -> None:
    """A browser asks with the same URL again."""
    asked = request("/v1/stream?since=0", headers={"Last-Event-ID": "1"})
    response = asked.get_response(router(history=made(1, 2)))
    assert [number for _, number, _ in sent(iter(response.app_iter), 1)] == ["2"]
    for wrong in ("x", "-1", "1e9"):
        asked = request("/v1/stream", headers={"Last-Event-ID": wrong})
        answer = asked.get_response(router())
        assert (answer.status_int, "error" in answer.json) == (400, True)
