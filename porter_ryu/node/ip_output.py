"""What `ip -j` prints, as values.

Whatever else a program of that name prints is an IpError: output that cannot be read never counts
as "there is nothing".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from porter_ryu.domain.model import Address, Network
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces, Link
from porter_ryu.node.process import IpError
from porter_ryu.time_slice import TimeSlice

T = TypeVar("T")
Row = dict[str, Any]

_BITS = {4: 32, 6: 128}
_SHOWN = 60  # characters of what cannot be read


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule from everywhere to one destination, and where it leads."""

    destination: Network
    table: str
    protocol: int | None
    priority: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One way of a route; what is not said is None or empty."""

    device: str
    gateway: Address | None


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """A default route; `kind` is its type (`unicast`, `local`, `blackhole`, …)."""

    kind: str
    protocol: str
    hops: tuple[Hop, ...]


def interfaces(text: str) -> Interfaces:
    """Reads `ip -j address show`; raises IpError."""
    links: list[Link] = []
    addresses: list[InterfaceAddress] = []
    lone_at: dict[int, frozenset[Network]] = {}

    def take(row: Row) -> None:
        altnames = frozenset(str(name) for name in row.get("altnames", ()))
        link = Link(int(row["ifindex"]), str(row["ifname"]), altnames)
        links.append(link)
        found, lone_at[link.index] = _of_link(link, row.get("addr_info", ()))
        addresses.extend(found)

    _each(text, take)
    if not links:
        raise IpError("ip printed what cannot be read: no interface at all, not even lo")
    return Interfaces(tuple(links), tuple(addresses), lone_at)


def rules(text: str, version: int) -> list[Rule]:
    """Reads `ip -N -j -VERSION rule show`: those to a destination from everywhere; raises
    IpError."""
    return [rule for rule in _each(text, lambda row: _rule(row, version)) if rule is not None]


def default_routes(text: str) -> list[DefaultRoute]:
    """Reads the default routes of `ip -j route show …`, in its order; raises IpError."""
    return [route for route in _each(text, _default) if route is not None]


def _of_link(link: Link, rows: list[Row]) -> tuple[list[InterfaceAddress], frozenset[Network]]:
    """The addresses of an interface, and of them the lone ones."""
    found: list[tuple[Address, bool]] = []
    networks: set[Network] = set()
    subnets: set[int] = set()
    give_way = TimeSlice()
    for row in rows:
        give_way()
        if "local" not in row:
            continue
        address, length = ip_address(str(row["local"])), int(row["prefixlen"])
        lone = length == _BITS[address.version] and "address" not in row
        if lone:
            networks.add(ip_network(address))
        if length < _BITS[address.version]:
            subnets.add(address.version)
        found.append((address, lone))
    entries = [
        InterfaceAddress(link.name, address, lone and address.version in subnets, lone, link.index)
        for address, lone in found
    ]
    return entries, frozenset(networks)


def _rule(row: Row, version: int) -> Rule | None:
    destination = row.get("dst", "all")
    if row.get("src") != "all" or destination in ("all", "default"):
        return None
    length = int(row.get("dstlen", _BITS[version]))
    protocol = str(row.get("protocol", ""))
    return Rule(
        ip_network((str(destination), length), strict=False),
        str(row.get("table", "")),
        int(protocol) if protocol.isdecimal() else None,
        int(row["priority"]),
    )


def _default(row: Row) -> DefaultRoute | None:
    if row.get("dst") != "default":
        return None
    hops = tuple(_hop(hop) for hop in row.get("nexthops", [row]))
    return DefaultRoute(str(row.get("type", "unicast")), str(row.get("protocol", "")), hops)


def _hop(row: Row) -> Hop:
    gateway = row.get("gateway") or row.get("via", {}).get("host")
    address = None if gateway is None else ip_address(str(gateway))
    return Hop(str(row.get("dev", "")), address)


def _each(text: str, read: Callable[[Row], T]) -> list[T]:
    """Every entry of a JSON list; `ip` prints `{}` for what it filtered out."""
    give_way, found = TimeSlice(), []
    try:
        # not strict: a name of an interface may contain control characters
        for row in json.loads(text, strict=False):
            give_way()
            if row != {}:
                found.append(read(row))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        shown = repr(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")
        raise IpError(f"ip printed what cannot be read: {shown}: {error}") from error
    return found
