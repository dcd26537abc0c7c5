"""Sets of next hops with weights, and what an address wants of them."""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from ipaddress import IPv4Address
from math import gcd

from msgspec import Struct

from porter_ryu.domain.announcement import Announcement, Announcements, Route, in_use
from porter_ryu.domain.model import Address, Network, Port
from porter_ryu.domain.nodes.rendezvous import choose

_IPV6_NUMBERS = 0xF0000000  # no IPv4 address of a node is that high


class HopSet(Struct, frozen=True):
    """Next hops with their weights, in order of address."""

    hops: tuple[tuple[Address, int], ...]


class Wanted(Struct, frozen=True):
    """What is wanted for an address: its pool, the next hops of the address (None: only some ports
    have next hops) and of single ports.  `members` are all its nodes, also those that are drained:
    connections may still go there."""

    pool: str
    hops: HopSet | None
    ports: tuple[tuple[Port, HopSet], ...] = ()
    members: frozenset[Address] = frozenset()


def wanted(prefix: Network, route: Route, pool: str, max_next_hops: int) -> Wanted | None:
    """What the route of an address wants; None: it is not forwarded."""
    hops = hop_set(prefix, route.paths, max_next_hops)
    ports = tuple(
        (port, found)
        for port, paths in route.ports
        if (found := hop_set(prefix, paths, max_next_hops)) is not None
    )
    if hops is None and not ports:
        return None
    all_paths = [*route.paths, *(path for _, paths in route.ports for path in paths)]
    members = frozenset(a for path in all_paths if (a := _address(path)) is not None)
    return Wanted(pool, hops, ports, members)


def hop_set(prefix: Network, paths: Announcements, max_next_hops: int) -> HopSet | None:
    """The next hops of these paths; None if there are none.

    A drained node gets no new connection: it leaves at once, not only when its drain is over.
    """
    with_address = [path for path in paths if _address(path) is not None]
    used = [path for path in with_address if path.drain is None] or in_use(with_address)
    used = [path for path in used if not path.elsewhere]
    if max_next_hops and len(used) > max_next_hops:
        chosen = set(choose(prefix, [path.next_hop for path in used], max_next_hops))
        used = [path for path in used if path.next_hop in chosen]
    weights = {_address(path): path.attributes.bandwidth or 1 for path in used}
    found = [(address, weight) for address, weight in weights.items() if address is not None]
    if not found:
        return None
    unit = gcd(*(weight for _, weight in found))
    ordered = sorted(found, key=lambda hop: (hop[0].version, int(hop[0])))
    return HopSet(tuple((address, weight // unit) for address, weight in ordered))


def _address(path: Announcement) -> Address | None:
    """The address by which a node is reached; None if it has none."""
    return path.next_hop.address or path.next_hop.ipv6


class NextHopNumbers:
    """The number of each next hop, of 32 bits: an IPv4 address itself, or a hash of an IPv6 one.

    The same address has the same number after a restart, unless two hashes are equal.
    """

    def __init__(self) -> None:
        self._numbers: dict[Address, int] = {}
        self._taken: dict[int, Address] = {}

    def of(self, address: Address) -> int:
        """The number of a next hop."""
        if isinstance(address, IPv4Address):
            return int(address)
        known = self._numbers.get(address)
        if known is None:
            known = _IPV6_NUMBERS | number_of_text(str(address)) >> 4
            while known in self._taken:
                known = _IPV6_NUMBERS | (known + 1) & ~_IPV6_NUMBERS & 0xFFFFFFFF
            self._numbers[address] = known
            self._taken[known] = address
        return known

    def keep(self, addresses: Collection[Address]) -> None:
        """Forgets the numbers of all other next hops."""
        for address in self._numbers.keys() - set(addresses):
            del self._taken[self._numbers.pop(address)]


def number_of_text(text: str) -> int:
    """A number of 32 bits for a text; not 0."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") or 1
