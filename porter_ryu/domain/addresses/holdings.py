"""Which Service holds which address, and which address is the next free one.

Only bookkeeping: `rules` decides whether a Service may hold an address.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from porter_ryu.domain.addresses.address_pool import AddressPool
from porter_ryu.domain.addresses.sharers import Group, Sharers, check_hashable, group_of
from porter_ryu.domain.model import Address, Family, ObjectKey, Service

# the kinds of those that have an address that no Service gets; a tenant is told no names
A_NODE = "a node"
A_PEER = "a peer"
THIS_HOST = "this host or its gateway"
# addresses of one sharing key that are tried for a Service that joins it
_MAX_SHARED_CANDIDATES = 32


class Held(Struct, frozen=True, gc=False):
    """An address that a Service holds, and the name of the Eip that it is from."""

    address: Address
    eip: str

    @property
    def family(self) -> Family:
        """The family of the address."""
        return Family(self.address.version)


class _FreeAddresses:
    """Finds the lowest free address of a pool and family, as a number: below `cursor` only the
    addresses in the heap are free."""

    def __init__(self) -> None:
        self.cursor = 0
        self._heap: list[int] = []
        self._in_heap: set[int] = set()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, number: int) -> None:
        """Adds an address below the cursor that was freed."""
        if number not in self._in_heap:
            self._in_heap.add(number)
            heapq.heappush(self._heap, number)

    @property
    def lowest(self) -> int | None:
        """The lowest address that was freed; None where there is none."""
        return self._heap[0] if self._heap else None

    def drop_lowest(self) -> None:
        """Removes that address, because it is not free any more."""
        self._in_heap.discard(heapq.heappop(self._heap))


class Holdings:
    """Addresses by Service and Services by address.

    `services` are the Services as they were settled, `unreadable` those of them that cannot be
    read.  `reserved` are the addresses of nodes, peers and this host, assigned to no Service, each
    with the kind of its owner.
    `unattributed` are addresses on this host that may belong to a Service: only one that has it on
    record may hold it.  Since they were last reset by the caller, `freed` says whether an address
    was released, `changed_pools` which Eips have other holders, and `occupancy_changes` which
    addresses became held or free.
    """

    def __init__(self) -> None:
        self.services: dict[ObjectKey, Service] = {}
        self.unreadable: set[ObjectKey] = set()
        self.reserved: Mapping[Address, str] = {}
        self.unattributed: frozenset[Address] = frozenset()
        self.freed = False
        self.changed_pools: set[str] = set()
        self.occupancy_changes: set[Address] = set()
        # one of each family at most; a dictionary of one takes five times as much as a tuple
        self._held: dict[ObjectKey, tuple[Held, ...]] = {}
        self._sharers: dict[Address, Sharers] = {}
        self._in_pool: dict[str, set[Address]] = {}
        self._free: dict[tuple[str, Family], _FreeAddresses] = {}
        self._shared: dict[tuple[Group, int], list[Address]] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are kept."""
        tables = (self.services, self.unreadable, self._held, self._sharers, self._in_pool)
        more = (self._free, self._shared, self.occupancy_changes, self.changed_pools)
        freed = sum(map(len, self._free.values()))
        return freed + sum(len(table) for table in (*tables, *more))

    def held(self, key: ObjectKey) -> tuple[Held, ...]:
        """The addresses that a Service holds: at most one of each family."""
        return self._held.get(key, ())

    def has(self, key: ObjectKey, version: int) -> bool:
        """Whether a Service holds an address of a family."""
        held = self.held(key)  # one of each family at most
        return bool(held) and (len(held) > 1 or held[0].address.version == version)

    def holders(self, address: Address) -> Collection[ObjectKey]:
        """The Services that hold an address."""
        sharers = self._sharers.get(address)
        return sharers.keys if sharers is not None else ()

    def admits(self, service: Service, address: Address, recorded: bool = False) -> bool:
        """Whether a Service may hold an address together with its holders; see `Sharers.admits`."""
        sharers = self._sharers.get(address)
        if sharers is None:
            return True
        known = self.services[service.key] if service.key in sharers.keys else None
        return sharers.admits(service, known, recorded)

    def conflicts(
        self, service: Service, address: Address
    ) -> tuple[ObjectKey | None, ObjectKey | None]:
        """Of the other holders of an address, one that has not the sharing key of a Service, and
        one that has a port in common with it."""
        sharers = self._sharers.get(address)
        return (
            (sharers.with_other_key(service), sharers.with_same_port(service))
            if sharers
            else (None, None)
        )

    def in_pool(self, name: str) -> set[Address]:
        """The held addresses of an Eip."""
        return self._in_pool.get(name, set())

    def shared(self, namespace: str, share_key: str, family: Family) -> list[Address]:
        """The lowest addresses of a family that are held with a sharing key of a namespace."""
        return self._shared.get(((namespace, share_key), family), [])[:_MAX_SHARED_CANDIDATES]

    def assign(self, service: Service, held: Held) -> None:
        """Makes a Service a holder of an address."""
        self.update(service, unreadable=service.key in self.unreadable)
        self._held[service.key] = (*self._of_others(service.key, held.family), held)
        sharers = self._sharers.get(held.address)
        if sharers is None:
            sharers = self._sharers[held.address] = Sharers()
            self.occupancy_changes.add(held.address)
        self._add_holder(service, held.address, sharers)
        self._in_pool.setdefault(held.eip, set()).add(held.address)
        self.changed_pools.add(held.eip)

    def update(self, service: Service, unreadable: bool = False) -> None:
        """Stores the newest form of a Service; `unreadable`: a substitute for one that cannot be
        read."""
        was_unreadable = service.key in self.unreadable
        if self.services.get(service.key) is service and unreadable == was_unreadable:
            return
        check_hashable(service)
        addresses = [held.address for held in self.held(service.key)]
        for address in addresses:
            self._remove_holder(self.services[service.key], address)
        self.services[service.key] = service
        if unreadable:
            self.unreadable.add(service.key)
        else:
            self.unreadable.discard(service.key)
        for address in addresses:
            self._add_holder(service, address, self._sharers[address])

    def move(self, key: ObjectKey, family: Family, eip: str) -> None:
        """Changes the Eip of an address that a Service holds."""
        held = self._of_family(key, family)
        self._held[key] = (*self._of_others(key, family), Held(held.address, eip))
        self._remove_from_pool(held)
        self._in_pool.setdefault(eip, set()).add(held.address)
        self.changed_pools |= {held.eip, eip}

    def release(self, key: ObjectKey, family: Family) -> None:
        """Releases the address that a Service holds of a family."""
        held = self._of_family(key, family)
        left = self._of_others(key, family)
        if left:
            self._held[key] = left
        else:
            del self._held[key]
        self._remove_holder(self.services[key], held.address)
        self.freed = True
        self.changed_pools.add(held.eip)
        if self._sharers[held.address].keys:
            return
        del self._sharers[held.address]
        self.occupancy_changes.add(held.address)
        self._remove_from_pool(held)
        free = self._free.get((held.eip, family))
        if free is not None and int(held.address) < free.cursor:
            free.add(int(held.address))

    def forget(self, key: ObjectKey) -> None:
        """Removes a Service and releases all its addresses."""
        for held in self.held(key):
            self.release(key, held.family)
        self.services.pop(key, None)
        self.unreadable.discard(key)

    def reset_free(self, names: Iterable[str] | None = None) -> None:
        """Makes the search for free addresses start again, in these Eips or in all: pools or
        reservations changed."""
        wanted = None if names is None else set(names)
        for place in list(self._free):
            if wanted is None or place[0] in wanted:
                del self._free[place]

    def lowest_free(self, name: str, space: AddressPool, family: Family) -> Address | None:
        """The lowest address of a family that is not held, reserved or unattributed."""
        free = self._free.setdefault((name, family), _FreeAddresses())
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
        return not (
            address in self._sharers or address in self.reserved or address in self.unattributed
        )

    def _of_family(self, key: ObjectKey, family: Family) -> Held:
        """What a Service holds of a family; there must be something."""
        return next(held for held in self._held[key] if held.address.version == family)

    def _of_others(self, key: ObjectKey, family: Family) -> tuple[Held, ...]:
        """What a Service holds of other families."""
        every = self.held(key)
        return tuple(held for held in every if held.address.version != family) if every else ()

    def _remove_from_pool(self, held: Held) -> None:
        addresses = self._in_pool.get(held.eip, set())
        addresses.discard(held.address)
        if not addresses:
            self._in_pool.pop(held.eip, None)

    def _add_holder(self, service: Service, address: Address, sharers: Sharers) -> None:
        sharers.add(service, service.key in self.unreadable)
        group = group_of(service)
        if group is not None and service.key not in self.unreadable:
            addresses = self._shared.setdefault((group, address.version), [])
            place = bisect_left(addresses, address)
            if addresses[place : place + 1] != [address]:
                addresses.insert(place, address)

    def _remove_holder(self, service: Service, address: Address) -> None:
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
