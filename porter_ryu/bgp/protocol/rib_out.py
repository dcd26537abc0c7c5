"""Adj-RIB-Out of one peer: what it should have, less what it was sent.

Pure: the peer asks for the difference and sends it.  The key of a path is its prefix and its
path identifier; its attributes, the next hop among them, are what a difference compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from porter_ryu.bgp.protocol.export import ExportPolicy
from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.bgp.protocol.update import Attributes, Path, announce, withdraw
from porter_ryu.domain.announcement import WITHDRAWN, Announcements, NextHop, PathAttributes
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.nodes.rendezvous import choose

# paths of a prefix by their identifiers; prefixes that lead to the same share one, so it is never
# changed in its place
Paths = Mapping[int | None, Attributes]

_NONE: Paths = {}
_KEPT_MOST = 4096


@dataclass(frozen=True, slots=True)
class Difference:
    """What a peer has to be told."""

    announced: tuple[tuple[Path, Attributes], ...] = ()
    withdrawn: tuple[Path, ...] = ()

    def messages(self, max_length: int) -> Iterator[bytes]:
        """UPDATEs of at most so many octets that tell it.  What is new comes before what goes, so
        that a prefix never has no path in between."""
        by_attributes: dict[Attributes, list[Path]] = {}
        for path, attributes in self.announced:
            by_attributes.setdefault(attributes, []).append(path)
        yield from announce(by_attributes, max_length)
        yield from withdraw(self.withdrawn, max_length)


@dataclass
class AdjRibOut:
    """What one Established peer was sent, by prefix.

    `withheld` are next hops and prefixes that it must not be sent, although they are wanted.
    """

    policy: ExportPolicy
    path_ids: PathIds
    withheld: Set[Address | Network] = frozenset()
    sent: dict[Network, Paths] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Family, 0))
    _exported: dict[tuple[Announcements, int], Paths] = field(default_factory=dict)

    def sync(
        self,
        wanted: Mapping[Network, Announcements],
        prefixes: Iterable[Network],
        again: bool = False,
        most: int = 0,
    ) -> Difference:
        """The difference that brings these prefixes to what is wanted of them, noted as sent.

        `again`: what the peer was sent already is in it once more (route refresh).  No more
        prefixes are looked at once it has `most` paths (0: no limit).
        """
        announced: list[tuple[Path, Attributes]] = []
        withdrawn: list[Path] = []
        for prefix in prefixes:
            before = self.sent.get(prefix, _NONE)
            after = self._paths(prefix, wanted.get(prefix, WITHDRAWN))
            if before == after and not again:
                continue
            for path_id, attributes in after.items():
                if again or before.get(path_id) != attributes:
                    announced.append((Path(prefix, path_id), attributes))
            withdrawn.extend(Path(prefix, path_id) for path_id in before if path_id not in after)
            self._note(prefix, before, after)
            if most and len(announced) + len(withdrawn) >= most:
                break
        return Difference(tuple(announced), tuple(withdrawn))

    def restore(self, paths: Iterable[tuple[Path, Address]]) -> Difference:
        """The difference that announces what an earlier run did, noted as sent; it says what the
        peer's group says, and no more."""
        announced = []
        for path, next_hop in paths:
            written = self._as_negotiated(path, next_hop)
            if written is not None and self._may_say(written, next_hop):
                attributes = self.policy.path_attributes(next_hop)
                before = self.sent.get(path.prefix, _NONE)
                self._note(path.prefix, before, {**before, written.path_id: attributes})
                announced.append((written, attributes))
        return Difference(tuple(announced))

    def stale(self, paths: Iterable[tuple[Path, Address]]) -> Difference:
        """What takes back those of the paths of an earlier session that are not sent in this one:
        announced and withdrawn in one breath, because FRR with soft-reconfiguration ignores the
        withdrawal of a path that it has not heard in this session, and at End-of-RIB purges but
        one stale path of a prefix."""
        announced, withdrawn = [], []
        for path, next_hop in paths:
            written = self._as_negotiated(path, next_hop)
            if written is None or self.has(written):
                continue
            if self._may_say(written, next_hop):
                announced.append((written, self.policy.path_attributes(next_hop)))
            withdrawn.append(written)
        return Difference(tuple(announced), tuple(withdrawn))

    def unsaid(self, paths: Iterable[Path]) -> Difference:
        """What takes back paths of an earlier session whose next hops must not be said again."""
        negotiated = (
            path
            for path in paths
            if path.prefix.version in self.policy.families
            and (path.path_id is not None) == (path.prefix.version in self.policy.add_path)
        )
        return Difference(withdrawn=tuple(path for path in negotiated if not self.has(path)))

    def withdraw_all(self) -> Difference:
        """What takes back everything, noted as done."""
        paths = tuple(Path(prefix, path_id) for prefix, ids in self.sent.items() for path_id in ids)
        self.sent.clear()
        self._counts = dict.fromkeys(Family, 0)
        return Difference(withdrawn=paths)

    def has(self, path: Path) -> bool:
        """Whether a path was sent and is not withdrawn."""
        return path.path_id in self.sent.get(path.prefix, _NONE)

    def next_hops(self, prefix: Network) -> tuple[Address, ...]:
        """The next hops that the peer was sent for a prefix."""
        return tuple(attributes.next_hop for attributes in self.sent.get(prefix, _NONE).values())

    def count(self, family: Family) -> int:
        """Paths of a family in this table."""
        return self._counts[family]

    def _note(self, prefix: Network, before: Paths, after: Paths) -> None:
        self._counts[prefix.version] += len(after) - len(before)
        if after:
            self.sent[prefix] = after
        else:
            self.sent.pop(prefix, None)

    def _as_negotiated(self, path: Path, next_hop: Address) -> Path | None:
        """A path of another session as this one writes it, with an identifier or without; None
        where it does not carry the family."""
        if path.prefix.version not in self.policy.families:
            return None
        if path.prefix.version not in self.policy.add_path:
            return path if path.path_id is None else Path(path.prefix, None)
        return path if path.path_id is not None else Path(path.prefix, self.path_ids.of(next_hop))

    def _may_say(self, path: Path, next_hop: Address) -> bool:
        """Whether this session can carry, and may be told, a path by this next hop."""
        if next_hop in self.withheld or path.prefix in self.withheld:
            return False
        return self.policy.may_carry(next_hop, path.prefix.version)

    def _paths(self, prefix: Network, announcements: Announcements) -> Paths:
        """What the peer should have of a prefix."""
        family = prefix.version
        if not announcements or family not in self.policy.families:
            return _NONE
        limit = self.policy.limit(family)
        if self.withheld or (limit and len(announcements) > limit):
            return self._chosen(prefix, announcements, limit)
        known = self._exported.get((announcements, family))
        if known is None:
            if len(self._exported) >= _KEPT_MOST:
                self._exported.clear()
            known = self._chosen(prefix, announcements, limit)
            self._exported[announcements, family] = known
        return known

    def _chosen(self, prefix: Network, announcements: Announcements, limit: int) -> Paths:
        """At most `limit` of what the peer may get (0: no limit), as it is sent."""
        if self.withheld and prefix in self.withheld:
            return _NONE
        family = prefix.version
        said: dict[NextHop, tuple[Address, PathAttributes]] = {
            announcement.next_hop: (address, announcement.attributes)
            for announcement, address in self.policy.admitted(announcements, family)
            if not self.withheld or address not in self.withheld
        }
        chosen = (said[hop] for hop in choose(prefix, said, limit or len(said)))
        several = family in self.policy.add_path
        return {
            self.path_ids.of(address) if several else None: self.policy.path_attributes(
                address, attributes
            )
            for address, attributes in chosen
        }
