"""How large a run is, and what all of its rows agree on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

OUR_AS, LEAF_AS, OBSERVER_AS = 65000, 65001, 65003
NODES = {f"n{i}": f"192.168.7.2{i}" for i in range(1, 5)}
POOL = "10.64.0.0/12"
FIRST = int(ip_address("10.64.0.0"))


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
