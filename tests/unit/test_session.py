"""A session over a real connection: fairness, its last message, and faults."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Iterator, Mapping

import pytest
from eventlet.green import socket as green
from msgspec.structs import replace
from ryu.lib import hub

from porter_ryu.bgp.connection import READ_MAX_OCTETS
from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End
from porter_ryu.bgp.protocol.fsm import Fsm, State
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import Open, encode_open
from porter_ryu.bgp.protocol.wire import MessageType, message
from porter_ryu.bgp.session import Session
from porter_ryu.domain.model import Family
from porter_ryu.supervisor import Supervisor
from tests.unit.test_fsm import OURS, REFRESH, THEIRS, UPDATE
from tests.unit.until import until

PATIENCE = 5.0


class Owner:
    """A peer that records the events of its session.  `on_refresh` and `on_closed` are called with
    these events."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.ends: list[End] = []
        self.received = 0
        self.refusal: Notification | None = None
        self.open: Open | None = OURS
        self.on_refresh: Callable[[], None] = lambda: None
        self.on_closed: Callable[[], None] = lambda: None

    def our_open(self, _session: Session) -> Open | None:
        """Returns what the test has set."""
        return self.open

    def state_changed(self) -> None:
        """Not used."""

    def resolve_collision(self, _session: Session) -> Notification | None:
        """Returns what the test has set."""
        return self.refusal

    def established(self, _session: Session) -> None:
        """Records it."""
        self.log.append("established")

    def refresh_requested(self, _session: Session, family: Family) -> None:
        """Records it and calls `on_refresh`."""
        self.log.append(f"refresh {family.name}")
        self.on_refresh()

    def output_drained(self, _session: Session) -> None:
        """Records it."""
        self.log.append("drained")

    def closed(self, _session: Session, end: End) -> None:
        """Records it and calls `on_closed`."""
        self.ends.append(end)
        self.on_closed()

    def count_received(self, received: Mapping[MessageType, int]) -> None:
        """Counts."""
        self.received += sum(received.values())

    def count_sent(self, octets: int) -> None:
        """Not used."""


class Line:
    """A session, and the far end of its connection."""

    def __init__(self) -> None:
        near, self.far = green.socketpair()
        self.far.settimeout(PATIENCE)
        self.owner = Owner()
        self.supervisor = Supervisor()
        self.session = Session(near, self.owner, Fsm(65001), False, self.supervisor)
        self.near = near
        self.supervisor.spawn("session", self.session.run)
        self._buffer = bytearray()

    def read(self) -> Iterator[tuple[MessageType, bytes]]:
        """The messages at the far end, until the connection ends."""
        while octets := self.far.recv(65536):
            self._buffer += octets
            yield from wire.split(self._buffer)

    def establish(self) -> Line:
        """Brings the session up."""
        self.far.sendall(encode_open(THEIRS) + wire.KEEPALIVE)
        until(lambda: "established" in self.owner.log)
        return self


@pytest.fixture
def line() -> Iterator[Line]:
    """A session that is not Established yet."""
    line = Line()
    yield line
    line.session.close(None, Cause.STOPPED, "the test is over")
    line.far.close()


def test_it_sends_open_and_keepalive_and_comes_up(line: Line) -> None:
    line.establish()
    kinds = list(itertools.islice(line.read(), 2))
    assert [kind for kind, _ in kinds] == [MessageType.OPEN, MessageType.KEEPALIVE]
    assert line.session.state is State.ESTABLISHED


def test_an_open_that_waits_is_sent_when_it_may_be(line: Line) -> None:
    ours, line.owner.open = line.owner.open, None
    line.far.sendall(encode_open(THEIRS) + wire.KEEPALIVE)
    until(lambda: not line.session.is_closed_by_peer)
    line.session.look_again()
    hub.sleep(0)
    assert line.session.state is State.CONNECT
    line.owner.open = ours
    line.session.look_again()
    kinds = list(itertools.islice(line.read(), 2))
    assert [kind for kind, _ in kinds] == [MessageType.OPEN, MessageType.KEEPALIVE]
    until(lambda: "established" in line.owner.log)


@pytest.mark.parametrize("says", [b"", encode_open(THEIRS)])
def test_a_peer_that_closes_the_connection_while_our_open_waits(line: Line, says: bytes) -> None:
    line.owner.open = None
    line.far.sendall(says)
    line.far.shutdown(socket.SHUT_WR)
    until(lambda: line.owner.ends)
    assert line.owner.ends[0].cause is Cause.PEER_CLOSED
    assert list(line.read()) == []


def test_an_exception_ends_the_session_with_a_notification(line: Line) -> None:
    def fail() -> None:
        raise struct.error("out of range")

    line.establish().owner.on_refresh = fail
    line.far.sendall(REFRESH)
    last = list(line.read())[-1]
    assert last == (MessageType.NOTIFICATION, b"\x06\x00")
    (end,) = line.owner.ends
    assert end.cause is Cause.FAULT
    assert line.session.state is State.IDLE
    until(lambda: line.near.fileno() == -1)


def test_an_exception_in_the_closed_event_still_closes_the_socket(line: Line) -> None:
    def fail() -> None:
        raise OSError("No space left on device")

    line.establish().owner.on_closed = fail
    line.far.sendall(b"\0" * 19)
    assert list(line.read())[-1] == (MessageType.NOTIFICATION, b"\x01\x01")
    until(lambda: line.near.fileno() == -1)


def test_other_greenthreads_run_after_every_chunk(line: Line) -> None:
    line.establish()
    line.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    before, turns = line.owner.received, []
    data = wire.KEEPALIVE * 20_000
    hub.spawn(line.far.sendall, data)
    while line.owner.received - before < 20_000:
        turns.append(line.owner.received)
        hub.sleep(0)
    steps = [b - a for a, b in itertools.pairwise(turns)]
    assert max(steps) <= READ_MAX_OCTETS / 19 + 1
    assert line.owner.received - before == 20_000


def test_refresh_requests_in_one_chunk_are_reported_once(line: Line) -> None:
    line.establish()
    line.far.sendall(REFRESH * 40)
    until(lambda: line.owner.received >= 42)
    assert line.owner.log.count("refresh IPV4") <= 2


def test_the_notification_starts_at_a_message_boundary_although_output_waits(line: Line) -> None:
    line.establish()
    update = message(MessageType.UPDATE, bytes(4) + bytes(3000))
    line.session.send(update * 2000)
    until(lambda: line.session.congested)
    line.far.sendall(b"\0" * 19)
    until(lambda: line.owner.ends)
    messages = list(line.read())
    assert messages[-1] == (MessageType.NOTIFICATION, b"\x01\x01")
    updates = [body for kind, body in messages if kind is MessageType.UPDATE]
    assert 0 < len(updates) < 2000
    assert {len(body) for body in updates} == {3004}


def test_a_peer_that_does_not_read_delays_the_end_only_briefly(line: Line) -> None:
    line.establish()
    line.session.send(UPDATE * 200_000)
    line.session.close(notification.BFD_DOWN, Cause.BFD, "BFD reports that the path is down")
    assert line.owner.ends[0].cause is Cause.BFD
    until(lambda: line.near.fileno() == -1)


def test_the_notification_reaches_a_peer_that_still_sends(line: Line) -> None:
    line.establish()
    hub.spawn(send_all, line.far, wire.KEEPALIVE * 5000 + b"\0" * 19 + wire.KEEPALIVE * 20_000)
    assert list(line.read())[-1] == (MessageType.NOTIFICATION, b"\x01\x01")


def send_all(sock: socket.socket, data: bytes) -> None:
    """Sends everything, or until the connection is closed."""
    try:
        sock.sendall(data)
    except OSError:
        sock.settimeout(0)


def test_waiting_output_is_sent_when_the_peer_reads_and_that_is_reported(line: Line) -> None:
    line.establish()
    line.session.send(UPDATE * 200_000)
    assert line.session.congested
    count = 0
    for kind, _ in line.read():
        count += kind is MessageType.UPDATE
        if count == 200_000:
            break
    until(lambda: "drained" in line.owner.log)
    assert not line.session.congested


def test_a_lost_collision_ends_the_session(line: Line) -> None:
    line.owner.refusal = notification.COLLISION
    line.far.sendall(encode_open(THEIRS))
    assert list(line.read())[-1] == (MessageType.NOTIFICATION, b"\x06\x07")
    assert line.owner.ends[0].cause is Cause.COLLISION


def test_a_peer_that_closes_the_connection(line: Line) -> None:
    line.establish()
    line.far.close()
    until(lambda: line.owner.ends)
    assert line.owner.ends[0].cause in (Cause.PEER_CLOSED, Cause.CONNECTION_BROKE)


def test_a_session_that_is_closed_before_it_runs() -> None:
    near, far = green.socketpair()
    owner, supervisor = Owner(), Supervisor()
    session = Session(near, owner, Fsm(65001), False, supervisor)
    session.close(notification.PEER_DECONFIGURED, Cause.DECONFIGURED, "ended by us")
    supervisor.spawn("session", session.run)
    far.settimeout(PATIENCE)
    assert far.recv(100) == b"", "there is no NOTIFICATION before our OPEN"
    far.close()


def test_an_extended_message_if_both_sides_can() -> None:
    line = Line()
    line.far.sendall(encode_open(replace(THEIRS, extended_message=True)) + wire.KEEPALIVE)
    line.far.sendall(message(MessageType.ROUTE_REFRESH, bytes(65535 - 19)))
    buffer = bytearray()
    while octets := line.far.recv(65536):
        buffer += octets
    *_, (kind, body) = wire.split(buffer, 65535)
    assert kind is MessageType.NOTIFICATION
    assert body[:2] == b"\x07\x01"
    assert len(body) == 65535 - 19
    line.far.close()
