"""The state machine of a session: octets and the time in, octets and events out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.bgp.protocol.ending import Cause, End, by_peer
from porter_ryu.bgp.protocol.fsm import Fsm, State, Step
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open, encode_open
from porter_ryu.bgp.protocol.wire import MessageType, message
from porter_ryu.domain.model import Family

OURS = Open(
    65000,
    9,
    IPv4Address("10.0.0.1"),
    frozenset(Family),
    four_octet_as=True,
    route_refresh=True,
    add_path=((Family.IPV4, 2), (Family.IPV6, 2)),
    enhanced_refresh=True,
    extended_message=True,
    graceful=GracefulRestart(120, notification=True, families=frozenset(Family)),
)
THEIRS = Open(65001, 30, IPv4Address("10.0.0.2"), frozenset({Family.IPV4}), four_octet_as=True)
UPDATE = message(MessageType.UPDATE, bytes(4))
REFRESH = message(MessageType.ROUTE_REFRESH, b"\0\1\0\1")
Reach = Callable[[], Fsm]
MANY = settings(max_examples=int(os.environ.get("EXAMPLES", "300")), deadline=None)


def started(ours: Open, remote_as: int, now: float = 0.0) -> Fsm:
    """A machine that has sent this OPEN."""
    fsm = Fsm(remote_as)
    assert fsm.start(ours, now) == Step(send=encode_open(ours))
    return fsm


def open_sent(now: float = 0.0) -> Fsm:
    """A machine that has sent its OPEN."""
    return started(OURS, 65001, now)


def open_confirm(theirs: Open = THEIRS, now: float = 0.0) -> Fsm:
    """A machine in OpenConfirm."""
    fsm = open_sent(now)
    assert fsm.receive(encode_open(theirs), now).open_received
    fsm.confirm(now)
    return fsm


def established(theirs: Open = THEIRS, now: float = 0.0) -> Fsm:
    """A machine in Established."""
    fsm = open_confirm(theirs, now)
    assert fsm.receive(wire.KEEPALIVE, now).established
    return fsm


def end(step: Step) -> End:
    """The end of the session in a step."""
    assert step.end is not None
    return step.end


def answer(step: Step) -> Notification:
    """The NOTIFICATION that a step sends."""
    sent = end(step).sent
    assert sent is not None
    return sent


# -- states -----------------------------------------------------------------------------------


def test_a_session_comes_up_message_by_message() -> None:
    fsm = Fsm(65001)
    states = [fsm.state]
    assert fsm.start(OURS, 0.0) == Step(send=encode_open(OURS))
    states.append(fsm.state)
    step = fsm.receive(encode_open(THEIRS), 1.0)
    assert step == Step(received={MessageType.OPEN: 1}, open_received=True)
    assert fsm.negotiated.hold_time == 9
    assert fsm.negotiated.families == {Family.IPV4}
    assert fsm.confirm(1.0) == Step(send=wire.KEEPALIVE)
    states.append(fsm.state)
    step = fsm.receive(wire.KEEPALIVE, 2.0)
    assert step == Step(received={MessageType.KEEPALIVE: 1}, established=True)
    assert [*states, fsm.state] == list(State)[1:]


def test_octets_are_handled_up_to_each_change_of_state() -> None:
    fsm = open_sent()
    step = fsm.receive(encode_open(THEIRS) + wire.KEEPALIVE + REFRESH, 0.0)
    assert (step.open_received, step.established, step.more) == (True, False, False)
    assert fsm.receive(UPDATE, 0.0) == Step()
    step = fsm.confirm(0.0)
    assert step == Step(send=wire.KEEPALIVE, more=True)
    step = fsm.receive(b"", 0.0)
    assert (step.established, step.more) == (True, True)
    step = fsm.receive(b"", 0.0)
    assert step.refresh == {Family.IPV4}
    assert step.received == {MessageType.ROUTE_REFRESH: 1, MessageType.UPDATE: 1}


def test_what_arrives_before_our_open_is_handled_after_it() -> None:
    fsm = Fsm(65001)
    for octet in encode_open(THEIRS):
        assert fsm.receive(bytes([octet]), 0.0) == Step()
    assert (fsm.remote_open, fsm.deadline) == (None, math.inf), "no timer runs"
    assert fsm.start(OURS, 500.0) == Step(send=encode_open(OURS), more=True)
    assert fsm.receive(b"", 500.0).open_received
    assert fsm.confirm(500.0).send == wire.KEEPALIVE
    assert fsm.deadline == 500.0 + 3


def test_an_error_before_our_open_is_answered_after_it() -> None:
    fsm = Fsm(65001)
    assert fsm.receive(bytes(19), 0.0) == Step()
    assert fsm.start(OURS, 0.0).more
    assert answer(fsm.receive(b"", 0.0)) == Notification(1, 1)


def test_a_notification_before_our_open_ends_the_session() -> None:
    fsm = Fsm(65001)
    cease = message(MessageType.NOTIFICATION, b"\x06\x02")
    over = end(fsm.receive(encode_open(THEIRS) + cease, 0.0))
    assert (over.cause, over.received) == (Cause.PEER_SHUTDOWN, Notification(6, 2))
    assert fsm.state is State.IDLE


def test_a_peer_that_goes_on_before_our_open_is_dropped_without_a_notification() -> None:
    fsm = Fsm(65001)
    over = end(fsm.receive(wire.KEEPALIVE * 500, 0.0))
    assert (over.cause, over.sent) == (Cause.FSM_ERROR, None)


def test_before_our_open_no_notification_is_sent() -> None:
    fsm = Fsm(65001)
    over = End(Cause.DECONFIGURED, "ended by us", sent=notification.PEER_DECONFIGURED)
    assert fsm.close(over) == replace(over, sent=None)


def test_an_open_may_arrive_octet_by_octet() -> None:
    fsm = open_sent()
    for octet in encode_open(THEIRS)[:-1]:
        assert fsm.receive(bytes([octet]), 0.0) == Step()
    assert fsm.receive(encode_open(THEIRS)[-1:], 0.0).open_received


@pytest.mark.parametrize(
    ("reach", "sent", "data"),
    [
        (open_sent, UPDATE, "050102"),
        (open_sent, wire.KEEPALIVE, "050104"),
        (open_sent, REFRESH, "050105"),
        (open_confirm, UPDATE, "050202"),
        (open_confirm, REFRESH, "050205"),
        (open_confirm, encode_open(THEIRS), "050201"),
        (established, encode_open(THEIRS), "050301"),
    ],
)
def test_an_unexpected_message_is_answered_with_its_type(
    reach: Reach, sent: bytes, data: str
) -> None:
    fsm = reach()
    step = fsm.receive(sent, 0.0)
    assert end(step).cause is Cause.FSM_ERROR
    assert wire.encode_notification(answer(step))[19:].hex() == data
    assert fsm.state is State.IDLE
    assert fsm.receive(UPDATE, 0.0) == Step()


ODD_OPENS = {
    "no capability": "04fde9001e0a00000200",
    "a hold time of eighteen hours": "04fde9ffff0a00000200",
    "the greatest identifier": "04fde9001effffffff00",
    "each capability in a parameter of its own": "04fde9001e0a000002080202020002024600",
    "an empty parameter": "04fde9001e0a000002020200",
    "a capability with two values": "04fde9001e0a000002140212450400010101450400010103010400010001",
    "unknown families": "04fde9001e0a00000208020601044004ff80",
    "a graceful restart without families": "04fde9001e0a0000020602044002ffff",
    "a name that is no UTF-8": "04fde9001e0a0000020802064904fffe1b0a",
    "a role": "04fde9001e0a0000020502030901ff",
    "an empty ADD-PATH capability": "04fde9001e0a0000020402024500",
    "capabilities without values": "04fde9001e0a0000020a02080100020005004500",
    "extended parameters whose length octet is 1": "04fde9001e0a00000201ff00050200020200",
}


@pytest.mark.parametrize("case", ODD_OPENS)
def test_an_unusual_open_is_accepted(case: str) -> None:
    fsm = open_sent()
    assert fsm.receive(message(MessageType.OPEN, bytes.fromhex(ODD_OPENS[case])), 0.0).open_received
    assert fsm.confirm(0.0).send == wire.KEEPALIVE
    assert fsm.receive(wire.KEEPALIVE, 0.0).established


def test_a_wrong_as_and_our_own_identifier_are_refused() -> None:
    step = open_sent().receive(encode_open(replace(THEIRS, asn=65009)), 0.0)
    assert (answer(step).code, answer(step).subcode) == (2, 2)
    assert end(step).text == "AS 65009, expected 65001"
    internal = started(OURS, 65000)
    step = internal.receive(encode_open(replace(OURS, hold_time=30)), 0.0)
    assert (answer(step).code, answer(step).subcode) == (2, 3)


def test_many_refresh_requests_at_once_count_as_one() -> None:
    fsm = established(replace(THEIRS, families=frozenset(Family)))
    other = message(MessageType.ROUTE_REFRESH, b"\0\2\0\1")
    step = fsm.receive((REFRESH + other) * 40, 0.0)
    assert step.refresh == set(Family)
    assert step.received == {MessageType.ROUTE_REFRESH: 80}


@pytest.mark.parametrize("body", ["0001 0002", "0001 0080", "0019 0041", "0003 0001", "0001 0101"])
def test_a_refresh_request_for_an_unknown_family_or_subtype_is_ignored(body: str) -> None:
    step = established().receive(
        message(MessageType.ROUTE_REFRESH, bytes.fromhex(body.replace(" ", ""))), 0.0
    )
    assert step == Step(received={MessageType.ROUTE_REFRESH: 1})


# -- errors and their data ----------------------------------------------------------------------


def test_the_data_of_a_notification_is_cut_to_an_extended_message() -> None:
    fsm = established(replace(THEIRS, extended_message=True))
    refresh = message(MessageType.ROUTE_REFRESH, bytes(65535 - 19))
    step = fsm.receive(refresh, 0.0)
    assert end(step).cause is Cause.REFRESH_ERROR
    sent = wire.encode_notification(answer(step), fsm.negotiated.max_message_length)
    assert len(sent) == 65535
    assert sent[19:] == b"\x07\x01" + refresh[: 65535 - 21]


def test_without_extended_messages_a_notification_has_at_most_4096_octets() -> None:
    step = established().receive(message(MessageType.ROUTE_REFRESH, bytes(4000)), 0.0)
    sent = wire.encode_notification(answer(step))
    assert len(sent) == 19 + 2 + 19 + 4000
    step = established().receive(message(MessageType.ROUTE_REFRESH, bytes(4096 - 19)), 0.0)
    assert len(wire.encode_notification(answer(step))) == 4096
    assert sent[19:21] == b"\x07\x01"


def test_an_update_treated_as_withdraw_is_reported_and_keeps_the_session() -> None:
    step = established().receive(
        message(MessageType.UPDATE, bytes.fromhex("00000003400105")) + UPDATE, 0.0
    )
    assert "exceeds" in step.malformed
    assert step.end is None


def test_the_end_contains_the_notification_of_the_peer() -> None:
    received = Notification(6, 2, b"\x0bmaintenance")
    step = established().receive(wire.encode_notification(received), 0.0)
    assert step.end == End(
        Cause.PEER_SHUTDOWN,
        'the peer sent Administrative Shutdown (6/2): "maintenance"',
        received=received,
    )


def test_an_administrative_shutdown_is_a_hard_reset_if_both_sides_set_the_n_bit() -> None:
    graceful = GracefulRestart(120, notification=True, families=frozenset(Family))
    fsm = established(replace(THEIRS, graceful=graceful))
    end = fsm.close(End(Cause.STOPPED, "ended by us", sent=notification.ADMINISTRATIVE_SHUTDOWN))
    assert end.sent == Notification(6, 9, b"\x06\x02")
    assert fsm.close(end) == end


# -- the clock ----------------------------------------------------------------------------------


def test_a_keepalive_is_sent_every_third_of_the_hold_time() -> None:
    fsm = established()
    assert fsm.deadline == 3.0
    assert fsm.tick(2.99) == Step()
    assert fsm.tick(3.0) == Step(send=wire.KEEPALIVE)
    assert fsm.deadline == 6.0


def test_a_sent_update_restarts_the_keepalive_timer() -> None:
    fsm = established()
    fsm.record_sent(2.0)
    assert fsm.tick(3.0) == Step()
    assert fsm.deadline == 5.0


def test_the_hold_timer() -> None:
    fsm = established()
    fsm.receive(UPDATE, 4.0)
    fsm.receive(REFRESH, 8.0)
    fsm.record_sent(12.9)
    assert fsm.tick(12.99).end is None
    step = fsm.tick(13.0)
    assert end(step).cause is Cause.HOLD_TIMER
    assert answer(step) == Notification(4, 0)
    assert fsm.deadline == math.inf


def test_the_hold_timer_waits_for_unread_octets_but_keepalives_do_not() -> None:
    fsm = established()
    assert fsm.tick(20.0, caught_up=False) == Step(send=wire.KEEPALIVE)
    fsm.receive(wire.KEEPALIVE, 20.0)
    assert fsm.tick(20.0, caught_up=True).end is None
    assert fsm.hold_expires == 29.0


def test_the_send_hold_timer_runs_while_output_waits_and_restarts_with_each_octet() -> None:
    fsm = established()
    fsm.record_output(1.0, waiting=True)
    fsm.record_output(5.0, waiting=True)
    fsm.receive(wire.KEEPALIVE, 13.9)
    fsm.record_sent(13.9)
    assert fsm.tick(13.99).end is None
    step = fsm.tick(14.0)
    assert end(step).cause is Cause.SEND_HOLD_TIMER
    assert answer(step) == Notification(8, 0)


def test_no_send_hold_timer_while_no_output_waits() -> None:
    fsm = established()
    fsm.record_output(1.0, waiting=True)
    fsm.record_output(2.0, waiting=False)
    fsm.receive(wire.KEEPALIVE, 10.0)
    assert fsm.tick(11.5).end is None


def test_a_hold_time_of_zero_means_no_timers_once_established() -> None:
    fsm = established(replace(THEIRS, hold_time=0))
    assert fsm.deadline == math.inf
    assert fsm.tick(1e6) == Step()


@pytest.mark.parametrize("reach", [open_sent, lambda: open_confirm(replace(THEIRS, hold_time=0))])
def test_an_unfinished_session_ends_after_four_silent_minutes(reach: Reach) -> None:
    fsm = reach()
    assert fsm.tick(239.9).end is None
    assert end(fsm.tick(240.0)).cause is Cause.HOLD_TIMER


def test_in_open_confirm_the_negotiated_hold_time_applies() -> None:
    fsm = open_confirm()
    assert fsm.tick(8.9).end is None
    assert end(fsm.tick(9.0)).cause is Cause.HOLD_TIMER


# -- random input -------------------------------------------------------------------------------


@MANY
@given(
    st.sampled_from([open_sent, open_confirm, established]),
    st.lists(st.binary(max_size=80), max_size=6),
)
def test_any_octets_in_any_state_end_in_a_step(reach: Reach, pieces: list[bytes]) -> None:
    play(reach(), pieces)


BODIES = st.tuples(st.sampled_from(MessageType), st.binary(max_size=120))
GOOD = st.sampled_from([wire.KEEPALIVE, UPDATE, REFRESH, encode_open(THEIRS)])


@MANY
@given(
    st.sampled_from([open_sent, open_confirm, established]),
    st.lists(st.one_of(GOOD, BODIES.map(lambda m: message(*m))), max_size=8),
)
def test_any_messages_in_any_state_end_in_a_step(reach: Reach, messages: list[bytes]) -> None:
    play(reach(), [b"".join(messages)])


def play(fsm: Fsm, pieces: list[bytes]) -> None:
    """Drives a machine as a session does; a refusal is a NOTIFICATION of at most 4096 octets."""
    now = 0.0
    for piece in pieces:
        now += 1.0
        step = fsm.receive(piece, now)
        while step.end is None and (step.open_received or step.more):
            step = fsm.confirm(now) if step.open_received else fsm.receive(b"", now)
        if step.end is not None:
            assert fsm.state is State.IDLE
            if step.end.sent is not None:
                assert len(wire.encode_notification(step.end.sent)) <= 4096
            assert str(end(step).text).isprintable()
            return
        fsm.tick(now)
        assert fsm.deadline > now


@given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=300))
def test_any_notification_has_a_fixed_cause_and_one_printable_line(
    code: int, sub: int, data: bytes
) -> None:
    end_ = by_peer(Notification(code, sub, data))
    assert end_.cause.value.startswith("peer-")
    assert end_.text.isprintable()
    assert len(end_.text) < 400
