"""Paths to packed UPDATE messages (RFC 4271 4.3, RFC 4360, 4760, 7911, 8092, 9234, 10005).

Paths with the same attributes, the next hop among them, share messages: ten thousand prefixes by
four next hops are some ninety messages.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address

from porter_ryu.bgp.protocol.open_message import AS_TRANS
from porter_ryu.bgp.protocol.wire import (
    AFI,
    HEADER_LENGTH,
    MAX_LENGTH,
    SAFI_UNICAST,
    MessageType,
    message,
)
from porter_ryu.domain.announcement import NO_ATTRIBUTES, PathAttributes
from porter_ryu.domain.model import Address, Family, Network

_FAMILIES = tuple(Family)
_WELL_KNOWN, _OPTIONAL, _OPTIONAL_TRANSITIVE = 0x40, 0x80, 0xC0
_EXTENDED_LENGTH = 0x10
_ONE_OCTET = 0xFF
_TWO_OCTETS = 0xFFFF
_AS_SEQUENCE = 2
_IGP = b"\0"
ORIGIN, AS_PATH, NEXT_HOP, MED, LOCAL_PREF, COMMUNITIES = 1, 2, 3, 4, 5, 8
MP_REACH, MP_UNREACH, EXTENDED_COMMUNITIES, AS4_PATH, LARGE_COMMUNITY = 14, 15, 16, 17, 32
ONLY_TO_CUSTOMER = 35
_LINK_BANDWIDTH = 0x4004
DEFAULT_LOCAL_PREF = 100
_OCTETS = [bytes((number,)) for number in range(129)]  # of the lengths of prefixes
_LENGTHS = 4  # the two length fields of an UPDATE


@dataclass(frozen=True, slots=True)
class Attributes:
    """The path attributes of an UPDATE (RFC 4271, 5), as a peer is sent them.

    `as_path` is empty to an internal peer; `local_pref` is for an internal one alone.  An extended
    community is a number of 64 bits (RFC 4360).  `only_to_customer`: the AS from which on the route
    may only go down to customers (RFC 9234, 5).

    `own`: what the path itself has of all that, without the settings of the peer.  It is not
    compared, because a peer does not see where an attribute is from.
    """

    next_hop: Address
    as_path: tuple[int, ...]
    four_octet_as: bool
    med: int | None = None
    local_pref: int | None = None
    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    extended_communities: tuple[int, ...] = ()
    only_to_customer: int | None = None
    own: PathAttributes = field(default=NO_ATTRIBUTES, repr=False, compare=False)
    # paths are grouped by it, forty thousand at a time, and it does not change
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        said = (self.as_path, self.med, self.local_pref, self.communities)
        more = (self.four_octet_as, self.large_communities, self.extended_communities)
        object.__setattr__(self, "_hash", hash((self.next_hop, said, more)))

    def __hash__(self) -> int:
        return self._hash


# tells paths of one prefix apart (RFC 7911, 3); None where ADD-PATH is not negotiated
PathId = int | None

# the paths of a prefix; prefixes with the same paths share one mapping, so it is never changed
Paths = Mapping[PathId, Attributes]


def link_bandwidth(asn: int, octets_per_second: int) -> int:
    """The link bandwidth extended community, which is not transitive
    (RFC 10005): type and subtype, two octets of the AS number, and the
    bandwidth as an IEEE 754 number of 32 bits."""
    (bits,) = struct.unpack(">I", struct.pack(">f", octets_per_second))
    return _LINK_BANDWIDTH << 48 | _two_octet(asn) << 32 | int(bits)


def bandwidth_of(attributes: Attributes) -> float | None:
    """The link bandwidth of a path in octets per second; None without that community."""
    for community in attributes.extended_communities:
        if community >> 48 == _LINK_BANDWIDTH:
            (octets_per_second,) = struct.unpack(">f", struct.pack(">I", community & 0xFFFFFFFF))
            return float(octets_per_second)
    return None


def end_of_rib(family: Family) -> bytes:
    """RFC 4724, section 2."""
    if family is Family.IPV4:
        return message(MessageType.UPDATE, b"\0\0\0\0")
    body = struct.pack(">HB", AFI[family], SAFI_UNICAST)
    return _update(b"", _attribute(_OPTIONAL, MP_UNREACH, body), b"")


def announce(
    announced: Iterable[tuple[Network, Paths]], limit: int = MAX_LENGTH
) -> Iterator[bytes]:
    """Messages of at most `limit` octets that announce these paths; families may be mixed."""
    for attributes, by_family in _by_attributes(announced).items():
        next_hop = attributes.next_hop
        origin_and_path, shared = _encoded(attributes)
        for family, nlri in by_family.items():
            if family is Family.IPV4 and isinstance(next_hop, IPv4Address):
                hop = _attribute(_WELL_KNOWN, NEXT_HOP, next_hop.packed)
                yield from _classic(origin_and_path + hop + shared, nlri, limit)
            else:
                parts = (next_hop, origin_and_path, shared)
                yield from _multiprotocol(family, parts, nlri, limit)


def withdraw(
    withdrawn: Iterable[tuple[Network, Iterable[PathId]]], limit: int = MAX_LENGTH
) -> Iterator[bytes]:
    """Messages of at most `limit` octets that withdraw these paths; families may be mixed."""
    by_family: dict[int, list[bytes]] = {family: [] for family in _FAMILIES}
    # prefixes share what is gone of them, as they share their paths
    known: dict[int, tuple[Iterable[PathId], list[bytes]]] = {}
    for prefix, path_ids in withdrawn:
        found = known.get(id(path_ids))
        if found is None:
            found = known[id(path_ids)] = (path_ids, [_identifier(i) for i in path_ids])
        octets = _prefix_octets(prefix)
        nlri = by_family[prefix.version]
        for identifier in found[1]:
            nlri.append(identifier + octets)
    for family in _FAMILIES:
        nlri = by_family[family]
        if family is Family.IPV4:
            for chunk in _chunks(nlri, limit - HEADER_LENGTH - _LENGTHS):
                yield _update(chunk, b"", b"")
        else:
            head = struct.pack(">HB", AFI[family], SAFI_UNICAST)
            room = limit - HEADER_LENGTH - _LENGTHS - 4 - len(head)
            for chunk in _chunks(nlri, room):
                yield _update(b"", _attribute(_OPTIONAL, MP_UNREACH, head + chunk), b"")


def _by_attributes(
    announced: Iterable[tuple[Network, Paths]],
) -> dict[Attributes, dict[Family, list[bytes]]]:
    """Encoded NLRI (RFC 4271, 4.3) by attributes and family.  The grouping is worked out once for
    all prefixes that share one mapping of paths."""
    found: dict[Attributes, dict[Family, list[bytes]]] = {}
    plans: dict[tuple[int, int], tuple[Paths, list[tuple[bytes, list[bytes]]]]] = {}
    for prefix, paths in announced:
        which = (id(paths), prefix.version)
        known = plans.get(which)
        if known is None:
            family = Family(prefix.version)
            nlri_of = [
                (_identifier(path_id), found.setdefault(attributes, {}).setdefault(family, []))
                for path_id, attributes in paths.items()
            ]
            known = plans[which] = (paths, nlri_of)
        octets = _prefix_octets(prefix)
        for identifier, nlri in known[1]:
            nlri.append(identifier + octets)
    return found


def _identifier(path_id: PathId) -> bytes:
    """The path identifier in front of a prefix (RFC 7911, 3)."""
    return b"" if path_id is None else path_id.to_bytes(4, "big")


def _prefix_octets(prefix: Network) -> bytes:
    length = prefix.prefixlen
    return _OCTETS[length] + prefix.network_address.packed[: (length + 7) // 8]


def _classic(attributes: bytes, nlri: Sequence[bytes], limit: int) -> Iterator[bytes]:
    for chunk in _chunks(nlri, limit - HEADER_LENGTH - _LENGTHS - len(attributes)):
        yield _update(b"", attributes, chunk)


def _multiprotocol(
    family: Family, parts: tuple[Address, bytes, bytes], nlri: Sequence[bytes], limit: int
) -> Iterator[bytes]:
    next_hop, first, last = parts
    hop = next_hop.packed
    head = struct.pack(">HBB", AFI[family], SAFI_UNICAST, len(hop)) + hop + b"\0"
    room = limit - HEADER_LENGTH - _LENGTHS - 4 - len(head) - len(first) - len(last)
    for chunk in _chunks(nlri, room):
        # RFC 7606, 5.1: MP_REACH_NLRI comes first
        yield _update(b"", _attribute(_OPTIONAL, MP_REACH, head + chunk) + first + last, b"")


def _update(withdrawn: bytes, attributes: bytes, nlri: bytes) -> bytes:
    body = b"".join(
        (struct.pack(">H", len(withdrawn)), withdrawn, struct.pack(">H", len(attributes)))
    )
    return message(MessageType.UPDATE, body + attributes + nlri)


def _chunks(nlri: Sequence[bytes], room: int) -> Iterator[bytes]:
    chunk: list[bytes] = []
    used = 0
    for entry in nlri:
        if used + len(entry) > room:
            yield b"".join(chunk)
            chunk, used = [], 0
        chunk.append(entry)
        used += len(entry)
    if chunk:
        yield b"".join(chunk)


def _attribute(flags: int, kind: int, value: bytes) -> bytes:
    if len(value) > _ONE_OCTET:
        return struct.pack(">BBH", flags | _EXTENDED_LENGTH, kind, len(value)) + value
    return struct.pack(">BBB", flags, kind, len(value)) + value


def _origin_and_path(a: Attributes) -> Iterator[bytes]:
    yield _attribute(_WELL_KNOWN, ORIGIN, _IGP)
    size = "I" if a.four_octet_as else "H"
    numbers = a.as_path if a.four_octet_as else [_two_octet(n) for n in a.as_path]
    yield _attribute(_WELL_KNOWN, AS_PATH, _sequence(numbers, size))


@lru_cache(maxsize=4096)
def _encoded(attributes: Attributes) -> tuple[bytes, bytes]:
    """What goes before the next hop, and after it; thousands of paths have the same few sets."""
    return b"".join(_origin_and_path(attributes)), b"".join(_shared(attributes))


def _shared(a: Attributes) -> Iterator[bytes]:
    if a.med is not None:
        yield _attribute(_OPTIONAL, MED, struct.pack(">I", a.med))
    if not a.as_path:
        preference = DEFAULT_LOCAL_PREF if a.local_pref is None else a.local_pref
        yield _attribute(_WELL_KNOWN, LOCAL_PREF, struct.pack(">I", preference))
    if a.communities:
        packed = struct.pack(f">{len(a.communities)}I", *a.communities)
        yield _attribute(_OPTIONAL_TRANSITIVE, COMMUNITIES, packed)
    if a.extended_communities:
        packed = struct.pack(f">{len(a.extended_communities)}Q", *a.extended_communities)
        yield _attribute(_OPTIONAL_TRANSITIVE, EXTENDED_COMMUNITIES, packed)
    if not a.four_octet_as and any(n > _TWO_OCTETS for n in a.as_path):
        # RFC 6793, 4.2.2: for a peer that cannot read the real numbers in AS_PATH
        yield _attribute(_OPTIONAL_TRANSITIVE, AS4_PATH, _sequence(a.as_path, "I"))
    if a.large_communities:
        triples = b"".join(struct.pack(">III", *triple) for triple in a.large_communities)
        yield _attribute(_OPTIONAL_TRANSITIVE, LARGE_COMMUNITY, triples)
    if a.only_to_customer is not None:
        octets = struct.pack(">I", a.only_to_customer)
        yield _attribute(_OPTIONAL_TRANSITIVE, ONLY_TO_CUSTOMER, octets)


def _two_octet(asn: int) -> int:
    return asn if asn <= _TWO_OCTETS else AS_TRANS


def _sequence(numbers: Sequence[int], size: str) -> bytes:
    if not numbers:
        return b""
    return struct.pack(f">BB{len(numbers)}{size}", _AS_SEQUENCE, len(numbers), *numbers)
