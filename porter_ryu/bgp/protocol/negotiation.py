"""The result of two OPENs: what both sides can do."""

from __future__ import annotations

from msgspec import Struct

from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.domain.model import Family

_ADD_PATH_RECEIVE, _ADD_PATH_SEND = 1, 2  # RFC 7911, 4
_IMPLIED_FAMILIES = frozenset({Family.IPV4})  # RFC 4760, 8: without a multiprotocol capability


class Negotiated(Struct, frozen=True):
    """What is in force on a session; the default applies until an OPEN is received.

    `hold_time` in seconds.  `families`: those that both sides offered.  `add_path`: those in which
    we send several paths for one prefix (RFC 7911).  `graceful`: the peer keeps our routes over a
    restart (RFC 4724); `graceful_notification`: over a NOTIFICATION as well (RFC 8538, 2).
    `max_message_length` in octets (RFC 8654).  `peer_role`: the role of the peer, which corresponds
    to ours (RFC 9234); None if one side has sent none.
    """

    hold_time: int = 0
    families: frozenset[Family] = frozenset()
    add_path: frozenset[Family] = frozenset()
    four_octet_as: bool = False
    graceful: bool = False
    graceful_notification: bool = False
    enhanced_refresh: bool = False
    ipv4_over_ipv6: bool = False
    max_message_length: int = wire.MAX_LENGTH
    peer_role: int | None = None


def negotiate(local: Open, remote: Open) -> Negotiated:
    """What both sides can do."""
    offered = _IMPLIED_FAMILIES if remote.families is None else remote.families
    families = (local.families or frozenset()) & offered
    send = {family for family, mode in local.add_path if mode & _ADD_PATH_SEND}
    receive = {family for family, mode in remote.add_path if mode & _ADD_PATH_RECEIVE}
    extended = local.extended_message and remote.extended_message
    ours, theirs = local.graceful, remote.graceful
    return Negotiated(
        hold_time=min(local.hold_time, remote.hold_time),
        families=families,
        add_path=families & send & receive,
        four_octet_as=local.four_octet_as and remote.four_octet_as,
        graceful=ours is not None and theirs is not None,
        graceful_notification=bool(ours and theirs and ours.notification and theirs.notification),
        enhanced_refresh=local.enhanced_refresh and remote.enhanced_refresh,
        ipv4_over_ipv6=local.ipv4_over_ipv6 and remote.ipv4_over_ipv6,
        max_message_length=wire.EXTENDED_MAX_LENGTH if extended else wire.MAX_LENGTH,
        peer_role=next(iter(remote.roles), None) if local.roles else None,
    )
