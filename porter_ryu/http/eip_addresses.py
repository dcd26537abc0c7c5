"""The addresses on which this program must not answer: every EIP that is assigned, recorded in a
status or bound on this host."""

from __future__ import annotations

import time
from collections.abc import Callable

from porter_ryu.domain import overview
from porter_ryu.domain.model import Address, Network
from porter_ryu.domain.planner import Planner
from porter_ryu.domain.prefix import host_prefix

_CACHE_SECONDS = 1.0


class EipAddresses:
    """Checked for every connection.  Only an address in a pool, which nobody holds, and which is
    not bound, needs a scan over all Services; its result is cached for a second."""

    def __init__(
        self,
        planner: Planner,
        is_bound: Callable[[Network], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._planner = planner
        self._is_bound = is_bound
        self._clock = clock
        self._recorded_addresses: frozenset[Address] = frozenset()
        self._expires_at = float("-inf")

    def has(self, address: Address) -> bool:
        """Whether an address is an EIP."""
        if address.is_loopback:
            return False
        if overview.is_held(self._planner, address) or self._is_bound(host_prefix(address)):
            return True
        return overview.is_in_pool(self._planner, address) and address in self._recorded()

    def _recorded(self) -> frozenset[Address]:
        if self._clock() >= self._expires_at:
            self._recorded_addresses = frozenset(overview.recorded_addresses(self._planner))
            self._expires_at = self._clock() + _CACHE_SECONDS
        return self._recorded_addresses
