"""What a peer is told of a path: the path's own attributes on top of those of the peer's group."""

from __future__ import annotations

import itertools
import struct
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.announcement import Announcement, Drain, NextHop, PathAttributes
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Family
from tests.unit.outbound_scene import POLICY

A1, A2 = ip_address("192.168.0.1"), ip_address("192.168.0.2")
N1 = NextHop("n1", A1)
N2 = NextHop("n2", A2, frozenset([("rack", "b")]))
ONE, TWO = ip_network("203.0.113.1/32"), ip_network("203.0.113.2/32")
PEER = replace(POLICY, attributes=PathAttributes((1,), (), None, 50, 1))


def test_what_a_path_says_stands_on_top_of_what_the_peer_adds() -> None:
    said = PEER.path_attributes(A1, PathAttributes((2,), ((1, 2, 3),)))
    assert said.communities == (1, 2)
    assert said.large_communities == ((1, 2, 3),)
    assert said.med == 50
    assert said.as_path == (65000, 65000)
    assert PEER.path_attributes(A1, PathAttributes(med=0)).med == 0
    assert PEER.path_attributes(A1, PathAttributes(as_path_prepend=3)).as_path == (65000,) * 4
    internal = replace(PEER, internal=True)
    assert internal.path_attributes(A1, PathAttributes(local_pref=7)).local_pref == 7
    assert internal.path_attributes(A1, PathAttributes(as_path_prepend=3)).as_path == ()


def test_a_weight_is_a_link_bandwidth_in_megabits_per_second() -> None:
    for internal in (False, True):
        policy = replace(PEER, internal=internal)
        assert policy.path_attributes(A1).extended_communities == ()
        said = [policy.path_attributes(A1, PathAttributes(bandwidth=n)) for n in range(1, 17)]
        numbers = [attributes.extended_communities[0] for attributes in said]
        assert {number >> 32 for number in numbers} == {0x4004_FDE8}
        octets = [struct.unpack(">f", struct.pack(">I", n & 0xFFFFFFFF))[0] for n in numbers]
        assert octets == [n * 125_000 for n in range(1, 17)]


def test_nodes_with_one_address_are_one_path_that_does_not_depend_on_their_order() -> None:
    drained = Announcement(NextHop("n0", A1), drain=Drain(0, 30, over=False))
    light, heavy = (
        Announcement(NextHop(name, A1), PathAttributes(bandwidth=weight))
        for name, weight in (("n1", 1), ("n3", 16))
    )
    other = Announcement(N2, PathAttributes(bandwidth=3))
    for paths in itertools.permutations((drained, light, heavy, other)):
        usable = PEER.usable((path, path.next_hop.address or A1) for path in paths)
        assert {path for path, _ in usable} == {heavy, other}
        usable = PEER.usable([(drained, A1), (other, A2)])
        assert {path for path, _ in usable} == {drained, other}


def test_weights_leave_updates_packed() -> None:
    hops = [NextHop(f"n{n}", ip_address(f"192.168.0.{n}")) for n in range(1, 5)]
    wanted = {
        ip_network(0x0A000000 + number): frozenset(
            Announcement(hop, PathAttributes(bandwidth=1 + number * (7 + index) // 5 % 16))
            for index, hop in enumerate(hops)
        )
        for number in range(10_000)
    }
    messages = list(AdjRibOut(PEER, PathIds()).sync(wanted, wanted).messages(4096))
    assert len(messages) <= 92 + 4 * 16


def test_another_weight_alone_is_an_update_without_a_withdrawal() -> None:
    table = AdjRibOut(PEER, PathIds())
    three = frozenset([Announcement(N1, PathAttributes(bandwidth=3)), Announcement(N2)])
    table.sync({ONE: three}, [ONE])
    difference = table.sync({ONE: frozenset([Announcement(N1), Announcement(N2)])}, [ONE])
    assert difference.withdrawn == []
    assert [list(paths) for _, paths in difference.announced] == [[int(A1)]]


def test_another_attribute_alone_is_an_update_without_a_withdrawal() -> None:
    table = AdjRibOut(PEER, PathIds())
    plain = frozenset([Announcement(N1), Announcement(N2)])
    table.sync({ONE: plain}, [ONE])
    drained = frozenset([Announcement(N1), Announcement(N2, PathAttributes(med=100))])
    difference = table.sync({ONE: drained}, [ONE])
    assert difference.withdrawn == []
    ((prefix, paths),) = difference.announced
    assert prefix == ONE
    assert {path_id: said.med for path_id, said in paths.items()} == {int(A2): 100}
    assert table.sync({ONE: drained}, [ONE]).announced == []
    assert table.count(Family.IPV4) == 2


def test_updates_are_grouped_by_next_hop_and_attributes() -> None:
    table = AdjRibOut(PEER, PathIds())
    plain, marked = Announcement(N1), Announcement(N1, PathAttributes((7,)))
    wanted = {ONE: frozenset([plain]), TWO: frozenset([plain])}
    assert len(list(table.sync(wanted, wanted).messages(4096))) == 1
    wanted[TWO] = frozenset([marked])
    both = AdjRibOut(PEER, PathIds()).sync(wanted, wanted)
    assert len(list(both.messages(4096))) == 2


def test_prefixes_that_lead_to_the_same_share_their_paths() -> None:
    table = AdjRibOut(PEER, PathIds())
    both = frozenset([Announcement(N1), Announcement(N2)])
    table.sync({ONE: both, TWO: both}, [ONE, TWO])
    assert table.sent[ONE] is table.sent[TWO]


def test_a_peer_is_told_of_the_nodes_that_its_selector_matches() -> None:
    table = AdjRibOut(replace(PEER, selector=parse_selector("rack=b")), PathIds())
    table.sync({ONE: frozenset([Announcement(N1), Announcement(N2)])}, [ONE])
    assert table.next_hops(ONE) == (N2.address,)
