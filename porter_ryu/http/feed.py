"""The changes of the record as server-sent events: the octets, and a way to wait for the next.

A reader has no queue: it remembers a number, and reads on in the record, which is kept anyway.  So
a reader that is slow, or has vanished, costs nothing.  Each event is encoded once for all readers.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Iterator
from typing import Any

from ryu.lib import hub

from porter_ryu import report_changes
from porter_ryu.history.change import Change
from porter_ryu.history.record import History
from porter_ryu.history.subject import About
from porter_ryu.http.loop_budget import LoopBudget

KEEPALIVE = b": still connected\n\n"
_KEEPALIVE_SECONDS = 15.0
_RETRY_MILLISECONDS = 3000
_TOGETHER_SECONDS = 0.1  # what changes within this time is sent together
_CHUNK_OCTETS = 32_768
_ENCODED_MOST = 2_000


class ChangeFeed:
    """The record of this process as a stream for any number of readers, each of which hears
    something every `keepalive_seconds` at least."""

    def __init__(self, history: History, keepalive_seconds: float = _KEEPALIVE_SECONDS) -> None:
        self._history = history
        self._keepalive_seconds = keepalive_seconds
        self._encoded: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._budget = LoopBudget()  # of all readers together
        self._changed = hub.Event()
        self._waiting = 0
        history.on_add = self._notify

    @property
    def last(self) -> int:
        """The number of the last change."""
        return self._history.last

    def events(self, after: int, subject: About | None, about: Any) -> Iterator[bytes]:
        """What is sent to one reader, until it is closed: the changes after a number, those about a
        `subject` or all.  The event `start` comes first and says `about` the process."""
        seen = after
        yield b"retry: %d\n" % _RETRY_MILLISECONDS + _event("start", about)
        if seen > self._history.last:  # a number of an earlier process
            yield _event("gap", {"after": seen})
            seen = 0
        while True:
            if seen >= self._history.last:
                changed = self._wait()
                if seen >= self._history.last and not changed:
                    yield KEEPALIVE
                continue
            self._budget.wait()
            if self._history.forgotten > seen:
                yield _event("gap", {"after": seen})
            for chunk, last in self._chunks(seen, subject):
                seen = last
                if chunk:
                    yield chunk
                self._budget.wait()
            hub.sleep(_TOGETHER_SECONDS)

    def _chunks(self, after: int, subject: About | None) -> Iterator[tuple[bytes, int]]:
        """The events after a number in chunks, each with the number of the last change in it."""
        collected: list[bytes] = []
        size, last = 0, after
        for number, change in enumerate(self._history.since(after)):
            last = change.sequence
            found = change if subject is None else change.concerning(subject)
            if found is not None:
                collected.append(self._encode(change) if found is change else _encoded(found))
                size += len(collected[-1])
            if size >= _CHUNK_OCTETS or number % 500 == 499:  # noqa: PLR2004
                yield b"".join(collected), last
                collected, size = [], 0
        yield b"".join(collected), last

    def _encode(self, change: Change) -> bytes:
        octets = self._encoded.get(change.sequence)
        if octets is None:
            octets = self._encoded[change.sequence] = _encoded(change)
            if len(self._encoded) > _ENCODED_MOST:
                self._encoded.popitem(last=False)
        return octets

    def _notify(self) -> None:
        """A change was added; called for each of them."""
        if self._waiting:
            changed, self._changed, self._waiting = self._changed, hub.Event(), 0
            changed.set()

    def _wait(self) -> bool:
        """Waits for a change; returns False if there is none for so long that the reader should
        hear something."""
        self._waiting += 1
        changed: bool = self._changed.wait(timeout=self._keepalive_seconds)
        return changed


def _encoded(change: Change) -> bytes:
    (entry,) = report_changes.changes([change])
    return b"id: %d\n" % change.sequence + _event("change", entry)


def _event(name: str, data: Any) -> bytes:
    """One event; JSON in ASCII has no line end in it."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
