"""Raw BGP sessions that only read, and note the moment at which each UPDATE came."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.plan import OBSERVER_AS
from fabric import FabricError, Host
from fabric.raw_peer import HEADER_OCTETS, KEEPALIVE, UPDATE, RawPeer, announces, message

HOLD_TIME = 600  # no session ends while nobody reads it
_PATIENCE = 30.0
_NLRI = 9  # octets of a /32 with its path identifier


class Seen(NamedTuple):
    """An UPDATE: when it came (monotonic), in which session, and its body."""

    at: float
    session: int
    body: bytes


class Observer:
    """Sessions from addresses of one host to whoever listens at `to`; `messages` and `octets` are
    those of all UPDATEs so far."""

    def __init__(self, host: Host, sources: Sequence[str], to: str) -> None:
        self._selector = selectors.DefaultSelector()
        self._peers = [session(host, to, source, OBSERVER_AS) for source in sources]
        self._paths = [0] * len(sources)
        self._early: list[Seen] = []
        self.messages = self.octets = 0
        for number, peer in enumerate(self._peers):
            self._early += self._updates_in(number, peer.complete(), time.monotonic())
            self._selector.register(peer.sock, selectors.EVENT_READ, number)

    def updates(self, seconds: float) -> Iterator[Seen]:
        """Every UPDATE that comes within so many seconds."""
        early, self._early = self._early, []
        yield from early
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                now = time.monotonic()
                number: int = key.data
                yield from self._updates_in(number, self._peers[number].receive(), now)

    def paths(self, wanted: int, seconds: float) -> float:
        """The moment at which every session had so many paths; raises FabricError after
        `seconds`."""
        if self._all_have(wanted):
            self._early.clear()
            return time.monotonic()
        for seen in self.updates(seconds):
            if self._all_have(wanted):
                return seen.at
        raise FabricError(f"sessions with {wanted} paths: {self._paths} after {seconds} s")

    def ask_again(self) -> None:
        """Has every session ask for a refresh of IPv4 (RFC 2918)."""
        for peer in self._peers:
            peer.send(message(5, bytes.fromhex("00010001")))

    def close(self) -> None:
        """Ends the sessions."""
        self._selector.close()
        for peer in self._peers:
            peer.close()

    def _all_have(self, wanted: int) -> bool:
        return all(paths == wanted for paths in self._paths)

    def _updates_in(
        self, number: int, messages: Sequence[tuple[int, bytes]], now: float
    ) -> list[Seen]:
        updates = []
        for kind, body in messages:
            if kind == KEEPALIVE:
                self._peers[number].send(message(KEEPALIVE))
            elif kind == UPDATE:
                self._paths[number] += announces(body)[1] - withdraws(body)
                self.messages += 1
                self.octets += HEADER_OCTETS + len(body)
                updates.append(Seen(now, number, body))
        return updates


def withdraws(body: bytes) -> int:
    """How many paths an UPDATE withdraws, with ADD-PATH and /32 alone."""
    return int.from_bytes(body[:2], "big") // _NLRI


def prefixes_of(body: bytes) -> Iterator[tuple[int, bool]]:
    """The prefixes in an UPDATE by their number, and whether a path of each is announced."""
    withdrawn = int.from_bytes(body[:2], "big")
    attributes = int.from_bytes(body[2 + withdrawn : 4 + withdrawn], "big")
    for start, end, is_announced in (
        (2, 2 + withdrawn, False),
        (4 + withdrawn + attributes, len(body), True),
    ):
        for at in range(start, end, _NLRI):
            yield int.from_bytes(body[at + 5 : at + _NLRI], "big"), is_announced


def session(host: Host, to: str, source: str, asn: int, add_path: int = 1) -> RawPeer:
    """A raw session; whoever listens there may still be starting."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            peer = RawPeer(host, to, source=source)
            return peer.establish(
                asn=asn, identifier=source, hold_time=HOLD_TIME, add_path=add_path
            )
        except (OSError, AssertionError) as error:
            if time.monotonic() > deadline:
                raise FabricError(f"no session from {source} to {to}: {error}") from error
            time.sleep(0.05)
