"""The addresses on which nothing of ours answers: every EIP, held, on record or bound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from porter_ryu.domain import overview
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner

_KNOWN_FOR = 1.0


class EipAddresses:
    """Asked for every connection, so what takes a walk over all Services is kept for a second."""

    def __init__(
        self,
        planner: Planner,
        bound: Callable[[], Iterable[Network]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planner = planner
        self._bound = bound
        self._clock = clock
        self._known: frozenset[Address] = frozenset()
        self._until = float("-inf")

    def has(self, address: Address) -> bool:
        """Whether an address is one."""
        if address.is_loopback:
            return False
        if overview.is_held(self._planner, address):
            return True
        if self._clock() >= self._until:
            self._known = frozenset(self._walk())
            self._until = self._clock() + _KNOWN_FOR
        return address in self._known

    def _walk(self) -> Iterable[Address]:
        for network in self._bound():
            yield network.network_address
        yield from overview.recorded_addresses(self._planner)
