"""Messages that several tests share."""

from __future__ import annotations

from ipaddress import IPv4Address

from porter_ryu.bgp.protocol.open_message import GracefulRestart, Open
from porter_ryu.domain.model import Family

OF_EVERYTHING = Open(
    65000,
    90,
    IPv4Address("10.0.0.1"),
    frozenset(Family),
    True,
    True,
    ((Family.IPV4, 1),),
    enhanced_refresh=True,
    extended_message=True,
    ipv4_over_ipv6=True,
    graceful=GracefulRestart(120, True, True, frozenset(Family)),
    roles=frozenset([3]),
)
