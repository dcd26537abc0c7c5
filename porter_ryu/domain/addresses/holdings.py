"""The book of addresses: who holds which, what is free next, and who waits.

Only bookkeeping: whether somebody may hold an address is the allocator's question.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.model import Address, Family, ObjectKey, Service


class Held(NamedTuple):
    """An address that a Service holds, and the name of the Eip it is from."""

    address: Address
    eip: str


@dataclass
class _Free:
    """Where to look for the lowest free address of a pool and family: nothing below `cursor` is
    free but what is in `freed`."""

    cursor: int = 0
    freed: list[int] = field(default_factory=list)


class Holdings:
    """Addresses by Service and Services by address.

    `reserved` are nobody's; `found` are bound on this host by who knows whom: only who has one on
    record may hold it.
    """

    def __init__(self) -> None:
        self.services: dict[ObjectKey, Service] = {}
        self.reserved: frozenset[Address] = frozenset()
        self.found: frozenset[Address] = frozenset()
        self.freed: set[tuple[str, Family, Address]] = set()
        self._held: dict[ObjectKey, dict[Family, Held]] = {}
        self._holders: dict[Address, set[ObjectKey]] = {}
        self._in_pool: dict[str, set[Address]] = {}
        self._free: dict[tuple[str, Family], _Free] = {}
        self._shared: dict[tuple[str, str], set[Address]] = {}

    def held(self, key: ObjectKey) -> dict[Family, Held]:
        """What a Service holds, by family."""
        return self._held.get(key, {})

    def holders(self, address: Address) -> set[ObjectKey]:
        """Who holds an address."""
        return self._holders.get(address, set())

    def in_pool(self, name: str) -> set[Address]:
        """The addresses of an Eip that are held."""
        return self._in_pool.get(name, set())

    def shared(self, namespace: str, share_key: str) -> list[Address]:
        """Addresses held under a sharing key of a namespace, lowest first."""
        found = self._shared.get((namespace, share_key), ())
        return sorted(found, key=lambda address: (address.version, int(address)))

    def give(self, service: Service, held: Held) -> None:
        """Notes that a Service holds an address."""
        family = Family(held.address.version)
        self._held.setdefault(service.key, {})[family] = held
        self._holders.setdefault(held.address, set()).add(service.key)
        self._in_pool.setdefault(held.eip, set()).add(held.address)
        self.note(service)

    def note(self, service: Service) -> None:
        """Keeps the newest form of a Service; a changed sharing key moves what it holds."""
        before = self.services.get(service.key)
        self.services[service.key] = service
        for held in self.held(service.key).values():
            if before is not None and before.share_key != service.share_key:
                self._unshare(before, held.address)
            if service.share_key:
                where = (service.key.namespace, service.share_key)
                self._shared.setdefault(where, set()).add(held.address)

    def move(self, key: ObjectKey, family: Family, eip: str) -> None:
        """Notes that an address that is held is another Eip's now."""
        held = self._held[key][family]
        self._held[key][family] = Held(held.address, eip)
        self._in_pool[held.eip].discard(held.address)
        self._in_pool.setdefault(eip, set()).add(held.address)

    def take(self, key: ObjectKey, family: Family) -> None:
        """Notes that a Service holds its address of a family no more."""
        held = self._held[key].pop(family)
        if not self._held[key]:
            del self._held[key]
        holders = self._holders[held.address]
        holders.discard(key)
        service = self.services[key]
        if service.share_key:
            self._unshare(service, held.address)
        self.freed.add((held.eip, family, held.address))
        if not holders:
            del self._holders[held.address]
            self._in_pool[held.eip].discard(held.address)
            free = self._free.get((held.eip, family))
            if free is not None and int(held.address) < free.cursor:
                heapq.heappush(free.freed, int(held.address))

    def drop(self, key: ObjectKey) -> None:
        """Forgets a Service and all that it holds."""
        for family in list(self.held(key)):
            self.take(key, family)
        self.services.pop(key, None)

    def forget_free(self, names: Iterable[str] | None = None) -> None:
        """Looks for free addresses from the start again, where a pool or reservation changed."""
        wanted = None if names is None else set(names)
        for place in list(self._free):
            if wanted is None or place[0] in wanted:
                del self._free[place]

    def lowest_free(self, name: str, space: AddressPool, family: Family) -> Address | None:
        """The lowest address of a family that nobody holds and nothing reserves."""
        free = self._free.setdefault((name, family), _Free())
        while free.freed:
            address = next(space.from_number(family, free.freed[0]), None)
            if address is not None and int(address) == free.freed[0] and self._is_free(address):
                return address
            heapq.heappop(free.freed)
        for address in space.from_number(family, free.cursor):
            if self._is_free(address):
                free.cursor = int(address)
                return address
            free.cursor = int(address) + 1
        return None

    def _is_free(self, address: Address) -> bool:
        taken = self._holders.keys(), self.reserved, self.found
        return not any(address in addresses for addresses in taken)

    def _unshare(self, service: Service, address: Address) -> None:
        where = (service.key.namespace, service.share_key or "")
        others = (self.services[key] for key in self.holders(address) if key != service.key)
        if all(other.share_key != service.share_key for other in others):
            addresses = self._shared.get(where, set())
            addresses.discard(address)
            if not addresses:
                self._shared.pop(where, None)
