"""Aggregates: prefixes that are announced for the addresses in them (spec.advertisements of an Eip,
aggregationLength and aggregationLengthV6).

An aggregate is announced by every usable node as long as an address in it is.  An address is
announced itself beside the aggregate if a packet would not take the same paths: its Service is
Local, runs on fewer nodes, or its paths have other attributes.  An aggregate never has an address
that is in no Eip, because it would attract packets for hosts that are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from ipaddress import ip_network

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.advertising import Advertising
from porter_ryu.domain.announcement import Announcements, NextHop
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.model import Address, Network, Service

PlainPaths = Callable[[Network], Announcements]
"""The paths of an aggregate by every usable node, without advertisements."""

_Share = tuple[Network, AdvertisementEntry]


class Aggregation:
    """Knows the aggregates and the addresses for which each entry announces them."""

    def __init__(self, allocator: Allocator, advertising: Advertising, plain: PlainPaths) -> None:
        self._allocator = allocator
        self._advertising = advertising
        self._plain = plain
        self._shares_of: dict[Address, tuple[_Share, ...]] = {}
        self._members: dict[Network, dict[AdvertisementEntry, set[Address]]] = {}
        self._touched: set[Network] = set()
        self._covered: dict[tuple[Announcements, AdvertisementEntry, Announcements], bool] = {}
        self._ours: dict[Network, bool] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are kept for addresses and between turns."""
        kept = len(self._shares_of) + len(self._members) + len(self._touched)
        return kept + len(self._covered) + len(self._ours)

    @property
    def count(self) -> int:
        """How many aggregates are announced."""
        return len(self._members)

    def begin_turn(self) -> None:
        """Clears the cache: nodes and pools may have changed."""
        self._covered.clear()
        self._ours.clear()

    def announcements(
        self,
        address: Address,
        entries: Sequence[AdvertisementEntry],
        paths: Announcements,
        everywhere: frozenset[NextHop],
        holders: Sequence[Service],
    ) -> Announcements:
        """What is announced for an address itself, from its paths without advertisements and the
        entries of its Eip; the aggregates that it needs are noted.  `everywhere` are its next
        hops, also those that other instances announce."""
        shares: list[_Share] = []
        own: list[AdvertisementEntry] = []
        local = any(service.local_traffic for service in holders)
        for entry in entries:
            aggregate = self.aggregate_of(address, entry)
            applies = aggregate is not None and self._advertising.selected_by((entry,), everywhere)
            if aggregate is None or not applies:
                own.append(entry)
                continue
            shares.append((aggregate, entry))
            if local or not self._is_covered(aggregate, entry, paths):
                own.append(entry)
        self.note(address, shares)
        return self._advertising.advertised(paths, tuple(own))

    def note(self, address: Address, shares: Sequence[_Share] = ()) -> None:
        """Notes the aggregates that an address needs, none for one that is not announced."""
        if not shares and not self._shares_of:
            return  # as nearly always: no Eip aggregates
        before = self._shares_of.get(address, ())
        shares = tuple(dict.fromkeys(shares))  # an Eip may have the same entry twice
        self._touched.update(aggregate for aggregate, _ in (*before, *shares))
        if shares == before:
            return
        for aggregate, entry in before:
            members = self._members[aggregate]
            members[entry].discard(address)
            if not members[entry]:
                del members[entry]
            if not members:
                del self._members[aggregate]
        for aggregate, entry in shares:
            self._members.setdefault(aggregate, {}).setdefault(entry, set()).add(address)
        if shares:
            self._shares_of[address] = shares
        else:
            del self._shares_of[address]

    def aggregates_of(self, address: Address) -> tuple[Network, ...]:
        """The aggregates that are announced for an address, the longest first."""
        found = {aggregate for aggregate, _ in self._shares_of.get(address, ())}
        return tuple(sorted(found, key=lambda network: -network.prefixlen))

    def touch(self, aggregates: Set[Network]) -> None:
        """Notes aggregates that may be announced otherwise than is wanted."""
        self._touched |= aggregates

    def pop_touched(self) -> set[Network]:
        """The aggregates that an address needed or needs, of those noted since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def announced(self, aggregate: Network) -> Announcements:
        """What is announced for an aggregate; nothing where no address needs it any more."""
        entries = tuple(self._members.get(aggregate, ()))
        self._touched.add(aggregate)  # until it succeeds
        announced = self._advertising.advertised(self._plain(aggregate), entries)
        self._touched.discard(aggregate)
        return announced

    def aggregate_of(self, address: Address, entry: AdvertisementEntry) -> Network | None:
        """The aggregate that an entry announces for an address; None where it does not, or where
        the aggregate has addresses that are in no Eip."""
        length = entry.aggregation_of(address.version)
        if length is None:
            return None
        aggregate = ip_network((address, length), strict=False)
        ours = self._ours.get(aggregate)
        if ours is None:
            ours = self._ours[aggregate] = self._allocator.has_all_of(aggregate)
        return aggregate if ours else None

    def _is_covered(
        self, aggregate: Network, entry: AdvertisementEntry, paths: Announcements
    ) -> bool:
        """Whether packets take the same paths by the aggregate of an entry."""
        plain = self._plain(aggregate)
        known = self._covered.get((plain, entry, paths))
        if known is None:
            own = self._advertising.advertised(paths, (entry,))
            known = self._advertising.advertised(plain, (entry,)) <= own
            self._covered[plain, entry, paths] = known
        return known
