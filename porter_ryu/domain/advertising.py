"""Applies spec.advertisements of Eips: to which peers a path of an address goes, and what a Service
adds to it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from porter_ryu.domain.addresses.allocator import Allocator
from porter_ryu.domain.announcement import (
    WITHDRAWN,
    Advertisement,
    Announcement,
    Announcements,
    NextHop,
    PathAttributes,
)
from porter_ryu.domain.communities import NO_COMMUNITIES, Communities
from porter_ryu.domain.eip_advertisements import AdvertisementEntry
from porter_ryu.domain.left_out import why_nobody
from porter_ryu.domain.model import Address, Eip, Service
from porter_ryu.domain.paths import Paths
from porter_ryu.domain.text import listed
from porter_ryu.domain.verdict import Reason, ServiceVerdict, Verdict

_REFUSED_SHOWN = 5


class Advertising:
    """The entries that apply to next hops and to paths.  What it returns is the same object for the
    same arguments within a turn.

    `peers` are the names of all configured peers.  `peers_alone`: only peers get paths.  Then an
    entry that names none of them has no effect; a switch gets the paths of every entry.
    """

    def __init__(self, peers_alone: bool = True) -> None:
        self.peers: frozenset[str] = frozenset()
        self._peers_alone = peers_alone
        self._selected: dict[
            tuple[tuple[AdvertisementEntry, ...], frozenset[NextHop]], frozenset[NextHop]
        ] = {}
        self._advertised: dict[
            tuple[Announcements, tuple[AdvertisementEntry, ...]], Announcements
        ] = {}

    @property
    def cached_entries(self) -> int:
        """How many entries are cached between turns."""
        return len(self._selected) + len(self._advertised)

    def begin_turn(self) -> None:
        """Clears the cache."""
        self._selected.clear()
        self._advertised.clear()

    def entries(self, eip: Eip) -> tuple[AdvertisementEntry, ...]:
        """The entries of an Eip that have an effect."""
        entries = eip.advertisements
        if not self._peers_alone or all(entry.is_heard(self.peers) for entry in entries):
            return entries
        return tuple(entry for entry in entries if entry.is_heard(self.peers))

    def selected(self, eip: Eip, hops: frozenset[NextHop]) -> frozenset[NextHop]:
        """The next hops on nodes to which an entry of an Eip applies."""
        if not eip.advertisements:
            return hops
        return self.selected_by(self.entries(eip), hops)

    def why_unheard(self, eip: Eip, hops: frozenset[NextHop]) -> ServiceVerdict | None:
        """Why no peer gets a path to one of these next hops; None if one does."""
        why = why_nobody(eip, lambda entry: bool(self.selected_by((entry,), hops)), self.peers)
        return Verdict(False, Reason.NO_USABLE_NODE, why) if why else None

    def selected_by(
        self, entries: tuple[AdvertisementEntry, ...], hops: frozenset[NextHop]
    ) -> frozenset[NextHop]:
        """The next hops on nodes to which one of these entries applies."""
        known = self._selected.get((entries, hops))
        if known is None:
            known = frozenset(hop for hop in hops if _applies(entries, dict(hop.labels)))
            self._selected[entries, hops] = known
        return known

    def advertised(
        self, paths: Announcements, entries: tuple[AdvertisementEntry, ...]
    ) -> Announcements:
        """Paths with those of the entries that apply to their nodes; a path to whose node none of
        them applies is left out."""
        known = self._advertised.get((paths, entries))
        if known is None:
            limited = (_limited(path, entries) for path in paths)
            known = frozenset(path for path in limited if path.advertisements)
            if all(path.elsewhere for path in known):
                known = WITHDRAWN
            self._advertised[paths, entries] = known
        return known


def _applies(entries: Iterable[AdvertisementEntry], labels: Mapping[str, str]) -> bool:
    return any(entry.selects(labels) for entry in entries)


def _limited(path: Announcement, entries: Iterable[AdvertisementEntry]) -> Announcement:
    labels = dict(path.next_hop.labels)
    parts = (_advertisement(entry) for entry in entries if entry.selects(labels))
    return replace(path, advertisements=tuple(dict.fromkeys(parts)))


def _advertisement(entry: AdvertisementEntry) -> Advertisement:
    standard, large = entry.communities
    attributes = PathAttributes(standard, large, entry.local_pref, entry.med, entry.as_path_prepend)
    return Advertisement(entry.peers, attributes)


class ServiceCommunities:
    """The PathRule that adds the communities that Services ask for and their Eip allows."""

    def __init__(self, allocator: Allocator) -> None:
        self._allocator = allocator

    def facts(
        self, address: Address, hops: frozenset[NextHop], holders: Sequence[Service]
    ) -> Hashable:
        """The communities that the holders of an address add to its paths."""
        asking = [s.communities.communities for s in holders if s.communities.communities.size]
        if not asking:
            return NO_COMMUNITIES
        eip = self._allocator.eip_of(address)
        if eip is None:
            return NO_COMMUNITIES
        return NO_COMMUNITIES.union(*asking).among(eip.allowed_communities)

    def apply(self, paths: Paths, facts: Hashable) -> Paths:
        """Adds them."""
        if not isinstance(facts, Communities) or not facts.size:
            return paths
        added = PathAttributes(*facts)
        return tuple(replace(p, attributes=added.over(p.attributes)) for p in paths)


def refused_communities(service: Service, eips: Iterable[Eip]) -> str:
    """What is left out of the communities that a Service asks for, and why, as a part of a
    sentence; `eips` are those of its addresses.  Empty where nothing is."""
    request = service.communities
    texts = list(request.errors)
    for eip in eips:
        refused = request.communities.but(eip.allowed_communities).texts()
        if refused:
            names = listed(refused, _REFUSED_SHOWN)
            texts.append(f"Eip {eip.name} does not allow a Service to add {names}")
    return "; ".join(dict.fromkeys(texts))
