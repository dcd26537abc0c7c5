"""The OPEN that a peer is sent, in octets, and what its settings let it be told."""

from __future__ import annotations

import pytest

from porter_ryu.bgp.offer import is_internal, our_open
from porter_ryu.bgp.protocol.open_message import encode_open
from porter_ryu.domain.model import Family
from tests.unit.peers import peer, speaker

V4 = frozenset({Family.IPV4})
HEADER_OCTETS = 19
MULTIPROTOCOL = {"IPv4": "0104 00010001", "IPv6": "0104 00020001"}
FOUR_OCTET_AS = "4104 0000fde8"


def capabilities(octets: bytes) -> list[str]:
    """The capabilities of an OPEN, each as hexadecimal."""
    rest = octets[HEADER_OCTETS + 10 + 2 :]
    found = []
    while rest:
        length = 2 + rest[1]
        found.append(f"{rest[:2].hex()} {rest[2:length].hex()}".strip())
        rest = rest[length:]
    return found


def test_all_that_a_peer_with_defaults_is_offered() -> None:
    octets = encode_open(our_open(peer(), speaker(), restarting=False))
    assert octets[HEADER_OCTETS : HEADER_OCTETS + 9].hex() == "04fde8005ac00002c8"
    assert capabilities(octets) == [
        MULTIPROTOCOL["IPv4"],
        MULTIPROTOCOL["IPv6"],
        "0200",
        FOUR_OCTET_AS,
        "4508 0001010200020102",  # ADD-PATH: we send, in both families
        "4600",
        "0600",
        "400a 40780001018000020180",  # N bit, 120 s, the forwarding state of both is kept
    ]


@pytest.mark.parametrize(("restarting", "head"), [(False, "4078"), (True, "c078")])
def test_the_r_bit_says_that_we_have_just_restarted(restarting: bool, head: str) -> None:
    [graceful] = [
        capability
        for capability in capabilities(encode_open(our_open(peer(), speaker(), restarting)))
        if capability.startswith("40")
    ]
    assert graceful.split()[1].startswith(head)


def test_without_graceful_restart_add_path_and_ipv6_nothing_of_them_is_offered() -> None:
    plain = peer(add_path=False, families=V4)
    octets = encode_open(our_open(plain, speaker(restart_time=0), restarting=False))
    assert capabilities(octets) == [MULTIPROTOCOL["IPv4"], "0200", FOUR_OCTET_AS, "4600", "0600"]


@pytest.mark.parametrize(
    ("address", "families", "offered"),
    [
        ("2001:db8::1", frozenset(Family), True),
        ("2001:db8::1", V4, True),
        ("2001:db8::1", frozenset({Family.IPV6}), False),
        ("192.0.2.1", frozenset(Family), False),
    ],
)
def test_ipv4_by_an_ipv6_next_hop_is_offered_over_an_ipv6_session_alone(
    address: str, families: frozenset[Family], offered: bool
) -> None:
    ours = our_open(peer(address=address, families=families), speaker(), restarting=False)
    assert ("0506 000100010002" in capabilities(encode_open(ours))) is offered


def test_a_peer_of_our_own_as_is_internal() -> None:
    assert is_internal(peer(remote_as=65000), speaker())
    assert not is_internal(peer(), speaker())
