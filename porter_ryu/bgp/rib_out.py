"""Adj-RIB-Out of one peer: what it should have, less what it was sent.

Pure: the session asks for the difference and sends it.  The key of a path is its prefix and its
path identifier, which depends on the next hop alone, so that it is the same after a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv4Address

from porter_ryu.bgp.update import Attributes, Path, announce, withdraw
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Address, Family, Network, NextHop
from porter_ryu.domain.rendezvous import choose

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


@dataclass(frozen=True, slots=True)
class View:
    """How a peer sees the routes: what was negotiated and what its settings say.

    `add_path`: the families with ADD-PATH; `limit` 0: no limit; `local`: the session's own
    address, next hop where this node announces itself.
    """

    families: frozenset[Family]
    add_path: frozenset[Family]
    attributes: Attributes
    selector: LabelSelector
    limit: int
    local: Address


@dataclass
class AdjRibOut:
    """What one Established peer was sent: next hops by path identifier, by prefix."""

    view: View
    path_ids: PathIds
    sent: dict[Network, dict[int | None, Address]] = field(default_factory=dict)

    def sync(
        self, wanted: Mapping[Network, frozenset[NextHop]], prefixes: Iterable[Network]
    ) -> list[bytes]:
        """UPDATEs that bring these prefixes to what is wanted of them, and notes them as sent.

        What is new comes before what goes, so that a prefix never has no path in between.
        """
        new: dict[Address, list[Path]] = {}
        gone: list[Path] = []
        for prefix in prefixes:
            before = self.sent.get(prefix, {})
            after = self._paths(prefix, wanted.get(prefix, _EMPTY))
            if before == after:
                continue
            for path_id, next_hop in after.items():
                if before.get(path_id) != next_hop:
                    new.setdefault(next_hop, []).append(Path(prefix, path_id))
            gone.extend(Path(prefix, path_id) for path_id in before if path_id not in after)
            if after:
                self.sent[prefix] = after
            else:
                del self.sent[prefix]
        return [*announce(new, self.view.attributes), *withdraw(gone)]

    def forget(self, family: Family) -> list[Network]:
        """Takes a family for unsent (route refresh); returns the prefixes to sync again."""
        again = [prefix for prefix in self.sent if prefix.version == family]
        for prefix in again:
            del self.sent[prefix]
        return again

    def count(self, family: Family) -> int:
        """Paths of a family in this table."""
        return sum(len(paths) for prefix, paths in self.sent.items() if prefix.version == family)

    def _paths(self, prefix: Network, hops: frozenset[NextHop]) -> dict[int | None, Address]:
        family = Family(prefix.version)
        if family not in self.view.families or not hops:
            return {}
        requirements = self.view.selector.requirements
        seen = (
            [hop for hop in hops if self.view.selector.matches(dict(hop.labels))]
            if requirements
            else hops
        )
        limit = self.view.limit or len(seen)
        if family not in self.view.add_path:
            limit = 1
        addresses = (self._address(hop, family) for hop in choose(prefix, seen, limit))
        if family not in self.view.add_path:
            only = next(addresses, None)
            return {None: only} if only is not None else {}
        return {self.path_ids.of(a): a for a in addresses if a is not None}

    def _address(self, hop: NextHop, family: Family) -> Address | None:
        if hop.is_self and self.view.local.version == family:
            return self.view.local
        return hop.address
