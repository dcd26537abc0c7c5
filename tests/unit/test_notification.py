"""The text and the cause of a NOTIFICATION."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.protocol.ending import Cause, by_peer
from porter_ryu.bgp.protocol.notification import Notification

NAMES = {
    (1, 1): "Connection Not Synchronized",
    (1, 2): "Bad Message Length",
    (1, 3): "Bad Message Type",
    (2, 1): "Unsupported Version Number",
    (2, 2): "Bad Peer AS",
    (2, 3): "Bad BGP Identifier",
    (2, 4): "Unsupported Optional Parameter",
    (2, 6): "Unacceptable Hold Time",
    (2, 7): "Unsupported Capability",
    (2, 11): "Role Mismatch",
    (3, 1): "Malformed Attribute List",
    (3, 8): "Invalid NEXT_HOP Attribute",
    (3, 11): "Malformed AS_PATH",
    (4, 0): "Hold Timer Expired",
    (5, 0): "Finite State Machine Error",
    (5, 1): "Unexpected Message in OpenSent",
    (5, 2): "Unexpected Message in OpenConfirm",
    (5, 3): "Unexpected Message in Established",
    (6, 0): "Cease",
    (6, 1): "Maximum Number of Prefixes Reached",
    (6, 2): "Administrative Shutdown",
    (6, 3): "Peer De-configured",
    (6, 4): "Administrative Reset",
    (6, 5): "Connection Rejected",
    (6, 6): "Other Configuration Change",
    (6, 7): "Connection Collision Resolution",
    (6, 8): "Out of Resources",
    (6, 9): "Hard Reset",
    (6, 10): "BFD Down",
    (7, 1): "Invalid Message Length",
    (8, 0): "Send Hold Timer Expired",
    (6, 99): "Cease",
    (77, 3): "unknown",
}


@pytest.mark.parametrize("numbers", NAMES)
def test_every_code_has_its_name(numbers: tuple[int, int]) -> None:
    code, subcode = numbers
    assert str(Notification(code, subcode)) == f"{NAMES[numbers]} ({code}/{subcode})"


@pytest.mark.parametrize(
    ("notification", "text"),
    [
        (
            Notification(6, 9, b"\x06\x02\x09back at 8"),
            'Hard Reset (6/9): Administrative Shutdown (6/2): "back at 8"',
        ),
        (Notification(6, 9, b"\x04\x00"), "Hard Reset (6/9): Hold Timer Expired (4/0)"),
        (Notification(6, 9), "Hard Reset (6/9)"),
        (Notification(6, 9, b"\x06"), "Hard Reset (6/9)"),
        (Notification(6, 9, b"\x06\x09" * 200), "Hard Reset (6/9)"),
        (Notification(6, 4, b"\x05reset"), 'Administrative Reset (6/4): "reset"'),
        (
            Notification(6, 2, b"\x0a" + "größer".encode() + b"\xff\x1b"),
            'Administrative Shutdown (6/2): "größer\ufffd\ufffd"',
        ),
        (Notification(6, 2, b"\x00"), "Administrative Shutdown (6/2)"),
        (Notification(6, 2, b"\x09short"), "Administrative Shutdown (6/2)"),
        (Notification(6, 2, b"\x02a\nbcd"), 'Administrative Shutdown (6/2): "a\ufffd"'),
        (Notification(6, 5, b"\x04text"), "Connection Rejected (6/5)"),
    ],
)
def test_the_text_in_its_data_is_bounded_and_printable(
    notification: Notification, text: str
) -> None:
    assert str(notification) == text


def test_the_longest_text() -> None:
    assert len(str(Notification(6, 2, b"\xff" + b"x" * 4000))) < 300


@pytest.mark.parametrize(
    ("notification", "cause"),
    [
        (Notification(6, 9, b"\x06\x02"), Cause.PEER_SHUTDOWN),
        (Notification(6, 9, b"\x04\x00"), Cause.PEER_HOLD_TIMER),
        (Notification(6, 9), Cause.PEER_CEASE),
        (Notification(6, 1), Cause.PEER_MAXIMUM_PREFIXES),
        (Notification(6, 200), Cause.PEER_CEASE),
        (Notification(3, 8), Cause.PEER_UPDATE_ERROR),
        (Notification(0, 0), Cause.PEER_OTHER),
        (Notification(255, 255), Cause.PEER_OTHER),
    ],
)
def test_the_cause_of_a_hard_reset_is_that_of_its_inner_notification(
    notification: Notification, cause: Cause
) -> None:
    assert by_peer(notification).cause is cause


def test_the_causes_are_few_and_their_values_are_words() -> None:
    values = [cause.value for cause in Cause]
    assert len(set(values)) == len(values) <= 30
    assert all(value.replace("-", "").isalpha() for value in values)
