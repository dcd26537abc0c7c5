"""Services whose record cannot be read, and the Eips that may have their addresses.

Where the status of an Eip says that such a Service holds an address, that is taken for its record.
Otherwise its address may be any one of an Eip whose status does not say who holds what, so of such
an Eip no address is assigned until the record can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from porter_ryu.domain.addresses.pools import Pools
from porter_ryu.domain.addresses.records import MAX_USED_ADDRESSES, Records
from porter_ryu.domain.model import Address, Family, ObjectKey

_NONE: frozenset[str] = frozenset()


class UnreadRecords:
    """Remembers these Services.  It has to be told of all of them before anything is assigned."""

    def __init__(self, pools: Pools, records: Records) -> None:
        self._pools = pools
        self._records = records
        # by Service, what it holds although no status of an Eip said so before
        self._guessed: dict[ObjectKey, set[Address]] = {}
        self._held_back: Mapping[Family, frozenset[str]] = {}
        self._released: set[str] = set()
        self._judged: tuple[object, ...] = ()

    def __len__(self) -> int:
        return len(self._guessed)

    def __iter__(self) -> Iterator[ObjectKey]:
        return iter(self._guessed)

    def __contains__(self, key: object) -> bool:
        return key in self._guessed

    def add(self, key: ObjectKey) -> None:
        """Notes that the record of a Service cannot be read."""
        if key not in self._guessed:
            self._guessed[key] = set()
            self._judged = ()

    def discard(self, key: ObjectKey) -> bool:
        """Notes that its record can be read, or that it is gone; returns whether that is new."""
        if self._guessed.pop(key, None) is None:
            return False
        self._judged = ()
        if not self._guessed:
            self._records.forget_holders()
        return True

    def record(self, key: ObjectKey, found: tuple[Address, ...]) -> tuple[Address, ...]:
        """The most likely record of a Service first: what an Eip says, then what was `found`."""
        guessed, named = self._guessed[key], self._records.named(key)
        return (*(a for a in named if a not in guessed), *found)

    def guess(self, key: ObjectKey, address: Address) -> None:
        """Notes that a Service holds an address that may not be the one on its record."""
        if address not in self._records.named(key):
            self._guessed[key].add(address)
            self._judged = ()

    def refresh(self) -> None:
        """Finds the Eips again if anything changed."""
        pools = self._pools
        inputs = (pools.by_name, pools.status, pools.namespaces, pools.unreadable_namespaces)
        if len(inputs) == len(self._judged) and all(map(_is, inputs, self._judged)):
            return
        self._judged, before = inputs, self._held_back
        self._held_back = self._found() if self._guessed else {}
        for family, names in before.items():
            self._released |= names - self._held_back.get(family, _NONE)

    def pop_released(self) -> frozenset[str]:
        """The names of the Eips that have addresses to assign again, since the last call."""
        released, self._released = frozenset(self._released), set()
        return released

    def hold_back(self, eip: str, family: Family) -> bool:
        """Whether no address of a family is assigned from an Eip."""
        return eip in self._held_back.get(family, _NONE)

    @property
    def held_back(self) -> frozenset[str]:
        """The names of the Eips from which no address of some family is assigned."""
        return _NONE.union(*self._held_back.values())

    def keeps_status(self, eip: str) -> bool:
        """Whether the status of an Eip must not be written: it would say of addresses that may be
        on a record that nobody holds them."""
        if not any(eip in names for names in self._held_back.values()):
            return False
        space = self._pools.by_name[eip].space
        return space is not None and space.size <= MAX_USED_ADDRESSES

    def _found(self) -> dict[Family, frozenset[str]]:
        found: dict[Family, set[str]] = {}
        namespaces = {family: set(self._namespaces_without(family)) for family in Family}
        for pool in self._pools.in_order:
            if pool.space is None or self._records.names_holders(pool):
                continue
            for family in pool.space.families:
                if any(
                    self._pools.admits_namespace(pool, namespace, if_unreadable=True)
                    for namespace in namespaces[family]
                ):
                    found.setdefault(family, set()).add(pool.eip.name)
        return {family: frozenset(names) for family, names in found.items()}

    def _namespaces_without(self, family: Family) -> Iterator[str]:
        """The namespaces of the Services of whose addresses of a family no Eip knows."""
        for key, guessed in self._guessed.items():
            known = (a for a in self._records.named(key) if a not in guessed)
            if all(address.version != family for address in known):
                yield key.namespace


def _is(one: object, other: object) -> bool:
    return one is other
