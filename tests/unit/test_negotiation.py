"""What two OPENs add up to: what one side alone can do, no session has."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

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


def test_two_that_can_do_everything() -> None:
    assert negotiate(EVERYTHING, PEER) == Negotiated(
        hold_time=30,
        families=frozenset(Family),
        add_path=frozenset(Family),
        four_octet_as=True,
        graceful=True,
        keeps_over_notification=True,
        enhanced_refresh=True,
        ipv4_over_ipv6=True,
        longest=65535,
    )


def test_with_one_that_says_nothing_there_is_ipv4_alone() -> None:
    plain = Negotiated(hold_time=90, families=V4, longest=4096)
    assert negotiate(EVERYTHING, NOTHING) == plain
    assert negotiate(NOTHING, EVERYTHING) == replace(plain, families=frozenset())


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"), [(90, 30, 30), (9, 90, 9), (0, 90, 0), (90, 0, 0)]
)
def test_the_smaller_hold_time_counts_and_zero_is_none(ours: int, theirs: int, agreed: int) -> None:
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
def test_several_paths_go_in_a_family_that_both_carry_and_the_peer_receives_them_in(
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
def test_routes_outlive_a_notification_where_both_say_so(
    graceful: GracefulRestart | None, kept: bool, over_notification: bool
) -> None:
    found = negotiate(EVERYTHING, replace(PEER, graceful=graceful))
    assert (found.graceful, found.keeps_over_notification) == (kept, over_notification)
