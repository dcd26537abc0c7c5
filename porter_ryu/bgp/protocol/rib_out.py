"""Adj-RIB-Out of one peer: what it should have, less what it was sent.

Pure: the peer asks for the difference and sends it.  The key of a path is its prefix and its
path identifier, which depends on the next hop alone, so that it is the same after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Address

from porter_ryu.bgp.protocol.update import Attributes, Path, announce, withdraw
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Address, Family, Network, NextHop
from porter_ryu.domain.nodes.rendezvous import choose

_EMPTY: frozenset[NextHop] = frozenset()
_NONE: dict[int | None, Address] = {}


class PathIds:
    """Path identifiers (RFC 7911, 3): of an IPv4 next hop its number, of an IPv6 one a hash.

    Two IPv6 next hops with one hash are told apart by counting on from it.
    """

    def __init__(self) -> None:
        self._of: dict[Address, int] = {}
        self._taken: dict[int, Address] = {}

    def of(self, next_hop: Address) -> int:
        """The identifier of paths by this next hop, in 32 bits."""
        if isinstance(next_hop, IPv4Address):
            return int(next_hop)
        known = self._of.get(next_hop)
        if known is None:
            known = int.from_bytes(blake2b(next_hop.packed, digest_size=4).digest(), "big")
            while self._taken.setdefault(known, next_hop) != next_hop:
                known = (known + 1) & 0xFFFFFFFF
            self._of[next_hop] = known
        return known

    def restore(self, next_hop: Address, identifier: int) -> None:
        """Takes an identifier that an earlier run used, for the rare hash that collides."""
        if isinstance(next_hop, IPv4Address) or next_hop in self._of:
            return
        if self._taken.setdefault(identifier, next_hop) == next_hop:
            self._of[next_hop] = identifier


@dataclass(frozen=True, slots=True)
class View:
    """How a peer sees the routes: what was negotiated and what its settings say.

    `add_path`: the families with ADD-PATH; `limit` 0: no limit; `local`: the session's own
    address, next hop where this node announces itself; `ipv4_over_ipv6`: IPv4 routes may have
    IPv6 next hops (RFC 8950); `longest`: of a message, in octets.
    """

    families: frozenset[Family]
    add_path: frozenset[Family]
    attributes: Attributes
    selector: LabelSelector
    limit: int
    local: Address
    ipv4_over_ipv6: bool
    longest: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What a peer has to be told."""

    announced: tuple[tuple[Path, Address], ...] = ()
    withdrawn: tuple[Path, ...] = ()

    def messages(self, view: View) -> Iterator[bytes]:
        """UPDATEs that tell it.  What is new comes before what goes, so that a prefix never has
        no path in between."""
        by_next_hop: dict[Address, list[Path]] = {}
        for path, next_hop in self.announced:
            by_next_hop.setdefault(next_hop, []).append(path)
        yield from announce(by_next_hop, view.attributes, view.longest)
        yield from withdraw(self.withdrawn, view.longest)


@dataclass
class AdjRibOut:
    """What one Established peer was sent: next hops by path identifier, by prefix.

    `withheld` are next hops and prefixes that it must not be sent, although they are wanted.
    """

    view: View
    path_ids: PathIds
    withheld: Set[Address | Network] = frozenset()
    sent: dict[Network, dict[int | None, Address]] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=lambda: dict.fromkeys(Family, 0))

    def sync(
        self,
        wanted: Mapping[Network, frozenset[NextHop]],
        prefixes: Iterable[Network],
        again: bool = False,
        most: int = 0,
    ) -> Difference:
        """The difference that brings these prefixes to what is wanted of them, noted as sent.

        `again`: what the peer was sent already is in it once more (route refresh).  No more
        prefixes are taken once it has `most` paths (0: no limit).
        """
        announced: list[tuple[Path, Address]] = []
        withdrawn: list[Path] = []
        for prefix in prefixes:
            before = self.sent.get(prefix, _NONE)
            after = self._paths(prefix, wanted.get(prefix, _EMPTY))
            if before == after and not again:
                continue
            for path_id, next_hop in after.items():
                if again or before.get(path_id) != next_hop:
                    announced.append((Path(prefix, path_id), next_hop))
            withdrawn.extend(Path(prefix, path_id) for path_id in before if path_id not in after)
            self._note(prefix, before, after)
            if most and len(announced) + len(withdrawn) >= most:
                break
        return Difference(tuple(announced), tuple(withdrawn))

    def restore(self, paths: Iterable[tuple[Path, Address]]) -> Difference:
        """The difference that announces what an earlier run did, noted as sent."""
        announced = []
        for path, next_hop in paths:
            written = self._as_negotiated(path, next_hop)
            if written is not None and self._may_say(written, next_hop):
                before = self.sent.get(path.prefix, _NONE)
                self._note(path.prefix, before, {**before, written.path_id: next_hop})
                announced.append((written, next_hop))
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
                announced.append((written, next_hop))
            withdrawn.append(written)
        return Difference(tuple(announced), tuple(withdrawn))

    def unsaid(self, paths: Iterable[Path]) -> Difference:
        """What takes back paths of an earlier session whose next hops must not be said again."""
        negotiated = (
            path
            for path in paths
            if path.prefix.version in self.view.families
            and (path.path_id is not None) == (path.prefix.version in self.view.add_path)
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

    def count(self, family: Family) -> int:
        """Paths of a family in this table."""
        return self._counts[family]

    def _note(
        self,
        prefix: Network,
        before: Mapping[int | None, Address],
        after: dict[int | None, Address],
    ) -> None:
        self._counts[prefix.version] += len(after) - len(before)
        if after:
            self.sent[prefix] = after
        else:
            self.sent.pop(prefix, None)

    def _as_negotiated(self, path: Path, next_hop: Address) -> Path | None:
        """A path of another session as this one writes it, with an identifier or without; None
        where it does not carry the family."""
        if path.prefix.version not in self.view.families:
            return None
        if path.prefix.version not in self.view.add_path:
            return path if path.path_id is None else Path(path.prefix, None)
        return path if path.path_id is not None else Path(path.prefix, self.path_ids.of(next_hop))

    def _may_say(self, path: Path, next_hop: Address) -> bool:
        """Whether this session can carry, and may be told, a path by this next hop."""
        if next_hop in self.withheld or path.prefix in self.withheld:
            return False
        return next_hop.version == path.prefix.version or self.view.ipv4_over_ipv6

    def _paths(self, prefix: Network, hops: frozenset[NextHop]) -> dict[int | None, Address]:
        family = prefix.version
        if not hops or family not in self.view.families:
            return {}
        if self.withheld and prefix in self.withheld:
            return {}
        several = family in self.view.add_path
        usable = [hop for hop in hops if self._is_usable(hop, family)]
        limit = (self.view.limit or len(usable)) if several else 1
        chosen = (self._address(hop, family) for hop in choose(prefix, usable, limit))
        return {self.path_ids.of(a) if several else None: a for a in chosen if a is not None}

    def _is_usable(self, hop: NextHop, family: int) -> bool:
        address = self._address(hop, family)
        if address is None or (self.withheld and address in self.withheld):
            return False
        selector = self.view.selector
        return not selector.requirements or selector.matches(dict(hop.labels))

    def _address(self, hop: NextHop, family: int) -> Address | None:
        local = self.view.local
        either = family == Family.IPV4 and self.view.ipv4_over_ipv6
        if hop.is_self and (local.version == family or either):
            return local
        if hop.address is None and either:
            return hop.ipv6
        return hop.address
