"""The book of addresses: who holds which, what is free next, and who waits.

Only bookkeeping: whether somebody may hold an address is the allocator's question.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterable
from typing import NamedTuple

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.addresses.sharers import Group, Sharers, check, group_of
from porter_ryu.domain.model import Address, Family, ObjectKey, Service

# of the addresses of one sharing key, who joins it looks at so many
_LOOKED_AT = 32


class Held(NamedTuple):
    """An address that a Service holds, and the name of the Eip it is from."""

    address: Address
    eip: str


class _Free:
    """Where to look for the lowest free address of a pool and family: nothing below `cursor` is
    free but what was freed."""

    def __init__(self) -> None:
        self.cursor = 0
        self._heap: list[int] = []
        self._noted: set[int] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def note(self, number: int) -> None:
        """An address below the cursor was freed."""
        if number not in self._noted:
            self._noted.add(number)
            heapq.heappush(self._heap, number)

    @property
    def lowest(self) -> int | None:
        """The lowest that was freed."""
        return self._heap[0] if self._heap else None

    def drop_lowest(self) -> None:
        """It is not free any more."""
        self._noted.discard(heapq.heappop(self._heap))


class Holdings:
    """Addresses by Service and Services by address.

    `reserved` are the addresses of nodes, peers and this host: given to nobody.  `found` are bound
    on this host by who knows whom: only who has one on record may hold it.  `freed` and
    `changed_pools` collect what was let go, and of which Eips, `turned` the addresses that became
    held or free, until somebody takes note of it.
    """

    def __init__(self) -> None:
        self.services: dict[ObjectKey, Service] = {}
        self.unread: set[ObjectKey] = set()
        self.reserved: frozenset[Address] = frozenset()
        self.found: frozenset[Address] = frozenset()
        self.freed = False
        self.changed_pools: set[str] = set()
        self.turned: set[Address] = set()
        self._held: dict[ObjectKey, dict[Family, Held]] = {}
        self._sharers: dict[Address, Sharers] = {}
        self._in_pool: dict[str, set[Address]] = {}
        self._free: dict[tuple[str, Family], _Free] = {}
        self._shared: dict[tuple[Group, int], list[Address]] = {}

    @property
    def kept(self) -> int:
        """How many entries are kept."""
        tables = (self.services, self.unread, self._held, self._sharers, self._in_pool)
        more = (self._free, self._shared, self.turned, self.changed_pools)
        freed = sum(map(len, self._free.values()))
        return freed + sum(len(table) for table in (*tables, *more))

    def held(self, key: ObjectKey) -> dict[Family, Held]:
        """What a Service holds, by family."""
        return self._held.get(key, {})

    def holders(self, address: Address) -> Collection[ObjectKey]:
        """Who holds an address."""
        sharers = self._sharers.get(address)
        return sharers.keys if sharers is not None else ()

    def admits(self, service: Service, address: Address, recorded: bool = False) -> bool:
        """Whether a Service may hold an address beside those that do; see `Sharers.admit`."""
        sharers = self._sharers.get(address)
        if sharers is None:
            return True
        known = self.services[service.key] if service.key in sharers.keys else None
        return sharers.admit(service, known, recorded)

    def against(
        self, service: Service, address: Address
    ) -> tuple[ObjectKey | None, ObjectKey | None]:
        """Of those that hold an address beside a Service, one that does not share by its key, and
        one that has a port of it."""
        sharers = self._sharers.get(address)
        return (sharers.stranger(service), sharers.rival(service)) if sharers else (None, None)

    def in_pool(self, name: str) -> set[Address]:
        """The addresses of an Eip that are held."""
        return self._in_pool.get(name, set())

    def shared(self, namespace: str, share_key: str, family: Family) -> list[Address]:
        """The lowest addresses of a family that are held under a sharing key of a namespace."""
        return self._shared.get(((namespace, share_key), family), [])[:_LOOKED_AT]

    def give(self, service: Service, held: Held) -> None:
        """Notes that a Service holds an address."""
        self.note(service, unread=service.key in self.unread)
        self._held.setdefault(service.key, {})[Family(held.address.version)] = held
        sharers = self._sharers.get(held.address)
        if sharers is None:
            sharers = self._sharers[held.address] = Sharers()
            self.turned.add(held.address)
        self._join(service, held.address, sharers)
        self._in_pool.setdefault(held.eip, set()).add(held.address)
        self.changed_pools.add(held.eip)

    def note(self, service: Service, unread: bool = False) -> None:
        """Keeps the newest form of a Service; `unread`: it cannot be read, and this stands for
        it."""
        if self.services.get(service.key) is service and unread == (service.key in self.unread):
            return
        check(service)
        addresses = [held.address for held in self.held(service.key).values()]
        for address in addresses:
            self._leave(self.services[service.key], address)
        self.services[service.key] = service
        (self.unread.add if unread else self.unread.discard)(service.key)
        for address in addresses:
            self._join(service, address, self._sharers[address])

    def move(self, key: ObjectKey, family: Family, eip: str) -> None:
        """Notes that an address that is held is another Eip's now."""
        held = self._held[key][family]
        self._held[key][family] = Held(held.address, eip)
        self._out_of_pool(held)
        self._in_pool.setdefault(eip, set()).add(held.address)
        self.changed_pools |= {held.eip, eip}

    def take(self, key: ObjectKey, family: Family) -> None:
        """Notes that a Service holds its address of a family no more."""
        held = self._held[key].pop(family)
        if not self._held[key]:
            del self._held[key]
        self._leave(self.services[key], held.address)
        self.freed = True
        self.changed_pools.add(held.eip)
        if self._sharers[held.address].keys:
            return
        del self._sharers[held.address]
        self.turned.add(held.address)
        self._out_of_pool(held)
        free = self._free.get((held.eip, family))
        if free is not None and int(held.address) < free.cursor:
            free.note(int(held.address))

    def drop(self, key: ObjectKey) -> None:
        """Forgets a Service and all that it holds."""
        for family in list(self.held(key)):
            self.take(key, family)
        self.services.pop(key, None)
        self.unread.discard(key)

    def forget_free(self, names: Iterable[str] | None = None) -> None:
        """Looks for free addresses from the start again, where a pool or reservation changed."""
        wanted = None if names is None else set(names)
        for place in list(self._free):
            if wanted is None or place[0] in wanted:
                del self._free[place]

    def lowest_free(self, name: str, space: AddressPool, family: Family) -> Address | None:
        """The lowest address of a family that nobody holds and nothing reserves."""
        free = self._free.setdefault((name, family), _Free())
        while free.lowest is not None:
            address = next(space.from_number(family, free.lowest), None)
            if address is not None and int(address) == free.lowest and self._is_free(address):
                return address
            free.drop_lowest()
        for address in space.from_number(family, free.cursor):
            if self._is_free(address):
                free.cursor = int(address)
                return address
            free.cursor = int(address) + 1
        return None

    def _is_free(self, address: Address) -> bool:
        return not (address in self._sharers or address in self.reserved or address in self.found)

    def _out_of_pool(self, held: Held) -> None:
        addresses = self._in_pool.get(held.eip, set())
        addresses.discard(held.address)
        if not addresses:
            self._in_pool.pop(held.eip, None)

    def _join(self, service: Service, address: Address, sharers: Sharers) -> None:
        sharers.add(service, service.key in self.unread)
        group = group_of(service)
        if group is not None and service.key not in self.unread:
            addresses = self._shared.setdefault((group, address.version), [])
            place = bisect_left(addresses, address)
            if addresses[place : place + 1] != [address]:
                addresses.insert(place, address)

    def _leave(self, service: Service, address: Address) -> None:
        sharers, group = self._sharers[address], group_of(service)
        sharers.remove(service)
        if group is None or sharers.has(group):
            return
        addresses = self._shared.get((group, address.version), [])
        place = bisect_left(addresses, address)
        if addresses[place : place + 1] == [address]:
            del addresses[place]
        if not addresses:
            self._shared.pop((group, address.version), None)
