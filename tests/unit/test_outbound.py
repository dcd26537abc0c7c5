"""What goes to a peer, by a link that records it: order, slices, refreshes, refusals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from ipaddress import IPv4Network, ip_address
from pathlib import Path as Folder

import pytest

from porter_ryu.bgp.journal import Journals
from porter_ryu.bgp.outbound import Outbound
from porter_ryu.bgp.output_rounds import OutputRounds
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.rib_out import PathIds, View
from porter_ryu.bgp.protocol.update import Attributes
from porter_ryu.bgp.protocol.wire import MessageType, Notification, Refresh
from porter_ryu.bgp.session_output import LocRib
from porter_ryu.domain.labels import EVERYTHING
from porter_ryu.domain.model import Address, Family, Network, NextHop
from tests.unit.later import Later

V4 = frozenset([Family.IPV4])
VIEW = View(
    V4, V4, Attributes((65000,), True), EVERYTHING, 0, ip_address("192.168.0.200"), False, 4096
)
END_OF_RIB = update.end_of_rib(Family.IPV4)
BEGIN = wire.encode_route_refresh(Family.IPV4, Refresh.BEGIN)
END = wire.encode_route_refresh(Family.IPV4, Refresh.END)


class Link:
    """A session that takes everything, or nothing while it is `congested`."""

    def __init__(self, graceful: bool = True, enhanced_refresh: bool = True) -> None:
        self.congested = False
        self.graceful = graceful
        self.families = V4
        self.enhanced_refresh = enhanced_refresh
        self.sends: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Takes whole messages."""
        self.sends.append(data)

    def take(self) -> list[bytes]:
        """The messages since the last call."""
        buffer = bytearray(b"".join(self.sends))
        self.sends.clear()
        found = [wire.message(kind, body) for kind, body in wire.split(buffer)]
        assert not buffer
        return found


class Scene:
    """A Loc-RIB and a peer, in a state_dir."""

    def __init__(self, folder: Folder, complete: bool = True) -> None:
        self.later = Later()
        self.rib = LocRib({}, PathIds(), complete=complete)
        self.rounds = OutputRounds(self.later)
        self.journal = Journals(str(folder), self.later).of("leaf")
        self.outbound = Outbound(
            "leaf", self.rib, self.journal, self.later, self.rounds, self.later.clock
        )

    def want(self, routes: dict[Network, frozenset[NextHop]]) -> None:
        """As the Speaker does when these change."""
        self.rib.routes.update(routes)
        for prefix, hops in routes.items():
            if not hops:
                del self.rib.routes[prefix]
        self.outbound.send(routes)

    def session(self, link: Link, view: View = VIEW) -> Link:
        """A session comes up, and all is sent that can be."""
        self.outbound.open(link, view)
        self.later.passes()
        return link

    def lost(self, notification: Notification | None = None) -> None:
        """The session ends, as the peer says."""
        if notification is not None:
            self.outbound.refused(notification)
        self.outbound.close()


@pytest.fixture
def scene(tmp_path) -> Scene:
    return Scene(tmp_path)


def prefix(number: int) -> IPv4Network:
    """One of many."""
    return IPv4Network(0xCB000000 + number)


def hops(*numbers: int) -> frozenset[NextHop]:
    """Next hops on the nodes of these numbers."""
    return frozenset(NextHop(f"n{n}", ip_address(f"192.168.0.{n}")) for n in numbers)


def table(count: int, *numbers: int) -> dict[Network, frozenset[NextHop]]:
    """So many routes by these nodes."""
    return dict.fromkeys(map(prefix, range(count)), hops(*numbers))


Held = dict[tuple[str, int], str]


def told(messages: Iterable[bytes], before: Held | None = None) -> Held:
    """What a router has after IPv4 UPDATEs with ADD-PATH: next hops by prefix and path id."""
    held = dict(before or {})
    for message in messages:
        if message[18] != MessageType.UPDATE:
            continue
        body = message[19:]
        gone = int.from_bytes(body[:2], "big")
        for path in nlri(body[2 : 2 + gone]):
            held.pop(path, None)
        rest = body[2 + gone :]
        size = int.from_bytes(rest[:2], "big")
        if size:
            start = rest.index(b"\x40\x03\x04") + 3
            hop = str(ip_address(rest[start : start + 4]))
            held.update(dict.fromkeys(nlri(rest[2 + size :]), hop))
    return held


def nlri(octets: bytes) -> list[tuple[str, int]]:
    """RFC 7911, 3, of /32 alone."""
    assert len(octets) % 9 == 0
    paths = [octets[start : start + 9] for start in range(0, len(octets), 9)]
    return [(str(ip_address(path[5:])), int.from_bytes(path[:4], "big")) for path in paths]


def by_prefix(held: Held) -> dict[str, set[str]]:
    """Next hops by address."""
    found: dict[str, set[str]] = {}
    for (address, _), hop in held.items():
        found.setdefault(address, set()).add(hop)
    return found


def everything(count: int, *numbers: int) -> dict[str, set[str]]:
    """What `table` of the same says, as `by_prefix` writes it."""
    return {
        str(prefix(n).network_address): {f"192.168.0.{k}" for k in numbers} for n in range(count)
    }


def test_the_table_goes_in_slices_and_end_of_rib_comes_last(scene):
    scene.rib.routes.update(table(5000, 1, 2, 3, 4))
    link = Link()
    scene.outbound.open(link, VIEW)
    assert link.sends == []
    scene.later.passes()
    assert len(link.sends) > 10
    assert max(map(len, link.sends)) < 20_000
    messages = link.take()
    assert messages[-1] == END_OF_RIB
    assert messages.count(END_OF_RIB) == 1
    assert by_prefix(told(messages)) == everything(5000, 1, 2, 3, 4)
    assert len(messages) < 200
    assert scene.outbound.count(Family.IPV4) == 20_000


def test_a_small_change_is_sent_before_the_call_returns_also_while_a_table_is(scene):
    scene.rib.routes.update(table(5000, 1, 2))
    link = Link()
    scene.outbound.open(link, VIEW)
    scene.outbound.send_slice()
    before = link.take()
    scene.want({prefix(9): hops(3), prefix(4999): hops(4)})
    at_once = link.take()
    assert by_prefix(told(at_once)) == {
        str(prefix(9).network_address): {"192.168.0.3"},
        str(prefix(4999).network_address): {"192.168.0.4"},
    }
    scene.later.passes()
    want = everything(5000, 1, 2)
    want[str(prefix(9).network_address)] = {"192.168.0.3"}
    want[str(prefix(4999).network_address)] = {"192.168.0.4"}
    assert by_prefix(told([*before, *at_once, *link.take()])) == want


def test_a_prefix_never_has_no_path_in_between(scene):
    scene.rib.routes.update(table(3000, 1))
    link = scene.session(Link())
    held = told(link.take())
    scene.want(table(3000, 2))
    scene.later.passes()
    seen = [*link.take()]
    for message in seen:
        held = told([message], held)
        assert len(by_prefix(held)) == 3000
    assert by_prefix(held) == everything(3000, 2)


def test_a_peer_that_does_not_read_collects_prefixes_not_messages(scene):
    scene.rib.routes.update(table(5000, 1, 2))
    link = Link()
    scene.outbound.open(link, VIEW)
    scene.outbound.send_slice()
    link.congested = True
    sent = len(link.sends)
    for round_ in range(20):
        scene.want(table(5000, 1 + round_ % 5, 9))
        scene.later.passes(1)
    assert len(link.sends) == sent
    link.congested = False
    scene.outbound.send(())
    scene.later.passes()
    messages = link.take()
    assert by_prefix(told(messages)) == everything(5000, 5, 9)
    assert messages[-1] == END_OF_RIB


def test_forty_refreshes_in_one_write_are_answered_by_two(scene):
    scene.rib.routes.update(table(2000, 1, 2, 3, 4))
    link = scene.session(Link())
    link.take()
    scene.outbound.refresh(Family.IPV4)
    scene.outbound.send_slice()
    for _ in range(39):
        scene.outbound.refresh(Family.IPV4)
    scene.later.passes(10)
    messages = link.take()
    assert messages[0] == BEGIN
    assert messages[-1] == END
    assert (messages.count(BEGIN), messages.count(END)) == (2, 2)
    first = messages[: messages.index(END)]
    second = messages[len(first) + 1 :]
    assert by_prefix(told(first)) == everything(2000, 1, 2, 3, 4)
    assert by_prefix(told(second)) == everything(2000, 1, 2, 3, 4)


def test_a_refresh_rests_before_the_next(scene):
    scene.rib.routes.update(table(10, 1))
    link = scene.session(Link())
    link.take()
    for _ in range(30):
        scene.outbound.refresh(Family.IPV4)
        scene.later.passes(0.1)
    assert 2 <= link.take().count(BEGIN) <= 4


def test_a_refresh_waits_for_end_of_rib(scene):
    scene.rib.complete = False
    scene.rib.routes.update(table(10, 1))
    link = scene.session(Link())
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes(1)
    assert link.take() == []
    scene.rib.complete = True
    scene.outbound.complete()
    scene.later.passes(1)
    messages = link.take()
    assert messages.index(END_OF_RIB) < messages.index(BEGIN) < messages.index(END)


def test_a_refresh_without_marks_and_of_a_family_that_is_not_spoken(scene):
    scene.rib.routes.update(table(10, 1))
    link = scene.session(Link(enhanced_refresh=False))
    link.take()
    scene.outbound.refresh(Family.IPV6)
    scene.later.passes(2)
    assert link.take() == []
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes(2)
    assert by_prefix(told(link.take())) == everything(10, 1)


def test_what_changes_during_a_refresh_is_right_after_it(scene):
    scene.rib.routes.update(table(3000, 1, 2))
    link = scene.session(Link())
    held = told(link.take())
    scene.outbound.refresh(Family.IPV4)
    scene.outbound.send_slice()
    scene.outbound.send_slice()
    scene.want({prefix(0): frozenset(), prefix(2999): hops(3), prefix(5000): hops(4)})
    scene.later.passes()
    messages = link.take()
    want = everything(3000, 1, 2)
    del want["203.0.0.0"]
    want[str(prefix(2999).network_address)] = {"192.168.0.3"}
    want[str(prefix(5000).network_address)] = {"192.168.0.4"}
    assert by_prefix(told(messages, held)) == want
    # RFC 7313: at EoRR the peer forgets what was not said since BoRR
    between = messages[messages.index(BEGIN) : messages.index(END)]
    assert by_prefix(told(between)) == want


def test_one_peer_that_asks_takes_nothing_from_the_others(tmp_path):
    scene, link = Scene(tmp_path), Link()
    scene.rib.routes.update(table(5000, 1, 2))
    scene.session(link)
    other, others = Scene(tmp_path / "other"), Link()
    other.rib, other.rounds = scene.rib, scene.rounds
    outbound = Outbound("other", scene.rib, other.journal, scene.later, scene.rounds)
    scene.outbound.refresh(Family.IPV4)
    outbound.open(others, VIEW)
    link.take()
    scene.later.passes()
    assert by_prefix(told(others.take())) == everything(5000, 1, 2)
    assert link.take()[-1] == END


class Broken:
    """A source that fails once."""

    def __init__(self, link: list[str]) -> None:
        self.left = 3
        self.said = link

    def send_slice(self) -> bool:
        """Fails at its second slice."""
        self.left -= 1
        self.said.append(f"broken {self.left}")
        if self.left == 1:
            raise RuntimeError("a slice that cannot be encoded")
        return self.left > 0


class Supervised(Later):
    """Lives on when a task dies, as the supervisor does."""

    def after(self, seconds, name, run, *args) -> None:
        """As Supervisor.after."""

        def safely() -> None:
            try:
                run(*args)
            except RuntimeError:
                said_of_it.append(name)

        super().after(seconds, name, safely)


said_of_it: list[str] = []


def test_a_slice_that_fails_costs_itself_alone():
    later, said = Supervised(), []
    rounds = OutputRounds(later)
    broken = Broken(said)
    rounds.due(broken)
    later.passes(1)
    assert said == ["broken 2", "broken 1", "broken 0"]
    assert said_of_it == ["bgp output"]


# -- an earlier session, an earlier run ------------------------------------------------------


def test_what_an_earlier_run_left_is_said_and_taken_back_before_end_of_rib(tmp_path):
    first = Scene(tmp_path)
    first.rib.routes.update(table(1500, 1, 2))
    first.session(Link())
    second = Scene(tmp_path, complete=False)
    assert second.outbound.restarting
    link = second.session(Link())
    assert link.take() == []
    second.rib.routes.update(table(100, 2))
    second.rib.complete = True
    second.outbound.complete()
    second.later.passes()
    messages = link.take()
    assert messages[-1] == END_OF_RIB
    assert by_prefix(told(messages)) == everything(100, 2)
    withdrawn = sum(len(nlri(m[21 : 21 + int.from_bytes(m[19:21], "big")])) for m in messages)
    assert withdrawn == 2900
    assert not second.outbound.restarting
    assert len(second.journal.paths) == 3000
    second.later.passes(6)
    assert len(second.journal.paths) == 100


def test_the_journal_stands_for_a_cluster_that_cannot_be_read(tmp_path):
    first = Scene(tmp_path)
    first.rib.routes.update(table(3000, 1))
    first.session(Link())
    second = Scene(tmp_path, complete=False)
    link = second.session(Link())
    second.rib.replaying = True
    second.outbound.replay()
    second.outbound.replay()
    second.later.passes()
    messages = link.take()
    assert END_OF_RIB not in messages
    held = told(messages)
    assert by_prefix(held) == everything(3000, 1)
    second.rib.routes.update(table(10, 1))
    second.rib.complete = True
    second.outbound.complete()
    second.later.passes()
    assert by_prefix(told(link.take(), held)) == everything(10, 1)


def test_a_journalled_next_hop_that_can_be_none_is_only_taken_back(tmp_path):
    folder = tmp_path / "announced"
    folder.mkdir()
    (folder / "leaf").write_text("+ 203.0.113.9/32 2130706433 127.0.0.1\n")
    scene = Scene(tmp_path)
    (message, last) = scene.session(Link()).take()
    assert message[19:].hex() == "0009" + "7f000001" + "20cb007109" + "0000"
    assert last == END_OF_RIB


def test_a_journalled_ipv4_route_by_ipv6_is_not_said_to_who_cannot_read_it(tmp_path):
    folder = tmp_path / "announced"
    folder.mkdir()
    (folder / "leaf").write_text("+ 203.0.113.9/32 7 fd00::1\n")
    scene = Scene(tmp_path)
    (message, last) = scene.session(Link()).take()
    assert message[19:].hex() == "0009" + "00000007" + "20cb007109" + "0000"
    assert last == END_OF_RIB


def test_who_cannot_know_what_the_peer_holds_says_that_it_restarted(tmp_path):
    (tmp_path / "announced").mkdir()
    (tmp_path / "announced" / "leaf").mkdir()
    assert Scene(tmp_path).outbound.restarting


def test_routes_are_announced_although_nothing_can_be_written(tmp_path):
    (tmp_path / "announced").write_text("a file where a folder is due")
    scene = Scene(tmp_path)
    scene.rib.routes.update(table(10, 1))
    assert by_prefix(told(scene.session(Link()).take())) == everything(10, 1)


def test_withdraw_all_takes_back_everything_before_it_returns(scene):
    scene.rib.routes.update(table(3000, 1, 2))
    link = scene.session(Link())
    held = told(link.take())
    scene.outbound.withdraw_all()
    assert told(link.take(), held) == {}
    scene.want({prefix(0): hops(3)})
    scene.later.passes(1)
    assert link.take() == []


# -- what a peer refuses ---------------------------------------------------------------------


def refusal(address: str, named: bool = True) -> Notification:
    """As FRR sends it, or as others do."""
    data = b"\x40\x03\x04" + ip_address(address).packed if named else b""
    return Notification(3, 8, data)


def test_a_next_hop_that_is_refused_is_not_said_again_nor_journalled(tmp_path, caplog):
    scene = Scene(tmp_path)
    scene.rib.routes.update({**table(10, 1, 2), prefix(10): hops(2)})
    scene.session(Link())
    scene.lost(refusal("192.168.0.2"))
    assert "peer leaf refuses 192.168.0.2 (" in caplog.text
    assert "11 prefixes" in caplog.text
    messages = scene.session(Link()).take()
    assert by_prefix(told(messages)) == everything(10, 1)
    assert messages[-1] == END_OF_RIB
    assert {str(hop) for hop in scene.journal.paths.values()} == {"192.168.0.1"}
    assert {str(hop) for hop in Scene(tmp_path).journal.paths.values()} == {"192.168.0.1"}


def test_without_add_path_another_next_hop_takes_its_place(scene):
    scene.rib.routes.update(table(100, 1, 2))
    view = dataclasses.replace(VIEW, add_path=frozenset())
    scene.session(Link(), view)
    scene.lost(refusal("192.168.0.2"))
    scene.session(Link(), view)
    assert {scene.outbound.sent(prefix(n)) for n in range(100)} == {(Address1,)}


Address1: Address = ip_address("192.168.0.1")


def refusing(scene: Scene, bad: str) -> tuple[int, dict[str, set[str]], list[bytes]]:
    """Sessions with a peer that ends them, without saying why, when it hears of `bad`: how many
    it took, what the last one was told."""
    for sessions in range(1, 20):
        link = scene.session(Link())
        messages: list[bytes] = []
        for _ in range(200):
            messages += link.take()
            if any(bad in hops_ for hops_ in by_prefix(told(messages)).values()):
                scene.lost(refusal(bad, named=False))
                break
            if END_OF_RIB in messages:
                return sessions, by_prefix(told(messages)), messages
            scene.later.passes(0.5)
    pytest.fail("the bad one was never found")


def test_a_refusal_that_names_nothing_costs_but_the_next_hop_that_caused_it(scene):
    nodes = range(1, 31)
    scene.rib.routes.update(table(20, *nodes))
    sessions, told_last, messages = refusing(scene, "192.168.0.17")
    assert sessions <= 4
    assert told_last == everything(20, *(n for n in nodes if n != 17))
    assert messages[-1] == END_OF_RIB


def test_what_was_refused_is_tried_again_after_ten_minutes_alone(scene):
    scene.rib.routes.update(table(10, 1, 2))
    scene.session(Link())
    scene.lost(refusal("192.168.0.2"))
    link = scene.session(Link())
    held = told(link.take())
    scene.later.passes(590)
    assert told(link.take()) == {}
    scene.later.passes(20)
    messages = link.take()
    assert set().union(*by_prefix(told(messages)).values()) == {"192.168.0.2"}
    assert by_prefix(told(messages, held)) == everything(10, 1, 2)


def test_what_all_routes_share_is_reported_and_no_route_is_held_back(scene, caplog):
    scene.rib.routes.update(table(10, 1, 2))
    scene.session(Link())
    scene.lost(Notification(3, 5, bytes.fromhex("c00804fde80001")))
    assert "refuses what all its routes have in common" in caplog.text
    assert by_prefix(told(scene.session(Link()).take())) == everything(10, 1, 2)
