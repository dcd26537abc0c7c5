"""The interfaces of this host and their addresses at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from msgspec import Struct

from porter_ryu.domain.model import Address, Network


class Link(Struct, frozen=True):
    """An interface.  `index` stays when it is renamed; an interface that is created again gets
    another one.  `hardware_address`: six octets, empty if its link has no Ethernet addresses or no
    ARP."""

    index: int
    name: str
    altnames: frozenset[str] = frozenset()
    hardware_address: bytes = b""


class InterfaceAddress(Struct, frozen=True):
    """An address of this host.

    `is_host_prefix`: it is a /32 or /128 without a peer address, as this program binds an EIP.
    `beside_subnet`: it is a host prefix, and its interface also has a subnet of that family.
    """

    device: str
    address: Address
    beside_subnet: bool
    is_host_prefix: bool
    index: int


class Interfaces(Struct, frozen=True):
    """All interfaces with all their addresses; `host_prefixes` are by index of the interface."""

    links: tuple[Link, ...]
    addresses: tuple[InterfaceAddress, ...]
    host_prefixes: Mapping[int, frozenset[Network]]

    def at(self, index: int) -> Link | None:
        """The interface with an index, whatever its name is now."""
        return next((link for link in self.links if link.index == index), None)

    def named(self, name: str) -> Link | None:
        """The interface with a name, else the one with this alternative name."""
        for link in self.links:
            if link.name == name:
                return link
        return next((link for link in self.links if name in link.altnames), None)

    def host_prefixes_on(self, index: int) -> frozenset[Network]:
        """The host prefixes on an interface."""
        return self.host_prefixes.get(index, frozenset())

    def own_addresses(self) -> frozenset[Network]:
        """The addresses with a subnet or a peer address, on any interface: certainly the host's."""
        return frozenset(
            ip_network(entry.address) for entry in self.addresses if not entry.is_host_prefix
        )
