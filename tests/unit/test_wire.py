"""Golden bytes of every message, and the errors of malformed ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.protocol import notification, wire
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.inbound import check_update
from porter_ryu.bgp.protocol.notification import BgpError
from porter_ryu.bgp.protocol.open_message import Open, decode_open, encode_open
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut, SentPaths
from porter_ryu.bgp.protocol.update import (
    Attributes,
    PathId,
    Paths,
    announce,
    end_of_rib,
    link_bandwidth,
    withdraw,
)
from porter_ryu.domain.announcement import (
    NO_ATTRIBUTES,
    Announcement,
    Announcements,
    NextHop,
    SentPath,
)
from porter_ryu.domain.communities import CommunityError, parse_communities
from porter_ryu.domain.labels import EVERYTHING, LabelSelector, parse_selector
from porter_ryu.domain.model import Address, Family, Network
from tests.unit.messages import OF_EVERYTHING

MARKER = "ff" * 16
HOP, HOP6 = ip_address("192.168.0.1"), ip_address("fd00::1")


def ebgp(next_hop: Address) -> Attributes:
    """What a path by this next hop says to an external peer."""
    return Attributes(next_hop, (65000,), four_octet_as=True)


def hexes(messages: Iterable[bytes]) -> list[str]:
    """Messages without their markers."""
    return [message.hex().removeprefix(MARKER) for message in messages]


def test_open() -> None:
    ours = Open(
        70000,
        90,
        IPv4Address("10.0.0.1"),
        frozenset(Family),
        True,
        True,
        ((Family.IPV4, 2), (Family.IPV6, 2)),
    )
    data = encode_open(ours)
    assert hexes([data]) == [
        "003d01045ba0005a0a00000120021e010400010001010400020001020041040001117045080001010200020102"
    ]
    assert decode_open(data[19:]) == ours


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("03 fde8 005a 0a000001 00", (2, 1)),
        ("04 fde8 0001 0a000001 00", (2, 6)),
        ("04 fde8 0002 0a000001 00", (2, 6)),
        ("04 fde8 005a 00000000 00", (2, 3)),
        ("04 0000 005a 0a000001 00", (2, 2)),
        ("04 fde8 005a 0a000001 05", (2, 0)),
        ("04 fde8 005a 0a000001 04 02 02 41 ff", (2, 0)),
        ("04 fde8 005a 0a000001 03 01 01 00", (2, 4)),
        ("04 fde8 005a 0a000001 ff ff 00", (2, 0)),
        ("04 fde8 005a 0a000001 ff ff 0009 02 0006 4104", (2, 0)),
        ("04 fde8 005a 0a000001 00 ff 0009 02 0006 4104 00011170", (2, 0)),
    ],
)
def test_a_malformed_open(body: str, code: tuple[int, ...]) -> None:
    with pytest.raises(BgpError) as caught:
        decode_open(bytes.fromhex(body.replace(" ", "")))
    assert (caught.value.notification.code, caught.value.notification.subcode) == code


@pytest.mark.parametrize("length", ["ff", "fe", "01", "09", "0c"])
def test_unknown_capabilities_and_extended_parameters_are_read(length: str) -> None:
    known = decode_open(bytes.fromhex(f"04fde8005a0a000001{length}ff0009020006c802beef0200"))
    assert known.route_refresh
    assert known.families is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("00" * 16 + "001304", (1, 1)),
        (MARKER + "001204", (1, 2)),
        (MARKER + "100104", (1, 2)),
        (MARKER + "001404" + "00", (1, 2)),
        (MARKER + "001306", (1, 3)),
        (MARKER + "001401" + "00", (1, 2)),
    ],
)
def test_a_malformed_header(message: str, code: tuple[int, ...]) -> None:
    with pytest.raises(BgpError) as caught:
        list(wire.split(bytearray.fromhex(message)))
    assert (caught.value.notification.code, caught.value.notification.subcode) == code


def test_messages_are_split_although_octets_arrive_one_by_one() -> None:
    stream = wire.KEEPALIVE + end_of_rib(Family.IPV4) + wire.KEEPALIVE
    buffer, seen = bytearray(), []
    for octet in stream:
        buffer.append(octet)
        seen += [kind.name for kind, _ in wire.split(buffer)]
    assert seen == ["KEEPALIVE", "UPDATE", "KEEPALIVE"]


def test_announcements() -> None:
    four, six = ip_network("203.0.113.1/32"), ip_network("2001:db8::1/128")
    path = "4001010040020602010000fde8"
    assert hexes(announce([(four, {0xC0A80001: ebgp(HOP)})])) == [
        "00340200000014" + path + "400304c0a80001c0a8000120cb007101"
    ]
    assert hexes(announce([(four, {None: ebgp(HOP)})])) == [
        "00300200000014" + path + "400304c0a8000120cb007101"
    ]
    assert hexes(announce([(six, {7: ebgp(HOP6)})])) == [
        "0051"
        "02"
        "0000"
        "003a"
        "800e2a"
        "0002"
        "01"
        "10"
        "fd000000000000000000000000000001"
        "00"
        "00000007"
        "80"
        "20010db8000000000000000000000001" + path
    ]


def test_attributes() -> None:
    full = Attributes(HOP, (70000, 70000), False, 5, None, (0xFDE80001,), ((65000, 1, 2),))
    prefix = ip_network("10.0.0.0/8")
    assert hexes(announce([(prefix, {None: full})])) == [
        "0057"
        "02"
        "0000"
        "003e"
        "40010100"
        "40020602025ba05ba0"
        "400304c0a80001"
        "80040400000005"
        "c00804fde80001"
        "c0110a02020001117000011170"
        "c0200c0000fde80000000100000002"
        "080a"
    ]
    internal = Attributes(HOP, (), True, local_pref=200)
    assert "400504000000c8" in hexes(announce([(prefix, {None: internal})]))[0]
    assert "40050400000064" in hexes(announce([(prefix, {None: Attributes(HOP, (), True)})]))[0]


def test_link_bandwidth() -> None:
    assert link_bandwidth(65000, 0) == 0x4004_FDE8_00000000
    assert link_bandwidth(65000, 1) == 0x4004_FDE8_3F800000
    assert link_bandwidth(65000, 125_000) == 0x4004_FDE8_47F42400
    assert link_bandwidth(4_200_000_000, 1) == 0x4004_5BA0_3F800000, "AS_TRANS"
    weighted = Attributes(HOP, (70000,), False, extended_communities=(0x4004_FDE8_3F800000,))
    assert hexes(announce([(ip_network("10.0.0.0/8"), {None: weighted})])) == [
        "003f"
        "02"
        "0000"
        "0026"
        "40010100"
        "40020402015ba0"
        "400304c0a80001"
        "c010084004fde83f800000"
        "c011060201 00011170".replace(" ", "")
        + "080a"
    ]


def test_withdrawals_and_end_of_rib() -> None:
    paths: list[tuple[Network, list[PathId]]] = [
        (ip_network("10.0.0.1/32"), [1]),
        (ip_network("2001:db8::/32"), [None]),
    ]
    assert hexes(withdraw(paths)) == [
        "002002000900000001200a0000010000",
        "0022020000000b800f080002012020010db8",
    ]
    assert hexes([end_of_rib(Family.IPV4)]) == ["00170200000000"]
    assert hexes([end_of_rib(Family.IPV6)]) == ["001d0200000006800f03000201"]


def test_messages_are_packed_and_never_too_long() -> None:
    prefixes = [ip_network(0x0A000000 + i) for i in range(10_000)]
    by_four: Paths = {n: ebgp(ip_address(f"192.168.0.{n}")) for n in range(1, 5)}
    announced = [(prefix, by_four) for prefix in prefixes]
    messages = list(announce(announced))
    assert len(messages) <= 92
    assert max(map(len, messages)) <= 4096
    assert max(map(len, withdraw((prefix, by_four) for prefix in prefixes))) <= 4096
    long = list(announce(announced, 65535))
    assert len(long) < len(messages) / 8
    assert 4096 < max(map(len, long)) <= 65535


def hop(number: int, **labels: str) -> Announcement:
    """A path by the node of that number."""
    address = ip_address(f"192.168.0.{number}")
    return Announcement(NextHop(f"n{number}", address, frozenset(labels.items())))


def rib_out(
    add_path: bool = True, selector: LabelSelector = EVERYTHING, limit: int = 0
) -> AdjRibOut:
    """An empty table."""
    several = frozenset(Family) if add_path else frozenset()
    policy = ExportPolicy(
        families=frozenset(Family),
        add_path=several,
        local_as=65000,
        internal=False,
        four_octet_as=True,
        attributes=NO_ATTRIBUTES,
        selector=selector,
        max_next_hops=limit,
        local_address=ip_address("192.168.0.9"),
        ipv4_over_ipv6=False,
    )
    return AdjRibOut(policy, PathIds())


def sync(table: AdjRibOut, wanted: Mapping[Network, Announcements], prefix: Network) -> list[bytes]:
    """What a peer with this table is told."""
    return list(table.sync(wanted, [prefix]).messages(4096))


def test_adj_rib_out_sends_only_the_difference_and_announces_before_it_withdraws() -> None:
    prefix = ip_network("10.0.0.1/32")
    table = rib_out()
    table.sync({prefix: frozenset([hop(1), hop(2)])}, [prefix])
    assert sync(table, {prefix: frozenset([hop(1), hop(2)])}, prefix) == []
    first, second = hexes(sync(table, {prefix: frozenset([hop(1), hop(3)])}, prefix))
    assert first.endswith("c0a80003200a000001")
    assert second == "0020020009c0a80002200a0000010000"
    assert table.count(Family.IPV4) == 2
    table.sync({}, [prefix])
    assert table.sent == {}


def test_adj_rib_out_without_add_path_replaces_its_one_path() -> None:
    prefix = ip_network("10.0.0.1/32")
    table = rib_out(add_path=False)
    table.sync({prefix: frozenset([hop(1)])}, [prefix])
    messages = hexes(sync(table, {prefix: frozenset([hop(2)])}, prefix))
    assert len(messages) == 1
    assert messages[0].endswith("400304c0a80002200a000001")


def test_adj_rib_out_selects_limits_and_speaks_of_itself() -> None:
    prefix = ip_network("10.0.0.1/32")
    table = rib_out(selector=parse_selector("rack in (a, b),!old"))
    hops = {hop(1, rack="a"), hop(2, rack="c"), hop(3, rack="b", old="")}
    table.sync({prefix: frozenset(hops)}, [prefix])
    assert table.next_hops(prefix) == (ip_address("192.168.0.1"),)
    limited = rib_out(limit=2)
    limited.sync({prefix: frozenset(hop(n) for n in range(1, 9))}, [prefix])
    assert len(limited.sent[prefix]) == 2
    own = rib_out()
    own.sync({prefix: frozenset([Announcement(NextHop("n1", None, is_self=True))])}, [prefix])
    assert own.next_hops(prefix) == (ip_address("192.168.0.9"),)


def test_path_identifiers_depend_on_the_next_hop_alone() -> None:
    one, other = PathIds(), PathIds()
    hops = [ip_address(f"fd00::{n:x}") for n in range(1, 200)]
    assert [one.of(h) for h in hops] == [other.of(h) for h in reversed(hops)][::-1]
    assert one.of(ip_address("192.168.0.1")) == 0xC0A80001


def test_communities() -> None:
    standard, large = parse_communities(["no-export", "65000:1", "1:2:3", "65000:1"])
    assert standard == (65000 << 16 | 1, 0xFFFFFF01)
    assert large == ((1, 2, 3),)
    for text in ("65536:1", "x", "1:2:3:4", "1:-1", ""):
        with pytest.raises(CommunityError):
            parse_communities([text])


def test_what_an_earlier_session_left_is_known_by_its_path() -> None:
    one, two = ip_network("203.0.113.1/32"), ip_network("203.0.113.2/32")
    left: dict[Network, SentPaths] = {
        one: {
            0xC0A80001: SentPath(ip_address("192.168.0.1")),
            0xC0A80002: SentPath(ip_address("192.168.0.2")),
        },
        two: {0xC0A80001: SentPath(ip_address("192.168.0.1"))},
    }
    table = rib_out()
    sync(table, {one: frozenset([hop(1)])}, one)
    assert table.stale(left.items()).withdrawn == [(one, (0xC0A80002,)), (two, (0xC0A80001,))]
    plain = rib_out(add_path=False)
    sync(plain, {one: frozenset([hop(1)])}, one)
    assert plain.stale(left.items()).withdrawn == [(two, (None,))]


def test_ipv4_with_an_ipv6_next_hop() -> None:
    prefix = ip_network("203.0.113.1/32")
    six = Announcement(NextHop("n1", None, ipv6=ip_address("fd00::1")))
    assert sync(rib_out(add_path=False), {prefix: frozenset([six])}, prefix) == []
    table = rib_out(add_path=False)
    policy = replace(table.policy, ipv4_over_ipv6=True)
    (message,) = hexes(sync(AdjRibOut(policy, PathIds()), {prefix: frozenset([six])}, prefix))
    assert "800e1a00010110fd0000000000000000000000000000010020cb007101" in message


def test_open_with_every_capability() -> None:
    data = encode_open(OF_EVERYTHING)
    assert data.hex().endswith("460006000506000100010002400ac0780001018000020180090103")
    assert decode_open(data[19:]) == OF_EVERYTHING


def test_malformed_and_unknown_capabilities_are_ignored() -> None:
    body = bytes.fromhex("04fde8005a0a000001120210400300000005050001000001c802abcd")
    assert decode_open(body) == Open(65000, 90, IPv4Address("10.0.0.1"))


UPDATE_ERRORS = {
    "0005 0000": (3, 1),
    "0000 0005 40010100": (3, 1),
    "0000 000c 800f03000101 800f03000101": (3, 1),
    "0000 0006 800e03000101": (3, 9),
    "0000 000a 800e070001010cc0a801": (3, 9),
    "0000 0005 800f020001": (3, 9),
}


@pytest.mark.parametrize(("body", "code"), UPDATE_ERRORS.items())
def test_an_update_that_resets_the_session(body: str, code: tuple[int, int]) -> None:
    with pytest.raises(BgpError) as caught:
        check_update(bytes.fromhex(body.replace(" ", "")))
    assert (caught.value.notification.code, caught.value.notification.subcode) == code


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("0000 0000", ""),
        ("0000 0004 40010109", ""),
        ("0000 0003 400105", "exceeds"),
        ("0000 0002 4001", "truncated"),
        ("0000 0008 40010100 40010100", "duplicate"),
    ],
)
def test_an_update_that_is_treated_as_withdraw(body: str, what: str) -> None:
    assert what in check_update(bytes.fromhex(body.replace(" ", "")))


def test_an_administrative_shutdown_becomes_a_hard_reset_and_a_hold_timer_does_not() -> None:
    shutdown = notification.hard_reset(notification.ADMINISTRATIVE_SHUTDOWN)
    assert (shutdown.code, shutdown.subcode, shutdown.data) == (6, 9, b"\x06\x02")
    assert (
        notification.hard_reset(notification.HOLD_TIMER_EXPIRED) == notification.HOLD_TIMER_EXPIRED
    )
