"""Groups as values: which next hop each bucket leads to, and how that is written.

A group is known by what is in it.  Its number says nothing, but that it is one of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from porter_ryu.openflow import flows, oxm
from porter_ryu.openflow.config import Affinity
from porter_ryu.openflow.replies import GroupOnSwitch

FIRST_GROUP, GROUPS_MAX = 0x50590000, 0x10000
# connections of ours have a zone of their own in the connection table of the switch
ZONE = 0x5059


class GroupContent(Struct, frozen=True):
    """The number of the next hop of each bucket (none: the group drops).  `affinity`: it remembers
    connections.  `hashed`: buckets are chosen by the hash that we ask for."""

    numbers: tuple[int, ...]
    affinity: Affinity = Affinity.NONE
    hashed: bool = True

    def buckets(self, version: int) -> Sequence[bytes]:
        """The actions of each bucket, for a switch of this version."""
        known = {number: self._bucket(version, number) for number in set(self.numbers)}
        return [known[number] for number in self.numbers]

    def _bucket(self, version: int, number: int) -> bytes:
        to_node = oxm.set_field(oxm.NODE_REGISTER, number)
        if self.affinity is Affinity.NONE:
            return to_node + oxm.resubmit(flows.NODES)
        mark = oxm.move(version, oxm.NODE_REGISTER, oxm.CT_MARK)
        return to_node + oxm.commit(ZONE, flows.NODES, mark)


def is_ours(number: int) -> bool:
    """Whether a group of this number is ours."""
    return FIRST_GROUP <= number < FIRST_GROUP + GROUPS_MAX


def content_of(group: GroupOnSwitch) -> GroupContent | None:
    """What a group of ours on a switch contains; None if it is not as we write them."""
    numbers = []
    affinities = set()
    for bucket in group.buckets:
        try:
            actions = oxm.parse_actions(bucket)
        except ValueError:
            return None
        values = [oxm.set_value(action, oxm.NODE_REGISTER) for action in actions]
        if not values or values[0] is None:
            return None
        numbers.append(int.from_bytes(values[0], "big"))
        remembers = any(map(oxm.is_commit, actions))
        affinities.add(Affinity.CONNTRACK if remembers else Affinity.NONE)
    if len(affinities) > 1:
        return None
    return GroupContent(tuple(numbers), next(iter(affinities), Affinity.NONE), group.hashed)
