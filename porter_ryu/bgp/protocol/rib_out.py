"""Adj-RIB-Out of one peer: what it should have, less what it was sent.

Pure: the peer asks for the difference and sends it.  The key of a path is its prefix and its
path identifier, which depends on the next hop alone, so that it is the same after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Address

from porter_ryu.bgp.protocol.update import Attributes, Path, announce, withdraw
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Address, Family, Network, NextHop
from porter_ryu.domain.nodes.rendezvous import choose

_EMPTY: frozenset[NextHop] = frozenset()


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
        if not isinstance(next_hop, IPv4Address) and next_hop not in self._of:
            self._of[next_hop] = identifier
            self._taken.setdefault(identifier, next_hop)


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
    """What one Established peer was sent: next hops by path identifier, by prefix."""

    view: View
    path_ids: PathIds
    sent: dict[Network, dict[int | None, Address]] = field(default_factory=dict)
    _again: set[Network] = field(default_factory=set)

    def sync(
        self, wanted: Mapping[Network, frozenset[NextHop]], prefixes: Iterable[Network]
    ) -> Difference:
        """The difference that brings these prefixes to what is wanted of them, noted as sent."""
        announced: list[tuple[Path, Address]] = []
        withdrawn: list[Path] = []
        for prefix in prefixes:
            before = self.sent.get(prefix, {})
            after = self._paths(prefix, wanted.get(prefix, _EMPTY))
            again = prefix in self._again
            if before == after and not again:
                continue
            self._again.discard(prefix)
            for path_id, next_hop in after.items():
                if again or before.get(path_id) != next_hop:
                    announced.append((Path(prefix, path_id), next_hop))
            withdrawn.extend(Path(prefix, path_id) for path_id in before if path_id not in after)
            if after:
                self.sent[prefix] = after
            else:
                del self.sent[prefix]
        return Difference(tuple(announced), tuple(withdrawn))

    def again(self, family: Family) -> list[Network]:
        """Marks a family to be sent once more (route refresh); returns its prefixes."""
        prefixes = [prefix for prefix in self.sent if prefix.version == family]
        self._again.update(prefixes)
        return prefixes

    def restore(self, paths: Mapping[Path, Address]) -> Difference:
        """The difference that announces what an earlier run did, noted as sent."""
        announced = []
        for path, next_hop in self._as_negotiated(paths):
            self.sent.setdefault(path.prefix, {})[path.path_id] = next_hop
            announced.append((path, next_hop))
        return Difference(tuple(announced))

    def stale(self, paths: Mapping[Path, Address]) -> list[tuple[Path, Address]]:
        """Those of the paths of an earlier session that are not sent in this one."""
        return [
            (path, next_hop)
            for path, next_hop in self._as_negotiated(paths)
            if path.path_id not in self.sent.get(path.prefix, {})
        ]

    def has(self, path: Path) -> bool:
        """Whether a path was sent and is not withdrawn."""
        return path.path_id in self.sent.get(path.prefix, {})

    def count(self, family: Family) -> int:
        """Paths of a family in this table."""
        return sum(len(paths) for prefix, paths in self.sent.items() if prefix.version == family)

    def _as_negotiated(self, paths: Mapping[Path, Address]) -> Iterator[tuple[Path, Address]]:
        """Paths of another session as this one writes them: with an identifier or without."""
        for path, next_hop in paths.items():
            family = Family(path.prefix.version)
            if family not in self.view.families:
                continue
            several = family in self.view.add_path
            yield Path(path.prefix, self.path_ids.of(next_hop) if several else None), next_hop

    def _paths(self, prefix: Network, hops: frozenset[NextHop]) -> dict[int | None, Address]:
        family = Family(prefix.version)
        if family not in self.view.families or not hops:
            return {}
        everywhere = not self.view.selector.requirements
        usable = [
            hop
            for hop in hops
            if self._address(hop, family) is not None
            and (everywhere or self.view.selector.matches(dict(hop.labels)))
        ]
        several = family in self.view.add_path
        limit = (self.view.limit or len(usable)) if several else 1
        chosen = (self._address(hop, family) for hop in choose(prefix, usable, limit))
        return {self.path_ids.of(a) if several else None: a for a in chosen if a is not None}

    def _address(self, hop: NextHop, family: Family) -> Address | None:
        local = self.view.local
        either = family is Family.IPV4 and self.view.ipv4_over_ipv6
        if hop.is_self and (local.version == family or either):
            return local
        if hop.address is None and either:
            return hop.ipv6
        return hop.address
