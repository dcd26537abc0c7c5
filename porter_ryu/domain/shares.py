"""How a router divides the traffic of a prefix over its paths, as far as they say it themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from porter_ryu.domain.announcement import Announcement, Announcements, in_use, united
from porter_ryu.domain.communities import WELL_KNOWN
from porter_ryu.domain.model import Address
from porter_ryu.domain.sending import PeerTerms

_GRACEFUL_SHUTDOWN = WELL_KNOWN["graceful-shutdown"]
_DEFAULT_LOCAL_PREF = 100
_ALL = 100.0


def shares(paths: Sequence[Announcement]) -> Mapping[Announcement, float | None]:
    """The share of each path in per cent, at a router that gets all of them, does multipath, and
    knows the link bandwidth and GRACEFUL_SHUTDOWN communities (RFC 10005, RFC 8326).

    Only the best paths (RFC 4271, 9.1.2.2) have a share; it is their weight if all of them have
    one, and otherwise equal.  None: not known, because other instances announce the other paths.
    """
    if not paths or any(path.next_hop.is_self for path in paths):
        return dict.fromkeys(paths)
    best_rank = min(map(_rank, paths))
    best = [path for path in paths if _rank(path) == best_rank]
    weights = [path.attributes.bandwidth or 0 for path in best]
    if not all(weights):
        weights = [1] * len(best)
    total = sum(weights)
    share = {path: _ALL * weight / total for path, weight in zip(best, weights, strict=True)}
    return {path: share.get(path, 0.0) for path in paths}


def shares_at(
    paths: Sequence[Announcement], terms: PeerTerms, hops: Sequence[Address]
) -> Mapping[Announcement, float | None]:
    """The share of each path in per cent at one peer, which was sent these next hops; of paths that
    it was not sent there is none.  A peer without ADD-PATH has one path, whatever there is."""
    sent: dict[Announcement, Announcement] = {}
    addresses: set[Address] = set()
    for path in sorted(paths, key=_preference):
        hop = path.next_hop
        known = [address for address in (hop.address, hop.ipv6) if address is not None]
        own = [address for address in known if address in hops and address not in addresses]
        attributes = terms.sent(path) if own or hop.is_self else None
        if attributes is not None:
            addresses.update(own)  # two nodes may report one address
            sent[path] = replace(path, attributes=attributes, advertisements=())
    found = shares(list(sent.values()))
    return {path: found[sent[path]] for path in paths if path in sent}


def shares_in_use(
    announcements: Announcements,
) -> tuple[tuple[Announcement, float | None], ...]:
    """The announcements of a prefix that are in use, in order of node, each with its share."""
    paths = sorted(announcements, key=lambda path: path.next_hop.node)
    return tuple(shares(in_use(paths)).items())


def _rank(path: Announcement) -> tuple[bool, int, int, int]:
    """The lower, the better."""
    said = path.attributes
    if path.advertisements:
        said = said.over(united([part.attributes for part in path.advertisements]))
    preference = _DEFAULT_LOCAL_PREF if said.local_pref is None else said.local_pref
    leaving = _GRACEFUL_SHUTDOWN in said.communities
    return (leaving, -preference, said.as_path_prepend, said.med or 0)


def _preference(path: Announcement) -> tuple[bool, int, str]:
    """The first of the nodes with one address is the one that a peer is sent."""
    return path.drain is not None, -(path.attributes.bandwidth or 0), path.next_hop.node
