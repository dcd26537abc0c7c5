"""How large a run is, and the table of routes that all of its rows agree on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

OUR_AS, LEAF_AS, OBSERVER_AS = 65000, 65001, 65003
NODES = {f"n{i}": f"192.168.7.2{i}" for i in range(1, 5)}
POOL = "10.64.0.0/12"
FIRST = int(ip_address("10.64.0.0"))
_FIRST_OF_MORE_NODES = int(ip_address("10.200.1.0"))


def at_least_two(text: str) -> int:
    """An argument of the command line of which half is measured as well, or goes the other way."""
    return _at_least(2, text)


def at_least_one(text: str) -> int:
    """An argument of the command line."""
    return _at_least(1, text)


def positive(text: str) -> float:
    """An argument of the command line, in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number


@dataclass(frozen=True, slots=True)
class Plan:
    """`services`: of the whole size; `rounds`: how often a start is measured; `changes`: how many
    single changes are; `seconds`: how long a storm lasts; `say` is told of each step."""

    services: int
    rounds: int
    changes: int
    seconds: float
    say: Callable[[str], None]

    @property
    def few(self) -> int:
        """The small size that is compared with the whole."""
        return min(100, self.services // 2)

    @property
    def rest(self) -> float:
        """Seconds after which the program is at rest: what it does beside the start is done."""
        return self.seconds / 4


@dataclass(frozen=True, slots=True)
class Table:
    """So many Services, each by the nodes of one of several groups of equal size."""

    services: int
    nodes: Sequence[str] = tuple(NODES.values())
    hops: int = len(NODES)

    def groups(self) -> Iterator[tuple[Sequence[int], Sequence[str]]]:
        """The prefixes (as numbers) of each group of nodes, and their addresses."""
        groups = len(self.nodes) // self.hops
        prefixes = range(FIRST, FIRST + self.services)
        for group in range(groups):
            yield prefixes[group::groups], self.nodes[group * self.hops :][: self.hops]

    def nodes_of(self, number: int) -> range:
        """The nodes of a Service, by their numbers."""
        first = number % (len(self.nodes) // self.hops) * self.hops
        return range(first, first + self.hops)


def large_table(services: int) -> Table:
    """A table over many nodes: one for twenty Services."""
    nodes = max(1, services // 80) * len(NODES)
    addresses = range(_FIRST_OF_MORE_NODES, _FIRST_OF_MORE_NODES + nodes)
    return Table(services, tuple(str(ip_address(number)) for number in addresses))
