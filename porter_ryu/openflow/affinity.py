"""The flows of connections that the switch remembers: where a connection goes is its mark
(`ct_mark` of Open vSwitch), and it counts as long as its node is there, in the buckets or not.
"""

from __future__ import annotations

from porter_ryu.openflow import flows, oxm, wire
from porter_ryu.openflow.flows import Flow
from porter_ryu.openflow.groups import ZONE

_TRACKED, _NEW, _INVALID = 1 << 5, 1 << 0, 1 << 4


def find() -> bytes:
    """The actions that find the connection of a packet."""
    return oxm.track(ZONE, flows.CONNECTIONS)


def other_connections() -> Flow:
    """The flow for a packet of no connection that is remembered."""
    about = "packets of new connections"
    return Flow(flows.CONNECTIONS, 0, b"", wire.go_to(flows.SPREAD), about=about)


def remembered(pool: int, number: int, about: str) -> Flow:
    """The flow for the connections of a pool that go to a next hop."""
    match = (
        oxm.POOL_REGISTER.is_(pool)
        + oxm.CT_STATE.masked(_TRACKED, _TRACKED | _NEW | _INVALID)
        + oxm.CT_MARK.is_(number)
    )
    to_node = wire.apply(oxm.set_field(oxm.NODE_REGISTER, number)) + wire.go_to(flows.NODES)
    return Flow(flows.CONNECTIONS, 1, match, to_node, about=f"connections of {about}")
