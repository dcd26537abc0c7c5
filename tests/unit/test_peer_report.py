"""Why a session is not Established, and what to look at; later errors do not hide the reason."""

from __future__ import annotations

import errno
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from porter_ryu.bgp import hints
from porter_ryu.bgp.protocol.ending import Cause, End, Side, by_error, by_peer, keeps_routes
from porter_ryu.bgp.protocol.negotiation import Negotiated
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.session_history import Failure, SessionHistory
from porter_ryu.domain.peering import ConnectMode, PeerConfig, Secret
from tests.unit.peers import peer

RESET = by_peer(Notification(6, 9, b"\x06\x02\x07upgrade"))
SAID = 'the peer sent Hard Reset (6/9): Administrative Shutdown (6/2): "upgrade"'
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "ECONNREFUSED")
CANNOT = "cannot connect: Connection refused"


def test_a_connect_error_does_not_hide_why_the_session_ended() -> None:
    history = SessionHistory(500.0)
    assert (history.since, history.last_up, history.last_down) == (500.0, None, None)
    history.came_up(900.0)
    history.went_down(RESET, 1000.0)
    for _ in range(10):
        history.connect_failed(REFUSED)
    assert history.last_error == f"{SAID}; now: {CANNOT}"
    history.attempt_ended(End(Cause.PEER_CLOSED, "the peer closed the connection"))
    assert history.last_error == f"{SAID}; now: the peer closed the connection"
    assert (history.since, history.last_up) == (1000.0, 900.0)


def test_why_a_session_never_came_up_is_told_when_it_is_new() -> None:
    history = SessionHistory(500.0)
    other_as = by_error(Notification(2, 2), "AS 65003, expected 65099")
    assert history.news() == ""
    history.connect_failed(REFUSED)
    assert [history.news() for _ in range(2)] == [CANNOT, ""]
    history.attempt_ended(other_as)
    assert [history.news() for _ in range(2)] == ["AS 65003, expected 65099", ""]
    history.connect_failed(REFUSED)
    assert history.news() == ""
    history.came_up(900.0)
    history.went_down(RESET, 1000.0)
    history.connect_failed(REFUSED)
    assert history.news() == "", "why it went down was told"


def test_the_last_end_is_still_reported_when_the_next_session_is_up() -> None:
    history = SessionHistory(500.0)
    history.came_up(900.0)
    history.went_down(RESET, 1000.0)
    history.came_up(1100.0)
    assert (history.last_error, history.failure) == ("", None)
    down = history.last_down
    assert down is not None
    assert (down.reason, down.cause, down.by) == (SAID, Cause.PEER_SHUTDOWN, Side.PEER)
    assert (down.time, history.since, history.last_up) == (1000.0, 1100.0, 1100.0)


def test_a_connect_error_does_not_hide_a_refused_open() -> None:
    history = SessionHistory(500.0)
    history.attempt_ended(by_peer(Notification(2, 2)))
    history.connect_failed(REFUSED)
    assert history.last_error == f"the peer sent Bad Peer AS (2/2); now: {CANNOT}"
    assert history.last_down is None


def test_a_router_that_then_closes_every_connection_does_not_hide_what_it_said() -> None:
    history = SessionHistory(500.0)
    closed = End(Cause.PEER_CLOSED, "the peer closed the connection")
    other_as = by_error(Notification(2, 2), "AS 65003, expected 65099")
    found = []
    for end in (closed, other_as, closed, None, closed):
        if end is None:
            history.connect_failed(REFUSED)
        else:
            history.attempt_ended(end)
        found.append(history.failure)
    history.came_up(900.0)
    history.attempt_ended(closed)
    assert [*found, history.failure] == [
        Failure.CLOSED_EARLY,
        Failure.OTHER_AS,
        Failure.OTHER_AS,
        Failure.REFUSED,
        Failure.OTHER_AS,
        Failure.CLOSED_EARLY,
    ]


def test_a_session_that_was_shut_down_says_so_whatever_becomes_of_the_next_attempts() -> None:
    """Of several sessions with one router one may have tried again, and another not yet."""
    attempts: list[Callable[[SessionHistory], object]] = [
        lambda history: None,
        lambda history: history.connect_failed(REFUSED),
        lambda history: history.attempt_ended(End(Cause.PEER_CLOSED, "closed")),
        lambda history: history.connect_failed(ConnectionResetError(errno.ECONNRESET, "reset")),
    ]
    for attempt in attempts:
        history = SessionHistory(500.0)
        history.came_up(900.0)
        history.went_down(by_peer(Notification(6, 2)), 1000.0)
        attempt(history)
        assert history.failure is Failure.SHUT_DOWN
    history.connect_failed(TimeoutError())
    assert history.failure is Failure.TIMED_OUT, "the router is away"


def test_other_settings_keep_what_became_of_the_sessions_and_forget_why_attempts_failed() -> None:
    history = SessionHistory(500.0)
    history.came_up(900.0)
    history.went_down(RESET, 1000.0)
    history.connect_failed(TimeoutError())
    history.settings_changed()
    assert (history.last_error, history.failure, history.since) == (SAID, None, 1000.0)
    assert history.last_down is not None
    never = SessionHistory(500.0)
    never.attempt_ended(by_error(Notification(2, 2), "AS 65003, expected 65099"))
    never.settings_changed()
    assert (never.last_error, never.failure, never.since) == ("", None, 500.0)
    never.connect_failed(REFUSED)
    assert never.news() == CANNOT, "with these settings it is new"


def test_an_attempt_that_we_end_ourselves_is_no_failure() -> None:
    history = SessionHistory(500.0)
    history.connect_failed(REFUSED)
    for cause in (Cause.STOPPED, Cause.DECONFIGURED):
        assert not history.attempt_ended(End(cause, "ended by us", sent=Notification(6, 3)))
    assert (history.last_error, history.failure) == (CANNOT, Failure.REFUSED)


SHUT, HARD = Notification(6, 2), Notification(6, 9, b"\x06\x02")


@pytest.mark.parametrize(
    ("end", "without_n", "with_n"),
    [
        (End(Cause.STOPPED, "ended by us"), True, True),
        (End(Cause.CONNECTION_BROKE, "reset"), True, True),
        (End(Cause.REPLACED, "a new connection"), True, True),
        (by_peer(Notification(6, 4)), False, True),
        (by_peer(SHUT), False, True),
        (by_peer(Notification(4, 0)), False, True),
        (by_peer(HARD), False, False),
        (by_peer(Notification(6, 9)), False, False),
        (by_error(Notification(3, 1), "malformed"), False, True),
        (End(Cause.SEND_HOLD_TIMER, "x", sent=Notification(8, 0)), False, True),
        (End(Cause.DECONFIGURED, "ended by us", sent=HARD), False, False),
        (End(Cause.HOLD_TIMER, "silent", sent=Notification(4, 0)), False, False),
        (End(Cause.BFD, "the path is down", sent=HARD), False, False),
        (End(Cause.PEER_CLOSED, "closed"), False, False),
    ],
)
def test_which_ends_let_the_peer_keep_the_routes(end: End, without_n: bool, with_n: bool) -> None:
    graceful = Negotiated(graceful=True)
    assert keeps_routes(end, graceful) is without_n
    assert keeps_routes(end, replace(graceful, graceful_notification=True)) is with_n
    assert not keeps_routes(end, Negotiated()), "there is no graceful restart"


def test_a_collision_is_not_an_error() -> None:
    history = SessionHistory(500.0)
    history.connect_failed(REFUSED)
    assert not history.attempt_ended(by_peer(Notification(6, 7)))
    assert not history.attempt_ended(End(Cause.COLLISION, "x", sent=Notification(6, 7)))
    assert history.last_error == CANNOT
    assert history.failure is Failure.REFUSED


@pytest.mark.parametrize(
    ("cause", "by"),
    [
        (Cause.HOLD_TIMER, Side.NETWORK),
        (Cause.PEER_HOLD_TIMER, Side.NETWORK),
        (Cause.CONNECTION_BROKE, Side.NETWORK),
        (Cause.BFD, Side.NETWORK),
        (Cause.PEER_CLOSED, Side.PEER),
        (Cause.PEER_CEASE, Side.PEER),
        (Cause.REPLACED, Side.PEER),
        (Cause.DECONFIGURED, Side.US),
        (Cause.SEND_HOLD_TIMER, Side.US),
        (Cause.UPDATE_ERROR, Side.US),
    ],
)
def test_who_ended_a_session(cause: Cause, by: Side) -> None:
    assert cause.by is by


def report_of(history: SessionHistory) -> str:
    """What the operator is told to look at now."""
    return hints.of_failure(peer(), 65000, False, history.failure)


def hint_of_end(end: End) -> str:
    """What the operator is told to look at after the end of an Established session."""
    history = SessionHistory(0.0)
    history.came_up(1.0)
    history.went_down(end, 2.0)
    return report_of(history)


def hint_after(config: PeerConfig, *what: OSError | End) -> str:
    """What the operator is told to look at after these attempts."""
    history = SessionHistory(0.0)
    for attempt in what:
        if isinstance(attempt, OSError):
            history.connect_failed(attempt)
        else:
            history.attempt_ended(attempt)
    return hints.of_failure(config, 65000, config.remote_as == 65000, history.failure)


KEY = Secret(b"s3cret")
LOCAL = ip_address("192.0.2.9")
TIMED_OUT = TimeoutError("timed out")
KERNEL_TIMED_OUT = TimeoutError(errno.ETIMEDOUT, "ETIMEDOUT")
CLOSED = End(Cause.PEER_CLOSED, "the peer closed the connection")
BROKE = End(Cause.CONNECTION_BROKE, "the connection broke: Connection reset by peer")
SILENT = End(Cause.HOLD_TIMER, "the hold timer expired", sent=Notification(4, 0))


@pytest.mark.parametrize(
    ("config", "attempt", "told"),
    [
        (peer(password=KEY), TIMED_OUT, "no answer: the TCP MD5 key (password_file) may be"),
        (peer(password=KEY), KERNEL_TIMED_OUT, "no answer: the TCP MD5 key (password_file) may be"),
        (peer(), TIMED_OUT, "no answer: a firewall may drop port 179 of 192.0.2.1, or the router "),
        (peer(), TIMED_OUT, "may require a TCP MD5 key (password_file), or it may require GTSM"),
        (peer(ttl_security=True), TIMED_OUT, "no answer: GTSM (ttl_security) may be off"),
        (peer(), REFUSED, "nobody listens on port 179 of 192.0.2.1"),
        (peer(), OSError(errno.EHOSTUNREACH, ""), "no host answers as 192.0.2.1"),
        (peer(), OSError(errno.ENETUNREACH, ""), "no host answers as 192.0.2.1"),
        (peer(), OSError(errno.EADDRNOTAVAIL, ""), "correct local_address in [peer:"),
        (
            peer(local_address=LOCAL, fan_out=(LOCAL,)),
            OSError(errno.EADDRNOTAVAIL, ""),
            f"this host does not have the address {LOCAL}: correct local_addresses in [peer:",
        ),
        (peer(), by_error(Notification(2, 2), "AS 65009, expected 65001"), "another AS than 65001"),
        (peer(), by_peer(Notification(2, 2)), "expects another AS than 65000 from us"),
        (peer(), by_peer(Notification(2, 11)), "the roles do not fit"),
        (peer(), by_peer(Notification(2, 6)), "the hold time is not accepted"),
        (peer(), by_peer(Notification(6, 2)), "was shut down on the router"),
        (peer(), by_peer(Notification(6, 3)), "has no neighbour for this host"),
        (peer(), by_peer(Notification(6, 9, b"\x06\x02")), "was shut down on the router"),
        (peer(), by_peer(Notification(6, 1)), "raise its maximum-prefix limit"),
        (peer(), CLOSED, "closed the connection before the session came up"),
        (peer(), BROKE, "closed the connection before the session came up"),
        (peer(ttl_security=True), SILENT, "no OPEN arrives: GTSM (ttl_security) may be off there"),
        (peer(), SILENT, "no OPEN arrives: look at its BGP"),
    ],
)
def test_what_to_look_at(config: PeerConfig, attempt: OSError | End, told: str) -> None:
    assert told in hint_after(config, attempt)


def test_one_hop_is_one_hop() -> None:
    unreachable = OSError(errno.EHOSTUNREACH, "")
    assert "more than 1 hop away" in hint_after(peer(), unreachable)
    assert "more than 3 hops away" in hint_after(peer(multihop_ttl=3), unreachable)


def test_what_is_not_known_has_no_hint() -> None:
    assert hint_after(peer()) == ""
    assert hint_after(peer(), OSError(errno.EMFILE, "")) == ""
    assert hint_after(peer(), End(Cause.FAULT, "a bug")) == ""


ENDS = {
    Cause.BFD: "BFD saw the path break: look at the link to 192.0.2.1",
    Cause.PEER_BFD: "BFD saw the path break",
    Cause.HOLD_TIMER: "heard nothing from the other for the hold time",
    Cause.PEER_HOLD_TIMER: "heard nothing from the other for the hold time",
    Cause.SEND_HOLD_TIMER: "heard nothing from the other for the hold time",
    Cause.CONNECTION_BROKE: "closed without a word: look at the log of the router",
    Cause.PEER_CLOSED: "closed without a word: look at the log of the router",
    Cause.UPDATE_ERROR: "does not accept a message",
    Cause.PEER_UPDATE_ERROR: "does not accept a message",
    Cause.PEER_CEASE: "look at its log about this host",
    Cause.PEER_OTHER: "look at its log about this host",
}


@pytest.mark.parametrize(("cause", "told"), ENDS.items())
def test_the_end_of_a_session_says_what_to_look_at(cause: Cause, told: str) -> None:
    assert told in hint_of_end(End(cause, "it ended"))


@pytest.mark.parametrize(
    ("subcode", "told"),
    [(6, "was changed on the router: compare"), (4, "was reset on the router"), (8, "resources")],
)
def test_a_cease_says_what_to_look_at_while_connections_are_refused(
    subcode: int, told: str
) -> None:
    history = SessionHistory(0.0)
    history.came_up(1.0)
    history.went_down(by_peer(Notification(6, subcode)), 2.0)
    assert told in report_of(history)
    history.attempt_ended(CLOSED)
    assert told in report_of(history), "many routers close the next connections at once"
    history.attempt_ended(SILENT)
    assert told not in report_of(history)


def test_every_cause_of_an_end_that_is_not_ours_to_make_has_a_hint() -> None:
    ours = {Cause.COLLISION, Cause.PEER_COLLISION, Cause.REPLACED, Cause.DECONFIGURED}
    ours |= {Cause.STOPPED, Cause.REJECTED, Cause.FAULT}
    # of these a NOTIFICATION says more
    said = {Cause.PEER_MAXIMUM_PREFIXES, Cause.PEER_SHUTDOWN}
    for cause in set(Cause) - ours - said:
        assert hint_of_end(End(cause, "it ended")), cause


def test_a_passive_peer_that_has_not_called() -> None:
    told = hint_after(peer(mode=ConnectMode.PASSIVE, password=KEY))
    assert told.endswith("AS 65000 and the same TCP MD5 key")
    passive = peer(mode=ConnectMode.PASSIVE)
    assert hints.of_failure(passive, 65000, False, None, connected=True) == ""


def test_a_router_that_keeps_routes_may_not_call_a_peer_that_waits_for_it() -> None:
    def told(mode: ConnectMode, failure: Failure | None, connected: bool = False) -> str:
        return hints.of_failure(peer(mode=mode), 65000, False, failure, connected, True)

    text = "while the router keeps our routes it may not connect again"
    assert told(ConnectMode.PASSIVE, None).startswith(text)
    assert f"; {text}" in told(ConnectMode.PASSIVE, Failure.BROKEN)
    assert "set mode = both in [peer:leaf]" in told(ConnectMode.PASSIVE, None)
    assert text not in told(ConnectMode.PASSIVE, Failure.BROKEN, connected=True)
    assert text not in told(ConnectMode.BOTH, Failure.REFUSED)


def test_an_internal_peer_does_not_require_gtsm() -> None:
    assert "GTSM" not in hint_after(peer(remote_as=65000), TIMED_OUT)


def test_what_an_established_session_lacks() -> None:
    assert hints.of_session(peer(), (), ("ipv4",)) == ""
    assert "no ADD-PATH for ipv4" in hints.of_session(peer(), ("ipv4",), ("ipv4",))
    assert hints.of_session(peer(add_path=False), ("ipv4",), ("ipv4",)) == ""
    assert "no address family in common" in hints.of_session(peer(), (), ())
