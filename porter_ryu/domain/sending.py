"""What each peer is sent of a path, so that it can be told: its attributes with those of the peer's
group and of the advertisements that name it.  `bgp.protocol.export` decides the same for a session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from porter_ryu.domain.announcement import (
    NO_ATTRIBUTES,
    Announcement,
    PathAttributes,
    in_use,
)
from porter_ryu.domain.labels import EVERYTHING, LabelSelector
from porter_ryu.domain.model import Family

_MAX_KNOWN = 10_000

Sent = tuple[tuple[PathAttributes, tuple[str, ...]], ...]
"""Attributes, and the names of the peers that are sent them."""


class PeerTerms(Struct, frozen=True):
    """What the configuration says of the paths for a peer.  `internal`: it has our AS.
    `attributes` are those of its group; `selector` selects the nodes that may be its next hops.
    `families` are those of the addresses that it is offered, `single_path` those of them in which
    it is offered no ADD-PATH, and has one session."""

    name: str
    internal: bool = False
    attributes: PathAttributes = NO_ATTRIBUTES
    selector: LabelSelector = EVERYTHING
    families: frozenset[Family] = frozenset(Family)
    single_path: frozenset[Family] = frozenset()

    def sent(self, path: Announcement) -> PathAttributes | None:
        """The attributes with which the peer is sent a path; None if it is not sent the path."""
        if not self.selector.matches(dict(path.next_hop.labels)):
            return None
        said = path.for_peer(self.name)
        if said is None:
            return None
        found = said.over(self.attributes)
        # LOCAL_PREF stays inside an AS; its own AS is not in the AS_PATH of internal paths
        return (
            replace(found, as_path_prepend=0) if self.internal else replace(found, local_pref=None)
        )


class Sending:
    """The terms of all configured peers."""

    def __init__(self, terms: Sequence[PeerTerms] = ()) -> None:
        self.terms = tuple(sorted({t.name: t for t in terms}.values(), key=lambda t: t.name))
        self.peers = frozenset(t.name for t in self.terms)
        self._known: dict[Announcement, Sent] = {}

    def of(self, path: Announcement) -> Sent:
        """What the peers are sent of a path, those that are sent the same together."""
        known = self._known.get(path)
        if known is None:
            found: dict[PathAttributes, list[str]] = {}
            for terms in self.terms:
                sent = terms.sent(path)
                if sent is not None:
                    found.setdefault(sent, []).append(terms.name)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = tuple((sent, tuple(names)) for sent, names in found.items())
            self._known[path] = known
        return known

    def in_use(self, paths: Sequence[Announcement], switches: bool) -> Iterable[Announcement]:
        """Those of the paths of a prefix that a peer uses, or a switch, if there are `switches`.
        Each peer is judged by the paths that it may be sent: of drained nodes it keeps the last."""
        found = dict.fromkeys(in_use(paths) if switches or not self.terms else ())
        told = {path: {name for _, names in self.of(path) for name in names} for path in paths}
        everywhere = None
        for name in self.peers:
            admitted = [path for path in paths if name in told[path]]
            if len(admitted) == len(paths):  # as for nearly every peer
                everywhere = everywhere or in_use(paths)
                found |= dict.fromkeys(everywhere)
            else:
                found |= dict.fromkeys(in_use(admitted))
        return found
