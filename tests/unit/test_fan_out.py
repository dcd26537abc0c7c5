"""Several sessions with one peer: which of them gets which next hop of a prefix."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.fan_out import FanOuts
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import AdjRibOut
from porter_ryu.domain.announcement import (
    Advertisement,
    Announcement,
    Drain,
    NextHop,
    PathAttributes,
)
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.nodes.fan_out import FanOut
from tests.unit.later import Later
from tests.unit.outbound_scene import POLICY
from tests.unit.peers import peer

PREFIXES = [ip_network(0xCB007100 + number) for number in range(100)]
PREFIX = PREFIXES[0]
NONE: frozenset[Address] = frozenset()


def sessions_of(count: int) -> tuple[Address, ...]:
    """So many local addresses."""
    return tuple(ip_address(0x0A000001 + number) for number in range(count))


def hops_of(count: int) -> list[NextHop]:
    """So many next hops."""
    return [NextHop(f"n{n}", ip_address(0xC0A80001 + n)) for n in range(count)]


def shared(
    prefix: Network,
    sessions: tuple[Address, ...],
    hops: Sequence[NextHop],
    down: Collection[Address] = NONE,
    reserve: Sequence[NextHop] = (),
    limit: int = 0,
) -> dict[Address, NextHop]:
    """The next hop of each session that is up."""
    return {
        own: FanOut(own, sessions, frozenset(down)).choose(prefix, hops, reserve, limit)
        for own in sessions
        if own not in down
    }


def moved(before: Mapping[Address, NextHop], after: Mapping[Address, NextHop]) -> set[Address]:
    """The sessions that have another next hop."""
    return {own for own in before.keys() & after.keys() if before[own] != after[own]}


@pytest.mark.parametrize("sessions", [1, 2, 4, 7, 32])
@pytest.mark.parametrize("hops", [1, 2, 3, 4, 8, 50])
def test_each_next_hop_is_on_one_session_and_none_is_missing(sessions: int, hops: int) -> None:
    for prefix in PREFIXES[:20]:
        found = list(shared(prefix, sessions_of(sessions), hops_of(hops)).values())
        assert len(set(found)) == min(sessions, hops)


def test_the_order_of_the_next_hops_does_not_matter() -> None:
    sessions, hops = sessions_of(4), hops_of(9)
    wanted = shared(PREFIX, sessions, hops)
    for order in itertools.islice(itertools.permutations(hops), 0, None, 20_011):
        assert shared(PREFIX, sessions, order) == wanted


def test_prefixes_spread_over_nodes_and_sessions() -> None:
    sessions, hops = sessions_of(4), hops_of(8)
    found = [shared(prefix, sessions, hops) for prefix in PREFIXES]
    for hop in hops:
        assert 30 < sum(hop in pairs.values() for pairs in found) < 70
        assert {own for pairs in found for own in pairs if pairs[own] == hop} == set(sessions)


def test_the_loss_of_a_node_moves_few_others() -> None:
    choice = random.Random(1)
    for sessions, hops, most in ((4, 50, 0.3), (4, 4, 0.8), (8, 30, 0.5)):
        others = 0
        for prefix in PREFIXES:
            before = shared(prefix, sessions_of(sessions), hops_of(hops))
            gone = choice.choice(list(before.values()))
            left = [hop for hop in hops_of(hops) if hop != gone]
            after = shared(prefix, sessions_of(sessions), left)
            others += sum(before[own] != gone for own in moved(before, after))
        assert others / len(PREFIXES) < most


@pytest.mark.parametrize(("sessions", "hops"), [(4, 4), (4, 9), (2, 2)])
def test_a_session_that_is_down_moves_no_other(sessions: int, hops: int) -> None:
    for prefix in PREFIXES:
        before = shared(prefix, sessions_of(sessions), hops_of(hops))
        for down in before:
            assert not moved(before, shared(prefix, sessions_of(sessions), hops_of(hops), {down}))


def test_a_spare_session_takes_over_from_one_that_is_down() -> None:
    sessions, hops = sessions_of(5), hops_of(3)
    for prefix in PREFIXES:
        before = shared(prefix, sessions, hops)
        for down in itertools.combinations(sessions, 2):
            after = shared(prefix, sessions, hops, down)
            assert set(after.values()) == set(hops)
            alone = {own for own in before if list(before.values()).count(before[own]) == 1}
            assert not moved(before, after) & alone


def test_drained_nodes_are_used_only_if_there_are_sessions_to_spare() -> None:
    hops = hops_of(6)
    for prefix in PREFIXES:
        four = shared(prefix, sessions_of(4), hops[:4], reserve=hops[4:])
        assert set(four.values()) == set(hops[:4])
        five = shared(prefix, sessions_of(5), hops[:4], reserve=hops[4:])
        assert set(hops[:4]) < set(five.values())
        assert len(set(five.values())) == 5


def test_the_limit_holds_for_all_sessions_together() -> None:
    for prefix in PREFIXES:
        assert len(set(shared(prefix, sessions_of(4), hops_of(9), limit=2).values())) == 2
        few = shared(prefix, sessions_of(4), hops_of(1), reserve=hops_of(9)[1:], limit=2)
        assert len(set(few.values())) == 2


# -- the export policy -----------------------------------------------------------------------------


def sent(paths: Collection[Announcement], **more: Any) -> list[set[Address]]:
    """The next hops that each of three sessions is sent for each prefix."""
    found = []
    for own in sessions_of(3):
        policy = replace(POLICY, add_path=frozenset(), fan_out=FanOut(own, sessions_of(3)), **more)
        rib_out = AdjRibOut(policy, PathIds())
        wanted = dict.fromkeys(PREFIXES, frozenset(paths))
        rib_out.sync(wanted, PREFIXES)
        assert all(paths.keys() == {None} for paths in rib_out.sent.values())
        found.append({rib_out.next_hops(prefix)[0] for prefix in rib_out.sent})
    return found


def test_what_a_peer_does_not_get_is_sorted_out_first() -> None:
    hops = [
        NextHop(f"n{n}", ip_address(0xC0A80001 + n), frozenset([("rack", "ab"[n % 2])]))
        for n in range(6)
    ]
    every = {hop.address for hop in hops}
    assert set.union(*sent([Announcement(hop) for hop in hops])) == every
    rack = sent([Announcement(hop) for hop in hops], selector=parse_selector("rack=a"))
    assert set.union(*rack) == {hop.address for hop in hops[::2]}
    named = Advertisement(frozenset(["leaf"]), PathAttributes())
    other = Advertisement(frozenset(["other"]), PathAttributes())
    paths = [
        Announcement(hop, advertisements=(named if n < 2 else other,)) for n, hop in enumerate(hops)
    ]
    assert set.union(*sent(paths, peer="leaf")) == {hop.address for hop in hops[:2]}
    over = Drain(0.0, 1.0, over=True)
    drained = [Announcement(hop, drain=over if n else None) for n, hop in enumerate(hops)]
    assert set.union(*sent(drained)) == {hops[0].address}


# -- which sessions are up -------------------------------------------------------------------------


class Up:
    """The sessions of one peer from three addresses."""

    def __init__(self) -> None:
        self.later = Later()
        self.changes = 0
        self.fan_outs = FanOuts(self.later, self._changed)
        self.configs = [
            peer(f"leaf@{own}", local_address=own, fan_out=sessions_of(3)) for own in sessions_of(3)
        ]

    def _changed(self, name: str) -> None:
        assert name == "leaf"
        self.changes += 1

    def down(self, number: int) -> set[int]:
        """Which of the others are down, as a session sees it."""
        fan_out = self.fan_outs.of(self.configs[number])
        assert fan_out is not None
        assert fan_out.own == self.configs[number].local_address
        return {sessions_of(3).index(own) for own in fan_out.down}


def test_a_session_counts_as_up_some_seconds_after_it_came_up_and_as_down_at_once() -> None:
    up = Up()
    assert up.down(0) == {1, 2}
    for config in up.configs:
        up.fan_outs.came_up(config)
        up.later.passes(1.0)
    assert (up.down(0), up.changes) == ({1, 2}, 0)
    up.later.passes(5.0)
    assert (up.down(0), up.changes) == (set(), 1)
    up.fan_outs.went_down(up.configs[1])
    assert (up.down(0), up.down(1), up.changes) == ({1}, set(), 2)
    up.fan_outs.came_up(up.configs[1])
    up.later.passes(2.0)
    up.fan_outs.went_down(up.configs[1])
    up.later.passes(60.0)
    assert up.down(0) == {1}


def test_no_session_takes_over_when_all_are_ended() -> None:
    up = Up()
    for config in up.configs:
        up.fan_outs.came_up(config)
    up.later.passes(5.0)
    up.fan_outs.stop()
    up.fan_outs.went_down(up.configs[0])
    assert (up.down(1), up.changes) == (set(), 1)


def test_a_peer_with_one_session_has_no_fan_out() -> None:
    up = Up()
    single = peer("single", local_address=ip_address("10.0.0.1"))
    up.fan_outs.came_up(single)
    up.fan_outs.went_down(single)
    assert up.fan_outs.of(single) is None
    assert up.changes == 0
