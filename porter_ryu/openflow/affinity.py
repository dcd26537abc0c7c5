"""The flows of connections that the switch remembers: where a connection goes is its mark
(`ct_mark` of Open vSwitch), and it counts as long as its node is there, in the buckets or not.

Answers have to pass the switch as well, and [openflow] base has to be `normal`: only then does the
switch see both directions, and remembers an idle connection for a day.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from porter_ryu.domain.model import Address
from porter_ryu.openflow import flows, oxm, wire
from porter_ryu.openflow.flows import Flow
from porter_ryu.openflow.groups import ZONE

_TRACKED = 1 << 5


def find() -> bytes:
    """The actions that find the connection of a packet."""
    return oxm.track(ZONE, flows.CONNECTIONS)


def reply(address: Address) -> Flow:
    """The flow for what nodes answer from an address.  Without it the switch would see one
    direction of a connection only, and forget it while it is idle for half a minute."""
    version4 = isinstance(address, IPv4Address)
    match = oxm.ETH_TYPE.is_(oxm.ETHERTYPE_IPV4 if version4 else oxm.ETHERTYPE_IPV6)
    match += (oxm.IPV4_SRC if version4 else oxm.IPV6_SRC).is_(address)
    onward = wire.apply(oxm.track(ZONE) + oxm.output(oxm.PORT_NORMAL))
    about = f"answers from {address}"
    return Flow(flows.CLASSIFY, flows.PRIORITY_REPLY, match, onward, about=about)


def other_connections() -> Flow:
    """The flow for a packet of no connection that is remembered."""
    about = "packets of new connections"
    return Flow(flows.CONNECTIONS, 0, b"", wire.go_to(flows.SPREAD), about=about)


def remembered(pool: int, number: int, about: str) -> Flow:
    """The flow for the connections of a pool that go to a next hop.

    Only the mark counts: a first packet that is sent again, and one that the switch takes for
    invalid, belong to their connection as well.
    """
    match = (
        oxm.POOL_REGISTER.is_(pool)
        + oxm.CT_STATE.masked(_TRACKED, _TRACKED)
        + oxm.CT_MARK.is_(number)
    )
    to_node = wire.apply(oxm.set_field(oxm.NODE_REGISTER, number)) + wire.go_to(flows.NODES)
    return Flow(flows.CONNECTIONS, 1, match, to_node, about=f"connections of {about}")
