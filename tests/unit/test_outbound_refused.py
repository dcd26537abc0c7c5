"""What a peer refuses is not said to it again, and costs nothing else."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from msgspec.structs import replace

from porter_ryu.bgp.protocol.notification import Notification
from tests.unit.outbound_scene import (
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


def refusal(address: str, named: bool = True) -> Notification:
    """As FRR sends it, or as others do."""
    data = b"\x40\x03\x04" + ip_address(address).packed if named else b""
    return Notification(3, 8, data)


def test_a_next_hop_that_is_refused_is_not_said_again_nor_journalled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    scene.rib.routes.update({**table(10, 1, 2), prefix(10): hops(2)})
    scene.session(Link())
    scene.lost(refusal("192.168.0.2"))
    assert "peer leaf refuses 192.168.0.2 (" in caplog.text
    assert "11 prefixes" in caplog.text
    messages = scene.session(Link()).take()
    assert by_prefix(told(messages)) == everything(10, 1)
    assert messages[-1] == END_OF_RIB
    assert journalled(scene) == {"192.168.0.1"}
    assert journalled(Scene(tmp_path)) == {"192.168.0.1"}


def test_without_add_path_another_next_hop_takes_its_place(scene: Scene) -> None:
    scene.rib.routes.update(table(100, 1, 2))
    policy = replace(POLICY, add_path=frozenset())
    scene.session(Link(), policy)
    scene.lost(refusal("192.168.0.2"))
    scene.session(Link(), policy)
    assert {scene.outbound.sent(prefix(n)) for n in range(100)} == {(ip_address("192.168.0.1"),)}


def journalled(scene: Scene) -> set[str]:
    """The next hops in the journal."""
    return {str(p.next_hop) for paths in scene.journalled().values() for p in paths.values()}


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


def test_a_refusal_that_names_nothing_costs_but_the_next_hop_that_caused_it(scene: Scene) -> None:
    nodes = range(1, 31)
    scene.rib.routes.update(table(20, *nodes))
    sessions, told_last, messages = refusing(scene, "192.168.0.17")
    assert sessions <= 6
    assert told_last == everything(20, *(n for n in nodes if n != 17))
    assert messages[-1] == END_OF_RIB


def test_what_was_refused_is_tried_again_after_ten_minutes_alone(scene: Scene) -> None:
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


def test_what_all_routes_share_is_reported_and_no_route_is_held_back(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.rib.routes.update(table(10, 1, 2))
    scene.session(Link())
    scene.lost(Notification(3, 5, bytes.fromhex("c00804fde80001")))
    assert "refuses an attribute that all its routes have" in caplog.text
    assert by_prefix(told(scene.session(Link()).take())) == everything(10, 1, 2)
