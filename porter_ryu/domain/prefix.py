"""An address from a text, and its host prefix: one small object for each, whose hash is computed
once.

A turn looks each prefix up some twenty times, and `ipaddress` computes the hash anew each time, in
Python.  To make such an object takes ten times as long as to find it again, and one of `ipaddress`
takes 0.6 kB: its own method `hosts`, with all that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from porter_ryu.domain.model import Address, Network


_KEPT = 1 << 16
_MASK4, _MASK6 = (1 << 32) - 1, (1 << 128) - 1


_A = TypeVar("_A", IPv4Address, IPv6Address)


class _OneAddress(Generic[_A]):
    """What the prefixes of one address have in common."""

    __slots__ = ()
    network_address: _A
    _hash: int

    def __hash__(self) -> int:
        return self._hash

    @property
    def broadcast_address(self) -> _A:
        """The only address."""
        return self.network_address

    def hosts(self) -> Iterator[_A]:
        """The only address."""
        return iter((self.network_address,))


class _HostPrefix4(_OneAddress[IPv4Address], IPv4Network):
    """An IPv4 prefix of 32 bits.  What all have in common belongs to the class."""

    __slots__ = ("_hash", "network_address")
    netmask = IPv4Address(_MASK4)
    hostmask = IPv4Address(0)
    _prefixlen = 32

    def __new__(cls, address: object) -> IPv4Network:  # type: ignore[misc]
        """Such a prefix of an address; of anything else what `ipaddress` makes of it, which makes
        `supernet` and its like so."""
        return super().__new__(cls) if isinstance(address, IPv4Address) else IPv4Network(address)

    def __init__(self, address: IPv4Address) -> None:
        # not that of ipaddress, which would make everything again
        self.network_address = address
        self._hash = hash(int(address) ^ _MASK4)


class _HostPrefix6(_OneAddress[IPv6Address], IPv6Network):
    """An IPv6 prefix of 128 bits."""

    __slots__ = ("_hash", "network_address")
    netmask = IPv6Address(_MASK6)
    hostmask = IPv6Address(0)
    _prefixlen = 128

    def __new__(cls, address: object) -> IPv6Network:  # type: ignore[misc]
        """As for IPv4."""
        return super().__new__(cls) if isinstance(address, IPv6Address) else IPv6Network(address)

    def __init__(self, address: IPv6Address) -> None:
        self.network_address = address
        self._hash = hash(int(address) ^ _MASK6)


# by the number of the address, which it has anyway: hashed without a call of Python
_known4: dict[int, Network] = {}
_known6: dict[int, Network] = {}


def host_prefix(address: Address) -> Network:
    """The prefix that holds this address alone; it equals the one that `ipaddress` makes.  The
    address must have no scope."""
    number = int(address)
    known = _known4 if isinstance(address, IPv4Address) else _known6
    prefix = known.get(number)
    if prefix is None:
        if len(known) >= _KEPT:
            known.clear()
        prefix = (
            _HostPrefix4(address) if isinstance(address, IPv4Address) else _HostPrefix6(address)
        )
        known[number] = prefix
    return prefix


def plain_address(text: str) -> Address:
    """The address that a text spells, in its family: an IPv4-mapped one as IPv4, and one with a
    scope without it.  Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
