"""The commands of iproute2's `ip` that this program uses; it asks the kernel in no other way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address

from msgspec import Struct

from porter_ryu.domain.model import Address, Network
from porter_ryu.node import ip_output
from porter_ryu.node.command import CommandRunner, IpError, RefusedError, Runner
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces

__all__ = ["DefaultRoutes", "InterfaceAddress", "Interfaces", "IpError", "IpRoute", "Place"]

_BATCH_LINES = 1000  # as many as one process completes well within its timeout
_FAILED_LINE = re.compile(r"Command failed -:(\d+)")
_NO_TABLE = "FIB table does not exist"  # the kernel's error for a table that never had a route
_IPV4 = IPv4Address(0).version
RULE_PRIORITY = 10100  # before the main table (32766), after the local one (0)
ROUTE_PROTOCOL = 201  # marks our rules and routes


class Place(Struct, frozen=True, order=True):
    """How and where addresses are bound: in mode `address` on an interface, in mode `rule` or
    `blackhole` by a rule that leads to a table.

    `where` is the name of the interface or table.  `index` is that of the interface, which stays
    when it is renamed; 0 if it is not known, and for a table.
    """

    mode: str
    where: str
    index: int = 0

    def is_same_as(self, other: Place | None) -> bool:
        """Whether both are one place, although its interface may have been renamed."""
        if other is None or self.mode != other.mode:
            return False
        return self.index == other.index and (self.index != 0 or self.where == other.where)

    def add_line(self, network: Network) -> str:
        """The line for `ip -batch` that binds an address."""
        if self.mode != "address":
            return f"rule add {self._rule(network)} protocol {ROUTE_PROTOCOL}"
        # preferred_lft 0: never chosen as a source address by itself (RFC 6724, rule 3)
        options = "" if network.version == _IPV4 else " nodad preferred_lft 0"
        return f"address add {network} dev {self.where}{options}"

    def remove_line(self, network: Network) -> str:
        """The line for `ip -batch` that unbinds an address."""
        if self.mode != "address":
            return f"rule del {self._rule(network)} protocol {ROUTE_PROTOCOL}"
        return f"address del {network} dev {self.where}"

    def _rule(self, network: Network) -> str:
        return f"to {network} lookup {self.where} pref {RULE_PRIORITY}"


class DefaultRoutes(Struct, frozen=True):
    """Where the default routes lead.

    `interfaces`: those of the best IPv4 default route, else of the best IPv6 one: several if it is
    multipath, none if there is no default route.  `gateways`: of all of them, also of multipath
    ones and of IPv4 `via inet6` (RFC 5549).
    """

    interfaces: tuple[str, ...] = ()
    gateways: frozenset[Address] = frozenset()

    @property
    def interface(self) -> str | None:
        """The first of the interfaces, None if there is none."""
        return next(iter(self.interfaces), None)


class IpRoute:
    """Runs `ip`.  `program` is the start of each command line (for example `ip -n NAMESPACE`)."""

    def __init__(self, execute: Runner | None = None, program: Sequence[str] = ("ip",)) -> None:
        self._execute: Runner = execute if execute is not None else CommandRunner()
        self._program = tuple(program)

    def interfaces(self) -> Interfaces:
        """All interfaces with their addresses; raises IpError."""
        return ip_output.interfaces(self._query("address", "show"))

    def interface_addresses(self) -> list[InterfaceAddress]:
        """All addresses of this host with their interfaces; raises IpError."""
        return list(self.interfaces().addresses)

    def host_addresses(self) -> frozenset[Address]:
        """All addresses of this host; raises IpError."""
        return frozenset(entry.address for entry in self.interfaces().addresses)

    def rules(self, table: str, ours_only: bool = False) -> frozenset[Network]:
        """The destinations of the rules that lead to a table; raises IpError.

        `ours_only`: only of rules with our protocol and priority.
        """
        found: set[Network] = set()
        for version in (4, 6):
            for rule in ip_output.rules(self._query("-N", f"-{version}", "rule", "show"), version):
                is_ours = (rule.protocol, rule.priority) == (ROUTE_PROTOCOL, RULE_PRIORITY)
                if rule.table == table and (is_ours or not ours_only):
                    found.add(rule.destination)
        return frozenset(found)

    def batch(
        self, lines: Iterable[str], version: int, beat: Callable[[], None] = lambda: None
    ) -> None:
        """Runs lines of one IP version with `ip -batch`; calls `beat` before each process.

        A line that is refused does not stop the others.  Raises IpError: the first refusal, with
        its line, or at once if `ip` itself cannot be run.
        """
        every = list(lines)
        first_error: IpError | None = None
        for start in range(0, len(every), _BATCH_LINES):
            some = every[start : start + _BATCH_LINES]
            argv = (*self._program, f"-{version}", "-force", "-batch", "-")
            beat()
            try:
                self._execute(argv, "\n".join(some) + "\n")
            except RefusedError as error:
                first_error = first_error or _with_line(error, some)
        if first_error is not None:
            raise first_error

    def default_routes_in(self, table: str, version: int) -> list[tuple[str, bool]]:
        """For each default route in a table: its type (`local`, `blackhole`, `unicast`, …) and
        whether it has our protocol.  Raises IpError."""
        try:
            output = self._query(f"-{version}", "route", "show", "table", table)
        except RefusedError as error:
            if _NO_TABLE in str(error):
                return []
            raise
        ours = str(ROUTE_PROTOCOL)
        return [(route.kind, route.protocol == ours) for route in ip_output.default_routes(output)]

    def add_default_route(self, mode: str, table: str, version: int) -> None:
        """Adds the default route of a mode to a table; raises IpError."""
        line = f"route add {_route(mode)} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def remove_default_route(self, mode: str, table: str, version: int) -> None:
        """Removes the default route of a mode from a table; raises IpError."""
        line = f"route del {_route(mode)} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def default_routes(self) -> DefaultRoutes:
        """The unicast default routes of the main table.  The kernel sorts them by metric.  Raises
        IpError."""
        found = [
            route
            for version in (4, 6)
            for route in ip_output.default_routes(
                self._query(f"-{version}", "route", "show", "default")
            )
            if route.kind == "unicast"
        ]
        devices = ([hop.device for hop in route.hops if hop.device] for route in found)
        gateways = (hop.gateway for route in found for hop in route.hops)
        return DefaultRoutes(
            tuple(dict.fromkeys(next(filter(None, devices), ()))),
            frozenset(gateway for gateway in gateways if gateway is not None),
        )

    def on_link_prefixes(self, interface: str) -> frozenset[Network]:
        """The prefixes that are on the link of an interface: it reaches them without a gateway.
        Raises IpError."""
        found: frozenset[Network] = frozenset()
        for version in (4, 6):
            output = self._query(f"-{version}", "route", "show", "dev", interface)
            found |= ip_output.on_link_prefixes(output, version)
        return found

    def subnets(self) -> frozenset[Network]:
        """The prefixes that are on the link of any interface, by the main table; raises IpError."""
        found: frozenset[Network] = frozenset()
        for version in (4, 6):
            output = self._query(f"-{version}", "route", "show")
            found |= ip_output.on_link_prefixes(output, version)
        return found

    def way_to(self, address: Address, source: Address | None = None) -> ip_output.Hop:
        """The interface and the gateway by which this host reaches an address, from `source` if
        that is given; no gateway: it is on the link, or on this host.  Raises IpError, also where
        there is no route."""
        words = ["route", "get", str(address), *(["from", str(source)] if source else [])]
        return ip_output.way(self._query(*words))

    def _query(self, *words: str) -> str:
        return self._execute((*self._program, "-j", *words))


def _route(mode: str) -> str:
    return "blackhole default" if mode == "blackhole" else "local default dev lo"


def _with_line(error: RefusedError, lines: Sequence[str]) -> IpError:
    """The error with the line that failed in its text, if `ip` printed its number."""
    failed = _FAILED_LINE.search(str(error))
    if failed is None or not 0 < int(failed[1]) <= len(lines):
        return error
    text = f"ip {lines[int(failed[1]) - 1]}: {str(error).partition(';')[0]}"
    with_line = RefusedError(text)
    with_line.__cause__ = error
    return with_line
