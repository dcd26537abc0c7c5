"""What an earlier session or run left with a peer: taken back, or said again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.domain.announcement import (
    LEAVING,
    NO_ATTRIBUTES,
    Announcement,
    Announcements,
    NextHop,
    PathAttributes,
)
from porter_ryu.domain.model import Network
from tests.unit.outbound_scene import (
    END_OF_RIB,
    POLICY,
    Link,
    Scene,
    by_prefix,
    everything,
    hops,
    nlri,
    prefix,
    table,
    told,
)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def journalled(scene: Scene) -> int:
    """How many paths are in the journal."""
    return sum(map(len, scene.journalled().values()))


def test_what_an_earlier_run_left_is_said_and_taken_back_before_end_of_rib(tmp_path: Path) -> None:
    first = Scene(tmp_path)
    first.rib.routes.update(table(1500, 1, 2))
    first.session(Link())
    second = Scene(tmp_path, complete=False)
    assert second.outbound.restarting
    link = second.session(Link())
    assert link.take() == []
    second.want(table(100, 2))
    second.complete()
    second.later.passes()
    messages = link.take()
    assert messages[-1] == END_OF_RIB
    assert by_prefix(told(messages)) == everything(100, 2)
    withdrawn = sum(len(nlri(m[21 : 21 + int.from_bytes(m[19:21], "big")])) for m in messages)
    assert withdrawn == 2900
    assert not second.outbound.restarting
    assert journalled(second) == 3000
    second.later.passes(6)
    assert journalled(second) == 100


def test_the_journal_stands_for_a_cluster_that_cannot_be_read(tmp_path: Path) -> None:
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
    second.complete()
    second.later.passes()
    assert by_prefix(told(link.take(), held)) == everything(10, 1)


def test_a_journalled_next_hop_that_can_be_none_is_only_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "announced"
    folder.mkdir()
    (folder / "leaf").write_text("+ 203.0.113.9/32 2130706433 127.0.0.1\n")
    scene = Scene(tmp_path)
    (message, last) = scene.session(Link()).take()
    assert message[19:].hex() == "0009" + "7f000001" + "20cb007109" + "0000"
    assert last == END_OF_RIB


def test_a_journalled_ipv4_route_by_ipv6_is_not_said_to_who_cannot_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "announced"
    folder.mkdir()
    (folder / "leaf").write_text("+ 203.0.113.9/32 7 fd00::1\n")
    scene = Scene(tmp_path)
    (message, last) = scene.session(Link()).take()
    assert message[19:].hex() == "0009" + "00000007" + "20cb007109" + "0000"
    assert last == END_OF_RIB


def test_who_cannot_know_what_the_peer_holds_says_that_it_restarted(tmp_path: Path) -> None:
    (tmp_path / "announced").mkdir()
    (tmp_path / "announced" / "leaf").mkdir()
    assert Scene(tmp_path).outbound.restarting


def test_routes_are_announced_although_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "announced").write_text("a file where a folder is due")
    scene = Scene(tmp_path)
    scene.rib.routes.update(table(10, 1))
    assert by_prefix(told(scene.session(Link()).take())) == everything(10, 1)


def test_withdraw_all_takes_back_everything_before_it_returns(scene: Scene) -> None:
    scene.rib.routes.update(table(3000, 1, 2))
    link = scene.session(Link())
    held = told(link.take())
    scene.outbound.withdraw_all()
    assert told(link.take(), held) == {}
    scene.want({prefix(0): hops(3)})
    scene.later.passes(1)
    assert link.take() == []


def test_a_session_that_ends_while_nothing_can_be_written_holds_up_nobody(tmp_path: Path) -> None:
    in_the_way = tmp_path / "announced"
    in_the_way.write_text("")
    scene = Scene(tmp_path)
    scene.want(table(20_000, 1, 2))
    scene.session(Link())
    began = time.process_time()
    scene.lost()
    assert time.process_time() - began < 0.03
    in_the_way.unlink()
    scene.later.passes(6)
    assert journalled(Scene(tmp_path)) == 40_000


NO_EXPORT = 0xFFFFFF01
EVERYTHING_SET = PathAttributes((65000 << 16 | 1, NO_EXPORT), ((65000, 1, 2),), 200, 30, 2, 3)


def path(number: int, attributes: PathAttributes = NO_ATTRIBUTES) -> Announcement:
    """A path by the node of this number."""
    return Announcement(NextHop(f"n{number}", ip_address(f"192.168.0.{number}")), attributes)


def attributes_told(messages: Iterable[bytes]) -> dict[tuple[str, int], bytes]:
    """The path attributes of IPv4 UPDATEs as they are, by prefix and path identifier."""
    held: dict[tuple[str, int], bytes] = {}
    for message in messages:
        gone = int.from_bytes(message[19:21], "big")
        rest = message[21 + gone :]
        size = int.from_bytes(rest[:2], "big")
        held.update(dict.fromkeys(nlri(rest[2 + size :]), rest[2 : 2 + size]))
    return held


def replayed(folder: Path, policy: ExportPolicy = POLICY) -> list[bytes]:
    """What a new process tells the peer while the cluster cannot be read."""
    scene = Scene(folder, complete=False)
    link = scene.session(Link(), policy)
    scene.rib.replaying = True
    scene.outbound.replay()
    scene.later.passes()
    return link.take()


ROUTES: dict[Network, Announcements] = {
    prefix(0): frozenset([path(1, EVERYTHING_SET), path(2, LEAVING), path(3)]),
    prefix(1): frozenset([path(n, PathAttributes(bandwidth=n)) for n in (1, 2, 16)]),
    prefix(2): frozenset([path(1, PathAttributes(med=0, local_pref=0))]),
    prefix(3): frozenset([path(1)]),
}
OF_THE_GROUP = PathAttributes((65000 << 16 | 9,), ((9, 9, 9),), 90, 90, 1)


@pytest.mark.parametrize("internal", [False, True], ids=["external", "internal"])
@pytest.mark.parametrize("group", [NO_ATTRIBUTES, OF_THE_GROUP], ids=["", "the group's"])
def test_a_replay_announces_each_path_with_the_attributes_that_it_had(
    tmp_path: Path, internal: bool, group: PathAttributes
) -> None:
    policy = replace(POLICY, internal=internal, attributes=group)
    first = Scene(tmp_path)
    first.rib.routes.update(ROUTES)
    told_first = attributes_told(first.session(Link(), policy).take()[:-1])
    assert len(told_first) == 8
    assert attributes_told(replayed(tmp_path, policy)) == told_first
    assert attributes_told(replayed(tmp_path, policy)) == told_first, "killed in the replay"


def test_a_replay_has_the_attributes_of_the_last_change(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.want(dict(ROUTES))
    link = scene.session(Link())
    for attributes in (NO_ATTRIBUTES, EVERYTHING_SET, PathAttributes(med=4), LEAVING):
        scene.want({prefix(3): frozenset([path(1, attributes)])})
    said = attributes_told(m for m in link.take() if m != END_OF_RIB)
    assert attributes_told(replayed(tmp_path)) == said


@pytest.mark.parametrize("internal", [False, True], ids=["external", "internal"])
def test_what_the_settings_say_is_as_they_are_at_the_replay(tmp_path: Path, internal: bool) -> None:
    first = Scene(tmp_path)
    first.rib.routes.update(ROUTES)
    first.session(Link(), replace(POLICY, attributes=PathAttributes(med=5)))
    now = replace(POLICY, internal=internal, local_as=64999, attributes=OF_THE_GROUP)
    other = Scene(tmp_path / "other")
    other.rib.routes.update(ROUTES)
    want = attributes_told(other.session(Link(), now).take()[:-1])
    assert attributes_told(replayed(tmp_path, now)) == want


def test_a_path_whose_attributes_were_damaged_is_not_replayed_but_taken_back(
    tmp_path: Path,
) -> None:
    first = Scene(tmp_path)
    first.rib.routes.update({**ROUTES, prefix(4): frozenset([path(1, EVERYTHING_SET)])})
    first.session(Link())
    file = tmp_path / "announced" / "leaf"
    text = file.read_text()
    assert "no-export" in text
    file.write_text(text.replace("no-export", "no-peer"))
    second = Scene(tmp_path, complete=False)
    link = second.session(Link())
    second.rib.replaying = True
    second.outbound.replay()
    second.later.passes()
    held = told(link.take())
    lost = {(str(prefix(n).network_address), 0xC0A80001) for n in (0, 4)}
    assert not lost & held.keys()
    assert len(held) == 7
    second.rib.routes.update({prefix(0): frozenset([path(3)])})
    second.complete()
    second.later.passes()
    messages = link.take()
    assert messages[-1] == END_OF_RIB
    gone = {key for m in messages for key in nlri(m[21 : 21 + int.from_bytes(m[19:21], "big")])}
    assert lost <= gone, "withdrawn explicitly, since the peer may have them"
    assert by_prefix(told(messages, held)) == {"203.0.0.0": {"192.168.0.3"}}
    second.later.passes(6)
    assert journalled(second) == 1


def test_a_path_that_came_back_has_its_new_attributes_also_in_a_rewritten_journal(
    scene: Scene, tmp_path: Path
) -> None:
    scene.want({prefix(0): frozenset([path(1, PathAttributes(med=1)), path(2)])})
    scene.session(Link())
    scene.want({prefix(0): frozenset([path(2)])})
    scene.want({prefix(0): frozenset([path(1, EVERYTHING_SET), path(2)])})
    file = tmp_path / "announced" / "leaf"
    before = file.stat().st_ino
    for number in range(1200):
        scene.want({prefix(1): hops(1 + number % 2)})
    scene.later.passes()
    assert file.stat().st_ino != before, "it was rewritten"
    assert scene.journalled()[prefix(0)][0xC0A80001].attributes == EVERYTHING_SET


def test_attributes_that_change_for_ever_do_not_fill_the_disk(scene: Scene, tmp_path: Path) -> None:
    scene.want({prefix(0): hops(1, 2)})
    scene.session(Link())
    large = tuple((65000, number, number) for number in range(64))
    for number in range(900):
        said = PathAttributes((number,), large)
        scene.want({prefix(0): frozenset([path(1, said), path(2, said)])})
        scene.later.passes()
    assert (tmp_path / "announced" / "leaf").stat().st_size < 100_000
    assert {p.attributes for p in scene.journalled()[prefix(0)].values()} == {said}


def test_peers_of_one_group_share_the_lines(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.want(dict(ROUTES))
    scene.session(Link())
    other = scene.peer("other")
    other.open(Link(), POLICY)
    scene.later.passes()
    scene.want({prefix(9): frozenset([path(1, EVERYTHING_SET)])})
    texts = [(tmp_path / "announced" / name).read_text() for name in ("leaf", "other")]
    assert sorted(texts[0].splitlines()) == sorted(texts[1].splitlines())
    assert scene.journalled("other") == scene.journalled()
