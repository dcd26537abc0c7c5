"""What a change means for a Service: one of a short list, from the worst to the least."""

from __future__ import annotations

import enum
from collections.abc import Hashable, Mapping, Set

from porter_ryu.domain.verdict import Reason

NodesByAddress = Mapping[Hashable, Set[str]]
"""The nodes that each address of a Service leads to."""

_ANNOUNCED = Reason.ANNOUNCED.value


class Effect(enum.Enum):
    """What becomes of a Service, the worst first; the texts are public API.

    OTHER_ADDRESS: it loses an address, and has another.  ADDRESS_NOT_ANNOUNCED: one of its
    addresses has no path any more, another has.  LAST_NEXT_HOP: a drained node stays its next hop,
    because there is no other, for all peers or for some.  NOT_TO_EVERY_PEER: a peer would be sent
    no path any more, others would.  OTHER_PATH: all peers have one path each, and that of some
    moves to another node.
    """

    NOT_ANNOUNCED = "NotAnnounced"
    OTHER_ADDRESS = "OtherAddress"
    ADDRESS_NOT_ANNOUNCED = "AddressNotAnnounced"
    LAST_NEXT_HOP = "LastNextHop"
    NOT_TO_EVERY_PEER = "NotToEveryPeer"
    OTHER_PATH = "OtherPath"
    OTHER_NEXT_HOPS = "OtherNextHops"
    FEWER_NEXT_HOPS = "FewerNextHops"
    OTHER = "Other"
    ANNOUNCED = "Announced"

    @property
    def rank(self) -> int:
        """The lower, the worse."""
        return _RANKS[self]


_RANKS = {effect: rank for rank, effect in enumerate(Effect)}


def effect_of(was: str, becomes: str, nodes: NodesByAddress, then: NodesByAddress) -> Effect:
    """The effect of a change of the state of a Service, and of the nodes that each of its addresses
    leads to."""
    if was == _ANNOUNCED != becomes:
        return Effect.NOT_ANNOUNCED
    if then and nodes.keys() - then.keys():
        return Effect.OTHER_ADDRESS
    if was != _ANNOUNCED == becomes:
        return Effect.ANNOUNCED
    if nodes == then:
        return Effect.OTHER
    # without any path here it is another instance that announces the Service
    if any(then.values()) and any(nodes[a] and not then[a] for a in nodes.keys() & then.keys()):
        return Effect.ADDRESS_NOT_ANNOUNCED
    before, after = ({(a, n) for a, of in side.items() for n in of} for side in (nodes, then))
    return Effect.FEWER_NEXT_HOPS if after < before else Effect.OTHER_NEXT_HOPS
