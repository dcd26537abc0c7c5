"""What two OPENs add up to."""

from __future__ import annotations

from dataclasses import dataclass

from porter_ryu.bgp.protocol import wire
from porter_ryu.bgp.protocol.open_message import Open
from porter_ryu.domain.model import Family

_ADD_PATH_RECEIVE, _ADD_PATH_SEND = 1, 2  # RFC 7911, 4
_IMPLIED = frozenset({Family.IPV4})  # RFC 4760, 8: no capability at all


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What holds on a session; the default is what holds before an OPEN is in.

    `families`: those that both sides offered.  `add_path`: those in which we send several paths.
    `hold_time` in seconds, `longest` the octets that a message may have (RFC 8654).  `graceful`:
    the peer keeps our routes over a restart (RFC 4724); `keeps_over_notification`: over a
    NOTIFICATION too (RFC 8538, 2).
    """

    hold_time: int = 0
    families: frozenset[Family] = frozenset()
    add_path: frozenset[Family] = frozenset()
    four_octet_as: bool = False
    graceful: bool = False
    keeps_over_notification: bool = False
    enhanced_refresh: bool = False
    ipv4_over_ipv6: bool = False
    longest: int = wire.MAX_LENGTH


def negotiate(ours: Open, theirs: Open) -> Negotiated:
    """What both sides can do."""
    offered = _IMPLIED if theirs.families is None else theirs.families
    families = (ours.families or frozenset()) & offered
    send = {family for family, mode in ours.add_path if mode & _ADD_PATH_SEND}
    receive = {family for family, mode in theirs.add_path if mode & _ADD_PATH_RECEIVE}
    extended = ours.extended_message and theirs.extended_message
    restart, restarts = ours.graceful, theirs.graceful
    return Negotiated(
        hold_time=min(ours.hold_time, theirs.hold_time),
        families=families,
        add_path=families & send & receive,
        four_octet_as=ours.four_octet_as and theirs.four_octet_as,
        graceful=restart is not None and restarts is not None,
        keeps_over_notification=bool(
            restart and restarts and restart.notification and restarts.notification
        ),
        enhanced_refresh=ours.enhanced_refresh and theirs.enhanced_refresh,
        ipv4_over_ipv6=ours.ipv4_over_ipv6 and theirs.ipv4_over_ipv6,
        longest=wire.EXTENDED_MAX_LENGTH if extended else wire.MAX_LENGTH,
    )
