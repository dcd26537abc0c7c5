"""Why a session is not Established; later errors do not hide the reason."""

from __future__ import annotations

from porter_ryu.bgp.peer_report import DownHistory
from porter_ryu.bgp.protocol.ending import Cause, End, by_peer
from porter_ryu.bgp.protocol.notification import Notification

RESET = by_peer(Notification(6, 9, b"\x06\x02\x07upgrade"))
SAID = 'the peer sent Hard Reset (6/9): Administrative Shutdown (6/2): "upgrade"'
REFUSED = "cannot connect: Connection refused"


def test_a_connect_error_does_not_hide_why_the_session_ended() -> None:
    history = DownHistory()
    history.went_down(RESET, 1000.0)
    for _ in range(10):
        history.connect_failed(REFUSED)
    assert history.last_error == f"{SAID}; now: {REFUSED}"
    history.attempt_ended(End(Cause.PEER_CLOSED, "the peer closed the connection"))
    assert history.last_error == f"{SAID}; now: the peer closed the connection"


def test_the_last_end_is_still_reported_when_the_next_session_is_up() -> None:
    history = DownHistory()
    history.went_down(RESET, 1000.0)
    history.came_up()
    assert history.last_error == ""
    assert (history.down_reason, history.down_cause) == (SAID, "peer-shutdown")
    assert history.down_at == 1000.0


def test_a_connect_error_does_not_hide_a_refused_open() -> None:
    history = DownHistory()
    history.attempt_ended(by_peer(Notification(2, 2)))
    history.connect_failed(REFUSED)
    assert history.last_error == f"the peer sent Bad Peer AS (2/2); now: {REFUSED}"
    assert history.down_at == 0.0


def test_a_collision_is_not_an_error() -> None:
    history = DownHistory()
    history.connect_failed(REFUSED)
    history.attempt_ended(by_peer(Notification(6, 7)))
    history.attempt_ended(End(Cause.COLLISION, "x", sent=Notification(6, 7)))
    assert history.last_error == REFUSED
