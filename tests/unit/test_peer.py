"""A peer as its router sees it: who is let in, what is said, and how a session ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest
from eventlet.green import socket as green
from ryu.services.protocols.bgp.core_manager import CORE_MANAGER

from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.open_message import encode_open
from porter_ryu.bgp.protocol.wire import MessageType, Refresh
from porter_ryu.domain.announcement import Announcement, NextHop
from porter_ryu.domain.model import Family
from porter_ryu.domain.peering import ConnectMode
from tests.unit.peers import peer
from tests.unit.router import (
    ANNOUNCED,
    EIP,
    END_OF_RIB,
    GRACEFUL,
    HERE,
    HOP,
    OPEN,
    OTHER,
    ROUTER,
    Message,
    Scene,
    Waiting,
    speaking,
)
from tests.unit.until import until

ADMINISTRATIVE_SHUTDOWN = (MessageType.NOTIFICATION, b"\x06\x02")
PEER_DECONFIGURED = (MessageType.NOTIFICATION, b"\x06\x03")
REJECTED = (MessageType.NOTIFICATION, b"\x06\x05")
COLLISION = (MessageType.NOTIFICATION, b"\x06\x07")
BFD_DOWN = (MessageType.NOTIFICATION, b"\x06\x0a")
LOW, HIGH = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.250")  # ours is 192.0.2.200


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Without graceful restart."""
    with speaking(tmp_path) as scene:
        yield scene


@pytest.fixture
def graceful(tmp_path: Path) -> Iterator[Scene]:
    """With it."""
    with speaking(tmp_path, restart_time=120) as scene:
        yield scene


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    """A router that waits to be called."""
    waiting = Waiting()
    yield waiting
    waiting.close()


def updates(messages: list[Message]) -> list[bytes]:
    """The bodies of the UPDATEs among messages."""
    return [body for kind, body in messages if kind is MessageType.UPDATE]


# -- coming up ------------------------------------------------------------------------------------


def test_a_router_that_calls_gets_the_table_and_then_end_of_rib(scene: Scene) -> None:
    scene.add(hold_time=9)
    router = scene.call()
    kind, _ = router.read() or (None, b"")
    assert kind is MessageType.OPEN, "nobody waits for the other to begin"
    router.establish()
    announced, last = updates(router.read_until(END_OF_RIB))
    assert announced.endswith(ANNOUNCED)
    assert last == END_OF_RIB[1]
    report = scene.report
    assert (report.name, report.address, report.remote_as) == ("leaf", ROUTER, 65001)
    assert (report.state, report.hold_time, report.last_error) == ("Established", 9.0, "")
    assert (report.families, report.add_path) == (("ipv4",), ("ipv4",))
    assert report.paths == {"ipv4": 1, "ipv6": 0}
    assert scene.speaker.sent(EIP) == {"leaf": (HOP.address,)}


def test_a_router_is_called_from_the_address_that_is_set(scene: Scene, waiting: Waiting) -> None:
    scene.add(mode=ConnectMode.ACTIVE, port=waiting.port, local_address=ip_address("127.0.0.77"))
    router, source = waiting.accept()
    assert source == "127.0.0.77"
    router.establish().read_until(END_OF_RIB)
    assert scene.report.state == "Established"
    router.close()


def test_a_router_that_refuses_is_called_again_and_why_is_told(
    scene: Scene, waiting: Waiting
) -> None:
    port = waiting.port
    waiting.close()
    scene.add(mode=ConnectMode.ACTIVE, port=port, connect_retry=0.05)
    until(lambda: scene.report.last_error, "it says why")
    assert scene.report.last_error == "cannot connect: Connection refused"
    again = green.socket()
    again.setsockopt(green.SOL_SOCKET, green.SO_REUSEADDR, 1)
    again.bind((ROUTER, port))
    again.listen(1)
    with again:
        caller, _ = again.accept()
        caller.close()


def test_ryu_says_the_same_of_the_state(scene: Scene) -> None:
    """So that whatever watches a BGPSpeaker sees ours."""
    scene.add()
    assert scene.running.state.bgp_state == scene.report.state == "Idle"
    scene.up()
    assert scene.running.state.bgp_state == scene.report.state == "Established"


# -- who is not let in ----------------------------------------------------------------------------


def refused(scene: Scene, source: str = ROUTER) -> list[Message]:
    """What a caller is told that is not let in."""
    return scene.call(source).rest()


def test_a_stranger_and_a_peer_that_is_to_be_called_are_rejected(scene: Scene) -> None:
    someone = peer("else", "127.0.0.33", mode=ConnectMode.PASSIVE)
    scene.add(someone, mode=ConnectMode.ACTIVE, connect_retry=60)
    assert refused(scene, OTHER) == [REJECTED]
    assert refused(scene) == [REJECTED]


def test_nobody_is_let_in_over_an_eip(scene: Scene) -> None:
    scene.add()
    scene.speaker.is_eip = lambda local: str(local) == HERE
    assert refused(scene) == [REJECTED]


def test_a_connection_from_farther_away_than_gtsm_allows_is_closed(scene: Scene) -> None:
    """The caller's TTL is the kernel's own, 64: with GTSM only 255 is near enough."""
    scene.add(ttl_security=True)
    assert refused(scene) == []
    assert scene.report.state == "Idle"


def test_a_router_whose_sessions_do_not_last_is_kept_waiting(scene: Scene) -> None:
    scene.add()
    for _ in range(4):
        scene.up().close()
        until(lambda: scene.report.state != "Established", "it is seen to be gone")
    assert scene.report.damped_seconds > 0
    assert refused(scene) == [REJECTED]


def test_an_open_of_another_as_is_refused_and_told(scene: Scene) -> None:
    scene.add()
    router = scene.call()
    router.send(encode_open(replace(OPEN, asn=65009)))
    *_, last = router.rest()
    assert last == (MessageType.NOTIFICATION, b"\x02\x02")
    until(lambda: scene.report.last_error, "it says why")
    assert "AS 65009, expected 65001" in scene.report.last_error


# -- two connections ------------------------------------------------------------------------------


def test_a_second_connection_beside_an_established_one_has_to_go(scene: Scene) -> None:
    scene.add()
    first, second = scene.up(), scene.call()
    second.send(encode_open(OPEN) + wire.KEEPALIVE)
    *_, last = second.rest()
    assert last == COLLISION
    first.send(wire.KEEPALIVE)
    assert scene.report.state == "Established"


def test_a_router_that_calls_again_has_lost_its_session_where_it_restarts_gracefully(
    graceful: Scene,
) -> None:
    """It crashed: the old connection is closed without a word, and the new one gets the table."""
    graceful.add()
    first = graceful.up(GRACEFUL)
    second = graceful.call().establish(GRACEFUL)
    assert updates(second.read_until(END_OF_RIB))[0].endswith(ANNOUNCED)
    assert first.rest() == []
    assert graceful.report.state == "Established"


@pytest.mark.parametrize(("theirs", "stays"), [(LOW, "ours"), (HIGH, "theirs")])
def test_of_two_that_come_up_at_once_the_one_of_the_higher_identifier_stays(
    scene: Scene, waiting: Waiting, theirs: IPv4Address, stays: str
) -> None:
    scene.add(mode=ConnectMode.BOTH, port=waiting.port)
    ours, _ = waiting.accept()
    calls = {"ours": ours, "theirs": scene.call()}
    offered = replace(OPEN, identifier=theirs)
    for call in calls.values():
        call.send(encode_open(offered))
    [goes] = calls.keys() - {stays}
    *_, last = calls[goes].rest()
    assert last == COLLISION
    calls[stays].send(wire.KEEPALIVE)
    calls[stays].read_until(END_OF_RIB)
    assert scene.report.state == "Established"
    ours.close()


# -- how a session ends ---------------------------------------------------------------------------


def test_a_peer_that_is_taken_out_is_told_so(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.set_peers([])
    assert router.rest() == [PEER_DECONFIGURED]


def test_at_the_end_a_router_that_keeps_our_routes_is_told_nothing(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.stop(withdraw=False)
    assert router.rest() == []


@pytest.mark.parametrize("restart_time", [0, 120])
def test_at_the_end_a_router_that_keeps_nothing_is_told(tmp_path: Path, restart_time: int) -> None:
    with speaking(tmp_path, restart_time=restart_time) as scene:
        scene.add()
        router = scene.up(OPEN if restart_time else GRACEFUL)
        scene.speaker.stop(withdraw=False)
        assert router.rest() == [ADMINISTRATIVE_SHUTDOWN]


def test_an_end_for_good_takes_everything_back_first(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.stop(withdraw=True)
    withdrawn, last = router.rest()
    path_id = int(HOP.address).to_bytes(4, "big") if HOP.address else b""
    assert withdrawn == (MessageType.UPDATE, b"\0\x09" + path_id + b"\x20\xcb\0\x71\x01" + b"\0\0")
    assert last == ADMINISTRATIVE_SHUTDOWN


def test_changed_settings_are_a_new_session_over_which_the_routes_are_kept(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.add(hold_time=12)
    assert router.rest() == [], "the router keeps our routes: there is no NOTIFICATION"
    graceful.up(GRACEFUL)
    assert graceful.report.hold_time == 12


def test_a_neighbour_that_is_disabled_in_ryu_has_no_session_until_it_is_enabled(
    scene: Scene,
) -> None:
    scene.add()
    router = scene.up()
    neighbour = CORE_MANAGER.neighbors_conf.get_neighbor_conf(ROUTER)
    neighbour.enabled = False
    assert router.rest() == [PEER_DECONFIGURED]
    assert refused(scene) == [REJECTED]
    neighbour.enabled = True
    scene.up()


def test_the_session_goes_and_comes_with_the_path_that_bfd_watches(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    scene.running.set_path_usable(False)
    assert router.rest() == [BFD_DOWN]
    assert scene.report.last_down_reason == "BFD reports that the path is down"
    assert refused(scene) == [REJECTED]
    scene.running.set_path_usable(True)
    scene.up()


def test_why_the_last_session_ended_is_told_also_when_the_next_is_up(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    router.send(wire.message(MessageType.NOTIFICATION, b"\x06\x04\x05later"))
    until(lambda: scene.report.state != "Established", "it is down")
    told = 'the peer sent Administrative Reset (6/4): "later"'
    assert (scene.report.last_error, scene.report.last_down_reason) == (told, told)
    assert scene.report.last_down_at > 0
    scene.up()
    assert (scene.report.last_error, scene.report.last_down_reason) == ("", told)


# -- while it is up -------------------------------------------------------------------------------


def test_a_change_is_one_update_and_the_same_again_is_none(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    second = NextHop("n2", ip_address("192.168.0.2"))
    both = frozenset([Announcement(HOP), Announcement(second)])
    scene.speaker.set_routes({EIP: both}, None)
    scene.speaker.set_routes({EIP: both}, None)
    scene.speaker.set_routes({EIP: frozenset()}, None)
    added, gone = updates([router.read() or END_OF_RIB, router.read() or END_OF_RIB])
    assert added.endswith(bytes.fromhex("c0a8000220cb007101"))
    paths = sorted(["c0a8000120cb007101", "c0a8000220cb007101"])
    assert gone.hex() in ("0012" + "".join(paths) + "0000", "0012" + "".join(paths[::-1]) + "0000")


def test_a_route_refresh_is_answered_with_the_table(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    router.send(wire.encode_route_refresh(Family.IPV4, Refresh.REQUEST))
    kind, body = router.read() or (None, b"")
    assert kind is MessageType.UPDATE
    assert body.endswith(ANNOUNCED)
