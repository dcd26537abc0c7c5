"""The interfaces of this host and their addresses, as they were at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from porter_ryu.domain.model import Address, Network


@dataclass(frozen=True, slots=True)
class Link:
    """An interface.  `index` stays when it is renamed; one that is made anew gets another."""

    index: int
    name: str
    altnames: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of this host.

    `lone`: a host route (/32, /128) without a peer, which is the form in which we bind.  `extra`:
    a lone one on an interface that has a subnet of that family as well.
    """

    device: str
    address: Address
    extra: bool
    lone: bool
    index: int


@dataclass(frozen=True, slots=True)
class Interfaces:
    """All of them with all their addresses; `lone_at` has the lone ones by index."""

    links: tuple[Link, ...]
    addresses: tuple[InterfaceAddress, ...]
    lone_at: Mapping[int, frozenset[Network]]

    def at(self, index: int) -> Link | None:
        """The interface with an index, whatever its name is now."""
        return next((link for link in self.links if link.index == index), None)

    def named(self, name: str) -> Link | None:
        """The interface with a name, else that with it as an alternative name."""
        for link in self.links:
            if link.name == name:
                return link
        return next((link for link in self.links if name in link.altnames), None)

    def lone(self, index: int) -> frozenset[Network]:
        """The lone addresses on an interface."""
        return self.lone_at.get(index, frozenset())

    def own(self) -> frozenset[Network]:
        """What is certainly this host's: addresses with a subnet or a peer, on any interface."""
        return frozenset(ip_network(entry.address) for entry in self.addresses if not entry.lone)
