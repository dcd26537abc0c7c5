"""A peer as its router sees it: accepted and rejected connections, messages, ends of sessions."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from eventlet.green import socket as green
from msgspec.structs import replace
from ryu.lib import hub
from ryu.services.protocols.bgp.core_manager import CORE_MANAGER

from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.ending import Side
from porter_ryu.bgp.protocol.open_message import Open, decode_open, encode_open
from porter_ryu.bgp.protocol.wire import MessageType, Refresh
from porter_ryu.domain.announcement import Announcement, NextHop, PathAttributes
from porter_ryu.domain.model import Address, Family, Network
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
ELSEWHERE = ip_network("203.0.113.77/32")
LOW, HIGH = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.250")  # ours is 192.0.2.200


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A speaker without graceful restart."""
    with speaking(tmp_path) as scene:
        yield scene


@pytest.fixture
def graceful(tmp_path: Path) -> Iterator[Scene]:
    """A speaker with graceful restart."""
    with speaking(tmp_path, restart_time=120) as scene:
        yield scene


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    """A router that waits for a connection."""
    waiting = Waiting()
    yield waiting
    waiting.close()


def last_reason(scene: Scene) -> str:
    """Why the last Established session ended; empty if none did."""
    down = scene.report.last_down
    return down.reason if down is not None else ""


def updates(messages: list[Message]) -> list[bytes]:
    """The bodies of the UPDATEs among messages."""
    return [body for kind, body in messages if kind is MessageType.UPDATE]


# -- coming up ------------------------------------------------------------------------------------


def test_a_router_that_connects_gets_the_table_and_then_end_of_rib(scene: Scene) -> None:
    scene.add(hold_time=9)
    router = scene.call()
    kind, _ = router.read() or (None, b"")
    assert kind is MessageType.OPEN, "the speaker does not wait for the router's OPEN"
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


def test_the_speaker_connects_from_its_local_address(scene: Scene, waiting: Waiting) -> None:
    scene.add(mode=ConnectMode.ACTIVE, port=waiting.port, local_address=ip_address("127.0.0.77"))
    router, source = waiting.accept()
    assert source == "127.0.0.77"
    router.establish().read_until(END_OF_RIB)
    assert scene.report.state == "Established"
    router.close()


def test_a_refused_connection_is_reported_and_retried(scene: Scene, waiting: Waiting) -> None:
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


def test_ryus_state_of_the_peer_is_the_reported_one(scene: Scene) -> None:
    """Code that observes a BGPSpeaker works as usual."""
    scene.add()
    assert scene.running.state.bgp_state == scene.report.state == "Idle"
    scene.up()
    assert scene.running.state.bgp_state == scene.report.state == "Established"


# -- rejected connections -------------------------------------------------------------------------


def refused(scene: Scene, source: str = ROUTER) -> list[Message]:
    """The messages on a connection that is rejected."""
    return scene.call(source).rest()


def test_an_unknown_host_and_an_active_only_peer_are_rejected(scene: Scene) -> None:
    someone = peer("else", "127.0.0.33", mode=ConnectMode.PASSIVE)
    scene.add(someone, mode=ConnectMode.ACTIVE, connect_retry=60)
    assert refused(scene, OTHER) == [REJECTED]
    assert refused(scene) == [REJECTED]


def test_a_connection_to_an_eip_is_rejected(scene: Scene) -> None:
    scene.add()
    scene.speaker.is_eip = lambda local: str(local) == HERE
    assert refused(scene) == [REJECTED]


def test_a_connection_from_farther_away_than_gtsm_allows_is_closed(scene: Scene) -> None:
    """The TTL of the caller is the kernel's default, 64; GTSM accepts only 255."""
    scene.add(ttl_security=True)
    assert refused(scene) == []
    assert scene.report.state == "Idle"


def test_a_router_whose_sessions_do_not_last_is_damped(scene: Scene) -> None:
    scene.add()
    for _ in range(4):
        scene.up().close()
        until(lambda: scene.report.state != "Established", "the session is down")
    assert scene.report.damped_seconds > 0
    assert refused(scene) == [REJECTED]


def test_an_open_of_another_as_is_refused_and_reported(scene: Scene) -> None:
    scene.add()
    router = scene.call()
    router.send(encode_open(replace(OPEN, asn=65009)))
    *_, last = router.rest()
    assert last == (MessageType.NOTIFICATION, b"\x02\x02")
    until(lambda: scene.report.last_error, "it says why")
    assert "AS 65009, expected 65001" in scene.report.last_error


# -- two connections ------------------------------------------------------------------------------


def test_a_second_connection_beside_an_established_one_is_closed(scene: Scene) -> None:
    scene.add()
    first, second = scene.up(), scene.call()
    second.send(encode_open(OPEN) + wire.KEEPALIVE)
    *_, last = second.rest()
    assert last == COLLISION
    first.send(wire.KEEPALIVE)
    assert scene.report.state == "Established"


def test_a_new_connection_of_a_graceful_restart_router_replaces_its_session(
    graceful: Scene,
) -> None:
    """It crashed: the old connection is closed silently, and the new one gets the table."""
    graceful.add()
    first = graceful.up(GRACEFUL)
    second = graceful.call().establish(GRACEFUL)
    assert updates(second.read_until(END_OF_RIB))[0].endswith(ANNOUNCED)
    assert first.rest() == []
    assert graceful.report.state == "Established"


@pytest.mark.parametrize(("theirs", "stays"), [(LOW, "ours"), (HIGH, "theirs")])
def test_of_two_simultaneous_connections_that_of_the_higher_identifier_is_kept(
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


def test_a_removed_peer_gets_peer_deconfigured(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.set_peers([])
    assert router.rest() == [PEER_DECONFIGURED]


def test_at_a_stop_a_router_with_graceful_restart_gets_no_notification(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.stop(withdraw=False)
    assert router.rest() == []


@pytest.mark.parametrize("restart_time", [0, 120])
def test_at_a_stop_a_router_without_graceful_restart_gets_administrative_shutdown(
    tmp_path: Path, restart_time: int
) -> None:
    with speaking(tmp_path, restart_time=restart_time) as scene:
        scene.add()
        router = scene.up(OPEN if restart_time else GRACEFUL)
        scene.speaker.stop(withdraw=False)
        assert router.rest() == [ADMINISTRATIVE_SHUTDOWN]


def test_a_stop_with_withdraw_withdraws_all_routes_first(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.speaker.stop(withdraw=True)
    withdrawn, last = router.rest()
    path_id = int(HOP.address).to_bytes(4, "big") if HOP.address else b""
    assert withdrawn == (MessageType.UPDATE, b"\0\x09" + path_id + b"\x20\xcb\0\x71\x01" + b"\0\0")
    assert last == ADMINISTRATIVE_SHUTDOWN


def test_changed_settings_make_a_new_session_and_the_router_keeps_the_routes(
    graceful: Scene,
) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    graceful.add(hold_time=12)
    assert router.rest() == [], "the router keeps our routes: there is no NOTIFICATION"
    report = graceful.report
    assert (report.last_error, report.paths_left) == ("ended by us: hold_time changed", 1)
    assert report.last_down is not None, "what became of the session is still known"
    assert (report.since, report.last_down.by) == (report.last_down.time, Side.US)
    assert report.kept_until == report.last_down.time + 120
    assert graceful.speaker.kept_by(EIP) == {"leaf": (HOP.address,)}
    assert graceful.speaker.kept_by(ELSEWHERE) == {}, "it was not sent that one"
    assert last_sent(graceful) == [(EIP, HOP.address, 0)]
    graceful.up(GRACEFUL)
    assert graceful.report.hold_time == 12
    assert (graceful.report.kept_until, graceful.speaker.kept_by(EIP)) == (None, {})
    assert last_sent(graceful) == [], "it has a session"
    graceful.speaker.set_peers([])
    graceful.add()
    assert graceful.report.last_up is None, "it was removed, and is another one"


def test_a_router_that_says_cease_keeps_no_routes(graceful: Scene) -> None:
    graceful.add()
    router = graceful.up(GRACEFUL)
    router.send(wire.message(MessageType.NOTIFICATION, b"\x06\x04"))
    until(lambda: graceful.report.state != "Established", "it is down")
    assert (graceful.report.kept_until, graceful.speaker.kept_by(EIP)) == (None, {})


def last_sent(scene: Scene) -> list[tuple[Network, Address, int]]:
    """Prefix, next hop and prepended AS numbers of what was sent last in a session that is over."""
    table = scene.speaker.last_routes("leaf")
    assert table is not None
    return [(path.prefix, path.said.next_hop, path.prepended) for path in table.paths()]


def keeping(
    folder: Path, offered: Open = GRACEFUL, **config: Any
) -> contextlib.AbstractContextManager[Scene]:
    """The next run of a speaker, before it has read the cluster; the one before was stopped while
    its session with a router was up."""
    with speaking(folder, restart_time=120) as before:
        before.add()
        before.up(offered)
        before.speaker.stop(withdraw=False)
    return speaking(folder, complete=False, **{"restart_time": 120, **config})


def test_after_a_restart_the_open_is_sent_when_the_table_can_follow_it(tmp_path: Path) -> None:
    """If the process ended in between, the router would have to remove what it keeps."""
    with keeping(tmp_path) as scene:
        scene.add()
        assert "the router has not connected" in scene.report.hint
        router = scene.call()
        until(lambda: scene.report.state == "Connect", "the connection")
        report = scene.report
        assert report.last_error == "our OPEN waits until the cluster is read"
        assert report.hint.startswith("wait: our OPEN is sent at the latest in 12 s ")
        assert report.last_error in scene.speaker.unsent(EIP)["leaf"]
        scene.speaker.complete()
        until(lambda: scene.report.state == "OpenSent", "the OPEN is sent")
        assert (scene.report.last_error, scene.report.hint) == ("", "")
        router.establish(GRACEFUL).read_until(END_OF_RIB)


def test_it_is_told_what_becomes_of_the_paths_of_the_earlier_run(tmp_path: Path) -> None:
    with keeping(tmp_path) as scene:
        scene.add()
        will = "1 path of the earlier run will be announced again in 60 s, if the cluster is not"
        assert scene.speaker.earlier_run == f"{will} read before"
        scene.speaker.complete()
        assert scene.speaker.earlier_run == ""
    with keeping(tmp_path, restart_time=1) as scene:
        replayed: list[int] = []
        scene.speaker.on_replay = replayed.append
        scene.add()
        until(lambda: replayed == [1], "the time is over")
        assert scene.speaker.earlier_run == "1 path of the earlier run is announced again"


def test_of_two_connections_with_a_router_that_keeps_routes_one_gets_our_open_at_a_time(
    tmp_path: Path,
) -> None:
    """With two at once, the router may be Established in the one that we close (RFC 4271, 6.8)."""
    offered = replace(GRACEFUL, identifier=IPv4Address("223.0.0.1"))
    with keeping(tmp_path, offered) as scene:
        scene.add()
        scene.speaker.complete()
        first = scene.call()
        until(lambda: scene.report.state == "OpenSent", "it has our OPEN")
        second = scene.call()
        until(lambda: len(scene.running._connections) == 2, "both are accepted")
        for router in (first, second):
            router.send(encode_open(offered))
        first.read_until((MessageType.KEEPALIVE, b""))
        first.send(wire.KEEPALIVE)
        first.read_until(END_OF_RIB)
        assert second.rest()[-1] == COLLISION
        assert scene.report.state == "Established"


def test_a_silent_connection_does_not_keep_another_from_our_open_for_long(tmp_path: Path) -> None:
    with keeping(tmp_path) as scene:
        scene.add()
        scene.speaker.complete()
        scene.call()
        until(lambda: scene.report.state == "OpenSent", "it has our OPEN")
        scene.call().establish(GRACEFUL).read_until(END_OF_RIB)


def test_of_many_silent_connections_the_router_waits_for_one(tmp_path: Path) -> None:
    with keeping(tmp_path) as scene:
        scene.add()
        scene.speaker.complete()
        first = scene.call()
        until(lambda: scene.report.state == "OpenSent", "it has our OPEN")
        before = [scene.call() for _ in range(4)]
        router = scene.call()
        router.send(encode_open(GRACEFUL) + wire.KEEPALIVE)
        after = [scene.call() for _ in range(4)]
        until(lambda: len(scene.running._connections) == 10, "all are accepted")
        router.read_until(END_OF_RIB)
        assert [kind for kind, _ in first.rest()] == [MessageType.OPEN, MessageType.NOTIFICATION]
        assert [silent.rest() for silent in before] == [[]] * 4
        assert len(scene.running._connections) == 1 + len(after)


def test_while_our_open_waits_there_is_one_connection_and_that_of_the_router_counts(
    tmp_path: Path, waiting: Waiting
) -> None:
    with keeping(tmp_path) as scene:
        scene.add(mode=ConnectMode.BOTH, port=waiting.port)
        ours, _ = waiting.accept()
        ours.send(encode_open(GRACEFUL))
        until(lambda: any(s.has_spoken for s in scene.running._connections), "its OPEN is read")
        theirs = scene.call()
        assert ours.rest() == []
        scene.speaker.complete()
        theirs.establish(GRACEFUL).read_until(END_OF_RIB)
        assert len(scene.running._connections) == 1


def test_a_router_that_closes_while_our_open_waits_is_called_again_at_once(
    tmp_path: Path, waiting: Waiting
) -> None:
    with keeping(tmp_path) as scene:
        scene.add(mode=ConnectMode.ACTIVE, port=waiting.port, connect_retry=0.01)
        first, _ = waiting.accept()
        first.send(encode_open(GRACEFUL))
        first.close()
        second, _ = waiting.accept()
        scene.speaker.complete()
        second.establish(GRACEFUL).read_until(END_OF_RIB)
        second.close()


def test_an_end_while_our_open_waits_sends_nothing(tmp_path: Path) -> None:
    """Also a stop: the router keeps the routes for the next run."""
    with keeping(tmp_path) as scene:
        scene.add()
        router = scene.call()
        until(lambda: scene.report.state == "Connect", "the connection")
        scene.running.set_path_usable(False)
        assert router.rest() == []
        scene.running.set_path_usable(True)
        router = scene.call()
        until(lambda: scene.report.state == "Connect", "the connection")
        assert scene.speaker.stop(withdraw=False) == ""
        assert router.rest() == []
        assert scene.running.outbound.left_count == 1


def test_a_stop_with_withdraw_while_our_open_waits_opens_without_graceful_restart(
    tmp_path: Path,
) -> None:
    """So the router removes what it keeps (RFC 4724, 4.2)."""
    with keeping(tmp_path) as scene:
        scene.add()
        router = scene.call()
        router.send(encode_open(GRACEFUL) + wire.KEEPALIVE)
        until(lambda: scene.report.state == "Connect", "the connection")
        assert scene.speaker.stop(withdraw=True) == ""
        (kind, body), last = router.rest()
        assert kind is MessageType.OPEN
        assert decode_open(body).graceful is None
        assert last == ADMINISTRATIVE_SHUTDOWN
        assert scene.running.outbound.left_count == 0, "it has none that it could keep"


def test_a_stop_with_withdraw_calls_a_router_that_keeps_routes(
    tmp_path: Path, waiting: Waiting
) -> None:
    with speaking(tmp_path, restart_time=120) as scene:
        scene.add(mode=ConnectMode.ACTIVE, port=waiting.port)
        router, _ = waiting.accept()
        router.establish(GRACEFUL).read_until(END_OF_RIB)
        scene.add(mode=ConnectMode.ACTIVE, port=waiting.port, hold_time=12, connect_retry=60)
        assert router.rest() == []
        until(lambda: scene.report.kept_until, "the router keeps the route")
        stopped = hub.spawn(scene.speaker.stop, True)
        router, _ = waiting.accept()
        router.send(encode_open(GRACEFUL) + wire.KEEPALIVE)
        assert router.rest()[-1] == ADMINISTRATIVE_SHUTDOWN
        assert hub.joinall([stopped]) is None
        assert scene.running.outbound.left_count == 0


def test_a_stop_with_withdraw_says_which_router_may_keep_routes(
    tmp_path: Path,
) -> None:
    with keeping(tmp_path) as scene:
        scene.add(peer("else", "127.0.0.33", mode=ConnectMode.PASSIVE))
        left = scene.speaker.stop(withdraw=True, seconds=0.1)
        assert left == (
            "no session came up with leaf, which may keep routes of ours for 120 s after its last "
            "session ended"
        )
        assert scene.running.outbound.left_count == 1


def test_it_is_told_that_a_router_that_keeps_routes_may_not_call_us(tmp_path: Path) -> None:
    """FRR as a graceful-restart helper, once it was refused; and as long as it keeps them."""
    text = "while the router keeps our routes it may not connect again (FRR as a graceful-restart"
    with keeping(tmp_path / "a") as scene:
        scene.add()
        assert scene.report.hint.startswith(text)
        assert "; the router has not connected (mode = passive): " in scene.report.hint
        router = scene.call()
        until(lambda: text not in scene.report.hint, "it has connected")
        router.close()
        until(lambda: text in scene.report.hint, "it has not")
    with keeping(tmp_path / "b", restart_time=1) as scene:
        scene.add()
        until(lambda: scene.report.hint.startswith("the router has not connected"), "it is over")


@pytest.mark.parametrize("kept", [True, False])
def test_the_open_does_not_wait_for_ever_and_only_if_the_router_may_keep_routes(
    tmp_path: Path, kept: bool
) -> None:
    offered, restart_time = (GRACEFUL, 2) if kept else (OPEN, 4000)
    with keeping(tmp_path, offered, restart_time=restart_time) as scene:
        scene.add()
        scene.call().establish(GRACEFUL)
        until(lambda: scene.report.state == "Established", "it is Established")


@pytest.mark.parametrize("restart_time", [0, 120])
def test_what_was_sent_last_is_known_with_the_settings_that_it_was_sent_with(
    tmp_path: Path, restart_time: int
) -> None:
    with speaking(tmp_path / "state", restart_time=restart_time) as scene:
        scene.add(attributes=PathAttributes(as_path_prepend=2))
        assert last_sent(scene) == []
        router = scene.up(GRACEFUL)
        router.send(wire.message(MessageType.NOTIFICATION, b"\x06\x04"))
        until(lambda: scene.report.state != "Established", "it is down")
        scene.add(hold_time=12)
        assert last_sent(scene) == [(EIP, HOP.address, 2)], "it is not sent again yet"
        assert scene.speaker.last_routes("other") is None
        if restart_time:  # another process begins with what this one has written
            shutil.copytree(tmp_path / "state", tmp_path / "later")
    with speaking(tmp_path / "later", restart_time=120) as scene:
        scene.add()
        known = [(EIP, HOP.address, 0)] if restart_time else []
        assert last_sent(scene) == known, "of an earlier process by the journal"
        assert scene.report.paths_left == len(known)


def test_a_neighbour_disabled_in_ryu_has_no_session_until_it_is_enabled(
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


def test_the_session_follows_the_path_that_bfd_monitors(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    scene.running.set_path_usable(False)
    assert router.rest() == [BFD_DOWN]
    assert last_reason(scene) == "BFD reports that the path is down"
    assert refused(scene) == [REJECTED]
    scene.running.set_path_usable(True)
    scene.up()


def test_why_the_last_session_ended_is_reported_also_when_the_next_is_up(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    router.send(wire.message(MessageType.NOTIFICATION, b"\x06\x04\x05later"))
    until(lambda: scene.report.state != "Established", "it is down")
    reason = 'the peer sent Administrative Reset (6/4): "later"'
    assert (scene.report.last_error, last_reason(scene)) == (reason, reason)
    down = scene.report.last_down
    assert down is not None
    assert (down.time > 0, down.by) == (True, Side.PEER)
    assert scene.report.since == down.time
    scene.up()
    assert (scene.report.last_error, last_reason(scene)) == ("", reason)


# -- while it is up -------------------------------------------------------------------------------


def test_a_change_is_one_update_and_a_repetition_is_none(scene: Scene) -> None:
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


def test_the_time_to_the_wire_is_known_only_if_there_is_a_session(scene: Scene) -> None:
    told: list[float] = []
    scene.speaker.on_sent = lambda read_at, _seconds: told.append(read_at)
    second = frozenset([Announcement(NextHop("n2", ip_address("192.168.0.2")))])
    scene.speaker.set_routes({EIP: second}, 1.0)
    scene.add()
    scene.speaker.set_routes({EIP: frozenset([Announcement(HOP)])}, 2.0)
    assert told == []
    router = scene.up()
    scene.speaker.set_routes({EIP: second}, 3.0)
    assert router.read() is not None
    until(lambda: told == [3.0], "it was sent")


def test_a_route_refresh_is_answered_with_the_table(scene: Scene) -> None:
    scene.add()
    router = scene.up()
    router.send(wire.encode_route_refresh(Family.IPV4, Refresh.REQUEST))
    kind, body = router.read() or (None, b"")
    assert kind is MessageType.UPDATE
    assert body.endswith(ANNOUNCED)
