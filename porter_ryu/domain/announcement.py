"""What every route target is told: where a prefix leads, and what each of its paths says.

A target gets `Announcements` by prefix.  The prefix is the key and not a part of the value, so that
prefixes that lead to the same nodes share one set, which a target may recognise as such.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from porter_ryu.domain.model import Address


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """What a path says beside its next hop, in the terms of RFC 4271 5, RFC 1997 and RFC 8092.

    None: nothing is said.  `communities` are 32-bit numbers, `large_communities` three of them.
    `as_path_prepend`: how often our AS is in the AS_PATH beyond the one time that is due.
    """

    communities: tuple[int, ...] = ()
    large_communities: tuple[tuple[int, int, int], ...] = ()
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int = 0

    def over(self, base: PathAttributes) -> PathAttributes:
        """These on top of a peer's own: the communities of both, and else what is said here,
        where something is."""
        if self == NO_ATTRIBUTES:
            return base
        return PathAttributes(
            tuple(sorted({*base.communities, *self.communities})),
            tuple(sorted({*base.large_communities, *self.large_communities})),
            base.local_pref if self.local_pref is None else self.local_pref,
            base.med if self.med is None else self.med,
            self.as_path_prepend or base.as_path_prepend,
        )


NO_ATTRIBUTES = PathAttributes()


@dataclass(frozen=True, slots=True)
class NextHop:
    """A node that a route may lead to.

    `address` is None only with `is_self`: then the session's local address is the next hop, and
    `address`, where set, is for a route whose family the session's own address has not.
    `labels` are the node's, for a peer's node_selector.  `ipv6` is for IPv4 routes to a node
    without an IPv4 address, where the peer takes such next hops (RFC 8950).
    """

    node: str
    address: Address | None
    labels: frozenset[tuple[str, str]] = frozenset()
    is_self: bool = False
    ipv6: Address | None = None
    # it is hashed for each prefix that leads to it, and does not change
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.node, self.address, self.labels, self.is_self, self.ipv6)
        object.__setattr__(self, "_hash", hash(parts))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Announcement:
    """One path of a prefix: its next hop, and what it says to everybody."""

    next_hop: NextHop
    attributes: PathAttributes = NO_ATTRIBUTES


Announcements = frozenset[Announcement]

WITHDRAWN: Announcements = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """What is wanted of one address: whether it is bound here, and what is announced of it (none:
    it is withdrawn)."""

    address: Address
    bound: bool
    announcements: Announcements
