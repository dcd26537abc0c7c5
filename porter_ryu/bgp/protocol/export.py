"""The export policy of one session: which announcements a peer gets, and with which attributes.

Pure.  The attributes of a path override those of the Eip's advertisements that name the peer, and
these override those of the peer's group; communities are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.bgp.protocol.roles import marks_routes
from porter_ryu.bgp.protocol.update import Attributes, bandwidth_of, link_bandwidth
from porter_ryu.domain.announcement import (
    NO_ATTRIBUTES,
    Announcement,
    NextHop,
    PathAttributes,
    in_use,
)
from porter_ryu.domain.labels import LabelSelector
from porter_ryu.domain.model import Address, Family, Network
from porter_ryu.domain.nodes.fan_out import FanOut
from porter_ryu.domain.nodes.rendezvous import choose
from porter_ryu.domain.peering import BgpRole

# of one unit of weight, in octets per second: 1 Mbit/s.  A router may count in kilobytes, and show
# megabits; multiples of it up to 16 are exact in the encoding
_BANDWIDTH_UNIT = 125_000


class ExportPolicy(Struct, frozen=True):
    """The negotiated capabilities and the settings of the peer.

    `add_path`: families with ADD-PATH.  `internal`: the peer has the same AS.  `attributes`: of the
    peer's group, for every path.  `selector` selects the nodes that may be next hops.
    `max_next_hops` 0: no limit.  `local_address`: of the session; the next hop where this node
    announces itself, None where it does not.  `ipv4_over_ipv6`: IPv4 routes may have IPv6 next
    hops (RFC 8950).  `role`: ours in this peering (RFC 9234).  `peer` is the name of the peer,
    empty for one that no advertisement names.  `fan_out`: of several sessions with the peer, this
    one; None if there is one.
    """

    families: frozenset[Family]
    add_path: frozenset[Family]
    local_as: int
    internal: bool
    four_octet_as: bool
    attributes: PathAttributes
    selector: LabelSelector
    max_next_hops: int
    local_address: Address | None
    ipv4_over_ipv6: bool
    role: BgpRole | None = None
    peer: str = ""
    fan_out: FanOut | None = None

    def limit(self, family: int) -> int:
        """How many paths a prefix may have; 0: no limit."""
        return self.max_next_hops if family in self.add_path else 1

    def admitted(
        self, announcements: Iterable[Announcement], family: int
    ) -> Iterator[tuple[Announcement, Address]]:
        """The announcements of a prefix that the peer may get, with the attributes that they have
        for it, the peer's group aside; each with its next hop address."""
        for announcement in announcements:
            hop = announcement.next_hop
            address = self.next_hop_address(hop, family)
            if address is None or not self.selects(hop):
                continue
            if not announcement.advertisements:
                yield announcement, address
                continue
            attributes = announcement.for_peer(self.peer)
            if attributes is not None:
                yield replace(announcement, attributes=attributes, advertisements=()), address

    def usable(
        self, candidates: Iterable[tuple[Announcement, Address]]
    ) -> list[tuple[Announcement, Address]]:
        """The admitted announcements without those of nodes whose drain is over, if there is
        another; one for each address."""
        addresses = {path.next_hop: (path, address) for path, address in candidates}
        used = [addresses[path.next_hop] for path in in_use([p for p, _ in addresses.values()])]
        several = len({address for _, address in used}) < len(used)
        return _one_of_each(used) if several else used

    def chosen(
        self, prefix: Network, usable: Iterable[tuple[Announcement, Address]]
    ) -> list[tuple[Announcement, Address]]:
        """Those of the usable announcements of a prefix that the peer gets: at most `limit`, those
        of drained nodes last."""
        addresses = {path.next_hop: (path, address) for path, address in usable}
        limit = self.limit(prefix.version)
        if not limit or len(addresses) <= limit:
            return list(addresses.values())
        paths = [path for path, _ in addresses.values()]
        in_service = [path.next_hop for path in paths if path.drain is None]
        drained = [path.next_hop for path in paths if path.drain is not None]
        if self.fan_out is not None:
            hop = self.fan_out.choose(prefix, in_service, drained, self.max_next_hops)
            return [addresses[hop]]
        first = choose(prefix, in_service, limit)
        first += choose(prefix, drained, limit - len(first))
        return [addresses[hop] for hop in first]

    def may_carry(self, next_hop: Address, family: int) -> bool:
        """Whether a path of this family can have this next hop in this session."""
        return next_hop.version == family or self.ipv4_over_ipv6

    def path_attributes(
        self, next_hop: Address, path: PathAttributes = NO_ATTRIBUTES
    ) -> Attributes:
        """The path attributes of an UPDATE (RFC 4271, 5) for a path with the attributes `path` of
        its own."""
        merged = path.over(self.attributes)
        bandwidth = merged.bandwidth
        return Attributes(
            next_hop,
            () if self.internal else (self.local_as,) * (1 + merged.as_path_prepend),
            self.four_octet_as,
            merged.med,
            merged.local_pref if self.internal else None,
            merged.communities,
            merged.large_communities,
            ()
            if bandwidth is None
            else (link_bandwidth(self.local_as, bandwidth * _BANDWIDTH_UNIT),),
            self.local_as if marks_routes(self.role) else None,
            path,
        )

    def next_hop_address(self, hop: NextHop, family: int) -> Address | None:
        """The address of a next hop for routes of a family in this session; None: it has none."""
        either = family == Family.IPV4 and self.ipv4_over_ipv6
        own = self.local_address
        if hop.is_self and own is not None and (own.version == family or either):
            return own
        if hop.address is None and either:
            return hop.ipv6
        return hop.address

    def selects(self, hop: NextHop) -> bool:
        """Whether the peer may get this next hop (node_selector)."""
        return not self.selector.requirements or self.selector.matches(dict(hop.labels))


def weight(said: Attributes) -> int | None:
    """The weight that a path was sent with as link bandwidth; None without one."""
    octets_per_second = bandwidth_of(said)
    return None if octets_per_second is None else round(octets_per_second / _BANDWIDTH_UNIT)


def _one_of_each(
    paths: Iterable[tuple[Announcement, Address]],
) -> list[tuple[Announcement, Address]]:
    """Of paths to nodes that report the same address, the one that every run and every instance
    chooses: of a node that is not drained, then the one with the greatest weight."""
    found: dict[Address, tuple[Announcement, Address]] = {}
    for path, address in sorted(paths, key=_preference):
        found.setdefault(address, (path, address))
    return list(found.values())


def _preference(entry: tuple[Announcement, Address]) -> tuple[bool, int, str]:
    path, _ = entry
    return path.drain is not None, -(path.attributes.bandwidth or 0), path.next_hop.node
