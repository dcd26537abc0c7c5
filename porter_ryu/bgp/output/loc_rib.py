"""The Loc-RIB (RFC 4271, 3.2): what is to be announced, before the export policy of a peer."""

from __future__ import annotations

from msgspec import Struct

from porter_ryu.bgp.protocol.path_ids import PathIds
from porter_ryu.domain.announcement import Announcements
from porter_ryu.domain.model import Network


class LocRib(Struct):
    """`begun`: a part of what the cluster has is in it, and the rest follows at once.  `complete`:
    all of it is.  `replaying`: the cluster cannot be read, so that the journals are announced in
    its place."""

    routes: dict[Network, Announcements]
    path_ids: PathIds
    begun: bool = False
    complete: bool = False
    replaying: bool = False

    @property
    def may_be_sent(self) -> bool:
        """Whether peers are sent what is in it, and not what an earlier run left."""
        return self.begun or self.complete
