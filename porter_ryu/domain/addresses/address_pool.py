"""Parses spec.address of an Eip.

A pool is a few intervals of numbers, whatever its size: a /8 costs no more than a /32.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import netaddr
from msgspec import Struct

from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.special_purpose import FORBIDDEN_IN_POOLS
from porter_ryu.domain.text import quoted

_OCTET_VALUES = 256


class PoolError(ValueError):
    """The text is not a list of addresses, CIDRs and ranges that may be assigned."""


class Interval(Struct, frozen=True, order=True):
    """The addresses of one family from `first` to `last` inclusive, as numbers."""

    version: int
    first: int
    last: int

    def address(self, number: int) -> Address:
        """The address that a number stands for."""
        return IPv4Address(number) if self.version == Family.IPV4 else IPv6Address(number)


class AddressPool(Struct, frozen=True):
    """Sorted intervals that are not adjacent; `avoid_buggy` leaves out .0 and .255 (IPv4)."""

    intervals: tuple[Interval, ...]
    avoid_buggy: bool = False

    @staticmethod
    def parse(text: str, avoid_buggy: bool = False) -> AddressPool:
        """Reads `1.1.1.1, 1.1.2.0/28, 1.1.3.1-1.1.3.9`, IPv6 likewise; raises PoolError."""
        entries = [entry.strip() for entry in text.split(",")]
        if not any(entries):
            raise PoolError("spec.address is empty")
        pool = AddressPool(merged([_interval(entry) for entry in entries]), avoid_buggy)
        if not pool.size:
            raise PoolError(
                f"{quoted(text)} has no address but those that avoidBuggyIPs leaves out"
            )
        return pool

    @property
    def size(self) -> int:
        """How many addresses can be assigned from it."""
        return sum(i.last - i.first + 1 - self._buggy_count(i) for i in self.intervals)

    @property
    def families(self) -> frozenset[Family]:
        """The families of which it has addresses."""
        return frozenset(Family(interval.version) for interval in self.intervals)

    @property
    def first(self) -> Address:
        """Its lowest address."""
        return self.intervals[0].address(self.intervals[0].first)

    @property
    def last(self) -> Address:
        """Its highest address."""
        return self.intervals[-1].address(self.intervals[-1].last)

    def contains(self, address: Address) -> bool:
        """Whether an address can be assigned from it."""
        key = Interval(address.version, int(address), _ABOVE_ALL)
        index = bisect_right(self.intervals, key) - 1
        if index < 0 or self.is_buggy(address.version, int(address)):
            return False
        interval = self.intervals[index]
        return interval.version == address.version and int(address) <= interval.last

    def has_all_of(self, network: Network) -> bool:
        """Whether every address of a network is in it, assignable or not."""
        first, last = int(network.network_address), int(network.broadcast_address)
        index = bisect_right(self.intervals, Interval(network.version, first, _ABOVE_ALL)) - 1
        if index < 0:
            return False
        interval = self.intervals[index]
        return interval.version == network.version and last <= interval.last

    def from_number(self, family: Family, number: int) -> Iterator[Address]:
        """Its addresses of a family from `number` on, lowest first."""
        for interval in self.intervals:
            if interval.version != family or interval.last < number:
                continue
            for value in _count(max(interval.first, number), interval.last):
                if not self.is_buggy(family, value):
                    yield interval.address(value)

    def is_buggy(self, version: int, number: int) -> bool:
        """Whether avoidBuggyIPs leaves an address out."""
        return (
            self.avoid_buggy
            and version == Family.IPV4
            and number % _OCTET_VALUES in (0, _OCTET_VALUES - 1)
        )

    def _buggy_count(self, interval: Interval) -> int:
        if not self.avoid_buggy or interval.version != Family.IPV4:
            return 0
        return sum(
            (interval.last - last_octet) // _OCTET_VALUES
            - (interval.first - 1 - last_octet) // _OCTET_VALUES
            for last_octet in (0, _OCTET_VALUES - 1)
        )


_ABOVE_ALL = 1 << 128


def _count(first: int, last: int) -> Iterator[int]:
    while first <= last:
        yield first
        first += 1


def _interval(text: str) -> Interval:
    try:
        if "-" in text:
            low, high = (part.strip() for part in text.split("-", 1))
            parsed = netaddr.IPRange(_address(low), _address(high))
        elif "/" in text:
            address, length = text.split("/", 1)
            if not length.isdigit():
                raise PoolError(f"{quoted(text)} is not a CIDR")
            parsed = netaddr.IPNetwork(f"{_address(address)}/{length}").cidr
        else:
            parsed = netaddr.IPRange(_address(text), _address(text))
    except PoolError:
        raise
    except (netaddr.AddrFormatError, ValueError) as error:
        raise PoolError(f"{quoted(text)} is neither an address, a CIDR nor a range") from error
    interval = Interval(parsed.version, int(parsed.first), int(parsed.last))
    for network, what in FORBIDDEN_IN_POOLS:
        if (
            network.version == interval.version
            and interval.first <= int(network.broadcast_address)
            and int(network.network_address) <= interval.last
        ):
            raise PoolError(f"{quoted(text)} has {what} addresses ({network})")
    return interval


def _address(text: str) -> netaddr.IPAddress:
    try:
        return netaddr.IPAddress(text.strip(), flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError) as error:
        raise PoolError(f"{quoted(text.strip())} is not an IP address") from error


def merged(intervals: list[Interval]) -> tuple[Interval, ...]:
    """The same addresses as sorted intervals that are not adjacent."""
    found: list[Interval] = []
    for interval in sorted(intervals):
        before = found[-1] if found else None
        if before and before.version == interval.version and interval.first <= before.last + 1:
            found[-1] = Interval(before.version, before.first, max(before.last, interval.last))
        else:
            found.append(interval)
    return tuple(found)
