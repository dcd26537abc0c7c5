"""Requests to one switch and their answers: state that is read, and changes up to a barrier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ryu.lib import hub

from porter_ryu.openflow import replies, wire
from porter_ryu.openflow.connection import SwitchConnection
from porter_ryu.openflow.difference import Change
from porter_ryu.openflow.replies import FlowOnSwitch, GroupOnSwitch, Refusal

_ANSWER_SECONDS = 30.0
_AT_ONCE = 1_000  # changes between two barriers whose answers are waited for
_JOINED = 64


class SwitchGoneError(Exception):
    """The connection ended, or the switch does not answer."""


class RequestRefusedError(Exception):
    """The switch refuses a request; the text has its words."""


class _Waiter:
    """Waits for the answer to one request."""

    def __init__(self) -> None:
        self.event = hub.Event()
        self.parts: list[bytes] = []
        self.octets = 0
        self.refusal: Refusal | None = None


class Exchange:
    """The requests on one connection.  `on_refused` is called with a change that the switch
    refuses."""

    def __init__(
        self,
        connection: SwitchConnection,
        reply_octets: int,
        on_refused: Callable[[Change, Refusal], None],
    ) -> None:
        self._connection = connection
        self._reply_octets = reply_octets
        self._on_refused = on_refused
        self._waiters: dict[int, _Waiter] = {}
        self._pending: dict[int, Change] = {}

    def received(self, kind: int, xid: int, body: bytes) -> None:
        """An answer from the switch; raises ValueError if it cannot be read."""
        waiter = self._waiters.get(xid)
        if kind == wire.ERROR:
            refusal = replies.refusal(body)
            change = self._pending.pop(xid, None)
            if change is not None:
                self._on_refused(change, refusal)
            elif waiter is not None:
                waiter.refusal = refusal
                waiter.event.set()
        elif waiter is not None and kind == wire.BARRIER_REPLY:
            waiter.event.set()
        elif waiter is not None and kind == wire.MULTIPART_REPLY:
            _, more, part = replies.multipart(body)
            waiter.parts.append(part)
            waiter.octets += len(part)
            if waiter.octets > self._reply_octets:
                raise ValueError(f"an answer of more than {self._reply_octets} octets")
            if not more:
                waiter.event.set()

    def ended(self) -> None:
        """The connection ended."""
        for waiter in self._waiters.values():
            waiter.event.set()

    def flows(self, table: int, cookie: int, mask: int) -> Iterator[FlowOnSwitch]:
        """The flows with a cookie; raises ValueError besides the errors of this module."""
        request = wire.flows_request(table, cookie, mask)
        for part in self._ask(wire.MULTIPART_REQUEST, request):
            hub.sleep(0)  # a part is a message of up to 64 KiB, with some hundred flows
            yield from replies.flows(self._connection.version, part)

    def groups(self) -> Iterator[GroupOnSwitch]:
        """All groups; raises ValueError besides the errors of this module."""
        version = self._connection.version
        for part in self._ask(wire.MULTIPART_REQUEST, wire.groups_request(version)):
            hub.sleep(0)
            yield from replies.groups(version, part)

    def send(self, kind: int, body: bytes) -> None:
        """Sends a message that has no answer."""
        connection = self._connection
        connection.send(wire.message(connection.version, kind, connection.next_xid(), body))

    def change(self, steps: Iterable[Sequence[Change]], give_way: Callable[[], None]) -> int:
        """Sends changes, with a barrier after each step, and returns how many when the switch has
        done all of them.  Raises SwitchGoneError."""
        connection, version = self._connection, self._connection.version
        count = since_answer = 0
        for step in steps:
            for start in range(0, len(step), _JOINED):
                messages = []
                for change in step[start : start + _JOINED]:
                    xid = connection.next_xid()
                    self._pending[xid] = change
                    messages.append(wire.message(version, change.kind, xid, change.body))
                self._send(b"".join(messages))
                count += len(messages)
                since_answer += len(messages)
                give_way()
                if since_answer >= _AT_ONCE:
                    self._ask(wire.BARRIER_REQUEST, b"")
                    since_answer = 0
                    self._pending.clear()
            if step:
                self.send(wire.BARRIER_REQUEST, b"")
        if count:
            self._ask(wire.BARRIER_REQUEST, b"")
        self._pending.clear()
        return count

    def _send(self, data: bytes) -> None:
        if not self._connection.send(data):
            raise SwitchGoneError(self._connection.why)

    def _ask(self, kind: int, body: bytes) -> list[bytes]:
        connection = self._connection
        xid = connection.next_xid()
        waiter = self._waiters[xid] = _Waiter()
        try:
            self._send(wire.message(connection.version, kind, xid, body))
            waiter.event.wait(timeout=_ANSWER_SECONDS)
        finally:
            del self._waiters[xid]
        if waiter.refusal is not None:
            raise RequestRefusedError(waiter.refusal.text)
        if not waiter.event.is_set():
            raise SwitchGoneError(f"it does not answer within {_ANSWER_SECONDS:g} s")
        if not connection.is_active:
            raise SwitchGoneError(connection.why)
        return waiter.parts
