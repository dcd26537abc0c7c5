"""The process that speaks BFD, over loopback: what stands in one peer's way costs it alone."""

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
        self.wants, self._says = self.process.stdin, self.process.stdout

    def want(self, *peers: dict[str, object]) -> None:
        """Sets the peers."""
        self.wants.write(json.dumps(peers) + "\n")
        self.wants.flush()

    def says(self, **wanted: object) -> Json:
        """Reads on until it says this."""
        for line in self._says:
            told: Json = json.loads(line)
            if wanted.items() <= told.items():
                return told
        raise AssertionError(f"it ended, and never said {wanted}")


def peer(name: str, local: str, remote: str) -> dict[str, object]:
    """A peer as the keeper describes it."""
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


def test_an_address_that_is_not_here_costs_its_peer_alone(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    theirs.want(peer("us", "127.0.0.3", "127.0.0.2"))
    ours.want(
        peer("gone", "198.51.100.9", "198.51.100.1"),
        peer("family", "2001:db8::9", "2001:db8::1"),
        peer("good", "127.0.0.2", "127.0.0.3"),
    )
    fault = ours.says(name="gone")["fault"]
    assert fault == "cannot listen on 198.51.100.9 port 3784: Cannot assign requested address"
    assert "2001:db8::9" in ours.says(name="family")["fault"]
    assert ours.says(name="good")["up"]
    assert theirs.says(name="us")["up"]


def test_a_taken_port_costs_its_peer_alone_and_is_tried_again(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.4", PORT))
        theirs.want(peer("us", "127.0.0.3", "127.0.0.2"), peer("us4", "127.0.0.5", "127.0.0.4"))
        ours.want(peer("four", "127.0.0.4", "127.0.0.5"), peer("two", "127.0.0.2", "127.0.0.3"))
        assert "Address already in use" in ours.says(name="four")["fault"]
        assert ours.says(name="two")["up"]
    assert ours.says(name="four")["fault"] == "", "it says that it is over"
    assert ours.says(name="four", up=True)


def test_it_says_that_it_lives(two: tuple[Bfd, Bfd]) -> None:
    ours, _ = two
    assert ours.says(alive=True)
    assert ours.says(alive=True)


def test_it_ends_with_its_input_and_says_farewell(two: tuple[Bfd, Bfd]) -> None:
    ours, theirs = two
    theirs.want(peer("us", "127.0.0.3", "127.0.0.2"))
    ours.want(peer("them", "127.0.0.2", "127.0.0.3"))
    assert theirs.says(name="us")["up"]
    ours.wants.close()
    assert ours.process.wait(5) == 0
    told = theirs.says(name="us", up=False)
    assert told["on_purpose"]
