"""What a peer refuses is found from its NOTIFICATION, or by trying in groups."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from porter_ryu.bgp.output.refusals import (
    FIRST_BAR_SECONDS,
    PAUSE_SECONDS,
    Refusals,
    Suspect,
    named_next_hop,
)
from porter_ryu.bgp.protocol.notification import Notification
from tests.unit.later import Later

HOPS = [ip_address(f"192.168.0.{n}") for n in range(1, 101)]
WITHOUT_DATA = Notification(3, 8)


@pytest.mark.parametrize(
    ("subcode", "data", "address"),
    [
        (8, "400304 7f000001", "127.0.0.1"),
        (8, "5003 0004 7f000001", "127.0.0.1"),
        (8, "7f000001", "127.0.0.1"),
        (9, "800e0e 000101 04 7f000001 00 20cb007101", "127.0.0.1"),
        (9, "800e1a 000201 10 00000000000000000000000000000001 00 00", "::1"),
        (9, "900e 0025 000201 20 fd000000000000000000000000000001" + "fe80" + "00" * 14, "fd00::1"),
        (8, "", None),
        (8, "40", None),
        (8, "4003", None),
        (8, "400304", None),
        (8, "400304 7f0000", None),
        (8, "50", None),
        (9, "800e", None),
        (9, "800e05 000201 10 00", None),
        (9, "800e05 000201 ff 00", None),
        (5, "c00804 fde80001", None),
        (1, "ff" * 4000, None),
    ],
)
def test_the_next_hop_in_a_notification(subcode: int, data: str, address: str | None) -> None:
    found = named_next_hop(Notification(3, subcode, bytes.fromhex(data.replace(" ", ""))))
    assert found == (ip_address(address) if address else None)


def test_what_is_named_is_barred_alone_and_for_longer_each_time() -> None:
    later = Later()
    refusals = Refusals(later.clock)
    refusals.announced(HOPS)
    named = Notification(3, 8, b"\x40\x03\x04" + HOPS[7].packed)
    finding = refusals.session_refused(named, ())
    assert finding.barred == (HOPS[7],)
    assert finding.seconds == FIRST_BAR_SECONDS
    assert refusals.withheld == {HOPS[7]}
    later.passes(FIRST_BAR_SECONDS - 1)
    assert not refusals.expire()
    later.passes(1)
    assert refusals.expire()
    refusals.opened()
    assert refusals.withheld == {HOPS[7]}
    refusals.next_group()
    assert refusals.withheld == set()
    refusals.announced(HOPS)
    assert refusals.session_refused(WITHOUT_DATA, ()).seconds == 2 * FIRST_BAR_SECONDS


def test_a_next_hop_that_was_never_said_is_not_believed() -> None:
    refusals = Refusals(Later().clock)
    refusals.announced(HOPS[:2])
    finding = refusals.session_refused(Notification(3, 8, b"\x40\x03\x04\x7f\0\0\1"), ())
    assert finding.barred == ()
    assert finding.suspects == 2


def test_a_peer_that_refuses_everything_has_nothing_barred() -> None:
    later = Later()
    refusals = Refusals(later.clock)
    for _ in range(20):
        refusals.opened()
        refusals.announced(hop for hop in HOPS[:4] if hop not in refusals.withheld)
        if refusals.searching:
            later.passes(refusals.pause())
            refusals.next_group()
            refusals.announced(hop for hop in HOPS[:4] if hop not in refusals.withheld)
        assert refusals.session_refused(WITHOUT_DATA, ()).barred == ()
    # until the peer is put right
    refusals.opened()
    while refusals.searching:
        later.passes(refusals.pause())
        refusals.next_group()
    assert refusals.withheld == set()


@pytest.mark.parametrize(("subcode", "data"), [(5, "c00804fde80001"), (9, "c00804"), (11, "")])
def test_an_attribute_that_all_routes_share_is_no_next_hops_fault(subcode: int, data: str) -> None:
    refusals = Refusals(Later().clock)
    refusals.announced(HOPS)
    finding = refusals.session_refused(Notification(3, subcode, bytes.fromhex(data)), ())
    assert not finding.barred
    assert finding.suspects == 0
    assert refusals.withheld == set()


def test_what_the_peer_has_had_for_long_is_not_suspected() -> None:
    later = Later()
    refusals = Refusals(later.clock)
    refusals.announced(HOPS[:50])
    later.passes(11)
    refusals.announced(HOPS[50:51])
    assert refusals.session_refused(WITHOUT_DATA, ()).barred == (HOPS[50],)


def sessions_until_found(bad: set[Suspect], subcode: int = 8) -> tuple[set[Suspect], int, float]:
    """Plays a peer that refuses `bad` without naming it: what is withheld in the end, after how
    many sessions and seconds."""
    later, prefixes = Later(), [ip_network(f"203.0.113.{n}/32") for n in range(100)]
    refusals = Refusals(later.clock)
    everything: list[Suspect] = [*HOPS, *prefixes]
    for sessions in range(1, 100):
        refusals.opened()
        while True:
            said = [suspect for suspect in everything if suspect not in refusals.withheld]
            refusals.announced(hop for hop in HOPS if hop in said)
            if bad.intersection(said):
                refusals.session_refused(
                    Notification(3, subcode), [p for p in prefixes if p in said]
                )
                break
            if not refusals.searching:
                return refusals.withheld, sessions, later.now - 1000
            later.passes(refusals.pause())
            refusals.next_group()
    pytest.fail("never found")


@pytest.mark.parametrize("bad", [{HOPS[0]}, {HOPS[99]}, {HOPS[3], HOPS[4]}, {HOPS[3], HOPS[77]}])
def test_what_is_not_named_is_found_and_all_else_is_said(bad: set[Suspect]) -> None:
    withheld, sessions, seconds = sessions_until_found(bad)
    assert withheld == bad
    assert sessions <= 2 + 3 * len(bad)
    assert seconds <= (10 + 10 * len(bad)) * PAUSE_SECONDS


def test_a_prefix_that_is_refused_is_found() -> None:
    bad: set[Suspect] = {ip_network("203.0.113.42/32")}
    assert sessions_until_found(bad, subcode=10)[0] == bad


def test_a_session_that_ends_for_another_reason_tries_the_same_group_again() -> None:
    refusals = Refusals(Later().clock)
    refusals.announced(HOPS)
    assert refusals.session_refused(WITHOUT_DATA, ()).suspects == 100
    refusals.opened()
    refusals.next_group()
    assert len(refusals.withheld) == 90
    refusals.opened()
    assert len(refusals.withheld) == 100
