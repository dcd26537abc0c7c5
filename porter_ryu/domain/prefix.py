"""An address from a text, and its host prefix: one small object for each, whose hash is computed
once.

A turn looks each prefix up some twenty times, and `ipaddress` computes the hash anew each time, in
Python.  To make such an object takes ten times as long as to find it again, and one of `ipaddress`
takes 0.6 kB: its own method `hosts`, with all that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from porter_ryu.domain.model import Address, Network

_KEPT = 1 << 16
_MASK4, _MASK6 = (1 << 32) - 1, (1 << 128) - 1


class _HostPrefix4(IPv4Network):
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

    def __hash__(self) -> int:
        return self._hash

    @property
    def broadcast_address(self) -> IPv4Address:
        """The only address."""
        return self.network_address

    def hosts(self) -> Iterator[IPv4Address]:
        """The only address."""
        return iter((self.network_address,))


class _HostPrefix6(IPv6Network):
    """An IPv6 prefix of 128 bits."""

    __slots__ = ("_hash", "network_address")
    netmask = IPv6Address(_MASK6)
    hostmask = IPv6Address(0)
    _prefixlen = 128

    def __new__(cls, address: object) -> IPv6Network:  # type: ignore[misc]
        """Such a prefix of an address; of anything else what `ipaddress` makes of it, which makes
        `supernet` and its like so."""
        return super().__new__(cls) if isinstance(address, IPv6Address) else IPv6Network(address)

    def __init__(self, address: IPv6Address) -> None:
        self.network_address = address
        self._hash = hash(int(address) ^ _MASK6)

    def __hash__(self) -> int:
        return self._hash

    @property
    def broadcast_address(self) -> IPv6Address:
        """The only address."""
        return self.network_address

    def hosts(self) -> Iterator[IPv6Address]:
        """The only address."""
        return iter((self.network_address,))


# by the number of the address, which it has anyway: hashed without a call of Python
_known4: dict[int, IPv4Network] = {}
_known6: dict[int, IPv6Network] = {}


def host_prefix(address: Address) -> Network:
    """The prefix that holds this address alone; it equals the one that `ipaddress` makes.  The
    address must have no scope."""
    number = int(address)
    if isinstance(address, IPv4Address):
        prefix4 = _known4.get(number)
        if prefix4 is None:
            if len(_known4) >= _KEPT:
                _known4.clear()
            prefix4 = _known4[number] = _HostPrefix4(address)
        return prefix4
    prefix6 = _known6.get(number)
    if prefix6 is None:
        if len(_known6) >= _KEPT:
            _known6.clear()
        prefix6 = _known6[number] = _HostPrefix6(address)
    return prefix6


def plain_address(text: str) -> Address:
    """The address that a text spells, in its family: an IPv4-mapped one as IPv4, and one with a
    scope without it.  Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
