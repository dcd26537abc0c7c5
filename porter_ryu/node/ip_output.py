"""Parses the output of `ip -j`.

Any other output raises IpError: invalid output never counts as an empty list.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

from msgspec import Struct

from porter_ryu.domain.model import Address, Network
from porter_ryu.node.command import IpError
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces, Link
from porter_ryu.time_slice import TimeSlice

T = TypeVar("T")
Row = dict[str, Any]

_BITS = {4: 32, 6: 128}
_EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
_SHOWN_CHARACTERS = 60  # of invalid output, in the error


class Rule(Struct, frozen=True):
    """A policy rule from any source to one destination, and the table that it leads to."""

    destination: Network
    table: str
    protocol: int | None
    priority: int


class Hop(Struct, frozen=True):
    """One next hop of a route; a missing value is None or empty."""

    device: str
    gateway: Address | None


class DefaultRoute(Struct, frozen=True):
    """A default route; `kind` is its type (`unicast`, `local`, `blackhole`, …)."""

    kind: str
    protocol: str
    hops: tuple[Hop, ...]


def interfaces(text: str) -> Interfaces:
    """Parses the output of `ip -j address show`; raises IpError."""
    links: list[Link] = []
    addresses: list[InterfaceAddress] = []
    host_prefixes: dict[int, frozenset[Network]] = {}

    def read_link(row: Row) -> None:
        altnames = frozenset(str(name) for name in row.get("altnames", ()))
        index, name = int(row["ifindex"]), str(row["ifname"])
        link = Link(index, name, altnames, _hardware_address(row))
        links.append(link)
        found, host_prefixes[link.index] = _addresses(link, row.get("addr_info", ()))
        addresses.extend(found)

    _read_rows(text, read_link)
    if not links:
        raise IpError("the output of ip cannot be read: it has no interface, not even lo")
    return Interfaces(tuple(links), tuple(addresses), host_prefixes)


def rules(text: str, version: int) -> list[Rule]:
    """Parses the output of `ip -N -j -VERSION rule show`: the rules from any source to a
    destination.  Raises IpError."""
    return [rule for rule in _read_rows(text, lambda row: _rule(row, version)) if rule is not None]


def default_routes(text: str) -> list[DefaultRoute]:
    """Parses the default routes in the output of `ip -j route show …`, in its order; raises
    IpError."""
    return [route for route in _read_rows(text, _default_route) if route is not None]


def on_link_prefixes(text: str, version: int) -> frozenset[Network]:
    """The destinations in the output of `ip -j -VERSION route show dev …` that need no gateway;
    single addresses, which IPv6 has for each address of the host, are left out.  Raises IpError."""
    found = _read_rows(text, lambda row: _on_link_prefix(row, version))
    return frozenset(prefix for prefix in found if prefix is not None)


def way(text: str) -> Hop:
    """Parses the output of `ip -j route get …`; raises IpError."""
    found = _read_rows(text, _hop)
    if not found:
        raise IpError("the output of ip cannot be read: it has no route")
    return found[0]


def _hardware_address(row: Row) -> bytes:
    if row.get("link_type") != "ether" or "NOARP" in row.get("flags", ()):
        return b""
    return bytes.fromhex(str(row["address"]).replace(":", ""))


def _addresses(link: Link, rows: list[Row]) -> tuple[list[InterfaceAddress], frozenset[Network]]:
    """The addresses of an interface, and the host prefixes among them."""
    found: list[tuple[Address, bool]] = []
    host_prefixes: set[Network] = set()
    subnets: set[int] = set()
    give_way = TimeSlice()
    for row in rows:
        give_way()
        if "local" not in row:
            continue
        address, length = ip_address(str(row["local"])), int(row["prefixlen"])
        is_host_prefix = length == _BITS[address.version] and "address" not in row
        if is_host_prefix:
            host_prefixes.add(ip_network(address))
        if length < _BITS[address.version]:
            subnets.add(address.version)
        found.append((address, is_host_prefix))
    addresses = [
        InterfaceAddress(
            link.name,
            address,
            beside_subnet=is_host_prefix and address.version in subnets,
            is_host_prefix=is_host_prefix,
            index=link.index,
        )
        for address, is_host_prefix in found
    ]
    return addresses, frozenset(host_prefixes)


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


def _default_route(row: Row) -> DefaultRoute | None:
    if row.get("dst") != "default":
        return None
    hops = tuple(_hop(hop) for hop in row.get("nexthops", [row]))
    return DefaultRoute(str(row.get("type", "unicast")), str(row.get("protocol", "")), hops)


def _on_link_prefix(row: Row, version: int) -> Network | None:
    is_unicast = row.get("type", "unicast") == "unicast"
    if not is_unicast or not row.keys().isdisjoint(("gateway", "via", "nexthops")):
        return None
    prefix = ip_network(_EVERYTHING[version] if row["dst"] == "default" else str(row["dst"]))
    return prefix if prefix.prefixlen < prefix.max_prefixlen else None


def _hop(row: Row) -> Hop:
    gateway = row.get("gateway") or row.get("via", {}).get("host")
    address = None if gateway is None else ip_address(str(gateway))
    return Hop(str(row.get("dev", "")), address)


def _read_rows(text: str, read: Callable[[Row], T]) -> list[T]:
    """Reads each entry of a JSON list, except `{}`, which `ip` prints for filtered entries."""
    give_way, values = TimeSlice(), []
    try:
        # not strict: the name of an interface may contain control characters
        for row in json.loads(text, strict=False):
            give_way()
            if row != {}:
                values.append(read(row))
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        shown = repr(text[:_SHOWN_CHARACTERS])
        if len(text) > _SHOWN_CHARACTERS:
            shown += "…"
        raise IpError(f"the output of ip cannot be read: {shown}: {error}") from error
    return values
