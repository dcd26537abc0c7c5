"""What a switch should have, and the messages that bring it there."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network

import pytest

from porter_ryu.domain.model import Address, Network, Port
from porter_ryu.openflow import flows, replies, wire
from porter_ryu.openflow.config import Affinity, Base, OpenFlowSettings
from porter_ryu.openflow.difference import Change, Present, steps
from porter_ryu.openflow.forwarding import seeds
from porter_ryu.openflow.groups import GroupContent, content_of, is_ours
from porter_ryu.openflow.neighbours import Location
from porter_ryu.openflow.next_hop_sets import HopSet, Wanted
from porter_ryu.openflow.plan import Plan

N = [ip_address(f"192.168.0.{number}") for number in range(5)]
EIPS = [ip_network(f"203.0.113.{number}/32") for number in range(8)]
WHERE = {address: Location(bytes(5) + bytes([i]), i) for i, address in enumerate(N)}
VERSION = wire.VERSION_15


def hops(*numbers: int) -> HopSet:
    """Next hops of weight 1."""
    return HopSet(tuple((N[number], 1) for number in numbers))


def wants(*numbers: int, pool: str = "pool") -> Wanted:
    """An address by these next hops."""
    return Wanted(pool, hops(*numbers), (), frozenset(N[number] for number in numbers))


class Scene:
    """A plan and a switch that does all that it is told."""

    def __init__(self, **settings: object) -> None:
        self.settings = OpenFlowSettings(enabled=True, **settings)  # type: ignore[arg-type]
        self.plan = Plan(self.settings, VERSION, meter=True)
        self.plan.set_reachable(WHERE, lambda: None)
        self.present = Present()
        self.sync()

    def set(self, wanted: Mapping[Network, Wanted | None]) -> list[list[Change]]:
        """Sets what addresses want; returns the messages, step by step."""
        self.plan.set_addresses(wanted, lambda: None)
        return self.sync()

    def reach(self, *numbers: int) -> list[list[Change]]:
        """Only these next hops answer."""
        self.plan.set_reachable({N[n]: WHERE[N[n]] for n in numbers}, lambda: None)
        return self.sync()

    def sync(self) -> list[list[Change]]:
        """Applies what changed."""
        cookies, numbers = self.plan.pop_changed()
        made = list(
            steps(self.present, self.plan.flows, self.plan.groups, cookies, numbers, VERSION)
        )
        self.present = Present(dict(self.plan.flows), dict(self.plan.groups))
        return made


def kinds(made: list[list[Change]]) -> list[list[str]]:
    """The messages as text."""
    return [[f"{'-' if c.removes else '+'}{c.about}" for c in step if c.body] for step in made]


def test_equal_sets_of_next_hops_share_a_group() -> None:
    scene = Scene()
    scene.set({EIPS[0]: wants(1, 2), EIPS[1]: wants(1, 2), EIPS[2]: wants(1, 3)})
    assert len(scene.plan.groups) == 2
    assert all(map(is_ours, scene.plan.groups))


@pytest.mark.parametrize(
    ("address", "claims"), [("203.0.113.1/32", 1), ("2001:db8::1/128", 2)], ids=["IPv4", "IPv6"]
)
def test_who_claims_an_address_of_ours_is_not_believed(address: str, claims: int) -> None:
    """Before anything else is made of what he sends, and as long as the address is ours."""
    scene, eip = Scene(), ip_network(address)
    for entry, count in ((wants(1, 2), claims), (None, 0)):
        scene.set({eip: entry})
        found = [f for f in scene.plan.flows.values() if f.about.endswith(str(eip[0]))]
        against = [f for f in found if f.about.startswith("who claims")]
        assert len(against) == count
        others = [f.priority for f in found if f not in against]
        assert all(f.priority > max(others) for f in against)
        assert not any(b"" != f.instructions != wire.go_to(flows.ARP_CLAIM) for f in against)


def test_a_next_hop_that_goes_costs_one_message_for_each_set() -> None:
    scene = Scene()
    scene.set({eip: wants(1, 2, 3) for eip in EIPS})
    made = kinds(scene.set({eip: wants(1, 2) for eip in EIPS}))
    assert [len(step) for step in made] == [1, 0, 1]
    assert made[0][0].startswith("+group")
    assert made[2] == [f"-flow for next hop {N[3]}"]


def test_addresses_that_part_get_groups_of_their_own_and_the_group_of_others_stays() -> None:
    scene = Scene()
    scene.set({eip: wants(1, 2) for eip in EIPS})
    before = dict(scene.plan.groups)
    made = kinds(scene.set({EIPS[0]: wants(1), EIPS[1]: wants(2)}))
    assert before.items() <= scene.plan.groups.items()
    assert len(made[0]) == 2
    assert {text.removeprefix("+flow for ") for text in made[1]} == {
        str(EIPS[0].network_address),
        str(EIPS[1].network_address),
    }
    assert made[2] == []  # the flows were replaced, not deleted


def test_a_set_is_not_taken_over_while_one_of_its_addresses_goes_elsewhere() -> None:
    scene = Scene()
    scene.set({EIPS[0]: wants(1, 2), EIPS[1]: wants(1, 2)})
    [old] = scene.plan.groups
    scene.set({EIPS[0]: wants(1), EIPS[1]: wants(2)})
    # a packet of one address must not go to the nodes of the other one in between
    assert old not in scene.plan.groups


def test_a_node_that_does_not_answer_leaves_the_buckets_and_returns() -> None:
    scene = Scene()
    scene.set({EIPS[0]: wants(1, 2)})
    [(number, both)] = scene.plan.groups.items()
    made = kinds(scene.reach(1))
    assert set(scene.plan.groups[number].numbers) == {int(N[1])}
    assert made[0] == [f"+group {number:#x}"]
    scene.reach(1, 2)
    assert scene.plan.groups[number] == both


def test_a_node_that_moves_changes_its_flow_alone() -> None:
    scene = Scene()
    scene.set({EIPS[0]: wants(1, 2)})
    moved = {**WHERE, N[1]: Location(b"\2moved", 9)}
    scene.plan.set_reachable(moved, lambda: None)
    assert kinds(scene.sync()) == [[f"+flow for next hop {N[1]}"], [], []]


def test_a_drained_node_is_no_bucket_but_its_connections_find_it() -> None:
    scene = Scene(affinity=Affinity.CONNTRACK)
    scene.set({EIPS[0]: wants(1, 2)})
    made = kinds(scene.set({EIPS[0]: Wanted("pool", hops(1), (), frozenset([N[1], N[2]]))}))
    assert [len(step) for step in made] == [1, 0, 0]
    about = {flow.about for flow in scene.plan.flows.values()}
    assert f"connections of next hop {N[2]}" in about


def test_ports_of_one_address_have_groups_of_their_own() -> None:
    ports = ((Port("TCP", 80), hops(1)), (Port("TCP", 81), hops(2)))
    scene = Scene()
    scene.set({EIPS[0]: Wanted("pool", None, ports, frozenset(N[1:3]))})
    about = {flow.about for flow in scene.plan.flows.values()}
    address = EIPS[0].network_address
    assert {f"{address} TCP 80", f"{address} TCP 81", f"answers for {address}"} <= about
    assert str(address) not in about  # other ports are not announced
    assert len(scene.plan.groups) == 2


def test_an_address_that_goes_leaves_nothing() -> None:
    scene = Scene()
    nothing = set(scene.plan.flows)
    scene.set({EIPS[0]: wants(1), EIPS[1]: wants(1, 2)})
    made = scene.set({EIPS[0]: None, EIPS[1]: None})
    assert set(scene.plan.flows) == nothing
    assert not scene.plan.groups
    assert not made[0] + made[1]


@pytest.mark.parametrize("affinity", list(Affinity))
def test_a_new_process_finds_all_as_it_should_be(affinity: Affinity) -> None:
    wanted = {eip: wants(1, 2, 3) if i % 2 else wants(2, 3) for i, eip in enumerate(EIPS)}
    scene = Scene(affinity=affinity)
    # its groups have been taken over, so that their numbers do not follow from their content
    scene.set({eip: wants(*range(1, 5)) for eip in EIPS[1::2]})
    scene.set(dict(wanted))
    again = Plan(scene.settings, VERSION, meter=True)
    again.adopt(scene.present.groups)
    again.set_reachable(WHERE, lambda: None)
    again.set_addresses(dict(wanted), lambda: None)
    cookies = again.flows.keys() | scene.present.flows.keys()
    numbers = again.groups.keys() | scene.present.groups.keys()
    found = Present(dict.fromkeys(scene.present.flows), dict(scene.present.groups))
    made = steps(found, again.flows, again.groups, list(cookies), list(numbers), VERSION)
    assert kinds(list(made)) == [[], [], []]


def test_what_an_earlier_process_left_is_removed_last() -> None:
    scene = Scene()
    content = GroupContent((1, 2))
    found = Present({flows.MARK | 7: None}, {0x50590007: content, 0x50590008: None})
    made = steps(found, {}, {}, [flows.MARK | 7], [0x50590007, 0x50590008], VERSION)
    texts = kinds(list(made))
    assert texts[:2] == [[], []]
    assert texts[2] == ["-a flow of an earlier run", "-group 0x50590007", "-group 0x50590008"]
    assert scene.settings.enabled


def test_base_none_adds_no_flow_for_the_packets_of_others() -> None:
    def bases(base: Base) -> int:
        made = Scene(base=base).plan.flows.values()
        return sum(f.table == 0 and f.priority == flows.PRIORITY_BASE for f in made)

    assert (bases(Base.NORMAL), bases(Base.NONE)) == (1, 0)


@pytest.mark.parametrize("affinity", list(Affinity))
def test_a_group_is_known_by_its_content(affinity: Affinity) -> None:
    content = GroupContent((1, 1, 2, 0xF0000001), affinity)
    group = replies.GroupOnSwitch(7, tuple(content.buckets(VERSION)), True)
    assert content_of(group) == content
    assert content_of(replies.GroupOnSwitch(7, (b"\0\0\0\1", b"oops"), True)) is None


def test_next_hops_are_found_again_by_the_flows_that_lead_to_them() -> None:
    scene = Scene()
    scene.set({EIPS[0]: wants(1, 2)})
    found = [
        replies.FlowOnSwitch(f.table, f.priority, f.cookie, 0, f.match, f.instructions)
        for f in scene.plan.flows.values()
    ]
    members: set[Address] = {N[1], N[2], N[3]}
    assert seeds(found, members, scene.plan.numbers) == {n: WHERE[n] for n in N[1:3]}
