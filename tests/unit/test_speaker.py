"""The set of peers in Ryu's running core: only differences are applied, and a peer that Ryu refuses
affects no other."""

from __future__ import annotations

import gc
import resource
import weakref
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from eventlet.green import socket as green
from msgspec.structs import replace
from ryu.lib import hub

from porter_ryu import metrics
from porter_ryu.bgp.peer import Peer
from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.announcement import PathAttributes
from porter_ryu.domain.labels import parse_selector
from porter_ryu.domain.peering import ConnectMode, PeerConfig, Secret
from porter_ryu.http.exposition import Exposition
from porter_ryu.supervisor import Supervisor
from tests.unit import peers
from tests.unit.test_http_exposition import PROCESS
from tests.unit.until import until
from tests.unit.world import World

HERE = "127.0.0.9"


def passive(name: str, address: str, **more: Any) -> PeerConfig:
    """A peer that connects to us."""
    return peers.peer(name, address, mode=ConnectMode.PASSIVE, **more)


A, B, C = passive("a", "192.0.2.1"), passive("b", "192.0.2.2"), passive("c", "192.0.2.3")


def with_hold_time(config: PeerConfig, seconds: int) -> PeerConfig:
    """A peer whose session has to begin anew."""
    return replace(config, hold_time=3 + seconds)


class FailingSpeaker(Speaker):
    """A speaker whose Ryu fails to add an address; `failures` says how many times."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.failures: dict[str, int] = {}
        self.tries: list[str] = []
        self.supervisor = Supervisor()
        config = {"restart_time": 0, "listen_addresses": (ip_address(HERE),), **config}
        with green.socket() as probe:
            probe.bind(("", 0))  # free on every address: a test listens on another one
            self.port: int = probe.getsockname()[1]
        mine = peers.speaker(state_dir=str(folder), listen_port=self.port, **config)
        super().__init__(mine, self.supervisor)

    def add_neighbor(self, peer: PeerConfig) -> None:
        """As Ryu's, but fails first."""
        self.tries.append(peer.key)
        if self.tries.count(peer.key) <= self.failures.get(peer.key, 0):
            raise OSError(24, "Too many open files")
        super().add_neighbor(peer)

    def set(self, *configs: PeerConfig) -> None:
        """Sets the peers and waits until those that Ryu accepted run."""
        self.set_peers(configs)
        until(lambda: all(peer.started for peer in self.running.values()), "they run")

    @property
    def running(self) -> dict[str, Peer]:
        """The peers in Ryu's core, by name."""
        return {peer.config.name: peer for peer in self.manager.iterpeers}

    def text(self) -> str:
        """The metrics."""
        state = replace(PROCESS, peers=self.reports)
        return Exposition(World().planner, state).text().decode()

    def listens(self) -> bool:
        """Whether a socket listens."""
        return bool(self._listener.sockets)

    def end(self) -> None:
        """Stops the speaker and Ryu's core, of which a process has only one."""
        self.set_peers([])
        self.stop(withdraw=False)
        self.shutdown()
        until(lambda: not self.listens(), "nothing listens any more")


@pytest.fixture
def speaker(tmp_path: Path) -> Iterator[FailingSpeaker]:
    """A speaker without peers."""
    speaker = FailingSpeaker(tmp_path)
    yield speaker
    speaker.end()
    assert speaker.supervisor.faults == ()


def test_peers_are_added_removed_and_changed_and_the_others_are_not_touched(
    speaker: FailingSpeaker,
) -> None:
    speaker.set(A, B)
    assert speaker.running.keys() == {"a", "b"}
    kept = speaker.running["a"]
    speaker.set(C, A)
    assert speaker.running.keys() == {"a", "c"}
    speaker.set(A, with_hold_time(C, 7))
    assert speaker.running["c"].config.hold_time == 10
    assert speaker.running["a"] is kept
    assert kept.started
    speaker.set()
    assert speaker.running == {}
    assert not kept.started


def test_other_attributes_or_nodes_touch_no_session(speaker: FailingSpeaker) -> None:
    speaker.set(A, B)
    kept = speaker.running["a"]
    changed = replace(
        A, attributes=PathAttributes((7,), med=7), node_selector=parse_selector("rack=a")
    )
    speaker.set(changed, B)
    assert speaker.running["a"] is kept
    assert kept.config == changed


def test_two_peers_exchange_their_addresses_and_one_is_renamed(speaker: FailingSpeaker) -> None:
    speaker.set(A, B)
    exchanged = {
        replace(A, address=B.address),
        replace(B, address=A.address),
    }
    speaker.set(*exchanged)
    assert {peer.config for peer in speaker.running.values()} == exchanged
    speaker.set(replace(A, name="z"))
    assert speaker.running.keys() == {"z"}


def test_a_peer_that_ryu_refuses_affects_no_other_and_is_reported(speaker: FailingSpeaker) -> None:
    zoned = passive("zoned", "fe80::1%eth9")
    mapped = passive("mapped", "::ffff:192.168.10.1")
    wide = passive("wide", "192.0.2.4", remote_as=1 << 40)
    speaker.set(zoned, A, mapped, wide, B)
    assert {"a", "b"} <= speaker.running.keys()
    assert not {"zoned", "wide"} & speaker.running.keys()
    reports = {report.name: report for report in speaker.reports()}
    assert reports.keys() == {"a", "b", "zoned", "mapped", "wide"}
    assert reports["zoned"].state == "Idle"
    assert "cannot be set" in reports["zoned"].last_error
    assert 'porter_bgp_session_up{peer="zoned"} 0.0' in speaker.text()
    speaker.set(A, B)
    assert [report.name for report in speaker.reports()] == ["a", "b"]


def test_a_peer_that_ryu_refused_once_is_retried(speaker: FailingSpeaker) -> None:
    speaker.failures[str(B.address)] = 1
    speaker.set(A, B, C)
    assert speaker.running.keys() == {"a", "c"}
    until(lambda: speaker.running.keys() == {"a", "b", "c"}, "it is set")
    assert speaker.tries.count(str(A.address)) == 1


def test_without_a_free_descriptor_listening_is_retried(tmp_path: Path) -> None:
    """Asking the kernel for the source address towards a peer needs a descriptor."""
    speaker = FailingSpeaker(tmp_path, listen_addresses=())
    near = passive("near", "127.0.0.8")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        speaker.set_peers([near, B])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert speaker.running.keys() == {"near", "b"}
    until(lambda: ip_address("127.0.0.1") in dict(speaker._listener.sockets), "it listens")
    speaker.end()


def test_the_metrics_of_a_removed_peer_are_removed(speaker: FailingSpeaker) -> None:
    speaker.set(A, B)
    for name in "ab":
        metrics.bgp_session_drops.labels(peer=name, reason="x").inc()
        metrics.bgp_messages_received.labels(peer=name, type="update").inc()
        metrics.bgp_updates_sent.labels(peer=name).inc()
        metrics.bgp_bytes_sent.labels(peer=name).inc()
    before = speaker.text()
    assert 'peer="a"' in before
    assert 'peer="b"' in before
    speaker.set(B)
    metrics.bgp_bytes_sent.labels(peer="a").inc()  # a session that ended late
    after = speaker.text()
    assert 'peer="a"' not in after
    assert after.count('peer="b"') == before.count('peer="b"')


def test_after_many_concurrent_changes_the_last_one_is_in_force(speaker: FailingSpeaker) -> None:
    speaker.set(A)
    kept = speaker.running["a"]
    every: weakref.WeakSet[Peer] = weakref.WeakSet()
    for number in range(200):
        some = [with_hold_time(B, number)] if number % 2 else []
        hub.spawn(speaker.set_peers, [A, *some, with_hold_time(C, number)])
        hub.sleep(0)
        every |= set(speaker.running.values())
    until(
        lambda: speaker.manager.configs.keys() == set(map(str, (A.address, B.address, C.address)))
    )
    until(lambda: speaker.running.keys() == {"a", "b", "c"}, "all three are set")
    until(lambda: speaker.running["c"].config.hold_time == 202, "it is the last one")
    assert speaker.running["b"].config.hold_time == 202
    assert speaker.running["a"] is kept
    until(lambda: sum(peer.started for peer in every | set(speaker.running.values())) == 3)


def test_removed_peers_are_freed(speaker: FailingSpeaker) -> None:
    speaker.set(A, B, C)
    were = [weakref.ref(peer) for peer in speaker.running.values()]
    for number in range(5):
        speaker.set(with_hold_time(A, number), with_hold_time(B, number))
        were += [weakref.ref(peer) for peer in speaker.running.values()]
        speaker.set(C)
        were += [weakref.ref(peer) for peer in speaker.running.values()]
    running = speaker.running["c"]

    def left() -> set[Peer | None]:
        gc.collect()
        return {peer() for peer in were}

    until(lambda: left() == {None, running}, "all others are freed")


def answers(speaker: FailingSpeaker) -> bool:
    """Whether the listener accepts a connection without a key."""
    caller = green.socket()
    caller.bind((HERE, 0))
    caller.settimeout(0.3)
    try:
        caller.connect((HERE, speaker.port))
    except OSError:
        return False
    finally:
        caller.close()
    return True


def test_the_md5_keys_of_the_listener_follow_the_peers(speaker: FailingSpeaker) -> None:
    keyed = passive("keyed", HERE, password=Secret(b"k"))
    speaker.set(keyed, B)
    until(speaker.listens, "it listens")
    assert not answers(speaker), "a segment without the key is dropped"
    speaker.set(B)
    assert answers(speaker)
    speaker.set(keyed)
    assert not answers(speaker)


def test_peers_cannot_be_set_after_a_stop(speaker: FailingSpeaker) -> None:
    speaker.set(A)
    speaker.stop(withdraw=False)
    speaker.set_peers([A, B])
    assert speaker.running.keys() == {"a"}
