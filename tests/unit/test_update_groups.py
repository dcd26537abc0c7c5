"""Peers that see the same share one table; whatever happens to one, each is told what is right."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs
from msgspec.structs import replace

from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.rib_out import Difference
from porter_ryu.bgp.protocol.wire import EXTENDED_MAX_LENGTH, MAX_LENGTH, MessageType
from porter_ryu.domain.announcement import Advertisement, Announcements, PathAttributes
from porter_ryu.domain.model import Family, Network
from tests.unit.outbound_scene import (
    END_OF_RIB,
    POLICY,
    Held,
    Link,
    Scene,
    by_prefix,
    everything,
    hops,
    prefix,
    table,
    told,
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Network]:
    """The prefixes that were encoded since this was cleared, each as often as it was."""
    seen: list[Network] = []
    messages: Callable[[Difference, int], object] = Difference.messages

    def counted(self: Difference, max_length: int) -> object:
        seen.extend(prefix for prefix, _ in self.announced)
        return messages(self, max_length)

    monkeypatch.setattr(Difference, "messages", counted)
    return seen


class Peer:
    """A peer with its own session: what it has after all that it was sent."""

    def __init__(self, scene: Scene, name: str, policy: ExportPolicy = POLICY) -> None:
        self.scene, self.name, self.policy = scene, name, policy
        self.outbound: Outbound = scene.peer(name)
        self.link = Link()
        self.held: Held = {}
        self.messages: list[bytes] = []

    def connect(self, max_length: int = MAX_LENGTH) -> None:
        """A session comes up, with messages of at most so many octets."""
        self.link = Link()
        self.link.max_message_length = max_length
        self.messages = []
        self.outbound.open(self.link, self.policy)

    def read(self) -> Held:
        """What it has after reading everything."""
        messages = self.link.take()
        self.messages += messages
        self.held = told(messages, self.held)
        return self.held


def peers_of(scene: Scene, count: int) -> list[Peer]:
    """So many peers whose sessions are up."""
    peers = [Peer(scene, f"leaf{number}") for number in range(count)]
    for peer in peers:
        peer.connect()
    scene.later.passes()
    return peers


def test_a_table_is_encoded_once_for_all_peers(scene: Scene, encoded: list[Network]) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    peers = peers_of(scene, 16)
    assert len(encoded) == 2000
    assert len({peer.link.sends[0] for peer in peers}) == 1
    for peer in peers:
        assert by_prefix(peer.read()) == everything(2000, 1, 2)
        assert peer.messages[-1] == END_OF_RIB


def test_a_table_is_encoded_once_for_peers_that_come_one_after_the_other(
    scene: Scene, encoded: list[Network]
) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    peers = []
    for number in range(4):
        peers.append(Peer(scene, f"leaf{number}"))
        peers[-1].connect()
        scene.later.passes(1)
        assert by_prefix(peers[-1].read()) == everything(2000, 1, 2)
    assert len(encoded) == 2000
    scene.later.passes(10)
    encoded.clear()
    peers[0].outbound.refresh(Family.IPV4)
    scene.later.passes(1)
    assert len(encoded) == 2000, "it is not kept for ever"
    assert by_prefix(peers[0].read()) == everything(2000, 1, 2)


def test_changes_and_refreshes_are_encoded_once(scene: Scene, encoded: list[Network]) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    peers = peers_of(scene, 16)
    encoded.clear()
    scene.want(table(2000, 1, 3))
    scene.later.passes()
    assert len(encoded) == 2000
    encoded.clear()
    scene.want({prefix(5): hops(7)})
    assert len(encoded) == 1
    encoded.clear()
    for peer in peers:
        peer.read()
        peer.outbound.refresh(Family.IPV4)
    scene.later.passes(2)
    assert len(encoded) == 2000
    want = everything(2000, 1, 3)
    want[str(prefix(5).network_address)] = {"192.168.0.7"}
    for peer in peers:
        again = peer.link.take()
        assert by_prefix(told(again)) == want
        assert by_prefix(peer.held) == want


def test_a_session_that_comes_later_gets_the_same_table(
    scene: Scene, encoded: list[Network]
) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    peers_of(scene, 2)
    late = [Peer(scene, "late1"), Peer(scene, "late2")]
    encoded.clear()
    for peer in late:
        peer.connect()
    scene.want({prefix(0): hops()})
    scene.later.passes()
    assert len(encoded) == 1999
    for peer in late:
        want = everything(2000, 1, 2)
        del want[str(prefix(0).network_address)]
        assert by_prefix(peer.read()) == want


def test_a_peer_that_does_not_read_leaves_and_comes_back(
    scene: Scene, encoded: list[Network]
) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    slow, other = peers_of(scene, 2)
    slow.link.congested = True
    for round_ in range(8):
        scene.want(table(2000, 1 + round_ % 3, 4))
        scene.later.passes(1)
    assert by_prefix(other.read()) == everything(2000, 2, 4)
    encoded.clear()
    slow.link.congested = False
    slow.outbound.resume()
    scene.later.passes()
    assert by_prefix(slow.read()) == everything(2000, 2, 4)
    assert len(encoded) == 2000, "only the last of the changes"
    scene.later.passes(10)
    encoded.clear()
    scene.want(table(2000, 5))
    scene.later.passes()
    assert len(encoded) == 2000, "both share a group again"
    assert by_prefix(slow.read()) == by_prefix(other.read()) == everything(2000, 5)


def test_peers_with_other_attributes_are_another_group(scene: Scene) -> None:
    scene.rib.routes.update(table(10, 1))
    plain = Peer(scene, "plain")
    marked = Peer(scene, "marked", replace(POLICY, attributes=PathAttributes((0xFDE80001,))))
    for peer in (plain, marked):
        peer.connect()
    scene.later.passes()
    assert b"".join(plain.link.sends) != b"".join(marked.link.sends)
    assert by_prefix(plain.read()) == by_prefix(marked.read()) == everything(10, 1)


class Noting(Link):
    """A session that notes when it is sent something."""

    def __init__(self, name: str, seen: list[str], graceful: bool) -> None:
        super().__init__(graceful)
        self._name, self._seen = name, seen

    def send(self, data: bytes) -> None:
        """Takes whole messages."""
        super().send(data)
        self._seen.append(self._name)


@pytest.mark.parametrize("apart", [True, False], ids=["of other groups", "of one group"])
def test_a_change_goes_first_to_peers_that_need_no_journal(scene: Scene, apart: bool) -> None:
    scene.rib.routes.update(table(10, 1))
    seen: list[str] = []
    for number, graceful in enumerate((True, False, True)):
        policy = replace(POLICY, attributes=PathAttributes((number if apart else 0,)))
        peer = scene.peer(f"leaf{number}")
        peer.open(Noting(f"leaf{number}", seen, graceful), policy)
    scene.later.passes()
    for hop in (2, 3):
        seen.clear()
        scene.want({prefix(0): hops(hop)})
        assert seen[0] == "leaf1"
        assert sorted(seen) == ["leaf0", "leaf1", "leaf2"]


def test_a_peer_with_a_journal_shares_a_group_with_one_without(scene: Scene) -> None:
    scene.rib.routes.update(table(10, 1))
    plain, kept = Link(graceful=False), Link()
    scene.peer("plain").open(plain, POLICY)
    scene.later.passes()
    scene.want({prefix(0): hops(2)})
    scene.peer("kept").open(kept, POLICY)
    scene.later.passes()
    scene.want({prefix(1): hops(3)})
    assert plain.sends[-1] == kept.sends[-1]
    for number, hop in ((0, "192.168.0.2"), (1, "192.168.0.3"), (2, "192.168.0.1")):
        paths = scene.journalled("kept")[prefix(number)].values()
        assert hop in {str(path.next_hop) for path in paths}
    assert scene.journalled("plain") == {}


def test_peers_that_differ_in_the_longest_message_share_a_group(
    scene: Scene, encoded: list[Network]
) -> None:
    scene.rib.routes.update(table(2000, 1, 2))
    long, short = Peer(scene, "long"), Peer(scene, "short")
    long.connect(EXTENDED_MAX_LENGTH)
    scene.later.passes()
    assert by_prefix(long.read()) == everything(2000, 1, 2)
    assert max(map(len, long.messages)) > MAX_LENGTH
    short.connect()
    scene.later.passes()
    encoded.clear()
    scene.want(table(2000, 1, 3))
    scene.later.passes()
    assert len(encoded) == 2000
    for peer in (long, short):
        assert by_prefix(peer.read()) == everything(2000, 1, 3)
    assert max(map(len, short.messages)) <= MAX_LENGTH
    long.outbound.withdraw_all()
    short.outbound.withdraw_all()
    assert long.read() == short.read() == {}
    assert max(map(len, short.messages)) <= MAX_LENGTH


def test_other_attributes_are_an_update_in_the_same_session(scene: Scene) -> None:
    scene.rib.routes.update(table(1000, 1, 2))
    first, second = peers_of(scene, 2)
    for peer in (first, second):
        peer.read()
    marked = replace(POLICY, attributes=PathAttributes((0xFDE80001,)))
    for peer in (first, second):
        peer.outbound.set_policy(marked)
    scene.later.passes(10)
    for peer in (first, second):
        messages = peer.link.take()
        assert messages
        assert all(b"\xc0\x08\x04\xfd\xe8\x00\x01" in message for message in messages)
        assert by_prefix(told(messages)) == everything(1000, 1, 2)
    scene.want({prefix(0): hops(3)})
    assert first.link.sends == second.link.sends


def test_a_peer_that_an_advertisement_names_sees_something_else(
    scene: Scene, encoded: list[Network]
) -> None:
    scene.rib.routes.update(table(1000, 1, 2))
    peers = [Peer(scene, name, replace(POLICY, peer=name)) for name in ("a", "b", "c")]
    for peer in peers:
        peer.connect()
    scene.later.passes()
    assert len(encoded) == 1000, "their names make no difference"
    first, *others = peers
    only_first = Advertisement(frozenset(["a"]), PathAttributes((7,)))
    scene.want(
        {
            prefix(0): frozenset(
                structs.replace(path, advertisements=(only_first,)) for path in hops(1, 2)
            )
        }
    )
    scene.later.passes(10)
    want = everything(1000, 1, 2)
    assert by_prefix(first.read()) == want
    del want[str(prefix(0).network_address)]
    for peer in others:
        assert by_prefix(peer.read()) == want
    encoded.clear()
    scene.want(table(1000, 3))
    scene.later.passes(10)
    assert len(encoded) == 2000, "two groups"
    assert all(by_prefix(peer.read()) == everything(1000, 3) for peer in peers)


def test_one_peer_that_is_told_to_withdraw_changes_nothing_for_others(scene: Scene) -> None:
    scene.rib.routes.update(table(100, 1, 2))
    first, second = peers_of(scene, 2)
    first.outbound.withdraw_all()
    scene.later.passes(10)
    assert first.read() == {}
    assert by_prefix(second.read()) == everything(100, 1, 2)
    assert scene.journalled("leaf0") == {}
    assert len(scene.journalled("leaf1")) == 100


class Play:
    """Random events of the cluster, the peers and the clock."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.scene = Scene(folder, complete=self.chance.random() < 0.5)
        self.peers = [Peer(self.scene, f"leaf{number}") for number in range(5)]
        self.up: dict[str, Peer] = {}

    def paths(self, count: int) -> Announcements:
        """Paths by so many nodes; each may have attributes of its own."""
        chosen = hops(*self.chance.sample(range(1, 5), count))
        return frozenset(
            structs.replace(path, attributes=PathAttributes(med=self.chance.choice((None, 1, 2))))
            for path in chosen
        )

    def change_one(self) -> None:
        """A prefix has other paths."""
        self.scene.want({prefix(self.chance.randrange(30)): self.paths(2)})

    def withdraw_one(self) -> None:
        """A prefix has none."""
        gone = prefix(self.chance.randrange(30))
        if gone in self.scene.rib.routes:
            self.scene.want({gone: hops()})

    def change_many(self) -> None:
        """All prefixes have other paths."""
        paths = self.paths(self.chance.randint(1, 3))
        self.scene.want(dict.fromkeys(map(prefix, range(30)), paths))

    def connect(self) -> None:
        """A session comes up."""
        peer = self.chance.choice(self.peers)
        if peer.name not in self.up:
            peer.connect()
            self.up[peer.name] = peer

    def lose(self) -> None:
        """A session ends."""
        if self.up:
            _, peer = self.up.popitem()
            peer.read()
            peer.outbound.close()

    def block(self) -> None:
        """Some peers read, others do not."""
        for peer in self.up.values():
            peer.link.congested = self.chance.random() < 0.4
            if not peer.link.congested:
                peer.outbound.resume()

    def ask(self) -> None:
        """All peers request a refresh."""
        for peer in self.up.values():
            peer.outbound.refresh(Family.IPV4)

    def complete(self) -> None:
        """The cluster is read."""
        if not self.scene.rib.complete:
            self.scene.complete()
            for peer in self.up.values():
                peer.outbound.resume()

    def pass_time(self) -> None:
        """Up to some seconds."""
        self.scene.later.passes(self.chance.choice([0.0, 0.1, 1.0, 3.0, 6.0]))

    def rest(self) -> None:
        """Everybody reads, and nothing happens for a while."""
        self.complete()
        for peer in self.up.values():
            peer.link.congested = False
            peer.outbound.resume()
        self.scene.later.passes(30)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_each_peer_and_its_journal_are_right_at_rest(
    tmp_path: Path, seed: int
) -> None:
    play = Play(tmp_path, seed)
    events = [play.change_one, play.withdraw_one, play.change_many, play.connect, play.lose]
    events += [play.change_one, play.connect, play.block, play.ask, play.complete]
    for _ in range(120):
        play.chance.choice([*events, play.pass_time, play.pass_time])()
        for number in range(30):
            anybody = any(peer.outbound.sent(prefix(number)) for peer in play.up.values())
            assert play.scene.groups.have(prefix(number)) == anybody
    play.rest()
    want = {
        str(route.network_address): {str(a.next_hop.address) for a in announcements}
        for route, announcements in play.scene.rib.routes.items()
    }
    for name, peer in play.up.items():
        assert by_prefix(peer.read()) == want
        assert END_OF_RIB in peer.messages
        on_disk = {
            route: {(path.next_hop, path.attributes) for path in paths.values()}
            for route, paths in play.scene.journalled(name).items()
        }
        assert on_disk == {
            route: {(a.next_hop.address, a.attributes) for a in announcements}
            for route, announcements in play.scene.rib.routes.items()
        }


@pytest.mark.parametrize("early", [True, False], ids=["the table", "a change"])
def test_prefixes_by_the_same_next_hops_share_messages_however_many_sets_there_are(
    scene: Scene, early: bool
) -> None:
    sets = [hops(4 * n + 1, 4 * n + 2, 4 * n + 3, 4 * n + 4) for n in range(60)]
    routes: dict[Network, Announcements] = {prefix(n): sets[n % 60] for n in range(3000)}
    link = Link()
    if early:
        scene.want(routes)
        scene.session(link)
        link.take()
        scene.outbound.refresh(Family.IPV4)
    else:
        scene.session(link)
        link.take()
        scene.want(routes)
    scene.later.passes()
    messages = link.take()
    assert len(told(messages)) == 12_000
    updates = [message for message in messages if message[18] == MessageType.UPDATE]
    # 240 next hops, and some that are divided between two slices
    assert len(updates) <= 2 * 240
