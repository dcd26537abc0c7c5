"""The changes that the record has packed are told as they were, and take little memory."""

from __future__ import annotations

import tracemalloc

import pytest
from msgspec.structs import replace

from porter_ryu.history.change import NO_DELIVERY, ChangeKind, Delivery, LaterDelivery, Part
from porter_ryu.history.record import MAX_CHANGES, History


def test_an_old_change_is_told_as_a_new_one() -> None:
    history = History(now=lambda: 5.25)
    sent, later, never = Delivery(), Delivery(), Delivery()
    sent.seconds = 0.5
    part = Part("p", "", "x", ("node n1",), "why")
    name = "a\udc80\n"  # whatever a text has in it
    for delivery in (sent, later, never, NO_DELIVERY, LaterDelivery(later, 2.0)):
        history.add(ChangeKind.ROUTE, name, "b", "", "c", ("d", name), delivery, parts=(part,))
    young = list(history.since(0))
    for number in range(1000):
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", "")
    later.seconds = 1.5
    old = list(history.since(0))[:5]
    assert [c.delivery.seconds for c in old] == [0.5, 1.5, None, None, 3.5]
    assert [replace(c, delivery=NO_DELIVERY) for c in old] == [
        replace(c, delivery=NO_DELIVERY) for c in young
    ]


def test_whoever_reads_the_record_misses_nothing_that_is_forgotten_meanwhile() -> None:
    history = History()
    for number in range(MAX_CHANGES):
        history.add(ChangeKind.ROUTE, f"r{number}", "", "n1", f"cause {number % 200}")
    reading = history.since(0)
    seen = [next(reading).sequence]
    for _ in range(MAX_CHANGES // 2):
        history.add(ChangeKind.ROUTE, "s", "", "n1", "storm")
    seen += [change.sequence for change in reading]
    assert seen == [*range(1, MAX_CHANGES + 1)]


@pytest.mark.parametrize("causes", [1, MAX_CHANGES])
def test_the_record_takes_little_memory(causes: int) -> None:
    """Also what a storm leaves of the changes between its own."""
    tracemalloc.start()
    try:
        history = History()
        for number in range(MAX_CHANGES + 1000):
            name = f"default/s{number % causes:06}"
            cause = f"EndpointSlice {name}" if number % 3 else "Node n4"
            about = (f"10.64.{number % causes}", name, "node n4")
            history.add(ChangeKind.ROUTE, about[0], "n1, n2, n3, n4", "n1, n2, n3", cause, about)
        assert len(list(history.since(0))) == MAX_CHANGES
        assert tracemalloc.get_traced_memory()[0] < 3_000_000  # as values they take 9 MB
    finally:
        tracemalloc.stop()
