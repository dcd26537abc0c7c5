"""Why a session was not sent a prefix: the one reason that is so, for each kind."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from msgspec import structs
from msgspec.structs import replace

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.unsent import unsent
from porter_ryu.domain.announcement import NO_ATTRIBUTES, Advertisement, Announcement, NextHop
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Address, Network
from tests.unit.outbound_scene import POLICY

PREFIX = ip_network("203.0.113.8/32")
IPV6_PREFIX = ip_network("2001:db8::8/128")
HOP, OTHER_HOP = ip_address("192.0.2.11"), ip_address("192.0.2.12")
IN_RACK_A = NextHop("n1", HOP, frozenset([("rack", "a")]))
PATH = Announcement(IN_RACK_A)
PEER = replace(POLICY, peer="leaf1")


def only_for(*peers: str) -> Announcement:
    """A path for these peers."""
    return structs.replace(PATH, advertisements=(Advertisement(frozenset(peers), NO_ATTRIBUTES),))


@pytest.mark.parametrize(
    ("policy", "announced", "withheld", "why"),
    [
        (PEER, [], set(), "nothing is announced for it"),
        (replace(PEER, families=frozenset()), [PATH], set(), "does not carry IPv4"),
        (replace(PEER, selector=parse_selector("rack=b")), [PATH], set(), "node_selector"),
        (
            PEER,
            [only_for("leaf2")],
            set(),
            "no entry of spec.advertisements that selects a next hop names it",
        ),
        (PEER, [only_for("leaf2"), only_for("leaf3")], set(), "no entry of spec.advertisements"),
        (PEER, [Announcement(NextHop("n1", None))], set(), "has an IPv4 address"),
        (PEER, [PATH], {PREFIX}, "the peer refused this prefix"),
        (PEER, [PATH], {HOP}, "the peer refused all its next hops"),
        (PEER, [PATH], {OTHER_HOP}, "it has not been sent yet"),
        (PEER, [only_for("leaf1"), only_for("leaf2")], set(), "it has not been sent yet"),
        (PEER, [structs.replace(PATH, elsewhere=True)], set(), "another instance announces it"),
    ],
)
def test_each_reason(
    policy: ExportPolicy,
    announced: list[Announcement],
    withheld: set[Address | Network],
    why: str,
) -> None:
    assert why in unsent(policy, announced, PREFIX, withheld)


def test_the_family_is_that_of_the_prefix() -> None:
    assert "does not carry IPv6" in unsent(PEER, [PATH], IPV6_PREFIX, set())
