"""The addresses on which this program must not answer: every EIP that is assigned, recorded in a
status or bound on this host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from porter_ryu.domain import overview
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner

_CACHE_SECONDS = 1.0


class EipAddresses:
    """Checked for every connection, so the result of a scan over all Services is cached for a
    second."""

    def __init__(
        self,
        planner: Planner,
        bound: Callable[[], Iterable[Network]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planner = planner
        self._bound = bound
        self._clock = clock
        self._cached: frozenset[Address] = frozenset()
        self._expires_at = float("-inf")

    def has(self, address: Address) -> bool:
        """Whether an address is an EIP."""
        if address.is_loopback:
            return False
        if overview.is_held(self._planner, address):
            return True
        if self._clock() >= self._expires_at:
            self._cached = frozenset(self._scan())
            self._expires_at = self._clock() + _CACHE_SECONDS
        return address in self._cached

    def _scan(self) -> Iterable[Address]:
        for network in self._bound():
            yield network.network_address
        yield from overview.recorded_addresses(self._planner)
