"""What an earlier session or run left with a peer: taken back, or said again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.outbound_scene import (
    END_OF_RIB,
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
    second.rib.routes.update(table(100, 2))
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
