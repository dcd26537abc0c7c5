"""Path identifiers (RFC 7911, 3): a function of the next hop alone, so that they are the same after
a restart and on every instance."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import IPv4Address

from porter_ryu.domain.model import Address

_LARGEST = 0xFFFFFFFF


class PathIds:
    """Of an IPv4 next hop its number, of an IPv6 one a hash.

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
                known = (known + 1) & _LARGEST
            self._of[next_hop] = known
        return known

    def restore(self, next_hop: Address, identifier: int) -> None:
        """Keeps an identifier that an earlier run used, for the rare hash that collides."""
        if isinstance(next_hop, IPv4Address) or next_hop in self._of:
            return
        if self._taken.setdefault(identifier, next_hop) == next_hop:
            self._of[next_hop] = identifier
