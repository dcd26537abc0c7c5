"""`ip` as it is typed, and its `-j` output as it is read; the kernel is asked by nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from porter_ryu.domain.model import Address, Network
from porter_ryu.node import ip_output
from porter_ryu.node.interfaces import InterfaceAddress, Interfaces
from porter_ryu.node.ip_output import DefaultRoute
from porter_ryu.node.process import Commands, IpError, RefusedError, Run

__all__ = ["InterfaceAddress", "Interfaces", "IpError", "IpRoute", "Place"]

_BATCH = 1000  # lines that one process surely ends within the timeout
_FAILED = re.compile(r"Command failed -:(\d+)")
_NO_TABLE = "FIB table does not exist"  # the kernel's words for one that never had a route
_IPV4 = IPv4Address(0).version
RULE_PRIORITY = 10100  # before the main table (32766), after the local one (0)
ROUTE_PROTOCOL = 201  # marks what is ours for whoever looks at it


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How and where addresses are bound: mode `address` on an interface, `rule` or `blackhole` by
    way of a table.

    `index` is the interface's, which stays when it is renamed; 0 where it is not known, and for a
    table.
    """

    mode: str
    where: str
    index: int = 0

    def same(self, other: Place | None) -> bool:
        """Whether both are one place, whatever its interface was called when."""
        if other is None or self.mode != other.mode:
            return False
        return self.index == other.index and (self.index != 0 or self.where == other.where)

    def add(self, network: Network) -> str:
        """The line for `ip -batch` that binds an address."""
        if self.mode != "address":
            return f"rule add {self._rule(network)} protocol {ROUTE_PROTOCOL}"
        # preferred_lft 0: never chosen as a source address by itself (RFC 6724, rule 3)
        more = "" if network.version == _IPV4 else " nodad preferred_lft 0"
        return f"address add {network} dev {self.where}{more}"

    def remove(self, network: Network) -> str:
        """The line for `ip -batch` that unbinds an address."""
        if self.mode != "address":
            return f"rule del {self._rule(network)} protocol {ROUTE_PROTOCOL}"
        return f"address del {network} dev {self.where}"

    def _rule(self, network: Network) -> str:
        return f"to {network} lookup {self.where} pref {RULE_PRIORITY}"


class IpRoute:
    """The commands; `program` goes before every one (as `ip -n NAMESPACE` does)."""

    def __init__(self, execute: Run | None = None, program: Sequence[str] = ("ip",)) -> None:
        self._execute: Run = execute if execute is not None else Commands()
        self._program = tuple(program)

    def interfaces(self) -> Interfaces:
        """Every interface with its addresses; raises IpError."""
        return ip_output.interfaces(self._print("address", "show"))

    def interface_addresses(self) -> list[InterfaceAddress]:
        """Every address on every interface, with where it is; raises IpError."""
        return list(self.interfaces().addresses)

    def host_addresses(self) -> frozenset[Address]:
        """Every address on every interface of this host; raises IpError."""
        return frozenset(entry.address for entry in self.interfaces().addresses)

    def rules(self, table: str, marked: bool = False) -> frozenset[Network]:
        """The addresses for which a rule leads to a table, whoever put it there; raises IpError.

        `marked`: only those that carry our protocol and priority.
        """
        found: set[Network] = set()
        for version in (4, 6):
            for rule in ip_output.rules(self._print("-N", f"-{version}", "rule", "show"), version):
                ours = (rule.protocol, rule.priority) == (ROUTE_PROTOCOL, RULE_PRIORITY)
                if rule.table == table and (ours or not marked):
                    found.add(rule.destination)
        return frozenset(found)

    def batch(
        self, lines: Iterable[str], version: int, alive: Callable[[], None] = lambda: None
    ) -> None:
        """Runs lines of one IP version, going on after one that is refused; raises IpError with
        the first complaint and the line that it is about.  Where `ip` itself does not run there
        is no going on.  `alive` is called between the processes."""
        every = list(lines)
        complaint: IpError | None = None
        for start in range(0, len(every), _BATCH):
            piece = every[start : start + _BATCH]
            argv = (*self._program, f"-{version}", "-force", "-batch", "-")
            alive()
            try:
                self._execute(argv, "\n".join(piece) + "\n")
            except RefusedError as error:
                complaint = complaint or _about(error, piece)
        if complaint is not None:
            raise complaint

    def defaults(self, table: str, version: int) -> list[tuple[str, bool]]:
        """Of the default routes in a table the type (`local`, `blackhole`, `unicast`, …) and
        whether it carries our mark; raises IpError."""
        try:
            out = self._print(f"-{version}", "route", "show", "table", table)
        except RefusedError as error:
            if _NO_TABLE in str(error):
                return []
            raise
        mark = str(ROUTE_PROTOCOL)
        return [(route.kind, route.protocol == mark) for route in ip_output.default_routes(out)]

    def add_default(self, mode: str, table: str, version: int) -> None:
        """Adds the route that the rules lead to; raises IpError."""
        line = f"route add {_target(mode)} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def remove_default(self, mode: str, table: str, version: int) -> None:
        """Removes that route; raises IpError."""
        line = f"route del {_target(mode)} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def main_interfaces(self) -> tuple[str, ...]:
        """The interfaces of the best default route, more than one where it is multipath: of IPv4,
        else of IPv6; empty where there is none.  Raises IpError."""
        for version in (4, 6):
            for route in self._main_defaults(version):
                names = [hop.device for hop in route.hops if hop.device]
                if names:
                    return tuple(dict.fromkeys(names))
        return ()

    def main_interface(self) -> str | None:
        """The first of them; None where there is no default route.  Raises IpError."""
        return next(iter(self.main_interfaces()), None)

    def default_gateways(self) -> frozenset[Address]:
        """The gateways of every default route, IPv4 and IPv6, of all paths of a multipath one,
        and those of IPv4 `via inet6` (RFC 5549); raises IpError."""
        return frozenset(
            hop.gateway
            for version in (4, 6)
            for route in self._main_defaults(version)
            for hop in route.hops
            if hop.gateway is not None
        )

    def _main_defaults(self, version: int) -> list[DefaultRoute]:
        """Of the main table, the best first (the kernel sorts by metric); none that drops."""
        routes = ip_output.default_routes(self._print(f"-{version}", "route", "show", "default"))
        return [route for route in routes if route.kind == "unicast"]

    def _print(self, *words: str) -> str:
        return self._execute((*self._program, "-j", *words))


def _target(mode: str) -> str:
    return "blackhole default" if mode == "blackhole" else "local default dev lo"


def _about(complaint: RefusedError, lines: Sequence[str]) -> IpError:
    """A complaint with the line that it is about, where it names one."""
    failed = _FAILED.search(str(complaint))
    if failed is None or not 0 < int(failed[1]) <= len(lines):
        return complaint
    text = f"ip {lines[int(failed[1]) - 1]}: {str(complaint).partition(';')[0]}"
    about = RefusedError(text)
    about.__cause__ = complaint
    return about
