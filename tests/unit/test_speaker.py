"""The set of peers on Ryu's running core: the difference is found, and one that Ryu refuses costs
itself alone.  Ryu's core is one a process, so each case has its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = """
import eventlet; eventlet.monkey_patch()
import dataclasses, logging, tempfile
from ipaddress import ip_address
from ryu.lib import hub
from porter_ryu import metrics
from porter_ryu.http.figures import Figures
from porter_ryu.bgp.speaker import Speaker
from porter_ryu.domain.announcement import PathAttributes
from porter_ryu.domain.peering import ConnectMode, Secret, SpeakerConfig
from porter_ryu.supervisor import Supervisor
from tests.unit.test_figures import PROCESS
from tests.unit.test_peering import peer
from tests.unit.world import World

config = SpeakerConfig(
    65000, ip_address("10.0.0.1"), (ip_address("127.0.0.9"),), 1790, 0, 0, tempfile.mkdtemp()
)
supervisor = Supervisor()
refusals, tries = {}, []

class Refusing(Speaker):  # Ryu has something against an address, for so many tries
    def neighbor_add(self, address, *args, **kwargs):
        tries.append(address)
        if tries.count(address) <= refusals.get(address, 0):
            raise OSError(24, "Too many open files")
        return super().neighbor_add(address, *args, **kwargs)

speaker = Refusing(config, supervisor)
quiet = ConnectMode.PASSIVE
a, b, c = (peer(name, mode=quiet) for name in "abc")

def with_med(config, med):
    return dataclasses.replace(config, attributes=PathAttributes(med=med))

def names(): return sorted(p.config.name for p in speaker.manager.iterpeers)
def running(name): return next(p for p in speaker.manager.iterpeers if p.config.name == name)
reports = lambda: [dataclasses.asdict(r) for r in speaker.reports()]
figures = Figures(World().planner, reports, PROCESS)
def text(): return figures.text().decode()
def until(look):
    for _ in range(500):
        if look(): return
        hub.sleep(0.02)
    raise AssertionError("it did not come to that")
"""

CASES = {
    "added, removed and changed, and the others are not touched": """
        speaker.set_peers([a, b]); hub.sleep(0.05)
        assert names() == ["a", "b"]
        kept = running("a")
        speaker.set_peers([c, a]); hub.sleep(0.05)
        assert names() == ["a", "c"] and running("a") is kept and kept.started
        changed = with_med(c, 7)
        speaker.set_peers([a, changed]); hub.sleep(0.05)
        assert running("c").config.attributes.med == 7 and running("a") is kept
        speaker.set_peers([])
        assert names() == []
        assert not kept.started
    """,
    "addresses and names change places": """
        speaker.set_peers([a, b]); hub.sleep(0.05)
        x = dataclasses.replace(a, address=b.address), dataclasses.replace(b, address=a.address)
        speaker.set_peers(x); hub.sleep(0.05)
        assert {p.config for p in speaker.manager.iterpeers} == set(x)
        speaker.set_peers([dataclasses.replace(a, name="z")]); hub.sleep(0.05)
        assert names() == ["z"]
    """,
    "one that Ryu refuses costs itself alone, is named, and told of": """
        bad = peer("bad", mode=quiet, address=ip_address("fe80::1%eth9"))
        mapped = peer("mapped", mode=quiet, address=ip_address("::ffff:192.168.10.1"))
        wide = peer("wide", mode=quiet, remote_as=1 << 40)
        speaker.set_peers([bad, a, mapped, wide, b]); hub.sleep(0.05)
        assert {"a", "b"} <= set(names()), names()
        assert "bad" not in names() and "wide" not in names()
        reports = {r.name: r for r in speaker.reports()}
        assert set(reports) == {"a", "b", "bad", "mapped", "wide"}
        assert reports["bad"].state == "Idle" and "cannot be set" in reports["bad"].last_error
        assert 'porter_bgp_session_up{peer="bad"} 0.0' in text()
        assert not supervisor.faults
        speaker.set_peers([a, b])
        assert [r.name for r in speaker.reports()] == ["a", "b"]
    """,
    "what Ryu refused for a moment is tried again by itself": """
        refusals[str(b.address)] = 2
        speaker.set_peers([a, b, c])
        assert names() == ["a", "c"]
        until(lambda: names() == ["a", "b", "c"])
        assert tries.count(str(a.address)) == 1
    """,
    "without a descriptor they are set as far as can be, and the rest by itself later": """
        import os, resource, socket
        speaker._config = dataclasses.replace(config, listen_addresses=())
        near = dataclasses.replace(a, address=ip_address("127.0.0.8"), mode=ConnectMode.PASSIVE)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        speaker.set_peers([near, b])
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert names() == ["a", "b"]
        until(lambda: ip_address("127.0.0.1") in dict(speaker._listener.sockets))
    """,
    "the series of a removed peer go, and those of the others stay": """
        speaker.set_peers([a, b])
        for name in "ab":
            metrics.bgp_session_drops.labels(peer=name, reason="x").inc()
            metrics.bgp_messages_received.labels(peer=name, type="update").inc()
            metrics.bgp_updates_sent.labels(peer=name).inc()
            metrics.bgp_bytes_sent.labels(peer=name).inc()
        before = text()
        assert 'peer="a"' in before and 'peer="b"' in before
        speaker.set_peers([b]); hub.sleep(0.1)
        metrics.bgp_bytes_sent.labels(peer="a").inc()  # a session that ended late
        assert 'peer="a"' not in text(), text()
        assert text().count('peer="b"') == before.count('peer="b"')
    """,
    "a storm of sets ends at the last one, without one greenthread too many": """
        speaker.set_peers([a]); hub.sleep(0.05)
        kept = running("a")
        for number in range(200):
            some = [with_med(b, number)] if number % 2 else []
            hub.spawn(speaker.set_peers, [a, *some, with_med(c, number)])
        until(lambda: names() == ["a", "b", "c"] and running("b").config.attributes.med == 199)
        hub.sleep(0.2)
        assert running("c").config.attributes.med == 199 and running("a") is kept
        import gc
        from porter_ryu.bgp.peer import Peer
        assert sum(isinstance(o, Peer) and o.started for o in gc.get_objects()) == 3
    """,
    "nothing is kept of peers that were": """
        import gc
        from porter_ryu.bgp.peer import Peer
        def peers():
            gc.collect()
            return sum(isinstance(o, Peer) for o in gc.get_objects())
        speaker.set_peers([a, b, c]); hub.sleep(0.05)
        for number in range(20):
            speaker.set_peers([a, with_med(b, number)]); hub.sleep(0.01)
            speaker.set_peers([a, c]); hub.sleep(0.01)
        until(lambda: peers() == 2)
    """,
    "keys on the listener follow the set": """
        import socket
        keyed = dataclasses.replace(a, address=ip_address("127.0.0.9"), password=Secret(b"k"))
        speaker.set_peers([keyed, b])
        until(lambda: speaker._listener.sockets)
        (_, listener), = speaker._listener.sockets
        def answers():
            sock = socket.socket()
            sock.bind(("127.0.0.9", 0)); sock.settimeout(0.5)
            try:
                sock.connect(("127.0.0.9", 1790))
            except OSError:
                return False
            finally:
                sock.close()
            return True
        assert not answers(), "a segment without the key is dropped"
        speaker.set_peers([b])
        until(answers)
        speaker.set_peers([keyed]); hub.sleep(0.05)
        assert not answers()
    """,
    "nothing is set after the end": """
        speaker.set_peers([a])
        speaker.stop(withdraw=False)
        speaker.set_peers([a, b]); hub.sleep(0.05)
        assert names() == ["a"]
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_a_set_of_peers(case: str) -> None:
    source = HEAD + textwrap.dedent(CASES[case])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
