"""An address from a text, and its host prefix: one object for each, whose hash is computed once.

A turn looks each prefix up some twenty times, and `ipaddress` computes the hash anew each time, in
Python.  To make such an object takes ten times as long as to find it again.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from porter_ryu.domain.model import Address, Network

_KEPT = 1 << 16


class _HostPrefix4(IPv4Network):
    """An IPv4 prefix of 32 bits."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


class _HostPrefix6(IPv6Network):
    """An IPv6 prefix of 128 bits."""

    def __init__(self, octets: bytes) -> None:
        super().__init__(octets)
        self._hash = super().__hash__()

    def __hash__(self) -> int:
        return self._hash


@lru_cache(maxsize=_KEPT)
def host_prefix(address: Address) -> Network:
    """The prefix that holds this address alone; it equals the one that `ipaddress` makes."""
    # by its octets, not by its text: a third of the time
    if isinstance(address, IPv4Address):
        return _HostPrefix4(address.packed)
    return _HostPrefix6(address.packed)


def plain_address(text: str) -> Address:
    """The address that a text spells, in its family: an IPv4-mapped one as IPv4, and one with a
    scope without it.  Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
