"""The result of two OPENs: a session has only what both sides can do."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.protocol.negotiation import Negotiated, negotiate
from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open
from porter_ryu.domain.model import Family

RECEIVE, SEND, BOTH = 1, 2, 3
V4, V6 = frozenset({Family.IPV4}), frozenset({Family.IPV6})
EVERYTHING = Open(
    65000,
    90,
    IPv4Address("192.0.2.200"),
    frozenset(Family),
    four_octet_as=True,
    route_refresh=True,
    add_path=((Family.IPV4, SEND), (Family.IPV6, SEND)),
    enhanced_refresh=True,
    extended_message=True,
    ipv4_over_ipv6=True,
    graceful=GracefulRestart(120, notification=True, families=frozenset(Family)),
)
PEER = replace(
    EVERYTHING, asn=65001, hold_time=30, add_path=((Family.IPV4, RECEIVE), (Family.IPV6, BOTH))
)
NOTHING = Open(65001, 180, IPv4Address("192.0.2.1"))


def test_both_sides_have_all_capabilities() -> None:
    assert negotiate(EVERYTHING, PEER) == Negotiated(
        hold_time=30,
        families=frozenset(Family),
        add_path=frozenset(Family),
        four_octet_as=True,
        graceful=True,
        graceful_notification=True,
        enhanced_refresh=True,
        ipv4_over_ipv6=True,
        max_message_length=65535,
    )


def test_a_peer_without_capabilities_has_ipv4_only() -> None:
    plain = Negotiated(hold_time=90, families=V4, max_message_length=4096)
    assert negotiate(EVERYTHING, NOTHING) == plain
    assert negotiate(NOTHING, EVERYTHING) == replace(plain, families=frozenset())


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"), [(90, 30, 30), (9, 90, 9), (0, 90, 0), (90, 0, 0)]
)
def test_the_smaller_hold_time_wins_and_zero_means_none(
    ours: int, theirs: int, agreed: int
) -> None:
    found = negotiate(replace(EVERYTHING, hold_time=ours), replace(PEER, hold_time=theirs))
    assert found.hold_time == agreed


@pytest.mark.parametrize(
    ("families", "add_path", "agreed"),
    [
        (frozenset(Family), ((Family.IPV4, RECEIVE),), V4),
        (frozenset(Family), ((Family.IPV4, SEND), (Family.IPV6, BOTH)), V6),
        (V4, ((Family.IPV4, RECEIVE), (Family.IPV6, RECEIVE)), V4),
        (V6, ((Family.IPV4, RECEIVE),), frozenset()),
    ],
)
def test_add_path_needs_a_common_family_in_which_the_peer_receives(
    families: frozenset[Family],
    add_path: tuple[tuple[Family, int], ...],
    agreed: frozenset[Family],
) -> None:
    found = negotiate(EVERYTHING, replace(PEER, families=families, add_path=add_path))
    assert found.add_path == agreed


@pytest.mark.parametrize(
    ("graceful", "kept", "over_notification"),
    [
        (None, False, False),
        (GracefulRestart(120), True, False),
        (GracefulRestart(0, notification=True), True, True),
    ],
)
def test_graceful_restart_and_the_n_bit_need_both_sides(
    graceful: GracefulRestart | None, kept: bool, over_notification: bool
) -> None:
    found = negotiate(EVERYTHING, replace(PEER, graceful=graceful))
    assert (found.graceful, found.graceful_notification) == (kept, over_notification)
