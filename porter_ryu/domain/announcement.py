"""What every route target gets: the next hops of a prefix, and the attributes of each path.

A target gets `Announcements` by prefix.  The prefix is not a part of the value, so that prefixes
with the same next hops share one set, which a target can recognise.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from porter_ryu.domain.communities import WELL_KNOWN
from porter_ryu.domain.model import Address, Network, Port


class PathAttributes(Struct, frozen=True, gc=False):
    """The attributes of a path other than its next hop (RFC 4271 section 5, RFC 1997, RFC 8092).

    None: the attribute is not set.  `communities` are 32-bit numbers, `large_communities` triples
    of them.  `as_path_prepend`: how often the local AS is added to the AS_PATH beyond the one time
    that RFC 4271 requires.  `bandwidth`: the weight of the path among those of its prefix, for the
    link bandwidth community (RFC 10005), from 1 to 16.
    """

    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int = 0
    bandwidth: int | None = None

    def over(self, base: PathAttributes) -> PathAttributes:
        """These attributes on top of those in `base`: the communities of both; every other
        attribute from here where it is set, otherwise from `base`."""
        if self == NO_ATTRIBUTES:
            return base
        return PathAttributes(
            tuple(sorted({*base.communities, *self.communities})),
            tuple(sorted({*base.large_communities, *self.large_communities})),
            base.local_pref if self.local_pref is None else self.local_pref,
            base.med if self.med is None else self.med,
            self.as_path_prepend or base.as_path_prepend,
            base.bandwidth if self.bandwidth is None else self.bandwidth,
        )


NO_ATTRIBUTES = PathAttributes()
# a router should not use the path while it has another one: GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 for
# an internal peer (RFC 8326, 4.3)
LEAVING = PathAttributes((WELL_KNOWN["graceful-shutdown"],), local_pref=0, med=2**32 - 1)
_MAX_COMMUNITIES = 64  # of each kind, so that the attributes fit into a message (RFC 4271, 4)


def united(attributes: Sequence[PathAttributes]) -> PathAttributes:
    """The attributes of one path to which several parts of spec.advertisements apply: the
    communities of all, the highest LOCAL_PREF, the lowest MED and the longest AS_PATH.  Of more
    than 64 communities of a kind the lowest are kept."""
    if len(attributes) == 1:
        return attributes[0]
    preferences = [a.local_pref for a in attributes if a.local_pref is not None]
    discriminators = [a.med for a in attributes if a.med is not None]
    return PathAttributes(
        tuple(sorted({c for a in attributes for c in a.communities})[:_MAX_COMMUNITIES]),
        tuple(sorted({c for a in attributes for c in a.large_communities})[:_MAX_COMMUNITIES]),
        max(preferences, default=None),
        min(discriminators, default=None),
        max((a.as_path_prepend for a in attributes), default=0),
    )


class SentPath(Struct, frozen=True, gc=False):
    """A path that a peer was sent, as far as the settings of the peer do not decide it: its next
    hop and its own attributes, without those of the peer's group; None if they are not known any
    more."""

    next_hop: Address
    attributes: PathAttributes | None = NO_ATTRIBUTES


class NextHop(Struct, frozen=True, gc=False, cache_hash=True):
    """A node as the next hop of a route.

    With `is_self` the local address of the session is the next hop; `address`, which may be None
    then, is for routes of the other family.  `labels` are the labels of the node, for the
    node_selector of a peer.  `ipv6` is for IPv4 routes to a node without an IPv4 address, if the
    peer accepts such next hops (RFC 8950).
    """

    node: str
    address: Address | None
    labels: frozenset[tuple[str, str]] = frozenset()
    is_self: bool = False
    ipv6: Address | None = None


class Drain(Struct, frozen=True, gc=False):
    """The drain of a node: when it began and when it ends, on the clock of the turns, in seconds,
    and whether it is over.

    Both times are `-inf` if the node was drained when this process first saw it.
    """

    began: float
    ends: float
    over: bool


class Advertisement(Struct, frozen=True, gc=False):
    """A part of spec.advertisements of an Eip that applies to one path: the peers that get the
    path, by name (empty: all), and the attributes that it has for them."""

    peers: frozenset[str]
    attributes: PathAttributes

    def names(self, peer: str) -> bool:
        """Whether a peer gets the path."""
        return not self.peers or peer in self.peers


class Announcement(Struct, frozen=True, gc=False):
    """One path of a prefix: its next hop and its attributes, the same for every target.

    `drain` is that of the node, None if it is not drained; `in_use` says what follows from it.
    With `advertisements` only the peers that one of them names get the path.  `elsewhere`: another
    instance announces it, and here it only counts for `in_use`.
    """

    next_hop: NextHop
    attributes: PathAttributes = NO_ATTRIBUTES
    drain: Drain | None = None
    advertisements: tuple[Advertisement, ...] = ()
    elsewhere: bool = False

    def for_peer(self, name: str) -> PathAttributes | None:
        """The attributes for the peer of this name, those of its group aside; None if it does not
        get the path because no advertisement names it."""
        if not self.advertisements:
            return self.attributes
        said = [each.attributes for each in self.advertisements if each.names(name)]
        return self.attributes.over(united(said)) if said else None


Announcements = frozenset[Announcement]

WITHDRAWN: Announcements = frozenset()


def in_use(candidates: Sequence[Announcement]) -> Sequence[Announcement]:
    """Those of the announcements of a prefix that a target uses; `candidates` are all that it may
    use (a peer may not use every node), and if there is one, one stays in use, here or elsewhere.

    A node whose drain is over is not used while there is another one.  If every node is drained,
    those stay whose drain was not over when the last one began: nodes that are drained together
    stay together, and of nodes that are drained one after the other the last one stays.
    """
    if not any(path.drain is not None or path.elsewhere for path in candidates):
        return candidates
    if any(path.drain is None for path in candidates):
        used = [path for path in candidates if path.drain is None or not path.drain.over]
    else:
        last_began = max(path.drain.began for path in candidates if path.drain is not None)
        used = [path for path in candidates if path.drain and path.drain.ends >= last_began]
    return [path for path in used if not path.elsewhere]


PortPaths = tuple[tuple[Port, Announcements], ...]
"""The announcements of single ports of an address, in order of port."""


class Route(Struct, frozen=True, gc=False):
    """What is wanted for one address: whether it is bound on this host, and its announcements
    (none: it is withdrawn).  `aggregates` are the prefixes that are announced for it instead, or
    beside them.

    `paths` and `ports` are for a target that forwards by address and port (`AddressTarget`):
    `paths` are the announcements of the address whether an aggregate stands for it or not, `ports`
    those of each port, if the Services that share the address differ in their next hops.
    """

    address: Address
    bound: bool
    announcements: Announcements
    aggregates: tuple[Network, ...] = ()
    paths: Announcements = WITHDRAWN
    ports: PortPaths = ()
