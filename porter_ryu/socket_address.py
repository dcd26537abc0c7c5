"""An address as a socket names it, made one that can be compared."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from porter_ryu.domain.model import Address


def canonical(text: str) -> Address:
    """The address of one end of a connection: without zone, and IPv4 that came in over an IPv6
    socket as IPv4.  Raises ValueError for what is no address."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
