"""`ip` as it is typed, and its `-j` output as it is read; the kernel is asked by nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Protocol

from eventlet.green import subprocess

from porter_ryu.domain.model import Address, Network

_TIMEOUT = 5.0
_BATCH = 1000  # lines that one process surely ends within the timeout
_FAILED = re.compile(r"Command failed -:(\d+)")
_IPV4 = IPv4Address(0).version
RULE_PRIORITY = 10100  # before the main table (32766), after the local one (0)
ROUTE_PROTOCOL = 201  # marks what is ours for whoever looks at it


class IpError(Exception):
    """`ip` could not be run, did not end, or said no; the message is its own."""


class Run(Protocol):
    """Runs a command with this input; returns its output; raises IpError."""

    def __call__(self, argv: Sequence[str], text: str = "") -> str:
        """Takes the whole argument vector."""


def run(argv: Sequence[str], text: str = "") -> str:
    """Runs a command for at most five seconds; returns stdout; raises IpError."""
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        raise IpError(f"cannot run {argv[0]}: {error.strerror}") from error
    try:
        out, err = process.communicate(text, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise IpError(f"{' '.join(argv)} did not end within {_TIMEOUT:.0f} s") from error
    if process.returncode:
        lines = [line for line in err.splitlines() if line.strip()]
        raise IpError("; ".join(lines[:2]) or f"{' '.join(argv)} failed: {process.returncode}")
    return str(out)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """How and where addresses are bound: mode `address` on a device, `rule` or `blackhole` by
    way of a table."""

    mode: str
    where: str

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


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address of this host; `extra`: a lone one (/32, /128) on an interface that has a subnet of
    that family as well."""

    device: str
    address: Address
    extra: bool


class IpRoute:
    """The commands; `program` goes before every one (as `ip -n NAMESPACE` does)."""

    def __init__(self, execute: Run = run, program: Sequence[str] = ("ip",)) -> None:
        self._execute = execute
        self._program = tuple(program)

    def bound(self, place: Place, marked: bool = False) -> frozenset[Network]:
        """The host addresses that are bound at a place, whoever bound them; raises IpError.

        `marked`: of rules only those that carry our protocol and priority; the kernel marks no
        addresses, of which the journal alone knows whose they are.
        """
        if place.mode == "address":
            return frozenset(self._device_addresses(place.where))
        return frozenset(self._rules(place.where, marked))

    def batch(self, lines: Iterable[str], version: int) -> None:
        """Runs lines of one IP version, going on after one that fails; raises IpError with the
        first complaint and the line that it is about."""
        every = list(lines)
        complaint: IpError | None = None
        for start in range(0, len(every), _BATCH):
            piece = every[start : start + _BATCH]
            argv = (*self._program, f"-{version}", "-force", "-batch", "-")
            try:
                self._execute(argv, "\n".join(piece) + "\n")
            except IpError as error:
                complaint = complaint or IpError(_with_line(str(error), piece))
                complaint.__cause__ = complaint.__cause__ or error
        if complaint is not None:
            raise complaint

    def defaults(self, table: str, version: int) -> list[tuple[str, bool]]:
        """Of the default routes in a table the type (`local`, `blackhole`, `unicast`, …) and
        whether it carries our mark."""
        try:
            routes = self._json(f"-{version}", "route", "show", "table", table)
        except IpError:
            return []  # a table that has never had a route does not exist for `ip`
        return [
            (str(route.get("type", "unicast")), route.get("protocol") == str(ROUTE_PROTOCOL))
            for route in routes
            if route.get("dst") == "default"
        ]

    def add_default(self, mode: str, table: str, version: int) -> None:
        """Adds the route that the rules lead to; raises IpError."""
        target = "blackhole default" if mode == "blackhole" else "local default dev lo"
        line = f"route add {target} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def remove_default(self, mode: str, table: str, version: int) -> None:
        """Removes that route; raises IpError."""
        target = "blackhole default" if mode == "blackhole" else "local default dev lo"
        line = f"route del {target} table {table} proto {ROUTE_PROTOCOL}"
        self.batch([line], version)

    def main_interface(self) -> str | None:
        """The interface of the default route, of IPv4 before IPv6; None without one."""
        for version in (4, 6):
            for route in self._json(f"-{version}", "route", "show", "default"):
                if "dev" in route:
                    return str(route["dev"])
                for hop in route.get("nexthops", ()):
                    return str(hop["dev"])
        return None

    def default_gateways(self) -> frozenset[Address]:
        """The addresses that the default routes lead to; empty without one; raises IpError."""
        found = set()
        for version in (4, 6):
            for route in self._json(f"-{version}", "route", "show", "default"):
                for hop in (route, *route.get("nexthops", ())):
                    text = hop.get("gateway") or hop.get("via", {}).get("host")
                    if text:
                        found.add(ip_address(text))
        return frozenset(found)

    def host_addresses(self) -> frozenset[Address]:
        """Every address on every interface of this host; raises IpError."""
        return frozenset(entry.address for entry in self.interface_addresses())

    def interface_addresses(self) -> list[InterfaceAddress]:
        """Every address on every interface, with where it is; raises IpError."""
        found = []
        for link in self._json("address", "show"):
            networks = [
                ip_network((info["local"], info["prefixlen"]), strict=False)
                for info in link.get("addr_info", ())
                if "local" in info
            ]
            subnets = {network.version for network in networks if network.num_addresses > 1}
            infos = (info for info in link.get("addr_info", ()) if "local" in info)
            for info, network in zip(infos, networks, strict=True):
                extra = network.num_addresses == 1 and network.version in subnets
                address = ip_address(info["local"])
                found.append(InterfaceAddress(str(link.get("ifname", "")), address, extra))
        return found

    def _device_addresses(self, device: str) -> Iterable[Network]:
        for link in self._json("address", "show", "dev", device):
            for info in link.get("addr_info", ()):
                network = ip_network((info["local"], info["prefixlen"]), strict=False)
                if network.num_addresses == 1:
                    yield network

    def _rules(self, table: str, marked: bool) -> Iterable[Network]:
        mark = (str(ROUTE_PROTOCOL), RULE_PRIORITY)
        for version in (4, 6):
            for rule in self._json("-N", f"-{version}", "rule", "show"):
                if rule.get("table") != table or rule.get("src") != "all":
                    continue
                if marked and (rule.get("protocol"), rule.get("priority")) != mark:
                    continue
                if rule.get("dst", "all") != "all":
                    yield ip_network((rule["dst"], rule.get("dstlen", _bits(version))))

    def _json(self, *words: str) -> list[dict[str, Any]]:
        out = self._execute((*self._program, "-j", *words))
        try:
            parsed = json.loads(out or "[]")
        except json.JSONDecodeError as error:
            raise IpError(f"ip -j {' '.join(words)}: not JSON") from error
        return [entry for entry in parsed if isinstance(entry, dict) and entry]


def _bits(version: int) -> int:
    return 32 if version == _IPV4 else 128


def _with_line(complaint: str, lines: Sequence[str]) -> str:
    failed = _FAILED.search(complaint)
    if failed is None or not 0 < int(failed[1]) <= len(lines):
        return complaint
    return f"ip {lines[int(failed[1]) - 1]}: {complaint.partition(';')[0]}"
