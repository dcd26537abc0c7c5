"""The BFD process over loopback: a fault of one peer affects only that peer."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fabric.objects import Json

PORT = 3784


class Bfd:
    """A running process."""

    def __init__(self) -> None:
        argv = [sys.executable, "-m", "porter_ryu.bgp.bfd.process"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self._reports = self.process.stdin, self.process.stdout

    def set_peers(self, *peers: dict[str, object]) -> None:
        """Sets the peers."""
        self.input.write(json.dumps(peers) + "\n")
        self.input.flush()

    def report(self, **wanted: object) -> Json:
        """Reads until a report that contains `wanted`."""
        for line in self._reports:
            report: Json = json.loads(line)
            if wanted.items() <= report.items():
                return report
        raise AssertionError(f"it ended without the report {wanted}")


def peer(name: str, local: str, remote: str) -> dict[str, object]:
    """A peer as the monitor describes it."""
    more = {"interval_ms": 50, "multiplier": 3}
    return {"name": name, "local": local, "remote": remote, **more}


@pytest.fixture
def two() -> Iterator[tuple[Bfd, Bfd]]:
    """Two processes."""
    pair = Bfd(), Bfd()
    too_long = [threading.Timer(30, bfd.process.kill) for bfd in pair]
    for timer in too_long:
        timer.start()
    yield pair
    for timer, bfd in zip(too_long, pair, strict=True):
        timer.cancel()
        bfd.process.kill()
        bfd.process.wait()


def test_a_missing_local_address_affects_only_its_peer(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    theirs.set_peers(peer("us", "127.0.0.3", "127.0.0.2"))
    ours.set_peers(
        peer("gone", "198.51.100.9", "198.51.100.1"),
        peer("family", "2001:db8::9", "2001:db8::1"),
        peer("good", "127.0.0.2", "127.0.0.3"),
    )
    fault = ours.report(name="gone")["fault"]
    assert fault == "cannot listen on 198.51.100.9 port 3784: Cannot assign requested address"
    assert "2001:db8::9" in ours.report(name="family")["fault"]
    assert ours.report(name="good")["up"]
    assert theirs.report(name="us")["up"]


def test_a_port_in_use_affects_only_its_peer_and_is_retried(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.4", PORT))
        theirs.set_peers(
            peer("us", "127.0.0.3", "127.0.0.2"), peer("us4", "127.0.0.5", "127.0.0.4")
        )
        ours.set_peers(
            peer("four", "127.0.0.4", "127.0.0.5"), peer("two", "127.0.0.2", "127.0.0.3")
        )
        assert "Address already in use" in ours.report(name="four")["fault"]
        assert ours.report(name="two")["up"]
    assert ours.report(name="four")["fault"] == "", "the fault has gone"
    assert ours.report(name="four", up=True)


def test_it_sends_heartbeats(two: tuple[Bfd, Bfd]) -> None:
    ours, _ = two
    assert ours.report(alive=True)
    assert ours.report(alive=True)


def test_it_sends_admin_down_and_exits_when_its_input_ends(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    theirs.set_peers(peer("us", "127.0.0.3", "127.0.0.2"))
    ours.set_peers(peer("them", "127.0.0.2", "127.0.0.3"))
    assert theirs.report(name="us")["up"]
    ours.input.close()
    assert ours.process.wait(5) == 0
    assert theirs.report(name="us", up=False)["admin_down"]
