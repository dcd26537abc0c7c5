"""What goes to a peer, by a link that records it: order, slices, refreshes."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from porter_ryu.domain.model import Family
from tests.unit.outbound_scene import (
    BEGIN,
    END,
    END_OF_RIB,
    POLICY,
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


def test_the_table_goes_in_slices_and_end_of_rib_comes_last(scene: Scene) -> None:
    scene.rib.routes.update(table(5000, 1, 2, 3, 4))
    link = Link()
    scene.outbound.open(link, POLICY)
    assert link.sends == []
    scene.later.passes()
    assert len(link.sends) > 3
    assert max(map(len, link.sends)) < 90_000
    messages = link.take()
    assert messages[-1] == END_OF_RIB
    assert messages.count(END_OF_RIB) == 1
    assert by_prefix(told(messages)) == everything(5000, 1, 2, 3, 4)
    assert len(messages) < 200
    assert scene.outbound.count(Family.IPV4) == 20_000


def test_a_small_change_is_sent_before_the_call_returns(scene: Scene) -> None:
    scene.rib.routes.update(table(5000, 1, 2))
    link = scene.session(Link())
    link.take()
    scene.want({prefix(9): hops(3), prefix(4999): hops(4)})
    assert by_prefix(told(link.take())) == {
        str(prefix(9).network_address): {"192.168.0.3"},
        str(prefix(4999).network_address): {"192.168.0.4"},
    }


def test_a_change_while_the_table_is_sent_comes_after_it(scene: Scene) -> None:
    scene.rib.routes.update(table(20_000, 1, 2))
    link = scene.session(Link(sends=2))
    before = link.take()
    scene.want({prefix(9): hops(3), prefix(4999): hops(4)})
    assert link.take() == []
    scene.resume(link)
    want = everything(20_000, 1, 2)
    want[str(prefix(9).network_address)] = {"192.168.0.3"}
    want[str(prefix(4999).network_address)] = {"192.168.0.4"}
    assert by_prefix(told([*before, *link.take()])) == want


def test_a_prefix_never_has_no_path_in_between(scene: Scene) -> None:
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


def test_a_peer_that_does_not_read_collects_prefixes_not_messages(scene: Scene) -> None:
    scene.rib.routes.update(table(5000, 1, 2))
    link = scene.session(Link(sends=1))
    sent = len(link.sends)
    for round_ in range(20):
        scene.want(table(5000, 1 + round_ % 5, 9))
        scene.later.passes(1)
    assert len(link.sends) == sent
    scene.resume(link)
    messages = link.take()
    assert by_prefix(told(messages)) == everything(5000, 5, 9)
    assert messages[-1] == END_OF_RIB


def test_forty_refreshes_in_one_write_are_answered_by_two(scene: Scene) -> None:
    scene.rib.routes.update(table(2000, 1, 2, 3, 4))
    link = scene.session(Link())
    link.take()
    link.congested_after = 1
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes()
    for _ in range(39):
        scene.outbound.refresh(Family.IPV4)
    scene.resume(link)
    scene.later.passes(10)
    messages = link.take()
    assert messages[0] == BEGIN
    assert messages[-1] == END
    assert (messages.count(BEGIN), messages.count(END)) == (2, 2)
    first = messages[: messages.index(END)]
    second = messages[len(first) + 1 :]
    assert by_prefix(told(first)) == everything(2000, 1, 2, 3, 4)
    assert by_prefix(told(second)) == everything(2000, 1, 2, 3, 4)


def test_a_refresh_rests_as_long_as_it_took_before_the_next(scene: Scene) -> None:
    scene.rib.routes.update(table(2000, 1))
    link = scene.session(Link())
    link.take()
    link.congested_after = 1
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes(0.5)
    scene.outbound.refresh(Family.IPV4)
    scene.resume(link)
    scene.later.passes(0.4)
    assert link.take().count(BEGIN) == 1
    scene.later.passes(0.2)
    assert link.take().count(BEGIN) == 1


def test_a_refresh_waits_for_end_of_rib(scene: Scene) -> None:
    scene.rib.complete = False
    scene.rib.routes.update(table(10, 1))
    link = scene.session(Link())
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes(1)
    assert link.take() == []
    scene.complete()
    scene.later.passes(1)
    messages = link.take()
    assert messages.index(END_OF_RIB) < messages.index(BEGIN) < messages.index(END)


def test_a_refresh_without_marks_and_of_a_family_that_is_not_spoken(scene: Scene) -> None:
    scene.rib.routes.update(table(10, 1))
    link = scene.session(Link(enhanced_refresh=False))
    link.take()
    scene.outbound.refresh(Family.IPV6)
    scene.later.passes(2)
    assert link.take() == []
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes(2)
    assert by_prefix(told(link.take())) == everything(10, 1)


def test_what_changes_during_a_refresh_is_right_after_it(scene: Scene) -> None:
    scene.rib.routes.update(table(3000, 1, 2))
    link = scene.session(Link())
    held = told(link.take())
    link.congested_after = 2
    scene.outbound.refresh(Family.IPV4)
    scene.later.passes()
    scene.want({prefix(0): frozenset(), prefix(2999): hops(3), prefix(5000): hops(4)})
    scene.resume(link)
    messages = link.take()
    want = everything(3000, 1, 2)
    del want["203.0.0.0"]
    want[str(prefix(2999).network_address)] = {"192.168.0.3"}
    want[str(prefix(5000).network_address)] = {"192.168.0.4"}
    assert by_prefix(told(messages, held)) == want
    # RFC 7313: at EoRR the peer forgets what was not said since BoRR
    between = messages[messages.index(BEGIN) : messages.index(END)]
    assert by_prefix(told(between)) == want


def test_one_peer_that_asks_takes_nothing_from_the_others(tmp_path: Path) -> None:
    scene, link = Scene(tmp_path), Link()
    scene.rib.routes.update(table(5000, 1, 2))
    scene.session(link)
    other, others = scene.peer("other"), Link()
    scene.outbound.refresh(Family.IPV4)
    other.open(others, POLICY)
    link.take()
    scene.later.passes()
    assert by_prefix(told(others.take())) == everything(5000, 1, 2)
    assert link.take()[-1] == END


def test_a_table_is_gone_with_its_session_without_the_garbage_collector(scene: Scene) -> None:
    scene.want(table(10, 1, 2))
    scene.session(Link())
    scene.want({prefix(0): hops()})
    scene.later.passes()
    held = weakref.ref(scene.outbound._output)
    gc.disable()
    try:
        scene.lost()
        scene.later.passes(60)
        assert held() is None
    finally:
        gc.enable()
