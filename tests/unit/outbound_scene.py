"""A peer without a socket: a link that records what it is sent, and what a router makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, ip_address
from pathlib import Path as Folder

from porter_ryu.bgp.output.journal import Journals
from porter_ryu.bgp.output.loc_rib import LocRib
from porter_ryu.bgp.output.outbound import Outbound
from porter_ryu.bgp.output.rounds import OutputRounds
from porter_ryu.bgp.output.update_groups import UpdateGroups
from porter_ryu.bgp.protocol import update, wire
from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.notification import Notification
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.rib_out import SentPaths
from porter_ryu.bgp.protocol.wire import MessageType, Refresh
from porter_ryu.domain.announcement import NO_ATTRIBUTES, Announcement, Announcements, NextHop
from porter_ryu.domain.labels import EVERYTHING
from porter_ryu.domain.model import Family, Network
from tests.unit.later import Later

V4 = frozenset([Family.IPV4])
POLICY = ExportPolicy(
    families=V4,
    add_path=V4,
    local_as=65000,
    internal=False,
    four_octet_as=True,
    attributes=NO_ATTRIBUTES,
    selector=EVERYTHING,
    max_next_hops=0,
    local_address=ip_address("192.168.0.200"),
    ipv4_over_ipv6=False,
)
END_OF_RIB = update.end_of_rib(Family.IPV4)
BEGIN = wire.encode_route_refresh(Family.IPV4, Refresh.BEGIN)
END = wire.encode_route_refresh(Family.IPV4, Refresh.END)


class Link:
    """A session that takes everything, or nothing while it is `congested`: from the beginning, or
    after so many sends."""

    def __init__(
        self, graceful: bool = True, enhanced_refresh: bool = True, sends: int | None = None
    ) -> None:
        self.congested = False
        self.congested_after = sends
        self.graceful = graceful
        self.families = V4
        self.max_message_length = wire.MAX_LENGTH
        self.enhanced_refresh = enhanced_refresh
        self.sends: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Takes whole messages."""
        self.sends.append(data)
        if self.congested_after is not None:
            self.congested_after -= 1
            if not self.congested_after:
                self.congested, self.congested_after = True, None

    def take(self) -> list[bytes]:
        """The messages since the last call."""
        buffer = bytearray(b"".join(self.sends))
        self.sends.clear()
        found = [
            wire.message(kind, body) for kind, body in wire.split(buffer, self.max_message_length)
        ]
        assert not buffer
        return found


class Scene:
    """A Loc-RIB and a peer, in a state_dir."""

    def __init__(self, folder: Folder, complete: bool = True) -> None:
        self.later = Later()
        self.rib = LocRib({}, PathIds(), complete=complete)
        self.rounds = OutputRounds(self.later)
        self.groups = UpdateGroups(self.rib, self.rounds, self.later, self.later.clock)
        self._folder = folder
        self._journals = Journals(str(folder), self.later)
        self._peers: list[Outbound] = []
        self.outbound = self.peer("leaf")

    def peer(self, name: str) -> Outbound:
        """What is sent to one more peer.  It is kept, as a Peer keeps it: the groups keep no
        session, so one that nobody has would be gone with the next garbage collection."""
        journal = self._journals.of(name)
        self._peers.append(
            Outbound(
                name, self.rib, self.groups, journal, self.later, self.rounds, self.later.clock
            )
        )
        return self._peers[-1]

    def journalled(self, name: str = "leaf") -> dict[Network, SentPaths]:
        """What the next process reads in the journal of a peer."""
        return dict(Journals(str(self._folder), self.later).of(name).left)

    def complete(self) -> None:
        """As the Speaker does when all routes are set."""
        self.rib.complete = True
        self.groups.complete()
        self.outbound.resume()

    def want(self, routes: dict[Network, Announcements]) -> None:
        """As the Speaker does when these change."""
        self.rib.routes.update(routes)
        for prefix, announcements in routes.items():
            if not announcements:
                del self.rib.routes[prefix]
        self.groups.change(routes)

    def session(self, link: Link, policy: ExportPolicy = POLICY) -> Link:
        """A session comes up, and all is sent that can be."""
        self.outbound.open(link, policy)
        self.later.passes()
        return link

    def resume(self, link: Link) -> None:
        """The peer reads again, all that there is for it."""
        link.congested = False
        self.outbound.resume()
        self.later.passes()

    def lost(self, notification: Notification | None = None) -> None:
        """The session ends, as the peer says."""
        if notification is not None:
            self.outbound.refused(notification)
        self.outbound.close()


def prefix(number: int) -> IPv4Network:
    """One of many."""
    return IPv4Network(0xCB000000 + number)


def hops(*numbers: int) -> Announcements:
    """Paths by the nodes of these numbers."""
    return frozenset(Announcement(NextHop(f"n{n}", ip_address(f"192.168.0.{n}"))) for n in numbers)


def table(count: int, *numbers: int) -> dict[Network, Announcements]:
    """So many routes by these nodes."""
    return dict.fromkeys(map(prefix, range(count)), hops(*numbers))


Held = dict[tuple[str, int], str]


def told(messages: Iterable[bytes], before: Held | None = None) -> Held:
    """What a router has after IPv4 UPDATEs with ADD-PATH: next hops by prefix and path id."""
    held = dict(before or {})
    for message in messages:
        if message[18] != MessageType.UPDATE:
            continue
        body = message[19:]
        gone = int.from_bytes(body[:2], "big")
        for path in nlri(body[2 : 2 + gone]):
            held.pop(path, None)
        rest = body[2 + gone :]
        size = int.from_bytes(rest[:2], "big")
        if size:
            start = rest.index(b"\x40\x03\x04") + 3
            hop = str(ip_address(rest[start : start + 4]))
            held.update(dict.fromkeys(nlri(rest[2 + size :]), hop))
    return held


def nlri(octets: bytes) -> list[tuple[str, int]]:
    """RFC 7911, 3, of /32 alone."""
    assert len(octets) % 9 == 0
    paths = [octets[start : start + 9] for start in range(0, len(octets), 9)]
    return [(str(ip_address(path[5:])), int.from_bytes(path[:4], "big")) for path in paths]


def by_prefix(held: Held) -> dict[str, set[str]]:
    """Next hops by address."""
    found: dict[str, set[str]] = {}
    for (address, _), hop in held.items():
        found.setdefault(address, set()).add(hop)
    return found


def everything(count: int, *numbers: int) -> dict[str, set[str]]:
    """What `table` of the same says, as `by_prefix` writes it."""
    return {
        str(prefix(n).network_address): {f"192.168.0.{k}" for k in numbers} for n in range(count)
    }
